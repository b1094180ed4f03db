"""MediaPipe, which has no file format of its own: a list with one entry per frame.

Each entry is a list of 33 {x, y, visibility}, or {"pose_landmarks": that list, or a list of
persons}, or null; also inside {"frames": list, "fps", "width", "height"}.
"""

from mbjax.keypoints.formats.json_values import image_size, numbers, rate
from mbjax.keypoints.found import Found
from mbjax.keypoints.tracking import Observation


def read(data) -> Found | None:
    fps = size = None
    if isinstance(data, dict):
        if not isinstance(data.get("frames"), list):
            return None
        fps = rate(data.get("fps"))
        if data.get("width") and data.get("height"):
            size = image_size([data["width"], data["height"]])
        data = data["frames"]
    if not isinstance(data, list):
        return None
    observations = []
    for frame, entry in enumerate(data):
        if isinstance(entry, dict):
            if not {"pose_landmarks", "landmarks"} & entry.keys():
                return None
            entry = entry.get("pose_landmarks", entry.get("landmarks"))
        persons = entry or []
        if not isinstance(persons, list):
            return None
        persons = persons if not persons or isinstance(persons[0], list) else [persons]
        for person in persons:
            if not all(isinstance(p, dict) and {"x", "y"} <= p.keys() for p in person):
                return None
            points = [(p["x"], p["y"], p.get("visibility", 1.0)) for p in person]
            if points:
                points = numbers(points, f"frame {frame}: landmarks")
                observations.append(Observation(frame, None, points))
    return Found(observations, fps=fps, unit_square=True, image_size=size)
