"""What is written is read back: by readers of BVH, TRC and glTF from the index; and is whole."""

import csv
import dataclasses
import io

import bvhio
import numpy as np
import pygltflib
import pytest
import trc
import trimesh

from mbjax.motion import angles, bvh_writer, earlier_run, feet, rig, world
from mbjax.motion import files as motion_files
from mbjax.motion.bvh_reader import read_bvh
from mbjax.pose.skeleton import INDEX, JOINTS
from tests.recipes.walking import FPS, motion_of, walker

FRAMES = 45
NAMES = [
    "motion.npz", "motion.csv", "motion_angles.csv", "motion.glb", "X3D.npy", "motion.trc",
    "motion.bvh",
]  # fmt: skip


def motion(persons=1, first=4, **options):
    """Persons 1, 2, ... beside each other; the second comes in later and has fewer frames."""
    pose, _ = walker(FRAMES)
    poses = [pose, (pose + [1.5, 0, 0])[:20]][:persons]
    return motion_of(*poses, first=first, **options)


def test_one_of_each_file_and_the_names_for_several(tmp_path):
    paths = motion().save(tmp_path / "deep" / "er")
    assert [path.name for path in paths] == NAMES
    there = {p.name for p in (tmp_path / "deep" / "er").iterdir()}
    assert there == {*NAMES, earlier_run.LIST}
    paths = motion(2).save(tmp_path)
    assert {path.name for path in paths} == {
        *NAMES[:4], *(f"X3D_person{i}.npy" for i in (1, 2)),
        *(f"motion_person{i}.{kind}" for i in (1, 2) for kind in ("trc", "bvh")),
    }  # fmt: skip


def test_x3d_and_npz_come_back_bit_for_bit(tmp_path):
    whole = motion(2)
    whole.save(tmp_path)
    placed = world.of_motion(whole).persons
    x3d = np.load(tmp_path / "X3D_person2.npy", allow_pickle=False)
    assert x3d.dtype == np.float32 and x3d.shape == (20, 17, 3)
    np.testing.assert_array_equal(x3d, whole.person(2).pose_TxJx3)
    with np.load(tmp_path / "motion.npz", allow_pickle=False) as file:
        data = dict(file)
    for each, there in zip(whole, placed, strict=True):
        rows = data["person"] == each.person
        np.testing.assert_array_equal(data["pose"][rows], each.pose_TxJx3)
        np.testing.assert_array_equal(data["keypoints"][rows], each.keypoints_TxJx3)
        np.testing.assert_array_equal(data["frame"][rows], each.frames_T)
        np.testing.assert_array_equal(data["time"][rows], each.frames_T / FPS)
        np.testing.assert_array_equal(data["interpolated"][rows], each.interpolated_T)
        rows = data["world_person"] == each.person
        for name in ("joints", "body"):
            expected = getattr(there, f"{name}_TxJx3").astype(np.float32)
            np.testing.assert_array_equal(data[f"world_{name}"][rows], expected)
        np.testing.assert_array_equal(data["world_frame"][rows], there.frames_T)
        np.testing.assert_array_equal(data["world_planted"][rows], there.planted_Tx2)
    assert str(data["unit"]) == "m" and data["fps"] == FPS and list(data["joints"]) == list(JOINTS)
    assert str(data["source"]) == "a.json"  # not the folders of whoever made it


