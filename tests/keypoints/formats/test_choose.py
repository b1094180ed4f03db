"""Files of each form: the same body comes back."""

import json

import numpy as np
import pytest

from mbjax.keypoints import read as keypoint_files
from tests.recipes.keypoints import (
    alphapose_18,
    detectron_npz,
    expected,
    joints,
    keypoints,
    landmarks,
    mmpose,
    objects,
    openpose,
    results,
    rtmlib,
    write,
)


@pytest.mark.parametrize(
    "form, layout",
    [
        ("alphapose", "halpe26"), ("alphapose", "coco17"), ("coco", "coco17"),
        ("mmpose", "coco17"), ("mmpose", "posetrack17"), ("mmpose", "h36m17"),
        ("inferencer", "halpe26"), ("openpose", "body25"), ("mediapipe", "mediapipe33"),
        ("npz", "h36m17"), ("npz", "mediapipe33"), ("npy", "body25"), ("wholebody", "coco23"),
    ],
)  # fmt: skip
def test_every_form_gives_the_same_joints(tmp_path, form, layout):
    points = keypoints(layout)
    size = None
    if form == "alphapose":
        source = write(tmp_path, results(points, idx=[1.0]))
    elif form == "coco":
        entries = results(points)
        for t, entry in enumerate(entries):
            entry["image_id"] = t
        source = write(tmp_path, entries)
    elif form == "mmpose":
        name = {"coco17": "coco", "posetrack17": "posetrack18", "h36m17": "h36m"}[layout]
        data = {"meta_info": {"dataset_name": name}, "instance_info": mmpose(points)}
        source = write(tmp_path, data)
    elif form == "inferencer":
        source = write(tmp_path, [frame["instances"] for frame in mmpose(points)])
    elif form == "openpose":
        source = openpose(tmp_path / "json", points)
    elif form == "mediapipe":
        source, size = write(tmp_path, landmarks(points, 640, 480)), (640, 480)
    elif form == "npz":
        source = tmp_path / "points.npz"
        np.savez(source, keypoints=points, layout=layout, fps=25)
    elif form == "wholebody":
        face = np.full((len(points), 110, 3), 0.5)
        source = write(tmp_path, results(np.concatenate([points, face], axis=1)))
    else:
        source = tmp_path / "points.npy"
        np.save(source, points)
    found = keypoint_files.read(source, image_size=size)
    assert found.layout == layout and len(found.tracks) == 1
    assert list(found.tracks[0].frames_N) == list(range(12))
    assert found.fps == (25 if form == "npz" else None)
    # Pixels of a few hundred through JSON and shares of the image, in float64: rounding alone.
    np.testing.assert_allclose(joints(found), expected(), atol=1e-9)


