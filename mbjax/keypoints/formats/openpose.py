"""OpenPose: a folder of *_keypoints.json, one per frame, or one such file.

So write Pose2Sim and others what rtmlib finds, and AlphaPose in its formats 'open' and 'cmu'.
"""

import pathlib

from mbjax.keypoints.formats.json_values import frame_numbers, integer, numbers, read_json
from mbjax.keypoints.found import Found
from mbjax.keypoints.tracking import Observation


def read_folder(path: pathlib.Path) -> Found:
    """A file a frame: OpenPose's own names, or others' (Pose2Sim, AlphaPose) in the same form."""
    every = sorted(file for file in path.glob("*.json") if file.is_file())
    files = [file for file in every if file.name.endswith("_keypoints.json")] or every
    if not files:
        raise ValueError("a folder without *_keypoints.json files, which OpenPose writes")
    frame_of = frame_numbers([_frame_name(file) for file in files])
    observations, layout = [], None
    for file in files:
        try:
            found = read(read_json(file), frame_of[_frame_name(file)])
            if found is None:
                raise ValueError(
                    "not what OpenPose writes of a frame; a folder is read as OpenPose's, of "
                    "another detector (MMPose, AlphaPose ...) give one file"
                )
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from None
        observations += found.observations
        layout = layout or found.layout
    return Found(observations, layout)


def _frame_name(file):
    return file.name.removesuffix(".json").removesuffix("_keypoints")


def read(data, frame: int = 0) -> Found | None:
    """One frame: {'people': [{'pose_keypoints_2d': flat}]}, AlphaPose's 'bodies' and 'joints'."""
    if not isinstance(data, dict):
        return None
    if isinstance(data.get("people"), list):
        persons, key = data["people"], "pose_keypoints_2d"
    elif isinstance(data.get("bodies"), list):
        persons, key = data["bodies"], "joints"
    else:
        return None
    observations = []
    for person in persons:
        if not isinstance(person, dict) or key not in person:
            raise ValueError(f"a person without {key}")
        flat = numbers(person[key], key)
        if flat.ndim != 1 or flat.size % 3:
            raise ValueError(f"{flat.size} numbers, not triples (x, y, confidence)")
        if flat.size:
            points = flat.reshape(-1, 3)
            identity = integer(person.get("person_id"))
            observations.append(Observation(frame, identity, points, float(points[:, 2].mean())))
    # Elsewhere 18 keypoints are anybody's; in this form they are those of OpenPose's COCO model.
    eighteen = bool(observations) and len(observations[0].keypoints_Kx3) == 18
    return Found(observations, layout="coco18" if eighteen else None)