def test_csv_has_the_joints_as_lifted_on_the_floor(tmp_path):
    whole = motion(2, unit="normalised")
    whole.save(tmp_path)
    with open(tmp_path / "motion.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == FRAMES + 20 and len(rows[0]) == 5 + 17 * 4
    parts = (rows[:FRAMES], rows[FRAMES:])
    for each, there, part in zip(whole, world.of_motion(whole).persons, parts, strict=True):
        assert {row["person"] for row in part} == {str(each.person)}
        assert [int(row["frame"]) for row in part] == list(each.frames_T)
        pose = [[[float(row[f"{n}_{a}"]) for a in "xyz"] for n in JOINTS] for row in part]
        # Six significant digits of numbers below 10.
        np.testing.assert_allclose(pose, there.joints_TxJx3, atol=1e-5)
    # Six decimals of seconds.
    assert float(rows[0]["time"]) == pytest.approx(4 / FPS, abs=1e-6) and rows[0]["unit"] == "m"
    assert {row["lhip_confidence"] for row in rows} == {"0.9"}


def test_angles_come_back(tmp_path):
    whole = motion()
    whole.save(tmp_path)
    with open(tmp_path / "motion_angles.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    one = world.of_motion(whole).persons[0]
    expected = angles.joint_angles(one.body_TxJx3, one.feet_Tx2x3x3)
    found = [[float(row[f"{name}_deg"]) for name in angles.NAMES] for row in rows]
    np.testing.assert_allclose(found, expected, atol=0.0051)  # two decimals


def test_without_a_frame_rate_no_times_are_made_up(tmp_path):
    dataclasses.replace(motion(), fps=None).save(tmp_path)
    for name in ("motion.csv", "motion_angles.csv"):
        with open(tmp_path / name, newline="") as file:
            assert {row["time"] for row in csv.DictReader(file)} == {""}
    with np.load(tmp_path / "motion.npz") as file:
        assert np.isnan(file["time"]).all() and np.isnan(file["fps"])
    assert read_bvh(tmp_path / "motion.bvh").fps == pytest.approx(30, rel=1e-9)


def test_trc_comes_back(tmp_path):
    whole = motion()
    whole.save(tmp_path)
    one = world.of_motion(whole).persons[0]
    read = trc.TRCData()
    read.load(str(tmp_path / "motion.trc"))
    names = [*JOINTS, *motion_files.FEET]
    assert read["NumFrames"] == FRAMES and read["Markers"] == names
    assert read["Units"] == "m" and read["DataRate"] == FPS and read["FileName"] == "motion.trc"
    np.testing.assert_allclose(read["Time"], (4 + np.arange(FRAMES)) / FPS, atol=1e-6)
    soles = feet.points(one.body_TxJx3, one.feet_Tx2x3x3, one.height)
    # Six decimals of metres: half a micrometre.
    found = np.stack([read[name] for name in names], axis=1)
    np.testing.assert_allclose(found, np.concatenate([one.body_TxJx3, soles], axis=1), atol=6e-7)
    # What the library does not look at: every line has as many columns, names stand above X.
    lines = (tmp_path / "motion.trc").read_text().split("\n")
    assert lines[2].split("\t")[6] == "5"  # OrigDataStartFrame, from 1: the video's frame 4
    assert lines[3].split("\t")[2 + 3 * INDEX["nose"]] == "nose"
    assert len(lines[3].split("\t")) == len(lines[4].split("\t")) == 2 + 21 * 3


@pytest.mark.parametrize("names", rig.RIGS)
def test_bvh_comes_back_by_the_librarys_own_kinematics(tmp_path, names):
    whole = motion(first=0)
    whole.save(tmp_path, rig_names=names)
    one = world.of_motion(whole).persons[0]
    read, root = (f(str(tmp_path / "motion.bvh")) for f in (bvhio.readAsBvh, bvhio.readAsHierarchy))
    assert read.FrameCount == FRAMES and 1 / read.FrameTime == pytest.approx(FPS, rel=1e-9)
    expected = rig.animate(one.body_TxJx3, one.feet_Tx2x3x3, one.lengths_J, one.height)
    for t in range(0, FRAMES, 11):
        root.loadPose(t)
        at = {joint.Name: joint.PositionWorld for joint, _, _ in root.layout()}
        places = [list(at[name]) for name in rig.RIGS[names]]
        # The library computes in float32, over six bones.
        np.testing.assert_allclose(places, expected.positions()[t, : len(rig.BONES)], atol=2e-5)
    ours = read_bvh(tmp_path / "motion.bvh")
    assert np.abs(np.diff(ours.values_TxD, axis=0)).max() < 180  # no jumps of a whole turn


def test_bvh_frame_is_the_videos_frame(tmp_path):
    """Held before the person comes and after they go, for everybody to the same end."""
    motion(2, first=4).save(tmp_path, frames=60)
    for number, last in ((1, 4 + FRAMES - 1), (2, 4 + 20 - 1)):
        values = read_bvh(tmp_path / f"motion_person{number}.bvh").values_TxD
        assert len(values) == 60
        assert (values[:5] == values[4]).all() and (values[last:] == values[last]).all()
        assert not (values[5] == values[4]).all() and not (values[last - 1] == values[last]).all()
    # A video that is said to be shorter than the keypoints does not cut them.
    motion().save(tmp_path / "short", frames=3)
    assert len(read_bvh(tmp_path / "short" / "motion.bvh").values_TxD) == 4 + FRAMES


def test_bvh_of_a_tpose_has_no_rotations():
    B = len(rig.BONES)
    still = rig.Animation(
        np.ones((B, 3)), np.ones((B, 3)), np.tile(np.eye(3), (2, B, 1, 1)), np.zeros((2, 3))
    )
    lines = bvh_writer.to_text(still, 29.97).split("\n")
    row = next(i for i, line in enumerate(lines) if line.startswith("Frame Time")) + 1
    assert set(lines[row].split()) == {"0.000000"}
    assert 1 / float(lines[row - 1].split()[-1]) == pytest.approx(29.97, rel=1e-10)


def test_glb_poses_the_rig_and_its_body(tmp_path):
    """By glTF's own rules, computed from what pygltflib reads: bones where the rig has them."""
    whole = motion(2)
    whole.save(tmp_path, rig_names="vrm")
    content = (tmp_path / "motion.glb").read_bytes()
    file = pygltflib.GLTF2.load_from_bytes(content)
    assert [skin.name for skin in file.skins] == ["person_1", "person_2"]
    last = max(one.frames_T[-1] for one in whole)
    for skin, one in zip(file.skins, world.of_motion(whole).persons, strict=True):
        assert [file.nodes[joint].name for joint in skin.joints] == list(rig.RIGS["vrm"])
        expected = rig.animate(one.body_TxJx3, one.feet_Tx2x3x3, one.lengths_J, one.height)
        times, places = posed(file, skin, len(one.frames_T))
        # From the video's first frame, which is before theirs, to the last of all persons.
        seen = [0, *one.frames_T, *([last] if one.frames_T[-1] < last else [])]
        np.testing.assert_allclose(times, np.array(seen) / FPS, rtol=1e-6)
        starts = np.array([posed(file, skin, frame)[1] for frame in (0, 1, 2)])
        assert (starts[0] == starts[1]).all() and not (starts[1] == starts[2]).all()
        # float32 quaternions over six bones.
        np.testing.assert_allclose(places, expected.positions()[-1, : len(rig.BONES)], atol=2e-5)
    scene = trimesh.load(io.BytesIO(content), file_type="glb")
    assert all(mesh.is_watertight for mesh in scene.geometry.values())
    low, high = scene.bounds
    assert abs(low[1]) < 0.03 and 1.5 < high[1] < 2  # at rest it stands on the floor


def values_of(file, accessor):
    accessor = file.accessors[accessor]
    view = file.bufferViews[accessor.bufferView]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor.type]
    data = file.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    return np.frombuffer(data, "<f4").reshape(accessor.count, width).astype(float)


def posed(file, skin, frame):
    """Times of a skin's first channel, and where its joints are in one frame."""
    from scipy.spatial.transform import Rotation

    animation = file.animations[0]
    turns, moves, times = {}, {}, None
    for channel in animation.channels:
        if channel.target.node not in skin.joints:
            continue
        sampler = animation.samplers[channel.sampler]
        times = values_of(file, sampler.input)[:, 0]
        which = turns if channel.target.path == "rotation" else moves
        which[channel.target.node] = values_of(file, sampler.output)[frame]
    parents = {child: i for i, node in enumerate(file.nodes) for child in node.children or ()}
    whole, places = {}, {}
    for joint in skin.joints:
        local = Rotation.from_quat(turns[joint])
        offset = np.array(moves.get(joint, file.nodes[joint].translation))
        if joint in parents:
            above = parents[joint]
            places[joint] = places[above] + whole[above].apply(offset)
            whole[joint] = whole[above] * local
        else:
            places[joint], whole[joint] = offset, local
    return times, [places[joint] for joint in skin.joints]


def test_unknown_rig():
    with pytest.raises(ValueError, match=r"unknown rig 'maya'; known: plain, mixamo"):
        motion().save("nowhere", rig_names="maya")


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "X3D.npy").write_text("from before")

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(bvh_writer, "to_text", broken)
    with pytest.raises(OSError, match="disk full"):
        motion().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["X3D.npy"]
    assert (tmp_path / "X3D.npy").read_text() == "from before"


def test_files_of_an_earlier_run_go_and_others_stay(tmp_path):
    motion(2).save(tmp_path)
    earlier_run.also(tmp_path, "motion.html")
    for name in ("motion.html", "notes.txt", "motion_mine.txt"):
        (tmp_path / name).write_text("x")
    motion().save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        *NAMES, "notes.txt", "motion_mine.txt", earlier_run.LIST,
    }  # fmt: skip


def test_a_list_that_names_other_files_harms_nobody(tmp_path):
    outside = tmp_path / "keep.txt"
    outside.write_text("x")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("x")
    (tmp_path / "out" / earlier_run.LIST).write_text(
        "../keep.txt\nthesis.txt\nmotion/../../keep.txt\n"
    )
    motion().save(tmp_path / "out")
    assert outside.exists() and (tmp_path / "out" / "thesis.txt").exists()
