"""Human3.6M: a pickle to clips, against the release's clips and against arithmetic by hand."""

import pickle
import shutil

import numpy as np
import pytest

from data_prep.corpora import h36m
from tests.recipes import h36m as h36m_recipes
from tests.recipes.corpora import run
from tests.recipes.settings import GOLDEN

FILE = "h36m_sh_conf_cam_source_final.pkl"
# The golden clips are float32, and so are ours: two roundings of numbers of about 1.
FLOAT32 = {"rtol": 1e-6, "atol": 2e-7}


@pytest.fixture
def mini(tmp_path):
    shutil.copy(GOLDEN / "h36m_mini.pkl", tmp_path / FILE)
    return tmp_path, pickle.loads((GOLDEN / "h36m_mini.pkl").read_bytes())


def test_clips_of_the_release(mini):
    golden = np.load(GOLDEN / "h36m_eval.npz")
    frames = int(golden["n_frames"])
    result = run(h36m.H36m, mini[0], frames=frames, stride=9, test_stride=frames, clips="reference")
    test = result.records["test"]
    np.testing.assert_array_equal([r["frames"] for r in test], golden["test_clip_frames"])
    for split, records in result.records.items():
        for ours, theirs in (("keypoints", "input"), ("pose", "label")):
            theirs = golden[f"{split}_{theirs}"]
            # Of the training clips the first three are kept.
            ours = np.stack([record[ours] for record in records[: len(theirs)]])
            np.testing.assert_allclose(ours, theirs, **FLOAT32)
    assert not result.left_out


def test_the_numbers_of_the_release_follow_from_the_records(mini):
    """MPJPE of the golden prediction from nothing but records, by the protocol's words."""
    golden = np.load(GOLDEN / "h36m_eval.npz")
    frames = int(golden["n_frames"])
    result = run(h36m.H36m, mini[0], frames=frames, test_stride=frames, clips="reference")
    skipped = ("s_09_act_05_subact_02", "s_09_act_10_subact_02", "s_09_act_13_subact_01")
    mirror = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]

    def predict(keypoints):
        x, y, c = np.moveaxis(keypoints.astype(np.float64), -1, 0)
        return np.stack([1.02 * x + 0.01, 1.02 * y + 0.01, 0.3 * x - 0.2 * y + 0.1 * c], axis=-1)

    by_action = {}
    for record in result.records["test"]:
        flipped = (record["keypoints"] * [-1, 1, 1])[:, mirror]
        back = (predict(flipped) * [-1, 1, 1])[:, mirror]
        pose = (predict(record["keypoints"]) + back) / 2
        pose[:, 0] = 0
        pose[..., :2] += [1, record["height"] / record["width"]]
        mm = pose * record["width"] / 2 * record["factor_2_5d"][:, None, None]
        truth = record["pose_mm"].astype(np.float64)
        error = np.linalg.norm((mm - mm[:, :1]) - (truth - truth[:, :1]), axis=-1).mean(-1)
        if record["source"][:-6] not in skipped:
            by_action.setdefault(record["action"], []).append(error)
    # Each frame is in one clip here, so the mean over an action is the mean over its clips.
    mpjpe = np.mean([np.mean(errors) for errors in by_action.values()])
    # float32 in the truth and in the golden prediction.
    assert mpjpe == pytest.approx(float(golden["mpjpe"]), rel=1e-6)


def test_by_default_evaluation_covers_every_frame(mini):
    path, content = mini
    result = run(h36m.H36m, path, frames=27, stride=9, test_stride=27)
    rows = {int(row) for record in result.records["test"] for row in record["frames"]}
    assert rows == set(range(len(content["test"]["source"])))
    source = np.array(content["test"]["source"])
    for record in result.records["test"]:
        assert set(source[record["frames"]]) == {record["source"]}
        assert (
            np.flatnonzero(source == record["source"])[record["first_frame"]]
            == (record["frames"][0])
        )
        action = content["test"]["action"][record["frames"][0]]
        assert record["action"] == action


CAMERAS = {"54138969": 1002, "60457274": 1002, "55011271": 1000, "58860488": 1000}


@pytest.mark.parametrize("confidence", ["column", "flat", "absent"])
@pytest.mark.parametrize("protocol", [2, 5])
def test_values_by_hand(tmp_path, confidence, protocol):
    recordings = [(f"s_01_act_14_subact_01_ca_{i:02d}", 12, c) for i, c in enumerate(CAMERAS)]
    content = {
        "train": h36m_recipes.split(0, recordings, mm=False),
        "test": h36m_recipes.split(1, recordings),
    }
    for columns in content.values():
        if confidence == "flat":
            columns["confidence"] = columns["confidence"][..., 0]
        elif confidence == "absent":
            del columns["confidence"]
    h36m_recipes.write(tmp_path / FILE, content, protocol)
    result = run(h36m.H36m, tmp_path, frames=5, stride=4, test_stride=5)
    # 12 frames: windows at 0 and 4 in training; at 0, 5 and, covering the rest, 7 in the test.
    assert [r["first_frame"] for r in result.records["train"]] == [0, 4] * 4
    assert [r["first_frame"] for r in result.records["test"]] == [0, 5, 7] * 4
    for split, records in result.records.items():
        raw = content[split]
        for record in records:
            rows = record["frames"]
            camera = raw["camera_name"][rows[0]]
            assert (record["camera"], record["width"]) == (camera, 1000)
            assert record["height"] == CAMERAS[camera] and record["fps"] == 50
            for name, pixels in (("keypoints", "joint_2d"), ("pose", "joint3d_image")):
                x, y = raw[pixels][rows][..., 0], raw[pixels][rows][..., 1]
                np.testing.assert_allclose(record[name][..., 0], (x - 500) / 500, **FLOAT32)
                centre = CAMERAS[camera] / 2
                np.testing.assert_allclose(record[name][..., 1], (y - centre) / 500, **FLOAT32)
            depth = raw["joint3d_image"][rows][..., 2] / 500
            np.testing.assert_allclose(record["pose"][..., 2], depth, **FLOAT32)
            sure = record["keypoints"][..., 2]
            if confidence == "absent":
                assert (sure == 1).all()
            else:
                sure_there = np.reshape(raw["confidence"], (-1, 17))[rows]
                np.testing.assert_allclose(sure, sure_there, **FLOAT32)
            if split == "train":
                assert record["pose_mm"].shape == (0, 17, 3) and record["factor_2_5d"].size == 0
            else:
                truth = raw["joints_2.5d_image"][rows].astype(np.float32)
                np.testing.assert_array_equal(record["pose_mm"], truth)
                factor = raw["2.5d_factor"][rows].astype(np.float32)
                np.testing.assert_array_equal(record["factor_2_5d"], factor)


