"""Reading: layouts, arrays in memory; mistakes are one clear line."""

import json

import numpy as np
import pytest

from mbjax.keypoints import read as keypoint_files
from tests.recipes.keypoints import expected, joints, keypoints, mmpose, openpose, results, write


def test_two_persons_in_one_array_and_a_missing_one():
    array = np.stack([keypoints("coco17"), keypoints("coco17", x=500)], axis=1)
    array[3:6, 1] = 0
    found = keypoint_files.read(array, layout="coco17")
    assert [len(track.frames_N) for track in found.tracks] == [12, 9]
    assert list(found.tracks[1].frames_N) == [0, 1, 2, 6, 7, 8, 9, 10, 11]
    # Without confidences, all zeros are nobody, and the rest but for keypoints at 0, 0 has 1.
    flat = keypoint_files.read(array[..., :2], layout="coco17")
    assert [len(track.frames_N) for track in flat.tracks] == [12, 9]
    points = flat.tracks[1].keypoints_NxKx3
    np.testing.assert_array_equal(points[..., 2], points[..., :2].any(axis=-1))


def test_layout_that_cannot_be_told_apart_lists_the_candidates(tmp_path):
    points = keypoints("posetrack17")
    with pytest.raises(ValueError, match="h36m17 or coco17 or posetrack17.*layout"):
        keypoint_files.read(points)
    with pytest.raises(ValueError, match="h36m17 or coco17 or posetrack17"):
        keypoint_files.read(write(tmp_path, {"instance_info": mmpose(points)}))
    found = keypoint_files.read(points, layout="posetrack17")
    np.testing.assert_allclose(joints(found), expected(), atol=1e-9)  # rounding


def test_names_without_a_number_or_with_a_hash_count_in_order(tmp_path):
    for name in ("{}", "9{:060d}.png"):
        entries = results(keypoints("halpe26"), [0, 1, 2], idx=10**300)
        for letter, entry in zip("abc", entries, strict=True):
            entry["image_id"] = name.format(letter if name == "{}" else ord(letter))
        (track,) = keypoint_files.read(write(tmp_path, entries)).tracks
        assert list(track.frames_N) == [0, 1, 2] and track.person == 0


def nan_json():
    entries = results(keypoints("halpe26"))
    entries[3]["keypoints"][7] = float("nan")
    return entries


def negative():
    entries = results(keypoints("halpe26"))
    entries[3]["keypoints"][8] = -0.5
    return entries


@pytest.mark.parametrize(
    "content, message",
    [
        ([], "empty: no keypoints"),
        ({}, "empty: no keypoints"),
        ("{", "not JSON"),
        ({"a": 1}, "no 2D keypoints that are known here"),
        ([1, 2, 3], "no 2D keypoints that are known here"),
        (["a"], "no 2D keypoints that are known here"),
        ("17", "no 2D keypoints that are known here"),
        (results(np.ones((3, 18, 3))), "18 keypoints, and it is not OpenPose.*--layout coco18"),
        (results(np.ones((3, 19, 3))), "19 keypoints are no layout known here; known: h36m17"),
        (results(np.ones((3, 18, 2))), "12 keypoints are no layout"),
        (results(np.ones((3, 17, 3))) + results(np.ones((1, 26, 3))), "side by side"),
        (nan_json(), "frame 3, keypoint 2: nan is not a number"),
        (negative(), "frame 3, keypoint 2: confidence -0.5 is negative"),
        (results(np.zeros((3, 26, 3))), "nobody in it"),
        ({"people": []}, "nobody in it"),
        ({"people": [{"face": []}]}, "without pose_keypoints_2d"),
        ([[], [], []], "nobody in it"),
        ([{"image_id": 1, "keypoints": ["a"] * 51}], "not a list of numbers"),
        ([{"image_id": 1, "keypoints": None}], "not triples"),
        ([{"image_id": 1, "keypoints": [1.0, 2.0]}], "2 numbers, not triples"),
        ([{"instances": [{"keypoints": [[1, 2]], "keypoint_scores": [1, 1]}]}], "2 scores of 1"),
        ([{"image_id": i, "keypoints": [1.0] * 51} for i in (0, 10**6)], "several videos"),
    ],
)  # fmt: skip
def test_bad_files_are_one_line(tmp_path, content, message):
    path = tmp_path / "bad.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=message) as raised:
        keypoint_files.read(path)
    assert "\n" not in str(raised.value) and str(path) in str(raised.value)


