"""AlphaPose's formats 'open' and 'cmu' in one file: {image name: what OpenPose writes of a frame}.

Its own format is COCO's list, see formats/coco.py.
"""

from mbjax.keypoints.formats import openpose
from mbjax.keypoints.formats.json_values import frame_numbers
from mbjax.keypoints.found import Found


def read(data) -> Found | None:
    if not (isinstance(data, dict) and all(isinstance(e, dict) for e in data.values())):
        return None
    frame_of = frame_numbers(list(data))
    found = [openpose.read(entry, frame_of[name]) for name, entry in data.items()]
    if any(one is None for one in found):
        return None
    layout = next((one.layout for one in found if one.layout), None)
    return Found([o for one in found for o in one.observations], layout)
