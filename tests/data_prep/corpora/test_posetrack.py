"""PoseTrack18: the release's clips from golden files, and what is left out of broken ones."""

import json

import numpy as np
import pytest

from data_prep.corpora.posetrack import Posetrack
from tests.recipes import settings
from tests.recipes.corpora import run

GOLDEN = settings.GOLDEN / "corpora"
WHOLE = {"crop_low": 1.0, "crop_high": 1.0}


def write(folder, tracks, first_image=1000):
    """One annotation file: tracks are {track_id: (images, keypoints (T, 17, 3))}."""
    folder.mkdir(parents=True, exist_ok=True)
    images = sorted({image for numbers, _ in tracks.values() for image in numbers})
    annotations = [
        {
            "id": 100 * track + i,
            "image_id": image,
            "track_id": track,
            "category_id": 1,
            "keypoints": row.reshape(-1).tolist(),
        }
        for track, (numbers, keypoints) in tracks.items()
        for i, (image, row) in enumerate(zip(numbers, keypoints, strict=True))
    ]
    content = {
        "images": [
            {"id": image, "frame_id": image, "file_name": f"images/train/{image:06d}.jpg"}
            for image in [first_image, *images]
        ],
        "annotations": annotations,
        "categories": [{"name": "person"}],
    }
    path = folder / "000342_mpii_train.json"
    path.write_text(json.dumps(content))
    return path, content


def person(frames, seed=0):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(100, 500, (frames, 17, 3))
    keypoints[..., 2] = 1
    return keypoints


def test_golden_clips():
    expected = np.load(GOLDEN / "expected.npz")["posetrack"]
    for gaps in ("respect", "ignore"):  # the golden tracks have none
        result = run(Posetrack, GOLDEN / "posetrack18_annotations", gaps=gaps, **WHOLE)
        clips = np.stack([record["keypoints"] for record in result.records["train"]])
        # The same arithmetic in float64, stored as float32.
        np.testing.assert_allclose(clips, expected, rtol=0, atol=1e-6)


def test_values_by_hand(tmp_path):
    keypoints = person(33, seed=3)
    keypoints[4, 9] = 0  # the left wrist once unseen
    write(tmp_path / "annotations/train", {7: (range(1004, 1037), keypoints)})
    result = run(Posetrack, tmp_path, **WHOLE)
    (record,) = result.records["train"]
    assert record["source"] == "annotations/train/000342_mpii_train/7"
    assert record["first_frame"] == 4  # the video's first image is 1000
    seen = keypoints[:30][keypoints[:30, :, 2] > 0]
    low, high = seen[:, :2].min(0), seen[:, :2].max(0)
    half = (high - low).max() / 2

    def place(*points):
        mean = keypoints[:30, list(points), :2].mean(axis=1)
        return (mean - (low + high) / 2) / half

    ours = record["keypoints"]
    # float32 of values of about 1.
    close = {"rtol": 0, "atol": 1e-6}
    np.testing.assert_allclose(ours[:, 0, :2], place(11, 12), **close)  # root: mid hips
    np.testing.assert_allclose(ours[:, 1, :2], place(12), **close)  # right hip
    np.testing.assert_allclose(ours[:, 8, :2], place(1), **close)  # neck: head_bottom
    np.testing.assert_allclose(ours[:, 10, :2], place(2), **close)  # head: head_top
    np.testing.assert_allclose(ours[:, 7, :2], (place(11, 12) + place(1)) / 2, **close)
    np.testing.assert_allclose(ours[:, 14, :2], place(6), **close)  # right shoulder
    wrist = place(9)
    wrist[4] = 0
    np.testing.assert_allclose(ours[:, 13, :2], wrist, **close)
    assert ours[4, 13, 2] == 0


def test_crop_ratio_is_drawn_by_name_and_cuts(tmp_path):
    write(tmp_path / "train", {1: (range(30), person(30))}, first_image=0)
    (whole,) = run(Posetrack, tmp_path, **WHOLE).records["train"]
    (record,) = run(Posetrack, tmp_path).records["train"]
    (again,) = run(Posetrack, tmp_path).records["train"]
    np.testing.assert_array_equal(record["keypoints"], again["keypoints"])
    inside = np.abs(record["keypoints"][:, 9, :2]) < 1  # the nose is one keypoint, no mean
    ratio = whole["keypoints"][:, 9, :2][inside] / record["keypoints"][:, 9, :2][inside]
    # One ratio for the clip, within the release's range; float32 divides.
    assert np.ptp(ratio) < 1e-4
    assert 0.25 <= ratio.mean() < 1
    assert np.abs(record["keypoints"][..., :2]).max() == 1


def test_gaps(tmp_path):
    images = [*range(10), *range(12, 45)]  # 10 and 11 are missing
    keypoints = person(43)
    write(tmp_path / "train", {1: (images, keypoints)}, first_image=0)
    (record,) = run(Posetrack, tmp_path, **WHOLE).records["train"]
    assert record["first_frame"] == 12
    (released,) = run(Posetrack, tmp_path, gaps="ignore", **WHOLE).records["train"]
    assert released["first_frame"] == 0
    write(tmp_path / "train", {1: ([*range(0, 80, 2)], person(40))}, first_image=0)
    result = run(Posetrack, tmp_path)
    assert result.left_out[0][1:3] == ("track 1", "no 30 frames without a gap")


def test_what_is_left_out(tmp_path):
    unseen = person(30)
    unseen[:, 5:, 2] = 0
    rootless = person(30)
    rootless[17, 11, 2] = 0
    tracks = {
        1: (range(30), person(30)),
        2: (range(29), person(29)),
        3: (range(30), unseen),
        4: (range(30), rootless),
        5: ([*range(20), 5, *range(21, 30)], person(30)),
    }
    path, content = write(tmp_path / "train", tracks, first_image=0)
    content["annotations"] += [
        {"id": 901, "image_id": 40, "keypoints": [0.0] * 51},
        {"id": 902, "image_id": 40, "track_id": 9, "keypoints": [0.0] * 50},
        {"id": 903, "image_id": 40, "track_id": 9, "keypoints": [float("nan")] * 51},
    ]
    path.write_text(json.dumps(content))
    (path.parent / "cut.json").write_text(path.read_text()[:500])
    (path.parent / "empty.json").write_text("")
    (path.parent / "other.json").write_text('{"images": []}')
    result = run(Posetrack, tmp_path)
    assert [record["source"] for record in result.records["train"]] == ["train/000342_mpii_train/1"]
    found = {(file, where): why for file, where, why, _ in result.left_out}
    name = "train/000342_mpii_train.json"
    assert found[name, "track 2"] == "shorter than 30 frames"
    assert found[name, "track 3"] == "too few visible keypoints"
    assert found[name, "track 4"] == "the root is not visible in all frames"
    assert found[name, "track 5"] == "frames of the track are not in increasing order"
    assert found[name, "annotation 901"] == "missing key track_id"
    assert found[name, "annotation 902"] == "wrong number of keypoints, 17 x 3 wanted"
    assert found[name, "annotation 903"] == "not a number in keypoints"
    assert found["train/empty.json", ""] == "the file is empty"
    assert found["train/other.json", ""] == "missing key 'annotations'"
    assert "train/cut.json" in {file for file, _ in found}
    assert len(result.left_out) == 10


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing of posetrack in"):
        run(Posetrack, tmp_path)
