"""InstaVariety: the release's clips from golden arrays, and the authors' tracks of JSON files."""

import json
import re

import numpy as np
import pytest

from data_prep.corpora.instavariety import Instavariety
from tests.recipes import settings
from tests.recipes.corpora import run

GOLDEN = settings.GOLDEN / "corpora"
WHOLE = {"crop_low": 1.0, "crop_high": 1.0}
# In the order of the joints, as OpenPose's tracks call them; belly and head they have not.
NAMES = [
    "Hip", "R Hip", "R Knee", "R Ankle", "L Hip", "L Knee", "L Ankle", "", "Neck", "Nose", "",
    "L Shoulder", "L Elbow", "L Wrist", "R Shoulder", "R Elbow", "R Wrist",
]  # fmt: skip


def test_golden_clips():
    expected = np.load(GOLDEN / "expected.npz")
    result = run(Instavariety, GOLDEN / "InstaVariety", **WHOLE)
    records = result.records["train"]
    assert expected["instavariety_is_window"].all()
    clips = np.stack([record["keypoints"] for record in records])
    # The same arithmetic in float64, stored as float32.
    np.testing.assert_allclose(clips, expected["instavariety"], rtol=0, atol=1e-6)
    ids = np.load(GOLDEN / "InstaVariety" / "id_all.npy")
    rows = [np.flatnonzero(ids == float(r["source"]))[0] + r["first_frame"] for r in records]
    np.testing.assert_array_equal(rows, expected["instavariety_first_frame"])
    why = {why for _, _, why, _ in result.left_out}
    assert why == {"the first frame's root is unseen"}


def test_short_videos_are_stretched_the_same_every_time(tmp_path):
    rng = np.random.default_rng(0)
    motion = rng.uniform(0.1, 1, (60, 17, 3))
    np.save(tmp_path / "motion_all.npy", motion)
    np.save(tmp_path / "id_all.npy", np.zeros(60))
    (record,) = run(Instavariety, tmp_path, **WHOLE).records["train"]
    (again,) = run(Instavariety, tmp_path, **WHOLE).records["train"]
    np.testing.assert_array_equal(record["keypoints"], again["keypoints"])
    # Confidences pass unchanged, so they tell which row each frame is.
    conf = record["keypoints"][..., 2]
    rows = np.abs(conf[:, None] - motion[None, ..., 2].astype(np.float32)).sum(-1).argmin(1)
    assert (np.diff(rows) >= 0).all()
    assert np.abs(rows - np.arange(81) * 60 / 81).max() < 1.0001


def write_track(folder, frames, seed=0):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    motion = rng.uniform(0, 300, (len(frames), 17, 3))
    motion[..., 2] = rng.uniform(0.3, 1, motion.shape[:2])
    motion[:, [7, 10]] = 0
    for number, joints in zip(frames, motion, strict=True):
        content = {"frame": number, "imloc": f"frame{number + 1:06d}.png", "track_id": 3}
        content["bbox"] = {"xmin": 0.0, "ymin": 0.0, "xmax": 300.0, "ymax": 300.0}
        for name, (x, y, score) in zip(NAMES, joints, strict=True):
            if name:
                content[name] = {"x": x, "y": y, "logits": score, "probability": None}
        content["R Big Toe"] = {"x": 1e6, "y": 1e6, "logits": 1.0, "probability": None}
        (folder / f"{number:04d}.json").write_text(json.dumps(content))
    return motion


def cropped(motion):
    """Crop-scale by hand: the square round what is seen becomes [-1, 1]."""
    seen = motion[motion[..., 2] > 0][:, :2]
    low, high = seen.min(0), seen.max(0)
    scaled = (motion[..., :2] - (low + high) / 2) / ((high - low).max() / 2)
    return np.where(motion[..., 2:] > 0, np.concatenate([scaled, motion[..., 2:]], -1), 0)


def test_tracks_of_json_files(tmp_path):
    motion = write_track(tmp_path / "skate/v1/0", range(5, 116))
    write_track(tmp_path / "skate/v1/1", [*range(85), *range(90, 95)], seed=1)
    write_track(tmp_path / "swim/v2/0", [], seed=1)
    (tmp_path / "skate/v1/0/0099999.json").write_text("{")
    (tmp_path / "skate/v1/0/none.json").write_text('{"Hip": 3}')
    result = run(Instavariety, tmp_path, **WHOLE)
    records = result.records["train"]
    assert [(r["source"], r["first_frame"]) for r in records] == [
        ("skate/v1/0", 5), ("skate/v1/0", 32), ("skate/v1/1", 0),
    ]  # fmt: skip
    for record, start in zip(records[:2], (0, 27), strict=True):
        expected = cropped(motion[start : start + 81])
        np.testing.assert_allclose(record["keypoints"], expected, rtol=0, atol=1e-6)  # float32
    found = {(file, where): why for file, where, why, _ in result.left_out}
    assert found["skate/v1/1", "frame 90"] == "a piece between gaps shorter than a clip"
    assert found["skate/v1/0", "none.json"] == "missing key 'frame'"
    assert found["skate/v1/0", "0099999.json"].startswith("not a frame of a track")
    assert len(found) == 3


@pytest.mark.parametrize(
    ("motion", "ids", "why"),
    [
        (np.ones((9, 16, 3)), np.zeros(9), r"shape \(9, 16, 3\), \(N, 17, 3\) wanted"),
        (np.ones((9, 17, 3)), np.zeros(8), "9 frames, but id_all.npy has shape"),
        (np.array([{}], dtype=object), np.zeros(1), "holds objects"),
    ],
)
def test_wrong_arrays(tmp_path, motion, ids, why):
    np.save(tmp_path / "motion_all.npy", motion, allow_pickle=True)
    np.save(tmp_path / "id_all.npy", ids)
    ((_, _, found, _),) = run(Instavariety, tmp_path).left_out
    assert re.search(why, found)


def test_nan_and_truncation(tmp_path):
    motion = np.random.default_rng(0).uniform(0.1, 1, (200, 17, 3))
    motion[85, 3, 0] = np.nan
    np.save(tmp_path / "motion_all.npy", motion)
    np.save(tmp_path / "id_all.npy", np.repeat([1.0, 2.0], 100))
    result = run(Instavariety, tmp_path, stride=81)
    assert [r["source"] for r in result.records["train"]] == ["1", "2"]
    motion[40, 3, 0] = np.nan  # row 85 is past the first window, so only this one counts
    np.save(tmp_path / "motion_all.npy", motion)
    result = run(Instavariety, tmp_path, stride=81)
    assert [r["source"] for r in result.records["train"]] == ["2"]
    assert result.left_out[0][1:3] == ("video 1 frame 0", "not a number in keypoints")
    path = tmp_path / "motion_all.npy"
    path.write_bytes(path.read_bytes()[:5000])
    result = run(Instavariety, tmp_path)
    assert not result.records["train"]
    assert len(result.left_out) == 1
