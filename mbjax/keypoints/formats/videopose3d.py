"""The .npz of VideoPose3D's prepare_data_2d_custom.py: positions_2d and metadata.

positions_2d is {video: {'custom': [array (T, K, 2) of each camera]}}, one person, missed frames
interpolated; metadata has layout_name ('coco') and video_metadata, {video: {'w', 'h'}}.
"""

import numpy as np

from mbjax.keypoints.arrays import from_array
from mbjax.keypoints.formats.json_values import image_size
from mbjax.keypoints.found import Found


def read(arrays: dict[str, np.ndarray]) -> Found | None:
    if "positions_2d" not in arrays:
        return None
    videos = _dictionary(arrays["positions_2d"], "positions_2d")
    if len(videos) != 1:
        raise ValueError(
            f"positions_2d of {len(videos)} videos ({', '.join(map(str, list(videos)[:5]))}); one "
            "file a video: run prepare_data_2d_custom.py on each"
        )
    ((name, actions),) = videos.items()
    cameras = [array for found in _dictionary(actions, str(name)).values() for array in found]
    if len(cameras) != 1:
        raise ValueError(f"positions_2d of {name} has {len(cameras)} recordings; one expected")
    found = from_array(np.asarray(cameras[0]))
    metadata = _dictionary(arrays["metadata"], "metadata") if "metadata" in arrays else {}
    if str(metadata.get("layout_name", "")) == "coco":
        found.layout = "coco17"
    size = metadata.get("video_metadata", {})
    size = size.get(name, {}) if isinstance(size, dict) else {}
    if isinstance(size, dict) and {"w", "h"} <= size.keys():
        found.image_size = image_size([size["w"], size["h"]])
    return found


def _dictionary(value, what):
    """A dict, or the object array of one that numpy saves."""
    if isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.item()
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not a dictionary, as VideoPose3D writes it")  # noqa: TRY004
    return value
