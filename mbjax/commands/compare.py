"""The subcommand compare: how far one 3D motion is from another of the same frames."""

import json
import math

from mbjax.commands.output import json_argument
from mbjax.commands.parser import positive


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command("compare", _compare, "how far one 3D motion is from another of the same frames")
    sub.add_argument("motion", help="X3D.npy as 'mbjax infer' writes it: (frames, 17, 3)")
    sub.add_argument("reference", help="the same of another model, or the truth")
    sub.add_argument(
        "--height", type=positive, default=1.75, metavar="M",
        help="of the person, which errors in mm are for (%(default)s)",
    )  # fmt: skip
    sub.add_argument(
        "--world", action="store_true",
        help="motions in metres with the root's path, motion.npz of 'mbjax infer' or .npy: "
        "W-MPJPE, WA-MPJPE, RTE and jitter, as EMDB 2 is measured",
    )  # fmt: skip
    sub.add_argument("--fps", type=positive, default=30.0, help="of both, for jitter (%(default)s)")
    sub.add_argument("--person", type=int, metavar="N", help="of a motion.npz that holds several")
    sub.add_argument("--reference-person", type=int, metavar="N", help="the same of the reference")
    sub.add_argument("--out", default="", metavar="FILE.npz", help="errors of every frame")
    json_argument(sub)


def _compare(args):
    import numpy as np

    from mbjax.atomic_files import check_file, written_beside
    from mbjax.motion import compare

    if args.out:
        check_file(args.out)
    if args.world:
        motion = compare.read_world(args.motion, args.person)
        reference = compare.read_world(args.reference, args.reference_person, "--reference-person")
        found = compare.compare_in_world(motion, reference, args.fps)
    else:
        motion, reference = compare.read_motion(args.motion), compare.read_motion(args.reference)
        found = compare.compare(motion, reference, args.height)
    if args.out:
        # A file, not its name: numpy adds .npz to others.
        with written_beside(args.out) as beside, open(beside, "wb") as file:
            np.savez(file, **found)
    means = {name: float(errors.mean()) for name, errors in found.items()}
    if args.json:
        # JSON has no NaN, which RTE is where the root goes nowhere.
        known = {name: mean if math.isfinite(mean) else None for name, mean in means.items()}
        print(json.dumps({"frames": len(motion), **known}))
        return
    if args.world:
        print(f"{len(motion)} frames at {args.fps:g} a second, segments of 100 frames aligned")
        print(f"W-MPJPE  {means['w_mpjpe_mm']:7.1f} mm       by each segment's first two frames")
        print(f"WA-MPJPE {means['wa_mpjpe_mm']:7.1f} mm       by all of it")
        if math.isnan(means["rte_percent"]):
            print("RTE            -          the reference's root goes nowhere")
        else:
            print(f"RTE      {means['rte_percent']:7.1f} %        of the way that the root goes")
        print(f"jitter   {means['jitter_10m_s3']:7.1f} 10 m/s^3 "
              f"(reference {means['reference_jitter_10m_s3']:.1f})")  # fmt: skip
        return
    print(f"{len(motion)} frames, a person of {args.height:g} m, bone lengths alike")
    print(f"P-MPJPE  {means['p_mpjpe_mm']:6.1f} mm  after alignment of every frame")
    print(f"MPJPE    {means['mpjpe_mm']:6.1f} mm  relative to the root")
    print(f"flat     {means['flat_mm']:6.1f} mm  the reference's x, y with depth 0, aligned")
