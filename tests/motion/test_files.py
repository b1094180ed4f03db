"""What is written is read back: by readers of BVH and TRC from the index, by hand; and is whole."""

import csv
import dataclasses

import bvhio
import numpy as np
import pytest
import trc
from scipy.spatial.transform import Rotation

from mbjax.motion import bvh_writer
from mbjax.motion import files as motion_files
from mbjax.motion.bvh_reader import read_bvh
from mbjax.motion.motion import Motion, PersonMotion
from mbjax.pose.skeleton import INDEX, JOINTS, LIMBS, limb_lengths

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
    read = trc.TRCData()
    read.load(str(tmp_path / "motion.trc"))
    assert read["NumFrames"] == FRAMES and read["Markers"] == list(JOINTS)
    assert read["Units"] == "m" and read["DataRate"] == 25 and read["FileName"] == "motion.trc"
    np.testing.assert_allclose(read["Time"], (4 + np.arange(FRAMES)) / 25)
    pose = np.stack([read[name] for name in JOINTS], axis=1) * [1, -1, -1]
    # Six decimals of metres: half a micrometre.
    np.testing.assert_allclose(pose, person().pose_TxJx3, atol=6e-7)
    # What the library does not look at: every line has as many columns, names stand above X.
    lines = (tmp_path / "motion.trc").read_text().split("\n")
    assert lines[3].split("\t")[2 + 3 * INDEX["nose"]] == "nose"
    assert len(lines[3].split("\t")) == len(lines[4].split("\t")) == 2 + 17 * 3


def rigid_person():
    """Bones of constant lengths and constant angles at the hips and shoulders, all turning."""
    rng = np.random.default_rng(3)
    turns = Rotation.from_rotvec(np.cumsum(rng.normal(0, 0.1, (FRAMES, 17, 3)), axis=0))
    turns = turns.as_matrix().reshape(FRAMES, 17, 3, 3)
    rest = person(frames=1).pose_TxJx3[0] + rng.normal(0, 0.03, (17, 3))
    pose = np.zeros((FRAMES, 17, 3))
    pose[:, 0] = np.cumsum(rng.normal(0, 0.02, (FRAMES, 3)), axis=0)
    for parent, joint in LIMBS:
        pose[:, joint] = pose[:, parent] + turns[:, parent] @ (rest[joint] - rest[parent])
    return dataclasses.replace(person(), pose_TxJx3=pose.astype(np.float32))


def bvh_positions(path):
    """(T, 17, 3) in the camera's axes, and the frame time, by the library's own kinematics."""
    whole = bvhio.readAsBvh(str(path))
    root = bvhio.readAsHierarchy(str(path))
    frames = []
    for t in range(whole.FrameCount):
        root.loadPose(t)
        at = {joint.Name: joint.PositionWorld for joint, _, _ in root.layout()}
        frames.append([list(at[name]) for name in JOINTS])
    return np.array(frames) * [1, -1, -1], whole.FrameTime


def test_bvh_of_a_rigid_body_comes_back(tmp_path):
    one = rigid_person()
    motion_files.write_all(motion(one), tmp_path)
    read, frame_time = bvh_positions(tmp_path / "motion.bvh")
    assert 1 / frame_time == pytest.approx(25, rel=1e-6)  # 8 decimals of 1/25 s
    # The library computes in float32: six joints, each a few 1e-6 of a degree and of a metre off.
    np.testing.assert_allclose(read, one.pose_TxJx3, atol=2e-5)
    ours = read_bvh(tmp_path / "motion.bvh")
    positions = ours.positions()[0][:, [ours.place_of(name) for name in JOINTS]] * [1, -1, -1]
    np.testing.assert_allclose(positions, one.pose_TxJx3, atol=4e-6)  # the six decimals alone
    assert sum(node.name.endswith(".end") for node in ours.nodes) == 5
    # No jumps of a whole turn.
    assert np.abs(np.diff(ours.values_TxD, axis=0)).max() < 180
    assert bvh_writer.joint_errors(motion_files.y_up(one.pose_TxJx3)).max() < 1e-6  # float32


def test_bvh_of_limbs_that_stretch_is_as_far_off_as_it_says(tmp_path):
    """Bones of the file are constant, along the motion's own, and the error is reported."""
    one = person()
    motion_files.write_all(motion(one), tmp_path)
    read, _ = bvh_positions(tmp_path / "motion.bvh")
    lengths = limb_lengths(read)
    assert np.ptp(lengths, axis=0).max() < 2e-5  # the library's float32
    expected = np.median(limb_lengths(one.pose_TxJx3.astype(float)), axis=0)
    np.testing.assert_allclose(lengths[0], expected, atol=2e-5)
    errors = bvh_writer.joint_errors(motion_files.y_up(one.pose_TxJx3))
    np.testing.assert_allclose(np.linalg.norm(read - one.pose_TxJx3, axis=-1), errors, atol=2e-5)
    # Its limbs change by 15 cm and more; the error is the changes, summed from the root.
    assert 0.01 < errors.mean() < 0.3 and not errors[:, 0].any()
    thigh, ours = (p[:, INDEX["lknee"]] - p[:, INDEX["lhip"]] for p in (one.pose_TxJx3, read))
    cosine = (thigh * ours).sum(-1) / np.linalg.norm(thigh, axis=-1) / np.linalg.norm(ours, axis=-1)
    assert cosine.min() > 1 - 1e-6  # single bones point where the motion's do


def test_bvh_of_a_tpose_has_no_rotations():
    offsets = {name: np.array(way, float) for name, way in bvh_writer._DIRECTIONS.items()}
    pose = np.zeros((2, 17, 3))
    for parent, joint in LIMBS:
        pose[:, joint] = pose[:, parent] + 0.3 * offsets[JOINTS[joint]]
    lines = bvh_writer.to_text(pose, 30).split("\n")
    values = np.array(lines[lines.index("MOTION") + 3].split(), float)
    assert values.shape == (3 + 17 * 3,)
    np.testing.assert_allclose(values[3:], 0, atol=2e-6)  # six decimals are written


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
    errors = bvh_writer.joint_errors(motion_files.y_up(one.pose_TxJx3))
    # Six decimals of position and of degrees, added up over six joints from root to wrist.
    np.testing.assert_allclose(np.linalg.norm(read - one.pose_TxJx3, axis=-1), errors, atol=4e-6)


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "X3D.npy").write_text("from before")

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(bvh_writer, "to_text", broken)
    with pytest.raises(OSError, match="disk full"):
        motion_files.write_all(motion(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["X3D.npy"]
    assert (tmp_path / "X3D.npy").read_text() == "from before"
