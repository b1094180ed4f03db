"""What one record holds, for every kind of corpus.

T frames, J = 17 joints of mbjax.pose.skeleton, M persons. Float arrays are float32, stored as raw
bytes (no TensorFlow needed to read them). Every record says where it comes from: `source` names the
recording, `first_frame` is the clip's first frame in it (frames of the recording as it was read,
counted from 0, at `fps`), so that evaluation covers every frame and results can be traced.
"""

import numpy as np
import tensorflow_datasets as tfds

from mbjax.pose.skeleton import NUM_JOINTS


def _array(*shape):
    return tfds.features.Tensor(
        shape=shape, dtype=np.float32, encoding=tfds.features.Encoding.BYTES
    )


def _rows(frames):
    return tfds.features.Tensor(
        shape=(frames,), dtype=np.int64, encoding=tfds.features.Encoding.BYTES
    )


_ORIGIN = {
    "source": tfds.features.Text(),
    "first_frame": np.int64,
    "fps": np.float32,  # 0 where the corpus does not say
}


def mocap(frames: int) -> tfds.features.FeaturesDict:
    """3D clips whose 2D is their own projection: AMASS, BVH.

    pose: camera axes (x right, y down, z away), normalised units; times metres_per_unit is metres.
    """
    return tfds.features.FeaturesDict(
        {"pose": _array(frames, NUM_JOINTS, 3), "metres_per_unit": np.float32, **_ORIGIN}
    )


def keypoints(frames: int) -> tfds.features.FeaturesDict:
    """2D clips: keypoints are x, y in [-1, 1], confidence in [0, 1]: PoseTrack, InstaVariety."""
    return tfds.features.FeaturesDict({"keypoints": _array(frames, NUM_JOINTS, 3), **_ORIGIN})


def lifting(frames: int, **extra) -> tfds.features.FeaturesDict:
    """Pairs of detected 2D and true 3D, both normalised by the image: Human3.6M and alike.

    extra: what the corpus' own protocol needs besides (camera, action, factors to mm ...).
    """
    return tfds.features.FeaturesDict(
        {
            "keypoints": _array(frames, NUM_JOINTS, 3),
            "pose": _array(frames, NUM_JOINTS, 3),
            "frames": _rows(frames),
            **_ORIGIN,
            **extra,
        }
    )


def action() -> tfds.features.FeaturesDict:
    """Labelled recordings of up to two persons: keypoints (M, T, 17, 3), label."""
    return tfds.features.FeaturesDict(
        {
            "keypoints": _array(None, None, NUM_JOINTS, 3),
            "label": np.int64,
            "width": np.int64,
            "height": np.int64,
            **_ORIGIN,
        }
    )


def named_action() -> tfds.features.FeaturesDict:
    """The same with the class by its name, and whose recording it is ('' where not known)."""
    return tfds.features.FeaturesDict(
        {
            "keypoints": _array(None, None, NUM_JOINTS, 3),
            "class_name": tfds.features.Text(),
            "subject": tfds.features.Text(),
            "width": np.int64,
            "height": np.int64,
            **_ORIGIN,
        }
    )


def mesh(frames: int, initial: bool = False) -> tfds.features.FeaturesDict:
    """2D with SMPL: theta = 72 axis-angles (radians) and 10 shape coefficients.

    initial: also an image method's prediction, for the refiner. frames: rows of the split in the
    raw file, so that one that stands in several clips can be counted once.
    """
    theta = {"theta": _array(frames, 82)}
    if initial:
        theta["initial_theta"] = _array(frames, 82)
    return tfds.features.FeaturesDict(
        {
            "keypoints": _array(frames, NUM_JOINTS, 3),
            **theta,
            "frames": _rows(frames),
            **_ORIGIN,
        }
    )