def test_a_keypoint_in_the_corner_is_not_seen_where_there_is_no_confidence():
    xy = np.full((4, 17, 2), 50.0)
    xy[1, 3] = 0
    (track,) = keypoint_files.read(xy, layout="coco17").tracks
    assert np.argwhere(track.keypoints_NxKx3[..., 2] == 0).tolist() == [[1, 3]]
    xy[0, 0] = -1  # joints about the root, which is at 0, 0
    (track,) = keypoint_files.read(xy, layout="coco17").tracks
    assert track.keypoints_NxKx3[..., 2].all()


def test_shares_of_the_image_become_pixels_where_its_size_is_given():
    shares = np.random.default_rng(0).uniform(0.1, 0.9, (4, 17, 2))
    (plain,) = keypoint_files.read(shares, layout="coco17").tracks
    np.testing.assert_array_equal(plain.keypoints_NxKx3[..., :2], shares)
    found = keypoint_files.read(shares, layout="coco17", image_size=(1920, 1080))
    np.testing.assert_allclose(found.tracks[0].keypoints_NxKx3[..., :2], shares * (1920, 1080))
    assert found.notes[0] == "no coordinate is above 1: taken as shares of the image"
    pixels = keypoint_files.read(shares * 900, layout="coco17", image_size=(1920, 1080))
    np.testing.assert_array_equal(pixels.tracks[0].keypoints_NxKx3[..., :2], shares * 900)


def test_endings_in_capitals(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 17, 3)))
    (tmp_path / "a.npy").rename(tmp_path / "A.NPY")
    assert len(keypoint_files.read(tmp_path / "A.NPY", layout="coco17").tracks) == 1
    np.savez(tmp_path / "b.npz", keypoints=np.ones((4, 17, 3)))
    (tmp_path / "b.npz").rename(tmp_path / "B.NPZ")
    assert len(keypoint_files.read(tmp_path / "B.NPZ", layout="coco17").tracks) == 1


def test_names_of_pictures_that_tell_the_time_count_in_order(tmp_path):
    rows = [
        {"image_id": f"{1_700_000_000_000 + 33 * t}.png", "category_id": 1, "score": 1.0,
         "keypoints": [50.0 + t, 60.0, 0.9] * 17}
        for t in range(4)
    ]  # fmt: skip
    path = tmp_path / "times.json"
    path.write_text(json.dumps(rows))
    (track,) = keypoint_files.read(path, layout="coco17").tracks
    assert track.frames_N.tolist() == [0, 1, 2, 3]


def test_bad_arrays_and_folders(tmp_path):
    with pytest.raises(ValueError, match=r"the array: an array \(17, 3\)"):
        keypoint_files.read(np.zeros((17, 3)))
    with pytest.raises(ValueError, match="18 keypoints"):
        keypoint_files.read(np.ones((4, 18, 3)))
    with pytest.raises(ValueError, match="layout halpe26 has 26 keypoints, here are 17"):
        keypoint_files.read(np.ones((4, 17, 3)), layout="halpe26")
    with pytest.raises(ValueError, match="unknown layout 'coco19'; known"):
        keypoint_files.read(np.ones((4, 17, 3)), layout="coco19")
    with pytest.raises(ValueError, match="frame 1, keypoint 2: nan"):
        bad = np.ones((4, 17, 3))
        bad[1, 2, 0] = np.nan
        keypoint_files.read(bad, layout="coco17")
    with pytest.raises(FileNotFoundError, match="no such file"):
        keypoint_files.read(tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"without \*_keypoints.json"):
        keypoint_files.read(tmp_path)
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ValueError, match="not a list of numbers"):
        keypoint_files.read(objects)
    np.save(objects, np.array([print], object), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read.*names builtins.print.*nothing.*was run"):
        keypoint_files.read(objects)
    for name in ("cut.npz", "cut.npy"):
        (tmp_path / name).write_bytes(b"PK\x03\x04broken")
        with pytest.raises(ValueError, match="cut.np"):
            keypoint_files.read(tmp_path / name)
    np.savez(tmp_path / "two.npz", a=np.ones((4, 17, 3)), b=np.ones(3))
    with pytest.raises(ValueError, match=r"\['a', 'b'\]; call the one with the keypoints"):
        keypoint_files.read(tmp_path / "two.npz")
    folder = openpose(tmp_path / "json", keypoints("body25"))
    (folder / "video_000000000003_keypoints.json").write_text("{")
    with pytest.raises(ValueError, match="video_000000000003_keypoints.json: not JSON"):
        keypoint_files.read(folder)
