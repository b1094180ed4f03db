"""`mbjax compare`: how far one 3D motion is from another of the same frames.

Shapes in names: T frames, J joints.
"""

import json
import pathlib

import numpy as np

from mbjax.atomic_files import written_beside
from mbjax.motion.motion import stature
from mbjax.pose import metrics
from mbjax.pose.skeleton import NUM_JOINTS, limb_lengths, root_relative


def compare(motion_TxJx3: np.ndarray, reference_TxJx3: np.ndarray, height: float) -> dict:
    """{name: (T,) mm}: errors after alignment, after scaling, and of flat_mm, see below.

    Any units: the reference is brought to a person of `height` metres, the motion to the
    reference's mean bone length. flat_mm: P-MPJPE of the reference's own x, y with depth 0, what
    knowing nothing of depth comes to. ValueError where the shapes differ.
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
        array = np.load(path)
    except (ValueError, EOFError, OSError):
        raise ValueError(f"{path} is no .npy file of numbers") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise ValueError(f"{path} is no .npy file of one array of floats")
    if not np.isfinite(array).all():
        raise ValueError(f"{path} holds NaN or infinity")
    return array


def add(command) -> None:
    """Its arguments; `command` is cli.py's."""
    sub = command("compare", _main, "how far one 3D motion is from another of the same frames")
    sub.add_argument("motion", help="X3D.npy as 'mbjax infer' writes it: (frames, 17, 3)")
    sub.add_argument("reference", help="the same of another model, or the truth")
    sub.add_argument(
        "--height", type=float, default=1.75, metavar="M",
        help="of the person, which errors in mm are for (%(default)s)",
    )  # fmt: skip
    sub.add_argument("--out", default="", metavar="FILE.npz", help="errors of every frame")
    sub.add_argument("--json", action="store_true", help="print one JSON object")


def _main(args):
    if args.height <= 0:
        raise ValueError(f"--height is {args.height:g}; it must be more than 0 metres")
    found = compare(read_motion(args.motion), read_motion(args.reference), args.height)
    if args.out:
        with written_beside(args.out) as beside:
            np.savez(beside, **found)
    means = {name: float(errors.mean()) for name, errors in found.items()}
    if args.json:
        print(json.dumps({"frames": len(found["p_mpjpe_mm"]), **means}))
        return
    print(f"{len(found['p_mpjpe_mm'])} frames, a person of {args.height:g} m, bone lengths alike")
    print(f"P-MPJPE  {means['p_mpjpe_mm']:6.1f} mm  after alignment of every frame")
    print(f"MPJPE    {means['mpjpe_mm']:6.1f} mm  relative to the root")
    print(f"flat     {means['flat_mm']:6.1f} mm  the reference's x, y with depth 0, aligned")
