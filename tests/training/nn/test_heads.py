"""A class is as likely as its kinds together."""

import torch

from training.nn.heads import GroupedClasses


def test_a_class_has_the_probability_of_all_its_kinds():
    head = GroupedClasses(4, class_of_kind=[0, 1, 1, 2, 0])
    features = torch.randn(3, 4)
    kinds = torch.softmax(head.kinds(features), dim=-1)
    expected = torch.stack([kinds[:, [0, 4]].sum(1), kinds[:, [1, 2]].sum(1), kinds[:, 3]], dim=1)
    torch.testing.assert_close(torch.softmax(head(features), dim=-1), expected)


def test_kinds_that_are_the_classes_are_scored_as_they_are():
    head = GroupedClasses(4, class_of_kind=[0, 1, 2])
    features = torch.randn(3, 4)
    torch.testing.assert_close(head(features), head.kinds(features))
