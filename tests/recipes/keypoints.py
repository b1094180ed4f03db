"""Keypoints of one body in every layout and in every form of file, and sways for lifting tests."""

import json

import numpy as np

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
