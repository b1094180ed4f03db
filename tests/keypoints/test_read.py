"""Files of 2D keypoints in every form: the same body comes back; mistakes are one clear line."""

import json

import numpy as np
import pytest

from mbjax.keypoints import read as keypoint_files
from mbjax.keypoints import tracking
from mbjax.keypoints.layouts import LAYOUTS, from_layout

CONFIDENCE = 0.9


def body(frames=12, x=300.0, speed=2.0):
    """{name: (T, 2)} in pixels, of every keypoint of any layout, such that all agree on 17."""
    place = {
        "lhip": (15, 0), "rhip": (-15, 0), "lknee": (18, 45), "rknee": (-20, 44),
        "lankle": (17, 90), "rankle": (-25, 88), "lshoulder": (20, -60), "rshoulder": (-20, -60),
        "lelbow": (35, -35), "relbow": (-40, -30), "lwrist": (40, -5), "rwrist": (-45, 2),
        "nose": (3, -78), "head": (0, -92), "leye": (5, -92), "reye": (-5, -92),
    }  # fmt: skip
    place["root"], place["neck"], place["belly"] = (0, 0), (0, -60), (0, -30)
    move = np.stack([x + speed * np.arange(frames), 200 + 3 * np.sin(np.arange(frames))], axis=-1)
    return {name: move + np.array(at) for name, at in place.items()}


def keypoints(layout, **settings):
    """(T, K, 3) of the body in a layout; feet, ears and fingers, which nothing needs, at 0."""
    at = body(**settings)
    names = LAYOUTS[layout].names
    nothing = np.zeros_like(at["root"])
    xy = np.stack([at.get(name, nothing) for name in names], axis=1)
    return np.concatenate([xy, np.full((*xy.shape[:2], 1), CONFIDENCE)], axis=-1)


def expected(**settings):
    return keypoints("h36m17", **settings)


def results(points_TxKx3, frames=None, **more):
    """AlphaPose's, or without idx COCO's, list."""
    frames = range(len(points_TxKx3)) if frames is None else frames
    return [
        {"image_id": f"{t}.jpg", "category_id": 1, "keypoints": points_TxKx3[t].ravel().tolist(),
         "score": 2.5, **more}
        for t in frames
    ]  # fmt: skip


def mmpose(points_TxKx3, **more):
    return [
        {"frame_id": t, "instances": [{"keypoints": p[:, :2].tolist(),
                                       "keypoint_scores": p[:, 2].tolist(), **more}]}
        for t, p in enumerate(points_TxKx3)
    ]  # fmt: skip


def landmarks(points_TxKx3, width, height):
    return [
        [{"x": x / width, "y": y / height, "z": 0.0, "visibility": c} for x, y, c in p]
        for p in points_TxKx3.tolist()
    ]


def openpose(folder, points_TxKx3):
    folder.mkdir()
    for t, p in enumerate(points_TxKx3):
        people = [{"person_id": [-1], "pose_keypoints_2d": p.ravel().tolist()}]
        path = folder / f"video_{t:012d}_keypoints.json"
        path.write_text(json.dumps({"version": 1.3, "people": people}))
    return folder


def write(tmp_path, data, name="results.json"):
    path = tmp_path / name
    path.write_text(json.dumps(data))
    return path


def joints(found, track=0):
    return from_layout(found.tracks[track].keypoints_NxKx3, found.layout)


