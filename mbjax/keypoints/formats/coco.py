"""COCO results and AlphaPose's own: a list of {image_id, keypoints (flat), score, idx}."""

from mbjax.keypoints.formats.json_values import frame_numbers, integer, numbers, score
from mbjax.keypoints.found import Found
from mbjax.keypoints.tracking import Observation


def read(data) -> Found | None:
    if not (isinstance(data, list) and all(isinstance(e, dict) for e in data)):
        return None
    if not all("keypoints" in e and "image_id" in e for e in data):
        return None
    if all("scores" in e for e in data):
        return None  # rtmlib's arrays, see formats/rtmlib.py
    frame_of = frame_numbers([e["image_id"] for e in data])
    observations = []
    for entry in data:
        frame = frame_of[str(entry["image_id"])]
        flat = numbers(entry["keypoints"], f"frame {frame}: keypoints")
        if flat.ndim != 1 or flat.size == 0 or flat.size % 3:
            raise ValueError(f"frame {frame}: {flat.size} numbers, not triples (x, y, confidence)")
        person = integer(entry.get("idx", entry.get("track_id")))
        observations.append(
            Observation(frame, person, flat.reshape(-1, 3), score(entry.get("score")))
        )
    seventeen = len(observations[0].keypoints_Kx3) == 17
    return Found(observations, layout="coco17" if seventeen else None)
