"""What is written is read back: by our own BVH parser, by hand, by numpy; and written whole."""

import csv

import numpy as np
import pytest

from data_prep.bvh_files import read_bvh
from mbjax import bvh_writer, motion_files
from mbjax.motion import Motion, PersonMotion
from mbjax.skeleton import INDEX, JOINTS

FRAMES = 25


def person(number=1, frames=FRAMES, first=4, seed=0):
    """Someone in metres who turns, bends and lets their limbs change length a little."""
    rng = np.random.default_rng(seed)
    rest = np.array([
        (0, 0), (-15, 0), (-20, 44), (-25, 88), (15, 0), (18, 45), (17, 90), (0, -30), (0, -60),
        (3, -78), (0, -92), (20, -60), (35, -35), (40, -5), (-20, -60), (-40, -30), (-45, 2),
    ]) / 100  # fmt: skip
    pose = np.concatenate([rest, np.zeros((17, 1))], axis=1)[None].repeat(frames, 0)
    pose += 0.15 * np.cumsum(rng.normal(0, 0.3, pose.shape), axis=0)
    turn = np.linspace(0, 3 * np.pi, frames)  # one and a half turns about the vertical
    x, z = pose[..., 0].copy(), pose[..., 2].copy()
    pose[..., 0] = x * np.cos(turn)[:, None] + z * np.sin(turn)[:, None] + 0.5
    pose[..., 2] = z * np.cos(turn)[:, None] - x * np.sin(turn)[:, None]
    confidence = rng.uniform(0.1, 1, (frames, 17))
    keypoints = np.concatenate([300 * pose[..., :2] + 400, confidence[..., None]], axis=-1)
    missed = np.zeros(frames, bool)
    missed[min(3, frames - 1)] = True
    return PersonMotion(
        number, first + np.arange(frames), pose.astype(np.float32), keypoints, confidence, missed,
        np.array([400.0, 400.0]), 1 / 300,
    )  # fmt: skip


def motion(*persons, fps=25.0, unit="m"):
    return Motion(persons or (person(),), unit, fps, "halpe26", "/some/where/a.json", False)


def test_one_of_each_file_and_the_names_for_several(tmp_path):
    paths = motion_files.write_all(motion(), tmp_path / "deep" / "er")
    names = ["motion.npz", "motion.csv", "X3D.npy", "motion.trc", "motion.bvh"]
    assert [path.name for path in paths] == names
    assert sorted(p.name for p in (tmp_path / "deep" / "er").iterdir()) == sorted(names)
    paths = motion_files.write_all(motion(person(2), person(7)), tmp_path)
    assert {path.name for path in paths} == {
        "motion.npz", "motion.csv", "X3D_person2.npy", "X3D_person7.npy", "motion_person2.trc",
        "motion_person7.trc", "motion_person2.bvh", "motion_person7.bvh",
    }  # fmt: skip


def test_x3d_and_npz_come_back_bit_for_bit(tmp_path):
    one, two = person(2), person(7, frames=9, seed=1)
    motion_files.write_all(motion(one, two), tmp_path)
    x3d = np.load(tmp_path / "X3D_person2.npy", allow_pickle=False)
    assert x3d.dtype == np.float32 and x3d.shape == (FRAMES, 17, 3)
    np.testing.assert_array_equal(x3d, one.pose_TxJx3)
    with np.load(tmp_path / "motion.npz", allow_pickle=False) as file:
        data = dict(file)
    for each in (one, two):
        rows = data["person"] == each.person
        np.testing.assert_array_equal(data["pose"][rows], each.pose_TxJx3)
        np.testing.assert_array_equal(data["keypoints"][rows], each.keypoints_TxJx3)
        np.testing.assert_array_equal(data["frame"][rows], each.frames_T)
        np.testing.assert_array_equal(data["time"][rows], each.frames_T / 25)
        np.testing.assert_array_equal(data["interpolated"][rows], each.interpolated_T)
    assert str(data["unit"]) == "m" and data["fps"] == 25 and list(data["joints"]) == list(JOINTS)
    assert str(data["source"]) == "a.json"  # not the folders of whoever made it


