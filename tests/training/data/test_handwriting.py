"""Digits in the origins' forms become points and rows; augmentation keeps what they mean."""

import gzip

import numpy as np
import torch

from training.data.handwriting import (
    convert_mnist,
    convert_pendigits,
    parse_unipen,
    pictures,
    shifted,
    slanted,
    strokes,
)

UNIPEN = """\
.VERSION 1.0
.DATA_SOURCE Bogazici University
.COMMENT  a few words on how it was made
.PEN_DOWN
.SEGMENT DIGIT ? ? "8"
.COMMENT 8 12 224
.PEN_DOWN
 267   333
 267   336
.PEN_UP
.DT 100
.PEN_DOWN
 -12   40
.PEN_UP

.SEGMENT DIGIT ? ? "2"
.COMMENT 2 26 54
.PEN_DOWN
 1   2
.PEN_UP
"""


def test_unipen_strokes_become_points_that_know_where_a_stroke_begins():
    arrays = parse_unipen(UNIPEN)
    assert arrays["points"].tolist() == [[267, 333, 1], [267, 336, 0], [-12, 40, 1], [1, 2, 1]]
    assert arrays["offsets"].tolist() == [0, 3, 4]
    assert arrays["label"].tolist() == [8, 2]
    assert arrays["comment"].tolist() == [[8, 12, 224], [2, 26, 54]]


def test_both_files_of_pen_digits_are_read_and_a_digit_s_group_is_its_writer():
    arrays = convert_pendigits(lambda url: UNIPEN.encode())
    items = strokes(arrays, "test")
    assert [len(rows) for rows in items.rows] == [3, 1]
    assert items.groups == [12, 26]
    assert [int(target) for target in items.targets] == [8, 2]


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.tobytes())


def test_idx_files_become_pictures_and_labels():
    images = np.arange(2 * 28 * 28).astype(np.uint8).reshape(2, 28, 28)
    labels = np.array([7, 3], np.uint8)
    arrays = convert_mnist(lambda url: idx(images if "images" in url else labels))
    assert np.array_equal(arrays["train_x"], images)
    assert arrays["test_y"].tolist() == [7, 3]
    assert pictures(arrays, "train").rows[1].shape == (28, 28)


def test_a_slanted_digit_keeps_its_strokes_and_its_end():
    turned = torch.linspace(0, 6, 40)
    rows = torch.stack([100 * turned.cos(), 60 * turned.sin(), torch.zeros(40)], dim=1)
    rows[[0, 25], 2] = 1.0
    for seed in range(10):
        other = slanted(rows, torch.Generator().manual_seed(seed))
        assert 2 < len(other) <= 40
        assert other[0, 2] == 1.0
        assert other[:, 2].sum() == 2.0
        # Both ends stay apart as they were, within what stretching and leaning allow.
        gap, seen = ((ends[-1] - ends[0])[:2].norm() for ends in (rows, other))
        assert 0.4 * gap < seen < 2.0 * gap


def test_a_shifted_picture_has_the_same_pixels():
    rows = torch.zeros(28, 28)
    rows[10:15, 10:15] = 3.0
    moved = shifted(rows, torch.Generator().manual_seed(1))
    assert moved.sum() == rows.sum()
    assert moved.shape == rows.shape