@pytest.mark.parametrize(
    "form, layout",
    [
        ("alphapose", "halpe26"), ("alphapose", "coco17"), ("coco", "coco17"),
        ("mmpose", "coco17"), ("mmpose", "posetrack17"), ("mmpose", "h36m17"),
        ("inferencer", "halpe26"), ("openpose", "body25"), ("mediapipe", "mediapipe33"),
        ("npz", "h36m17"), ("npz", "mediapipe33"), ("npy", "body25"), ("wholebody", "coco17"),
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
        face = np.full((len(points), 116, 3), 0.5)
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


def alphapose_18(points_TxKx3, list_key, point_key):
    """AlphaPose's format open (people, pose_keypoints_2d) or cmu (bodies, joints)."""
    return {
        f"{t}.jpg": {"version": "AlphaPose v0.3", list_key: [{point_key: p.ravel().tolist()}]}
        for t, p in enumerate(points_TxKx3)
    }


def rtmlib(points_TxKx3):
    """Per frame, what the library returns: keypoints (M, K, 2) and scores (M, K)."""
    return [
        {"keypoints": p[None, :, :2].tolist(), "scores": p[None, :, 2].tolist()}
        for p in points_TxKx3
    ]


def objects(entries):
    array = np.empty(len(entries), object)
    array[:] = entries
    return array


def detectron_npz(path, points_TxKx3, absent=()):
    """As VideoPose3D's script for Detectron2 writes it."""
    keypoints = np.empty((len(points_TxKx3), 2), object)
    for t, p in enumerate(points_TxKx3):
        four = np.stack([p[:, 0], p[:, 1], 0 * p[:, 2], p[:, 2]])[None].astype(np.float32)
        keypoints[t, 0], keypoints[t, 1] = [], ([] if t in absent else four)
    boxes = objects([[[], np.ones((1, 5))] for _ in points_TxKx3])
    segments = objects([None] * len(points_TxKx3))
    metadata = {"w": 640, "h": 480}
    np.savez(path, boxes=boxes, segments=segments, keypoints=keypoints, metadata=metadata)
    return path


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


@pytest.mark.parametrize("ids", [False, True])
def test_dropped_frames_are_known_as_such(tmp_path, ids):
    kept = [0, 1, 2, 5, 6, 9, 11]
    more = {"idx": 4} if ids else {}
    found = keypoint_files.read(write(tmp_path, results(keypoints("halpe26"), kept, **more)))
    (track,) = found.tracks
    assert list(track.frames_N) == kept and track.person == (4 if ids else 0)
    assert any("one person" in note for note in found.notes) != ids
    frames, filled, missed = tracking.fill(track.frames_N, track.keypoints_NxKx3)
    assert list(frames[missed]) == [3, 4, 7, 8, 10]
    assert (filled[missed][..., 2] == 0).all() and (filled[~missed][..., 2] == CONFIDENCE).all()
    # x moves at a constant speed, so linear interpolation is exact but for rounding.
    whole = keypoints("halpe26")
    np.testing.assert_allclose(filled[..., :17, 0], whole[..., :17, 0], atol=1e-9)


def test_a_keypoint_missed_in_some_frames_or_in_all():
    points = keypoints("coco17")
    points[2:4, 9] = 0  # as detectors write what they did not see
    points[:, 10] = 0
    _, filled, _ = tracking.fill(np.arange(12), points)
    np.testing.assert_allclose(filled[2:4, 9, 0], keypoints("coco17")[2:4, 9, 0], atol=1e-9)
    assert (filled[2:4, 9, 2] == 0).all() and np.isnan(filled[:, 10, :2]).all()


def mixed(seed, *persons, **more):
    """Results of several persons in an order that changes from frame to frame."""
    rng = np.random.default_rng(seed)
    entries = []
    for t in range(len(persons[0])):
        here = [results(p, [t], **more)[0] for p in persons if p[t].any()]
        entries += [here[i] for i in rng.permutation(len(here))]
    return entries


def test_persons_without_ids_are_linked_when_they_cross_and_when_missed(tmp_path):
    right = keypoints("halpe26", frames=60, x=100, speed=6.0)
    left = keypoints("halpe26", frames=60, x=450, speed=-5.0)  # they meet at frame 32
    left[..., 1] += 12
    left[10:14] = 0
    for more in ({}, {"idx": 0}):  # no id, or the same for all
        found = keypoint_files.read(write(tmp_path, mixed(1, right, left, **more)))
        assert "2 found" in found.notes[0] and len(found.tracks) == 2
        by_length = sorted(found.tracks, key=lambda track: len(track.frames_N))
        np.testing.assert_allclose(by_length[1].keypoints_NxKx3, right)
        seen = [t for t in range(60) if not 10 <= t < 14]
        assert list(by_length[0].frames_N) == seen
        np.testing.assert_allclose(by_length[0].keypoints_NxKx3, left[seen])


def test_ids_of_the_tracker_are_kept_and_the_better_of_two_scores(tmp_path):
    one, two = keypoints("halpe26"), keypoints("halpe26", x=600)
    entries = results(one, idx=7) + results(two, idx=3)
    entries += [{**results(two, [5], idx=7)[0], "score": 0.1}]
    found = keypoint_files.read(write(tmp_path, entries))
    assert [track.person for track in found.tracks] == [3, 7]
    np.testing.assert_allclose(found.tracks[1].keypoints_NxKx3, one)
    assert "1 observations" in found.notes[0]


def test_names_without_a_number_or_with_a_hash_count_in_order(tmp_path):
    for name in ("{}", "9{:060d}.png"):
        entries = results(keypoints("halpe26"), [0, 1, 2], idx=10**300)
        for letter, entry in zip("abc", entries, strict=True):
            entry["image_id"] = name.format(letter if name == "{}" else ord(letter))
        (track,) = keypoint_files.read(write(tmp_path, entries)).tracks
        assert list(track.frames_N) == [0, 1, 2] and track.person == 0


def test_somebody_new_after_a_long_absence():
    frames = [tracking.Observation(t, None, p) for t, p in enumerate(keypoints("coco17"))]
    later = [tracking.Observation(t + 100, None, o.keypoints_Kx3) for t, o in enumerate(frames)]
    assert tracking.link(frames + later) == [1] * 12 + [2] * 12


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
        ("{", "no JSON"),
        ({"a": 1}, "no 2D keypoints that are known here"),
        ([1, 2, 3], "no 2D keypoints that are known here"),
        (["a"], "no 2D keypoints that are known here"),
        ("17", "no 2D keypoints that are known here"),
        (results(np.ones((3, 18, 3))), "18 keypoints, and it is not OpenPose.*--layout coco18"),
        (results(np.ones((3, 19, 3))), "19 keypoints are no layout known here; known: h36m17"),
        (results(np.ones((3, 18, 2))), "12 keypoints are no layout"),
        (results(np.ones((3, 17, 3))) + results(np.ones((1, 26, 3))), "side by side"),
        (nan_json(), "frame 3, keypoint 2: nan is no number"),
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
    with pytest.raises(ValueError, match="video_000000000003_keypoints.json: no JSON"):
        keypoint_files.read(folder)
