"""RTMPose and its person detector through rtmlib (Apache-2.0): more accurate, and downloaded.

rtmlib fetches its ONNX files when first used. Where there is no network, MBJAX_RTMLIB_DETECTOR and
MBJAX_RTMLIB_POSE are the paths of files that were fetched elsewhere.
"""

import contextlib
import os
import pathlib
import sys

import numpy as np

from mbjax.remarks import first_line

_FILES = {"det": "MBJAX_RTMLIB_DETECTOR", "pose": "MBJAX_RTMLIB_POSE"}

# Persons with landmarks of this mean score are none: rtmlib gives one for each box.
_LEAST_SCORE = 0.3


class Rtmlib:
    """26 keypoints of everybody in a picture (Halpe-26)."""

    layout = "halpe26"

    def __init__(self):
        try:
            from rtmlib import BodyWithFeet
        except ModuleNotFoundError as error:
            raise ImportError(
                f"the detector rtmlib is not installed ({error.name} is not there): pip install "
                "rtmlib onnxruntime; or use --detector blazepose"
            ) from None
        except ImportError as error:  # OpenCV without the system's libraries
            raise ImportError(
                f"rtmlib cannot be loaded ({first_line(error)}); or use --detector blazepose"
            ) from None
        own = {name: os.environ[key] for name, key in _FILES.items() if os.environ.get(key)}
        for name, path in own.items():
            if not pathlib.Path(path).is_file():
                raise FileNotFoundError(f"{_FILES[name]}: there is no file {path}")
        try:
            # It says on stdout what it loads.
            with contextlib.redirect_stdout(sys.stderr):
                model = BodyWithFeet(backend="onnxruntime", device="cpu", **own)
        except Exception as error:  # noqa: BLE001  its downloader's, urllib's, ONNX Runtime's
            line = first_line(error, 200)
            raise ValueError(
                f"rtmlib cannot load its nets ({line}); it downloads them when first used: connect "
                "once, or set MBJAX_RTMLIB_DETECTOR and MBJAX_RTMLIB_POSE to files fetched "
                "elsewhere, or use --detector blazepose"
            ) from None

        self._boxes, self._poses = model.det_model, model.pose_model
        # Nets of rtmlib's other sizes are files like those it takes without being told.
        if "det" in own:
            self._boxes.model_input_size = _size(self._boxes, own["det"])
        if "pose" in own:
            self._poses.model_input_size = _size(self._poses, own["pose"])[::-1]

    def __call__(self, picture_HxWx3: np.ndarray) -> list[np.ndarray]:
        # rtmlib takes OpenCV's order of colours.
        picture = np.ascontiguousarray(picture_HxWx3[..., ::-1])
        boxes = self._boxes(picture)
        if not len(boxes):  # of which rtmlib makes one person as large as the picture
            return []
        keypoints, scores = self._poses(picture, bboxes=boxes)
        return [
            np.concatenate([at, score[:, None]], axis=-1).astype(np.float64)
            for at, score in zip(keypoints, scores, strict=True)
            if score.mean() >= _LEAST_SCORE
        ]


def _size(tool, path):
    """(height, width) of the pictures that a net takes."""
    shape = tool.session.get_inputs()[0].shape
    if len(shape) != 4 or not all(isinstance(side, int) for side in shape[2:]):
        raise ValueError(f"{path} takes {shape}, not pictures (1, 3, height, width) of one size")
    return tuple(shape[2:])
