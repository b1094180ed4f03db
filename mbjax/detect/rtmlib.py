"""RTMPose and its person detector through rtmlib (Apache-2.0): more accurate, and downloaded.

rtmlib fetches its ONNX files when first used. Where there is no network, MBJAX_RTMLIB_DETECTOR and
MBJAX_RTMLIB_POSE are the paths of files that were fetched elsewhere.
"""

import os

import numpy as np

from mbjax.remarks import first_line

# Persons with landmarks of this mean score are none: rtmlib gives one for each box.
_LEAST_SCORE = 0.3


class Rtmlib:
    """26 keypoints of everybody in a picture (Halpe-26)."""

    layout = "halpe26"

    def __init__(self):
        try:
            from rtmlib import BodyWithFeet
        except ImportError:
            raise ImportError(
                "the detector rtmlib is not installed: pip install rtmlib onnxruntime; or use "
                "--detector blazepose"
            ) from None
        own = {
            name: os.environ[variable]
            for name, variable in (("det", "MBJAX_RTMLIB_DETECTOR"), ("pose", "MBJAX_RTMLIB_POSE"))
            if os.environ.get(variable)
        }
        try:
            self._model = BodyWithFeet(backend="onnxruntime", device="cpu", **own)
        except Exception as error:  # noqa: BLE001  its downloader's, urllib's, ONNX Runtime's
            line = first_line(error, 200)
            raise ValueError(
                f"rtmlib cannot load its nets ({line}); it downloads them when first used: connect "
                "once, or set MBJAX_RTMLIB_DETECTOR and MBJAX_RTMLIB_POSE to files fetched "
                "elsewhere, or use --detector blazepose"
            ) from None

    def __call__(self, picture_HxWx3: np.ndarray) -> list[np.ndarray]:
        # rtmlib takes OpenCV's order of colours.
        keypoints, scores = self._model(np.ascontiguousarray(picture_HxWx3[..., ::-1]))
        return [
            np.concatenate([at, score[:, None]], axis=-1).astype(np.float64)
            for at, score in zip(keypoints, scores, strict=True)
            if score.mean() >= _LEAST_SCORE
        ]
