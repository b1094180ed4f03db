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
    # Without confidences, all zeros are nobody and the rest has confidence 1.
    flat = keypoint_files.read(array[..., :2], layout="coco17")
    assert [len(track.frames_N) for track in flat.tracks] == [12, 9]
    assert (flat.tracks[1].keypoints_NxKx3[..., 2] == 1).all()


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
        ([{"image_id": i, "keypoints": [1.0] * 51} for i in (0, 10**9)], "several videos"),
    ],
)  # fmt: skip
def test_bad_files_are_one_line(tmp_path, content, message):
    path = tmp_path / "bad.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=message) as raised:
        keypoint_files.read(path)
    assert "\n" not in str(raised.value) and str(path) in str(raised.value)


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
