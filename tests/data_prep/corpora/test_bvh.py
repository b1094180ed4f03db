"""BVH files to clips: against positions by quaternions, and for files that are broken."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import bvh_namings, mocap
from data_prep.corpora import bvh
from mbjax.motion import world
from mbjax.motion.bvh_reader import read_bvh
from mbjax.pose.skeleton import INDEX, JOINTS
from tests.recipes import bvh as bvh_recipes
from tests.recipes import bvh_families, walking
from tests.recipes.corpora import run

# The file keeps six decimals of a degree and seven of a second; float32 in the records.
CLOSE = {"rtol": 0, "atol": 1e-5}
UNIT = 0.0254 / 0.45


def joints(places):
    """The 17 joints (T, 17, 3) in camera axes and metres, put together by hand."""
    p = dict(places)
    middle, length = (p["Head"] + p["Head.end"]) / 2, 0.0
    length = np.linalg.norm(p["Head.end"] - p["Head"], axis=1, keepdims=True)
    ours = [
        (p["LeftUpLeg"] + p["RightUpLeg"]) / 2,
        p["RightUpLeg"], p["RightLeg"], p["RightFoot"],
        p["LeftUpLeg"], p["LeftLeg"], p["LeftFoot"],
        p["Spine"], p["Neck1"], middle + 0.6 * length * p["Head.ahead"], p["Head.end"],
        p["LeftArm"], p["LeftForeArm"], p["LeftHand"],
        p["RightArm"], p["RightForeArm"], p["RightHand"],
    ]  # fmt: skip
    return np.stack(ours, axis=1) * UNIT * [1, -1, -1]


def test_positions_of_any_channel_order(tmp_path):
    values = bvh_recipes.write(tmp_path / "a.bvh", 20)
    motion = read_bvh(tmp_path / "a.bvh")
    assert motion.fps == pytest.approx(120, rel=1e-4)  # a frame time of seven decimals
    places, turns = motion.positions()
    expected = bvh_recipes.positions(values)
    for name in (*bvh_recipes.SKELETON, "Head.end"):
        np.testing.assert_allclose(places[:, motion.place_of(name)], expected[name], atol=1e-5)
    np.testing.assert_allclose(
        np.linalg.det(turns), 1, rtol=1e-12, err_msg="rotations of float64, not mirrorings"
    )


def test_records_from_file_to_clip(tmp_path):
    train = bvh_recipes.write(tmp_path / "walk.bvh", 401, seed=1)
    test = bvh_recipes.write(tmp_path / "dance.bvh", 351, seed=2)
    result = run(bvh.Bvh, tmp_path, frames=81, stride=30, test="dance")
    # 400 frames at 120 after the calibration pose: 200 at 60.
    starts = [record["first_frame"] for record in result.records["train"]]
    assert starts == [0, 30, 60, 90]
    # 175 frames in the test: two windows, and one for the last 13.
    assert [record["first_frame"] for record in result.records["test"]] == [0, 81, 94]
    assert result.frames == 375
    assert result.seconds == pytest.approx(375 / 60)
    for values, records, name in ((train, "train", "walk"), (test, "test", "dance")):
        at_60 = joints(bvh_recipes.positions(values[1:]))[::2] * 0.298
        for record in result.records[records]:
            expected = at_60[record["first_frame"] :][:81].copy()
            expected[..., [0, 2]] -= expected[:, :1, [0, 2]].mean(axis=0)
            np.testing.assert_allclose(record["pose"], expected, **CLOSE)
            assert record["pose"].dtype == np.float32
            assert record["source"] == name
            assert record["fps"] == 60
            # Back in metres a thigh has the length that the file gives it.
            thigh = record["pose"][:, INDEX["lknee"]] - record["pose"][:, INDEX["lhip"]]
            metres = np.linalg.norm(thigh, axis=1) * record["metres_per_unit"]
            offset = bvh_recipes.SKELETON["LeftLeg"][1]
            np.testing.assert_allclose(metres, np.linalg.norm(offset) * UNIT, atol=1e-5)


def test_any_frame_rate_keeps_time(tmp_path):
    # 50 fps: 101 frames are 2 s, 121 frames at 60.
    values = bvh_recipes.write(tmp_path / "a.bvh", 101, fps=50)
    result = run(bvh.Bvh, tmp_path, frames=121, stride=1, drop_first_frame="no", repair=False)
    (record,) = result.records["train"]
    ours = joints(bvh_recipes.positions(values))
    pose = record["pose"] / 0.298
    # Every 6th frame at 60 is every 5th at 50; between them the motion is smooth: its slow waves
    # bend by less than 2 mm in a frame.
    moved = ours - pose[0, 0] - (ours[0, 0] - pose[0, 0])
    moved = moved - (moved[0, 0] - pose[0, 0])
    np.testing.assert_allclose(pose[::6], moved[::5], atol=2e-5)
    between = np.linalg.norm(pose[3] - (moved[2] + moved[3]) / 2, axis=-1)
    assert between.max() < 2e-3


def test_own_naming(tmp_path):
    values = bvh_recipes.write(tmp_path / "a.bvh", 90)
    naming = json.loads(json.dumps(bvh_namings.CMU))
    naming["joints"]["nose"] = "Head"
    naming["metres_per_unit"] = 0.01
    naming["drop_first_frame"] = False
    (tmp_path / "naming.json").write_text(json.dumps(naming))
    result = run(bvh.Bvh, tmp_path, frames=45, naming=str(tmp_path / "naming.json"))
    record = result.records["train"][0]
    expected = joints(bvh_recipes.positions(values))[::2] / UNIT * 0.01 * 0.298
    nose = bvh_recipes.positions(values)["Head"][::2] * [1, -1, -1] * 0.01 * 0.298
    expected[:, INDEX["nose"]] = nose
    expected[..., [0, 2]] -= expected[:, :1, [0, 2]].mean(axis=0)
    np.testing.assert_allclose(record["pose"], expected, **CLOSE)

    del naming["joints"]["head"]
    (tmp_path / "naming.json").write_text(json.dumps(naming))
    with pytest.raises(ValueError, match=r"naming .*naming.json: 'joints' lacks head"):
        bvh_namings.read_naming(str(tmp_path / "naming.json"))
    with pytest.raises(FileNotFoundError, match="neither built in"):
        bvh_namings.read_naming("nobody.json")


def smooth(frames, seed):
    t = np.arange(frames)[:, None, None] / 120
    rng = np.random.default_rng(seed)
    shape = (1, len(JOINTS), 3)
    return 0.5 * np.sin(rng.uniform(1, 8, shape) * t + rng.uniform(0, 6, shape))


@given(st.integers(0, 99), st.integers(20, 80), st.integers(0, 16), st.floats(0.05, 0.3))
@settings(max_examples=25, deadline=None)
def test_jumps_are_found_and_only_they(seed, frame, joint, size):
    motion = smooth(101, seed)
    same, none = mocap.over_jumps(motion, 120.0)
    assert none == []
    np.testing.assert_array_equal(same, motion)

    # The joint is elsewhere from one frame on: a step, no motion.
    jumped = motion.copy()
    jumped[frame + 1 :, joint] += [size, 0, 0]
    repaired, jumps = mocap.over_jumps(jumped, 120.0)
    assert jumps == [(frame, joint)]
    step = np.linalg.norm(np.diff(repaired, axis=0), axis=-1)
    # A line over 11 steps, plus what the waves move in one (4.3 m/s at most, at 120 fps).
    assert step.max() < size / 11 + 0.05
    far = np.abs(np.arange(101) - frame - 0.5) > 6
    np.testing.assert_array_equal(repaired[far], jumped[far])
    others = [j for j in range(17) if j != joint]
    np.testing.assert_array_equal(repaired[:, others], jumped[:, others])


def text_of(tmp_path, change):
    bvh_recipes.write(tmp_path / "bad.bvh", 30)
    path = tmp_path / "bad.bvh"
    path.write_text(change(path.read_text()))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", "the file is empty"),
        (lambda text: text[:300], "no line MOTION"),
        (lambda text: text[: len(text) * 3 // 4], "cut off: 30 frames announced|numbers, the"),
        (lambda text: text.replace("Frames: 30", "Frames: 0"), "no frames in it"),
        (lambda text: text.replace("Frames: 30", "Frames: some"), "does not end in a number"),
        (lambda text: text.replace("Xposition", "Wposition"), "channel 'Wposition' is not one"),
        (lambda text: text.replace("}", "", 1), "braces"),
        (lambda text: text.replace("OFFSET", "OFFSE", 1), "not expected in a skeleton"),
        (lambda text: text[:-30] + "x\n", "line .*: "),
        (lambda text: text.replace("18.", "nan.", 1).replace("nan.", "nan 0."), "numbers, the"),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path, change, message):
    path = text_of(tmp_path, change)
    with pytest.raises(ValueError, match=message) as error:
        read_bvh(path)
    assert "\n" not in str(error.value)


def test_bad_files_are_named_and_the_rest_prepared(tmp_path):
    def nan_in_row_12(text):
        head, row, tail = text.partition("Frame Time")
        lines = (row + tail).split("\n")
        lines[13] = "nan" + lines[13][lines[13].index(" ") :]
        return head + "\n".join(lines)

    text_of(tmp_path, nan_in_row_12).rename(tmp_path / "nan.bvh")
    text_of(tmp_path, lambda text: text.replace("Neck1", "Nacken")).rename(tmp_path / "named.bvh")
    (tmp_path / "empty.bvh").write_text("")
    bvh_recipes.write(tmp_path / "one_row.bvh", 1)
    bvh_recipes.write(tmp_path / "good.BVH", 61)
    result = run(bvh.Bvh, tmp_path, frames=30, stride=30, naming="cmu")
    assert [record["source"] for record in result.records["train"]] == ["good"]
    found = {file: why for file, _, why, _ in result.left_out}
    assert found["nan.bvh"] == "not a number in frame 12"
    assert found["named.bvh"].startswith("no joint is called 'Neck1'")
    assert found["empty.bvh"] == "the file is empty"
    assert found["one_row.bvh"] == "no frames besides the calibration pose"


def test_a_folder_without_motion_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing of bvh in .*expected there: \*\.bvh"):
        run(bvh.Bvh, tmp_path)


@pytest.mark.parametrize("naming", ["mbjax", "mixamo", "blender", "vrm", "cmu"])
def test_what_infer_writes_is_read_back(tmp_path, naming):
    """But for the nose, which is no bone of a rig and is put where noses usually are."""
    pose, _ = walking.walker(60)
    motion = walking.motion_of(pose)
    motion.save(tmp_path / "out", rig_names={"mbjax": "plain"}.get(naming, naming))
    (tmp_path / "raw").mkdir()
    (tmp_path / "out" / "motion.bvh").rename(tmp_path / "raw" / "a.bvh")
    own = {"metres_per_unit": 1.0, "drop_first_frame": "no"} if naming == "cmu" else {}
    options = {"naming": naming, "frames": 60, "fps": walking.FPS, "repair": False, **own}
    result = run(bvh.Bvh, tmp_path / "raw", **options)
    found = result.records["train"][0]["pose"] * result.records["train"][0]["metres_per_unit"]
    expected = world.of_motion(motion).persons[0].body_TxJx3 * [1, -1, -1]
    off = np.linalg.norm((found - found[:, :1]) - (expected - expected[:, :1]), axis=-1)
    # A rig bends its spine and shoulders elsewhere than the 17 joints; this walker not at all.
    others = [i for i in range(17) if JOINTS[i] != "nose"]
    assert off[:, others].max() < 1e-3 and off[:, INDEX["nose"]].max() < 0.1


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """(a BVH with the plain rig's names, its joints in metres, camera axes)."""
    pose, _ = walking.walker(60, way=(0.6, 0.0, 0.8))
    motion = walking.motion_of(pose)
    out = tmp_path_factory.mktemp("walk")
    motion.save(out / "out", rig_names="plain")
    return out / "out" / "motion.bvh", world.of_motion(motion).persons[0].body_TxJx3 * [1, -1, -1]


@pytest.mark.parametrize("family", list(bvh_families.FAMILIES))
@pytest.mark.parametrize("lying", [True, False])
def test_the_naming_unit_and_axes_are_told_from_the_file(tmp_path, walk, family, lying):
    """Head and nose, for which programs have no common names, within centimetres."""
    ours, expected = walk
    bvh_families.write(tmp_path / "a.bvh", ours, family, lying=lying)
    options = {"frames": 60, "fps": walking.FPS, "repair": False}
    result = run(bvh.Bvh, tmp_path, **options)
    (record,) = result.records["train"]
    found = record["pose"] * record["metres_per_unit"]
    off = np.linalg.norm((found - found[:, :1]) - (expected - expected[:, :1]), axis=-1)
    others = [i for i in range(17) if JOINTS[i] not in ("nose", "head", "neck")]
    assert off[:, others].max() < 1e-3, "six decimals of a unit of at most 25 mm"
    # Walkers' necks bend at the base, and lifted heads end where the hair does.
    assert off[:, [INDEX["neck"], INDEX["head"], INDEX["nose"]]].max() < 0.12
    (note,) = (note for note in result.notes if note.startswith("names of"))
    assert f"{bvh_families.FAMILIES[family][1]:.4g} m a unit" in note


def test_swapped_sides_and_unknown_names_and_sizes_are_refused(tmp_path, walk):
    bvh_families.write(tmp_path / "swapped.bvh", walk[0], "Rokoko", mirrored=True)
    bvh_families.write(tmp_path / "other.bvh", walk[0], "Rokoko")
    text = (tmp_path / "other.bvh").read_text()
    (tmp_path / "other.bvh").write_text(text.replace("LeftShin", "Unterschenkel"))
    bvh_families.write(tmp_path / "good.bvh", walk[0], "Rokoko")
    bvh_families.write(tmp_path / "doll.bvh", walk[0], "VRM")
    text = (tmp_path / "doll.bvh").read_text()
    offsets = re.sub(
        r"OFFSET (\S+) (\S+) (\S+)",
        lambda m: "OFFSET " + " ".join(str(float(value) * 0.45) for value in m.groups()),
        text,
    )
    (tmp_path / "doll.bvh").write_text(offsets)
    result = run(bvh.Bvh, tmp_path, frames=60, fps=walking.FPS)
    assert {record["source"] for record in result.records["train"]} == {"good"}
    found = {file: why for file, _, why, _ in result.left_out}
    assert "knees bend backwards" in found["swapped.bvh"]
    assert "nearest is Rokoko without leftshin" in found["other.bvh"]
    assert "a person's size in no usual unit" in found["doll.bvh"]