def test_csv_comes_back(tmp_path):
    one, two = person(2), person(7, frames=9, seed=1)
    motion_files.write_all(motion(one, two), tmp_path)
    with open(tmp_path / "motion.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == FRAMES + 9 and len(rows[0]) == 5 + 17 * 4
    for each, part in ((one, rows[:FRAMES]), (two, rows[FRAMES:])):
        assert {row["person"] for row in part} == {str(each.person)}
        assert [int(row["frame"]) for row in part] == list(each.frames_T)
        assert [int(row["interpolated"]) for row in part] == list(each.interpolated_T)
        pose = [[[float(row[f"{n}_{a}"]) for a in "xyz"] for n in JOINTS] for row in part]
        # Six significant digits of numbers below 10.
        np.testing.assert_allclose(pose, each.pose_TxJx3, atol=1e-5)
    assert float(rows[0]["time"]) == 4 / 25 and rows[0]["unit"] == "m"


def test_without_a_frame_rate_no_times_are_made_up(tmp_path):
    motion_files.write_all(motion(fps=None), tmp_path)
    with open(tmp_path / "motion.csv", newline="") as file:
        assert {row["time"] for row in csv.DictReader(file)} == {""}
    with np.load(tmp_path / "motion.npz") as file:
        assert np.isnan(file["time"]).all() and np.isnan(file["fps"])
    assert read_bvh(tmp_path / "motion.bvh").fps == pytest.approx(30, rel=1e-6)  # 8 decimals


def test_trc_comes_back(tmp_path):
    motion_files.write_all(motion(), tmp_path)
    lines = (tmp_path / "motion.trc").read_text().split("\n")
    assert lines[0] == "PathFileType\t4\t(X/Y/Z)\tmotion.trc"
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    assert header["NumFrames"] == str(FRAMES) and header["NumMarkers"] == "17"
    assert header["Units"] == "m" and float(header["DataRate"]) == 25
    assert [name for name in lines[3].split("\t")[2:] if name] == list(JOINTS)
    # A marker's name stands above its X; every line has as many columns.
    assert lines[3].split("\t")[2 + 3 * INDEX["nose"]] == "nose"
    assert len(lines[3].split("\t")) == len(lines[4].split("\t")) == 2 + 17 * 3
    values = np.array([[float(v) for v in line.split("\t")] for line in lines[6:-1]])
    assert list(values[:, 0]) == list(range(1, FRAMES + 1))
    np.testing.assert_allclose(values[:, 1], (4 + np.arange(FRAMES)) / 25)
    read = values[:, 2:].reshape(FRAMES, 17, 3) * [1, -1, -1]
    # Six decimals of metres: half a micrometre.
    np.testing.assert_allclose(read, person().pose_TxJx3, atol=6e-7)


def test_bvh_comes_back(tmp_path):
    motion_files.write_all(motion(), tmp_path)
    bvh = read_bvh(tmp_path / "motion.bvh")
    positions, turns = bvh.positions()
    places = [bvh.place_of(name) for name in JOINTS]
    read = positions[:, places] * [1, -1, -1]
    assert bvh.fps == pytest.approx(25, rel=1e-6)  # 8 decimals of 1/25 s
    # Six decimals of position and of degrees, each added up over six joints from root to wrist:
    # 6 * (0.5e-6 + 0.5e-6 * pi/180 * 2 m) is below 4e-6.
    np.testing.assert_allclose(read, person().pose_TxJx3, atol=4e-6)
    assert sum(node.name.endswith(".end") for node in bvh.nodes) == 5
    # Rotations carry the pose: a knee's turn points its offset along the shin.
    pose = motion_files.y_up(person().pose_TxJx3.astype(float))
    knee, ankle = bvh.place_of("lknee"), bvh.place_of("lankle")
    along = turns[:, knee] @ bvh.nodes[ankle].offset_3
    shin = pose[:, INDEX["lankle"]] - pose[:, INDEX["lknee"]]
    along, shin = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (along, shin))
    np.testing.assert_allclose(along, shin, atol=1e-5)  # six decimals over lengths of 0.4 m
    assert np.abs(np.diff(bvh.values_TxD, axis=0)).max() < 180  # no jumps of a whole turn


def test_bvh_of_a_tpose_has_no_rotations():
    offsets = {name: np.array(way, float) for name, way in bvh_writer._DIRECTIONS.items()}
    pose = np.zeros((2, 17, 3))
    from mbjax.skeleton import LIMBS

    for parent, joint in LIMBS:
        pose[:, joint] = pose[:, parent] + 0.3 * offsets[JOINTS[joint]]
    lines = bvh_writer.to_text(pose, 30).split("\n")
    values = np.array(lines[lines.index("MOTION") + 3].split(), float).reshape(17, 6)
    np.testing.assert_allclose(values[:, 3:], 0, atol=2e-6)  # six decimals are written


@pytest.mark.parametrize("frames", [1, 2])
def test_bvh_of_limbs_without_length_or_turned_right_round(tmp_path, frames):
    """Joints on top of each other, as a first guess may have them, and a shin folded back."""
    one = person(frames=frames)
    one.pose_TxJx3[:, INDEX["rwrist"]] = one.pose_TxJx3[:, INDEX["relbow"]]
    one.pose_TxJx3[:, INDEX["lankle"]] = one.pose_TxJx3[:, INDEX["lhip"]]
    one.pose_TxJx3[0] = one.pose_TxJx3[0] * [1, -1, 1]  # upside down
    motion_files.write_all(motion(one), tmp_path)
    bvh = read_bvh(tmp_path / "motion.bvh")
    read = bvh.positions()[0][:, [bvh.place_of(name) for name in JOINTS]] * [1, -1, -1]
    np.testing.assert_allclose(read, one.pose_TxJx3, atol=4e-6)  # as above


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "X3D.npy").write_text("from before")

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(bvh_writer, "to_text", broken)
    with pytest.raises(OSError, match="disk full"):
        motion_files.write_all(motion(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["X3D.npy"]
    assert (tmp_path / "X3D.npy").read_text() == "from before"