def test_bad_rows_are_named_and_the_rest_is_prepared(tmp_path):
    good = [("s_01_act_02_subact_01_ca_01", 20, "55011271")]
    strange = ("s_01_act_02_subact_01_ca_05", 10, "12345")
    columns = h36m_recipes.split(0, [*good, strange])
    columns["joint_2d"][13, 4, 1] = np.nan
    columns["camera_name"][3] = "58860488"
    h36m_recipes.write(tmp_path / FILE, {"train": columns, "test": h36m_recipes.split(1, good)})
    result = run(h36m.H36m, tmp_path, frames=5, stride=5, test_stride=5)
    assert [r["first_frame"] for r in result.records["train"]] == [5, 15]
    assert len(result.records["test"]) == 4
    assert [(where, why) for _, where, why, _ in result.left_out] == [
        ("s_01_act_02_subact_01_ca_01/00000000",
         "several cameras in one recording: 55011271, 58860488"),
        ("s_01_act_02_subact_01_ca_01/00000010", "not a number in keypoints"),
        *((f"s_01_act_02_subact_01_ca_05/{i:08d}",
           "unknown camera 12345; known: 54138969, 60457274, 55011271, 58860488")
          for i in (0, 5)),
    ]  # fmt: skip


def without(columns, name):
    return {key: value for key, value in columns.items() if key != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: without(c, "joint_2d"), "missing key joint_2d in train"),
        (lambda c: {**c, "joint_2d": c["joint_2d"][:, :16]}, "joint_2d has shape (20, 16, 2)"),
        (lambda c: {**c, "source": c["source"][:-1]}, "joint_2d has 20 rows, source has 19"),
        (lambda c: {k: v[:0] for k, v in c.items()}, "train has no frames"),
        (lambda c: {**c, "joint3d_image": ["x"] * 20}, "joint3d_image does not hold numbers"),
        (lambda c: {**c, "camera_name": 3}, "camera_name is not a list"),
        (lambda c: list(c), "missing key train"),
    ],
)
def test_a_bad_split_leaves_the_other_alone(tmp_path, change, words):
    good = h36m_recipes.split(1, [("s_09_act_02_subact_01_ca_01", 20, "55011271")])
    h36m_recipes.write(tmp_path / FILE, {"train": change(good), "test": good})
    result = run(h36m.H36m, tmp_path, frames=5, test_stride=5)
    assert len(result.records["test"]) == 4 and "train" not in result.records
    ((file, _, why, _),) = result.left_out
    assert file == FILE and words in why


def test_a_test_split_without_the_factor_only_when_told(tmp_path):
    good = h36m_recipes.split(1, [("s_09_act_02_subact_01_ca_01", 20, "55011271")])
    test = without(good, "2.5d_factor")
    h36m_recipes.write(tmp_path / FILE, {"train": good, "test": test})
    result = run(h36m.H36m, tmp_path, frames=5, test_stride=5)
    ((_, _, why, _),) = result.left_out
    assert "missing key 2.5d_factor in test" in why and "--without-factor" in why
    result = run(h36m.H36m, tmp_path, frames=5, test_stride=5, without_factor=True)
    assert not result.left_out and result.notes["no 2.5d_factor in the file"]
    record = result.records["test"][0]
    assert record["factor_2_5d"].shape == (0,) and record["pose_mm"].shape == (5, 17, 3)


def test_files_that_are_no_pickle_of_plain_data(tmp_path):
    good = h36m_recipes.split(1, [("s_09_act_02_subact_01_ca_01", 20, "55011271")])
    whole = h36m_recipes.write(tmp_path / "whole.pkl", {"train": good, "test": good}).read_bytes()
    trap = tmp_path / "was run"
    malicious = pickle.dumps({"train": good, "test": h36m_recipes.Malicious(trap)})
    for content, words in (
        (b"", "empty"), (whole[:-900], "not a whole pickle"), (malicious, "posix.mkdir"),
    ):  # fmt: skip
        (tmp_path / FILE).write_bytes(content)
        result = run(h36m.H36m, tmp_path, frames=5)
        assert not result.records
        assert [words in why for _, _, why, _ in result.left_out] == [True, True]
    assert not trap.exists()
    (tmp_path / FILE).unlink()
    with pytest.raises(FileNotFoundError, match=FILE):
        run(h36m.H36m, tmp_path)
