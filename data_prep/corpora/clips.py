"""The clips that the release's own preparation cut: folders of %08d.pkl.

`MB3D_f243s81/SUBSET/{train,test}/%08d.pkl`, each {"data_input": (T, J, 3) or None, "data_label":
(T, J, 3)}. T frames, J = 17 joints. The files say nothing about which recording a clip is from.
"""

import dataclasses

import numpy as np

from data_prep import corpus, features
from data_prep.mocap import UNITS_PER_METRE
from mbjax import safe_pickle
from mbjax.pose.skeleton import NUM_JOINTS

_AMASS, _H36M = "AMASS", "H36M-SH"
_FPS = {_AMASS: 60.0, _H36M: 50.0}


@dataclasses.dataclass(frozen=True)
class ClipsOptions:
    subset: str = corpus.option(_AMASS, "which of the two kinds of clips", (_AMASS, _H36M))
    frames: int = corpus.option(243, "frames of a clip", low=1, high=100_000)


class Clips(corpus.Corpus):
    """Clips that the PyTorch release's preparation cut from AMASS or Human3.6M."""

    TREE = f"{_AMASS} or {_H36M}, with train/*.pkl and test/*.pkl in it (--subset says which)"
    OPTIONS = ClipsOptions

    @classmethod
    def record_features(cls, options):
        if options.subset == _AMASS:
            return features.mocap(options.frames)
        return features.lifting(options.frames)

    @classmethod
    def source_files(cls, raw, options):
        found = []
        for split in ("train", "test"):
            here = corpus.found(raw, f"{split}/*.pkl", split) if raw.name == options.subset else []
            found += here or corpus.found(raw, f"**/{options.subset}/{split}/*.pkl", split)
        return found

    @classmethod
    def records(cls, source, options, report):
        content = safe_pickle.load(source.path)
        if not isinstance(content, dict):
            raise corpus.BadFile("not a dict of data_input and data_label")
        shape = (options.frames, NUM_JOINTS, 3)
        pose_TxJx3 = _array(content["data_label"], shape, "data_label")
        record = {
            "pose": pose_TxJx3,
            "source": source.name.rsplit(".", 1)[0],
            "first_frame": 0,
            "fps": _FPS[options.subset],
        }
        if options.subset == _AMASS:
            record["metres_per_unit"] = 1 / UNITS_PER_METRE
        else:
            record["keypoints"] = _array(content["data_input"], shape, "data_input")
            record["frames"] = np.arange(options.frames, dtype=np.int64)
        report.read(options.frames, _FPS[options.subset])
        yield "0", record


def _array(value, shape, name):
    if not isinstance(value, np.ndarray) or value.shape != shape or value.dtype.kind != "f":
        is_now = f"shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
        raise ValueError(f"{name} is {is_now}, an array of shape {shape} was wanted")
    return value.astype(np.float32)
