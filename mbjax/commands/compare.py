"""The subcommand compare: how far one 3D motion is from another of the same frames."""

import json
import math

from mbjax.commands.output import json_argument
from mbjax.commands.parser import positive


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command("compare", _compare, "how far one 3D motion is from another of the same frames")
    sub.add_argument(
        "motion",
        help="X3D.npy of 'mbjax infer': (frames, 17, 3); beside EMDB and 3DPW its smpl.npz too",
    )  # fmt: skip
    sub.add_argument(
        "reference",
        help="the same of another model, or the truth; or a *_data.pkl of EMDB, a sequence of 3DPW",
    )
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
    sub.add_argument(
        "--reference-person",
        type=int,
        metavar="N",
        help="the same of the reference; of 3DPW's from 0",
    )
    sub.add_argument(
        "--body", default="", metavar="FOLDER",
        help="of SMPL's bodies, all sexes, for EMDB and 3DPW; default: $MBJAX_SMPL",
    )  # fmt: skip
    sub.add_argument("--out", default="", metavar="FILE.npz", help="errors of every frame")
    json_argument(sub)


def _compare(args):
    import numpy as np

    from mbjax.atomic_files import check_file, written_beside
    from mbjax.motion import compare, recorded_bodies, recordings

    if args.out:
        check_file(args.out)
    recording = None
    if recordings.is_recording(args.reference):
        recording = recordings.read(args.reference, args.reference_person)
        found, bodies = recorded_bodies.compare(
            args.motion, recording, args.body, args.world, args.person
        )
    elif args.world:
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
    frames = int(recording.good_N.sum()) if recording else len(motion)
    means = {n: float(errors.mean()) if errors.size else math.nan for n, errors in found.items()}
    if args.json:
        # JSON has no NaN, which RTE is where the root goes nowhere.
        known = {name: mean if math.isfinite(mean) else None for name, mean in means.items()}
        print(json.dumps({"frames": frames, **known}))
    elif recording:
        _say_recording(recording, args.world, means, bodies)
    elif args.world:
        print(f"{frames} frames at {args.fps:g} a second, segments of 100 frames aligned")
        _say_world(means)
    else:
        print(f"{frames} frames, a person of {args.height:g} m, bone lengths alike")
        print(f"P-MPJPE  {means['p_mpjpe_mm']:6.1f} mm  after alignment of every frame")
        print(f"MPJPE    {means['mpjpe_mm']:6.1f} mm  relative to the root")
        print(f"flat     {means['flat_mm']:6.1f} mm  the reference's x, y with depth 0, aligned")


def _say_world(means):
    print(f"W-MPJPE  {means['w_mpjpe_mm']:7.1f} mm       by each segment's first two frames")
    print(f"WA-MPJPE {means['wa_mpjpe_mm']:7.1f} mm       by all of it")
    if math.isnan(means["rte_percent"]):
        print("RTE            -          the reference's root goes nowhere")
    else:
        print(f"RTE      {means['rte_percent']:7.1f} %        of the way that the root goes")
    beside = means.get("reference_jitter_10m_s3")
    print(f"jitter   {means['jitter_10m_s3']:7.1f} 10 m/s^3" + (
        "" if beside is None else f" (reference {beside:.1f})"
    ))  # fmt: skip


def _say_recording(recording, world, means, bodies):
    part, other = ("EMDB 2", "EMDB 1") if world else ("EMDB 1", "EMDB 2")
    joints = "SMPL's 24 joints" if bodies else "17 joints of Human3.6M; papers measure SMPL's 24"
    if recording.dataset == "3DPW":
        part, joints = "3DPW", "14 joints" + ("" if bodies else ", of joints alone")
    print(f"{part}, {recording.name}: {recording.good_N.sum():,} of {len(recording.good_N):,} "
          f"frames count; {joints}")  # fmt: skip
    if recording.dataset == "EMDB" and not recording.parts[world]:
        print(f"  this recording is not one of {part}" + (
            f", but of {other}" if recording.parts[not world] else ""
        ))  # fmt: skip
    if world:
        _say_world(means)
        slid = means.get("foot_sliding_mm")
        if slid is not None and math.isnan(slid):
            print("sliding        -          the reference's feet never stand")
        elif slid is not None:
            print(f"sliding  {slid:7.1f} mm       a frame, of feet that stand")
        return
    print(f"PA-MPJPE {means['p_mpjpe_mm']:7.1f} mm       after alignment of every frame")
    print(f"MPJPE    {means['mpjpe_mm']:7.1f} mm       relative to the hips"
          + ("" if bodies else ", bone lengths alike"))  # fmt: skip
    if bodies:
        print(f"PVE      {means['pve_mm']:7.1f} mm       of the vertices")
    print(f"Accel    {means['acceleration_m_s2']:7.1f} m/s^2")
