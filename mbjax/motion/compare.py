"""How far one 3D motion is from another of the same frames (`mbjax compare`).

Shapes in names: T frames, J joints.
"""

import pathlib

import numpy as np

from mbjax.motion.motion import stature
from mbjax.pose import metrics
from mbjax.pose.skeleton import NUM_JOINTS, limb_lengths, root_relative
from mbjax.safe_files import numpy_files


def compare(motion_TxJx3: np.ndarray, reference_TxJx3: np.ndarray, height: float) -> dict:
    """{name: (T,) mm}: errors after alignment, after scaling, and of flat_mm, see below.

    Any units: the reference is brought to a person of `height` metres, the motion to the
    reference's mean bone length. flat_mm: P-MPJPE of the reference's own x, y with depth 0, the
    error of a flat prediction. ValueError where the shapes differ.
    """
    for name, array in (("motion", motion_TxJx3), ("reference", reference_TxJx3)):
        if array.ndim != 3 or array.shape[1:] != (NUM_JOINTS, 3):
            raise ValueError(f"the {name} has shape {array.shape}; (frames, 17, 3) was wanted")
    if len(motion_TxJx3) != len(reference_TxJx3):
        raise ValueError(
            f"the motion has {len(motion_TxJx3)} frames, the reference {len(reference_TxJx3)}"
        )
    reference = root_relative(np.asarray(reference_TxJx3, np.float64))
    motion = root_relative(np.asarray(motion_TxJx3, np.float64))
    reference = reference * (1000 * height / stature(reference))
    motion = motion * (limb_lengths(reference).mean() / limb_lengths(motion).mean())
    return {
        "p_mpjpe_mm": metrics.p_mpjpe(motion, reference),
        "mpjpe_mm": metrics.mpjpe(motion, reference),
        "flat_mm": metrics.p_mpjpe(reference * [1, 1, 0], reference),
    }


def read_motion(path) -> np.ndarray:
    """(T, 17, 3) of an .npy file such as X3D.npy; ValueError or FileNotFoundError in one line."""
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        array = numpy_files.read_npy(path)
    except (ValueError, OSError):
        raise ValueError(f"{path} is not an .npy file of numbers") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise ValueError(f"{path} is not an .npy file of one array of floats")
    if not np.isfinite(array).all():
        raise ValueError(f"{path} holds NaN or infinity")
    return array
