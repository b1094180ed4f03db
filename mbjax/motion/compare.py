"""How far one 3D motion is from another of the same frames (`mbjax compare`).

Shapes in names: T frames, J joints.
"""

import pathlib

import numpy as np

from mbjax.motion.motion import stature
from mbjax.pose import metrics, world_metrics
from mbjax.pose.skeleton import NUM_JOINTS, limb_lengths, root_relative
from mbjax.safe_files import numpy_files


def compare(motion_TxJx3: np.ndarray, reference_TxJx3: np.ndarray, height: float) -> dict:
    """{name: (T,) mm}: errors after alignment, after scaling, and of flat_mm, see below.

    Any units: the reference is brought to a person of `height` metres, the motion to the
    reference's mean bone length. flat_mm: P-MPJPE of the reference's own x, y with depth 0, the
    error of a flat prediction. ValueError where the shapes differ.
    """
    _check(motion_TxJx3, reference_TxJx3)
    reference = root_relative(np.asarray(reference_TxJx3, np.float64))
    motion = root_relative(np.asarray(motion_TxJx3, np.float64))
    for name, pose_TxJx3 in (("motion", motion), ("reference", reference)):
        if not limb_lengths(pose_TxJx3).mean() > 0:
            raise ValueError(
                f"the {name} has no bone with a length: all its joints are in one place"
            )
    reference = reference * (1000 * height / stature(reference))
    motion = motion * (limb_lengths(reference).mean() / limb_lengths(motion).mean())
    return {
        "p_mpjpe_mm": metrics.p_mpjpe(motion, reference),
        "mpjpe_mm": metrics.mpjpe(motion, reference),
        "flat_mm": metrics.p_mpjpe(reference * [1, 1, 0], reference),
    }


def compare_in_world(motion_TxJx3, reference_TxJx3, fps: float) -> dict:
    """{name: array}: world_metrics of two motions in metres. ValueError as `compare`."""
    _check(motion_TxJx3, reference_TxJx3)
    if len(motion_TxJx3) < 4:
        raise ValueError(f"{len(motion_TxJx3)} frames: jitter needs at least 4")
    return {
        **world_metrics.errors(motion_TxJx3, reference_TxJx3, fps),
        "reference_jitter_10m_s3": world_metrics.jitter(reference_TxJx3, fps),
    }


def _check(motion_TxJx3, reference_TxJx3):
    for name, array in (("motion", motion_TxJx3), ("reference", reference_TxJx3)):
        if array.ndim != 3 or array.shape[1:] != (NUM_JOINTS, 3):
            raise ValueError(f"the {name} has shape {array.shape}; (frames, 17, 3) was wanted")
    if not len(motion_TxJx3):
        raise ValueError("the motion has no frame")
    if len(motion_TxJx3) != len(reference_TxJx3):
        raise ValueError(
            f"the motion has {len(motion_TxJx3)} frames, the reference {len(reference_TxJx3)}"
        )


def read_world(path, person: int | None = None, option: str = "--person") -> np.ndarray:
    """(T, 17, 3) metres: `world_joints` of a motion.npz of 'mbjax infer', or an .npy file of them.

    person: whose, as the file numbers them; None where it holds one. option: that sets it.
    """
    path = _file(path)
    if path.suffix != ".npz":
        return read_motion(path)
    try:
        found = numpy_files.read_npz(path, ("world_joints", "world_person"))
        joints, persons = found["world_joints"], found["world_person"]
    except (ValueError, OSError, KeyError):
        raise ValueError(f"{path} is not a motion.npz of 'mbjax infer'") from None
    known = np.unique(persons).tolist()
    if person is None and len(known) == 1:
        person = known[0]
    if person not in known:
        raise ValueError(f"{path} holds persons {', '.join(map(str, known))}; {option} says which")
    return joints[persons == person]


def _file(path):
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    return path


def read_motion(path) -> np.ndarray:
    """(T, 17, 3) of an .npy file such as X3D.npy; ValueError or FileNotFoundError in one line."""
    path = _file(path)
    try:
        array = numpy_files.read_npy(path)
    except (ValueError, OSError):
        raise ValueError(f"{path} is not an .npy file of numbers") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise ValueError(f"{path} is not an .npy file of one array of floats")
    if not np.isfinite(array).all():
        raise ValueError(f"{path} holds NaN or infinity")
    return array
