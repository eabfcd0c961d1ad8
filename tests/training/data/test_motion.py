"""Skeletons and gestures in the origins' forms; augmentation turns, stretches and hurries."""

import numpy as np
import torch

from training.data.motion import (
    clips,
    convert_natops,
    convert_utkinect,
    hurried,
    parse_joints,
    parse_marks,
    walked_round,
)

MARKS = """\
s01_e01
walk: 252 390
standUp: 704 752
carry:  868 922
s10_e02
carry:  NaN NaN
"""


def joints(frames: list[int]) -> str:
    """A line each, as the origin has them: blanks between and at the end."""
    lines = [
        f"{frame}   " + "  ".join(f"{frame / 1000:.6f}" for _ in range(60)) for frame in frames
    ]
    return "".join(f"{line}  \n" for line in lines)


def test_marks_are_read_and_a_missing_clip_is_left_out():
    marks = parse_marks(MARKS)
    assert marks == {("s01_e01", "walk"): (252, 390), ("s01_e01", "standUp"): (704, 752),
                     ("s01_e01", "carry"): (868, 922)}  # fmt: skip


def test_a_frame_told_twice_counts_once():
    table = parse_joints(joints([190, 190, 194]))
    assert table[:, 0].tolist() == [190, 194]
    assert table.shape == (2, 61)


def test_clips_are_cut_from_their_recordings_in_the_order_of_the_marks():
    def fetch(url: str) -> bytes:
        text = MARKS if url.endswith("actionLabel.txt") else joints([250, 252, 390, 392, 704])
        return text.encode()

    arrays = convert_utkinect(fetch)
    assert arrays["frame"].tolist() == [252, 390, 704]
    assert arrays["offsets"].tolist() == [0, 2, 3, 3]
    assert arrays["joints_x1e4"].shape == (3, 20, 3)
    assert arrays["joints_x1e4"][0, 0].tolist() == [2520, 2520, 2520]
    assert arrays["label"].tolist() == [0, 2, 4]
    assert (arrays["subject"].tolist(), arrays["repetition"].tolist()) == ([1] * 3, [1] * 3)


def test_odd_persons_are_learned_from_and_even_ones_tested():
    arrays = {
        "joints_x1e4": np.full((6, 20, 3), 10_000, np.int32),
        "offsets": np.array([0, 2, 3, 6], np.int32),
        "label": np.array([0, 1, 2], np.int8),
        "subject": np.array([1, 2, 3], np.int8),
    }
    odd, even = clips(arrays)
    assert (odd.groups, even.groups) == ([1, 3], [2])
    assert odd.rows[0].shape == (2, 60)
    assert float(odd.rows[0][0, 0]) == 1.0


def test_the_archive_s_form_has_dimensions_apart_by_colons_and_classes_from_one():
    line = ":".join([f"{d}.5,{d}.25" for d in range(3)] + ["4.0"])
    arrays = convert_natops(lambda url: f"@problemName NATOPS\n@data\n{line}\n".encode())
    assert arrays["train_x"].shape == (1, 2, 3)
    assert arrays["train_x"][0].tolist() == [[0.5, 1.5, 2.5], [0.25, 1.25, 2.25]]
    assert arrays["test_y"].tolist() == [3]


def test_a_body_seen_from_another_side_keeps_its_proportions():
    steps = torch.randn(12, 60, generator=torch.Generator().manual_seed(0))
    other = walked_round(steps, torch.Generator().manual_seed(1))
    limb, same = (rows[:, 3:6] - rows[:, :3] for rows in (steps, other))
    assert other.shape[1] == 60
    assert (same.norm(dim=1).mean() / limb.norm(dim=1).mean()).item() > 0.6


def test_a_hurried_signal_ends_about_where_it_ended():
    steps = torch.arange(51.0).unsqueeze(1).repeat(1, 24)
    other = hurried(steps, torch.Generator().manual_seed(2))
    assert 51 * 0.7 <= len(other) <= 51 * 1.3 + 1
    assert (other[1:] > other[:-1]).all()
