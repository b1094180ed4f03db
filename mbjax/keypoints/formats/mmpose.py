"""MMPose predictions: {meta_info, instance_info: [{frame_id, instances: [...]}]}.

Also the lists that its inferencer writes, and the persons of a single image.
"""

import numpy as np

from mbjax.keypoints.formats.json_values import integer, numbers
from mbjax.keypoints.found import Found
from mbjax.keypoints.tracking import Observation


def read(data) -> Found | None:
    meta = {}
    if isinstance(data, dict) and isinstance(data.get("instance_info"), list):
        meta, data = data.get("meta_info") or {}, data["instance_info"]
    if not isinstance(data, list):
        return None
    if data and all(isinstance(e, dict) and "keypoint_scores" in e for e in data):
        data = [data]  # of a single image the persons are written without a frame
    frames = []
    for i, entry in enumerate(data):
        if isinstance(entry, dict) and isinstance(entry.get("instances"), list):
            number = integer(entry.get("frame_id"))
            frames.append((i if number is None else number, entry["instances"]))
        elif isinstance(entry, list):
            frames.append((i, entry))
        else:
            return None
    people = [person for _, persons in frames for person in persons]
    if not all(isinstance(p, dict) and "keypoints" in p for p in people):
        return None
    if not people and not meta and all(isinstance(e, list) for e in data):
        return None
    observations = []
    for frame, persons in frames:
        for person in persons:
            observations.append(_person(frame, person))
    seventeen = bool(observations) and len(observations[0].keypoints_Kx3) == 17
    return Found(observations, layout=_layout(meta, seventeen))


def _person(frame, person):
    points = numbers(person["keypoints"], f"frame {frame}: keypoints")
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise ValueError(f"frame {frame}: keypoints of shape {points.shape}, expected (K, 2 or 3)")
    if points.shape[1] == 2:
        scores = person.get("keypoint_scores", np.ones(len(points)))
        scores = numbers(scores, f"frame {frame}: keypoint_scores")
        if scores.shape != (len(points),):
            raise ValueError(f"frame {frame}: {scores.size} scores of {len(points)} keypoints")
        points = np.concatenate([points, scores[:, None]], axis=1)
    return Observation(frame, integer(person.get("track_id")), points, float(points[:, 2].mean()))


def _layout(meta, seventeen):
    """By the name of the dataset the detector was trained on, else by those of the keypoints."""
    if not isinstance(meta, dict):
        return None
    name = str(meta.get("dataset_name", "")).lower()
    for part, layout in (
        ("wholebody", "coco23"), ("posetrack", "posetrack17"), ("halpe", "halpe26"),
        ("h36m", "h36m17"), ("coco", "coco17"),
    ):  # fmt: skip
        if part in name:
            return layout
    of_number = meta.get("keypoint_id2name")
    if seventeen and isinstance(of_number, dict):
        second = str(of_number.get("1", ""))
        return {"left_eye": "coco17", "head_bottom": "posetrack17"}.get(second)
    return None
