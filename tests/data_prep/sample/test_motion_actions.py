"""Labelled recordings made from motion whose files are named by activity."""

import csv

import numpy as np
import pytest

from data_prep.sample import motion_actions
from mbjax.data.records import RecordReader


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two activities of three recordings, one of a single one, from the sample's motion."""
    folder = tmp_path_factory.mktemp("motion")
    record = RecordReader("sample:motion3d", "train")[0]
    pose = record["pose"].astype(np.float32) * record["metres_per_unit"]
    pose = pose * np.float32([1, -1, 1])  # y up, as the arrays have it
    long = np.concatenate([pose, pose[::-1], pose])
    arrays = {f"train/climb_{n}": long[10 * n :] for n in (1, 2, 3)}
    arrays |= {f"test/hang{n}": pose[: 100 + n] for n in (1, 2, 3)}
    arrays |= {"train/fall_1": pose, "train/blink_1": pose[:20], "train/blink_2": pose[:20]}
    np.savez(folder / "motion.npz", **arrays)
    return folder


@pytest.fixture(scope="module")
def made(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("takes") / "of_motion"
    return out, motion_actions.make(raw, out, train_takes=5, test_takes=2)


@pytest.mark.parametrize(
    "name, activity",
    [("train/walking_13", "walking"), ("basketball_signal_1", "basketball_signal"),
     ("hang2", "hang"), ("a/b/jump - 07", "jump"), ("swim", "swim"), ("12", "")],
)  # fmt: skip
def test_the_class_is_the_name_without_its_number(name, activity):
    assert motion_actions.class_of(name) == activity


def test_takes_of_each_class_and_what_is_left_out(made):
    out, summary = made
    with (out / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    counts = {(label, split): sum((r["label"], r["split"]) == (label, split) for r in rows)
              for label in ("climb", "hang") for split in ("train", "test")}  # fmt: skip
    assert counts == {("climb", "train"): 5, ("climb", "test"): 2,
                      ("hang", "train"): 5, ("hang", "test"): 2}  # fmt: skip
    assert len(rows) == 14 and {r["fps"] for r in rows} == {"30.0"}
    # Of less than a second there is nothing; of one recording nothing could test.
    assert "left out: fall" in summary and "2 classes: climb, hang" in summary
    take = np.load(out / rows[0]["file"])
    assert take.shape[1:] == (17, 3) and 30 <= len(take) <= 81
    assert (take[..., :2] >= 0).mean() > 0.95 and (take[..., 2] <= 1).all()


def test_no_recording_both_trains_and_tests():
    names = [f"walking_{n:02d}" for n in range(7)]
    parts = motion_actions.split(names[::-1])
    assert parts == {"train": names[:5], "test": names[5:]}
    assert motion_actions.split(["b", "a"]) == {"train": ["a"], "test": ["b"]}


def test_splits_that_the_archive_has_are_kept():
    names = ["a.npz/test/walk_1", "a.npz/train/walk_2", "a.npz/train/walk_3"]
    assert motion_actions.split(names) == {"train": names[1:], "test": names[:1]}
    alone = ["a.npz/test/walk_3", "b.npz/test/walk_1"]
    assert motion_actions.split(alone) == {"train": alone[1:], "test": alone[:1]}


def test_takes_have_no_frames_that_a_body_cannot_reach():
    pose = np.zeros((200, 17, 3))
    pose[100:, 16] = 5.0  # a wrist that jumps by 5 m
    assert motion_actions.starts(pose) == [0, 101]
    assert motion_actions.starts(pose[:29]) == [] and motion_actions.starts(pose[80:125]) == []


def test_takes_are_spread_over_all_of_a_class():
    poses = {"a": np.zeros((81 * 3, 17, 3)), "b": np.zeros((40, 17, 3))}
    assert motion_actions.stretches(poses, 6) == [
        ("a", 0), ("a", 81), ("a", 162), ("b", 0), ("a", 0), ("a", 81),
    ]  # fmt: skip
    assert motion_actions.stretches(poses, 2) == [("a", 0), ("b", 0)]


def test_the_same_seed_gives_the_same_files(raw, made, tmp_path):
    motion_actions.make(raw, tmp_path / "again", train_takes=5, test_takes=2)
    for path in made[0].rglob("*.*"):
        assert (tmp_path / "again" / path.relative_to(made[0])).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "arrays, wrong",
    [({"walk_1": np.zeros((50, 16, 3))}, "walk_1: an array of"),
     ({"walk_1": np.zeros((50, 17, 3))}, "walk_1: the bones are 0 m together"),
     ({"..1": np.zeros((50, 17, 3))}, "..1: its activity cannot be the name of a folder"),
     ({"wa\nlk_1": np.zeros((50, 17, 3))}, "odd.npz: wa lk_1: its activity cannot be"),
     ({"w" * 300 + "_1": np.zeros((50, 17, 3))}, "its activity cannot be the name")],
)  # fmt: skip
def test_what_is_no_motion_is_one_line(arrays, wrong, tmp_path, capsys):
    np.savez(tmp_path / "odd.npz", **arrays)
    words = ["--raw", str(tmp_path), "--out", str(tmp_path / "out")]
    assert motion_actions.main(words) == 1
    assert wrong in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_files_that_are_cut_off_are_named(tmp_path, capsys):
    np.save(tmp_path / "walk_1.npy", np.zeros((50, 17, 3)))
    whole = (tmp_path / "walk_1.npy").read_bytes()
    (tmp_path / "walk_1.npy").write_bytes(whole[:500])
    assert motion_actions.main(["--raw", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "walk_1.npy: cut off" in capsys.readouterr().err


def test_recordings_of_one_name_in_two_archives_are_two(raw, tmp_path):
    pose = np.load(raw / "motion.npz")["train/climb_1"]
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", climb_1=pose, hang_1=pose)
    found = motion_actions.recordings(tmp_path, motion_actions.joints.JointsOptions())
    assert set(found["climb"]) == {"a.npz/climb_1", "b.npz/climb_1"}


def test_a_folder_that_holds_something_is_left_alone(raw, made):
    with pytest.raises(ValueError, match="not empty; give a new folder"):
        motion_actions.make(raw, made[0])


def test_one_activity_is_not_enough(raw, tmp_path):
    arrays = np.load(raw / "motion.npz")
    np.savez(tmp_path / "motion.npz", **{f"climb_{n}": arrays[f"train/climb_{n}"] for n in (1, 2)})
    with pytest.raises(ValueError, match="two recordings or more: climb; two such"):
        motion_actions.make(tmp_path, tmp_path / "out")