@pytest.mark.parametrize(
    "form, layout",
    [
        ("open", "coco18"), ("cmu", "coco18"), ("openpose", "coco18"), ("sep-json", "coco18"),
        ("pose2sim", "halpe26"), ("rtmlib", "coco17"), ("rtmlib", "halpe26"),
        ("rtmlib whole", "coco17"), ("rtmlib frames", "halpe26"), ("rtmlib npz", "coco17"),
        ("rtmlib objects", "halpe26"), ("detectron2", "coco17"), ("detectron2 npz", "coco17"),
        ("videopose3d", "coco17"),
    ],
)  # fmt: skip
def test_forms_of_more_detectors_give_the_same_joints(tmp_path, form, layout):
    points, atol = keypoints(layout), 1e-9  # float64 and JSON: rounding alone
    frames = rtmlib(points)
    if form == "open":
        source = write(tmp_path, alphapose_18(points, "people", "pose_keypoints_2d"))
    elif form == "cmu":
        source = write(tmp_path, alphapose_18(points, "bodies", "joints"))
    elif form == "openpose":
        source = openpose(tmp_path / "json", points)
    elif form in ("sep-json", "pose2sim"):
        source = tmp_path / "cam1_json"
        source.mkdir()
        for t, p in enumerate(points):
            data = {"version": 1.3, "people": [{"pose_keypoints_2d": p.ravel().tolist()}]}
            if form == "sep-json":
                data = alphapose_18(points, "bodies", "joints")[f"{t}.jpg"]
            name = f"{t}.json" if form == "sep-json" else f"cam1.mp4_{t:06d}.json"
            (source / name).write_text(json.dumps(data))
    elif form == "rtmlib":
        source = write(tmp_path, frames)
    elif form == "rtmlib whole":
        whole = {key: [frame[key] for frame in frames] for key in ("keypoints", "scores")}
        source = write(tmp_path, whole)
    elif form == "rtmlib frames":
        source = write(tmp_path, {"fps": 50, "frames": frames})
    elif form == "rtmlib npz":
        source = tmp_path / "points.npz"
        np.savez(source, keypoints=points[:, None, :, :2], scores=points[:, None, :, 2])
    elif form == "rtmlib objects":
        source = tmp_path / "points.npz"
        xy, scores = objects(list(points[:, None, :, :2])), objects(list(points[:, None, :, 2]))
        np.savez(source, keypoints=xy, scores=scores)
    elif form == "detectron2":
        entries = [{"pred_keypoints": [p.tolist()], "scores": [0.9]} for p in points]
        source = write(tmp_path, entries)
    elif form == "detectron2 npz":
        source = tmp_path / "points.npz"
        np.savez(source, pred_keypoints=points[:, None])
    else:
        source, atol = detectron_npz(tmp_path / "v.mp4.npz", points), 1e-4  # float32 of hundreds
    found = keypoint_files.read(source)
    assert found.layout == layout and len(found.tracks) == 1
    assert list(found.tracks[0].frames_N) == list(range(12))
    assert found.fps == (50 if form == "rtmlib frames" else None)
    np.testing.assert_allclose(joints(found), expected(), atol=atol)


def test_missed_frames_and_changing_numbers_of_persons_in_arrays(tmp_path):
    points = keypoints("coco17")
    found = keypoint_files.read(detectron_npz(tmp_path / "v.npz", points, absent=(3, 4)))
    assert list(found.tracks[0].frames_N) == [0, 1, 2, *range(5, 12)]
    frames, other = rtmlib(points), rtmlib(keypoints("coco17", x=600))
    for t in range(4, 12):
        for key in ("keypoints", "scores"):
            frames[t][key] = other[t][key] + frames[t][key]  # and in another order
    frames[2] = {"frame": 2, "keypoints": [], "scores": []}
    for t, frame in enumerate(frames):
        frame["frame"] = t + 10
    found = keypoint_files.read(write(tmp_path, frames))
    assert [list(track.frames_N) for track in found.tracks] == [
        [10, 11, *range(13, 22)], list(range(14, 22)),
    ]  # fmt: skip
    np.testing.assert_allclose(joints(found), expected()[[0, 1, *range(3, 12)]], atol=1e-9)
    padded = np.full((12, 2, 17, 3), np.nan)  # absent persons as NaN
    padded[:, 0], padded[5:, 1] = points, keypoints("coco17", x=600)[5:]
    found = keypoint_files.read(padded, layout="coco17")
    assert [len(track.frames_N) for track in found.tracks] == [12, 7]
    with pytest.raises(ValueError, match="frame 1: 17 scores of 34 keypoints"):
        bad = rtmlib(points)
        bad[1]["keypoints"] *= 2
        keypoint_files.read(write(tmp_path, bad))
    with pytest.raises(ValueError, match="every keypoint is NaN"):
        keypoint_files.read(np.full((3, 17, 3), np.nan), layout="coco17")


def test_mmpose_of_one_image_and_layout_by_the_keypoints_names(tmp_path):
    persons = mmpose(keypoints("halpe26"))[2]["instances"]
    for data in (persons, {"meta_info": {}, "instance_info": persons}):
        found = keypoint_files.read(write(tmp_path, data))
        assert found.layout == "halpe26"
        np.testing.assert_allclose(joints(found), expected()[2:3], atol=1e-9)  # rounding
    for layout, second in (("coco17", "left_eye"), ("posetrack17", "head_bottom")):
        meta = {"dataset_name": "mine", "keypoint_id2name": {"0": "nose", "1": second}}
        data = {"meta_info": meta, "instance_info": mmpose(keypoints(layout))}
        assert keypoint_files.read(write(tmp_path, data)).layout == layout


def test_mediapipe_with_missed_frames_and_its_size_in_the_file(tmp_path):
    frames = landmarks(keypoints("mediapipe33"), 640, 480)
    frames[4] = None
    frames[5] = {"pose_landmarks": []}
    frames[6] = {"pose_landmarks": [frames[6]]}
    data = {"width": 640, "height": 480, "fps": 30, "frames": frames}
    found = keypoint_files.read(write(tmp_path, data))
    assert found.fps == 30 and list(found.tracks[0].frames_N) == [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]
    seen = found.tracks[0].frames_N
    np.testing.assert_allclose(joints(found), expected()[seen], atol=1e-9)  # rounding
    with pytest.raises(ValueError, match="shares of the image.*--image-size"):
        keypoint_files.read(write(tmp_path, frames))


def test_one_landmark_far_outside_does_not_make_pixels_of_the_rest(tmp_path):
    frames = landmarks(keypoints("mediapipe33"), 640, 480)
    frames[5][0]["x"] = 12.0
    found = keypoint_files.read(write(tmp_path, frames), image_size=(640, 480))
    points = found.tracks[0].keypoints_NxKx3
    assert points[5, 0, 0] == 12 * 640
    points[5, 0] = keypoints("mediapipe33")[5, 0]
    np.testing.assert_allclose(points, keypoints("mediapipe33"), atol=1e-9)  # rounding


def videopose3d(path, points_TxKx3, **more):
    """As prepare_data_2d_custom.py writes it: {video: {'custom': [(T, K, 2)]}} and metadata."""
    videos = {"my clip.mp4": {"custom": [points_TxKx3[..., :2].astype(np.float32)]}, **more}
    sides = [[1, 3, 5, 7, 9, 11, 13, 15], [2, 4, 6, 8, 10, 12, 14, 16]]
    metadata = {
        "layout_name": "coco", "num_joints": 17, "keypoints_symmetry": sides,
        "video_metadata": {name: {"w": 640, "h": 480} for name in videos},
    }  # fmt: skip
    np.savez_compressed(path, positions_2d=videos, metadata=metadata)
    return path


def test_the_custom_dataset_of_videopose3d(tmp_path):
    points = keypoints("coco17")
    found = keypoint_files.read(videopose3d(tmp_path / "data_2d_custom_x.npz", points))
    assert found.layout == "coco17" and found.tracks[0].frames_N.tolist() == list(range(12))
    xy = joints(found)[..., :2]
    np.testing.assert_allclose(xy, expected()[..., :2], atol=1e-4)  # float32 of hundreds
    found_TxKx3 = found.tracks[0].keypoints_NxKx3
    # What this body lacks is at 0, 0.
    np.testing.assert_array_equal(found_TxKx3[..., 2], found_TxKx3[..., :2].any(axis=-1))
    two = {"other.mp4": {"custom": [points[..., :2]]}}
    with pytest.raises(ValueError, match="of 2 videos .my clip.mp4, other.mp4.; one file a video"):
        keypoint_files.read(videopose3d(tmp_path / "two.npz", points, **two))
    broken = tmp_path / "broken.npz"
    np.savez(broken, positions_2d=np.array([1, 2, 3]))
    with pytest.raises(ValueError, match="positions_2d is not a dictionary"):
        keypoint_files.read(broken)
