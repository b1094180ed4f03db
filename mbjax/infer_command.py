"""The subcommand infer: its arguments, what it writes and what it prints."""

import sys


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command("infer", _infer, "3D motion from the 2D keypoints of a detector")
    sub.add_argument("--checkpoint", required=True, help="a work folder, a weight file, or 'tiny'")
    sub.add_argument(
        "--keypoints", required=True, metavar="FILE", help="results of a detector: file or folder"
    )
    sub.add_argument("--layout", help="of the keypoints, where the file does not say: coco17, ...")
    sub.add_argument("--person", type=int, metavar="ID", help="only this one (all)")
    sub.add_argument("--fps", type=float, help="of the video, where the file does not say")
    sub.add_argument("--height", type=float, metavar="M", help="of the person: results in metres")
    sub.add_argument(
        "--intrinsics", type=float, nargs=4, metavar=("FX", "FY", "CX", "CY"),
        help="of the camera, in pixels: results in metres, where the camera sees them; with "
        "--height, or for a person of 1.70 m",
    )  # fmt: skip
    sub.add_argument(
        "--focal", type=float, metavar="PX",
        help="the same where only the focal length is known, of the image of --image-size",
    )  # fmt: skip
    sub.add_argument("--out", default="motion", metavar="DIR", help="folder (%(default)s)")
    sub.add_argument(
        "--pixel", type=float, nargs=2, metavar=("W", "H"),
        help="normalise by the image's size, and give pixels back",
    )  # fmt: skip
    sub.add_argument(
        "--image-size", type=float, nargs=2, metavar=("W", "H"),
        help="of the video that was detected on; MediaPipe's coordinates and --focal need it",
    )  # fmt: skip
    sub.add_argument(
        "--frame-step", type=int, default=1, metavar="N",
        help="show the model every N-th frame, for one trained at a lower rate (%(default)s)",
    )  # fmt: skip
    sub.add_argument("--window", type=int, metavar="N", help="frames seen at once (all it can)")
    sub.add_argument(
        "--reference-compat",
        action="store_true",
        help="windows, gaps and root as the release's script has them, for exact comparison",
    )
    sub.add_argument("--num-heads", type=int, help="of the checkpoint, where it does not say (8)")
    sub.add_argument(
        "--picture", choices=("gif", "png", "none"), default="gif",
        help="of the person seen longest (%(default)s)",
    )  # fmt: skip


def _infer(args):
    from mbjax import infer, keypoint_files, loading, motion_files

    # Mistakes in the keypoints are told before the model is loaded.
    size = args.image_size or args.pixel
    keypoints = keypoint_files.read(args.keypoints, args.layout, size)
    model = loading.load(args.checkpoint, args.num_heads)
    motion = infer.lift(
        model, keypoints, person=args.person, fps=args.fps, height=args.height, pixel=args.pixel,
        intrinsics=_intrinsics(args), image_size=args.image_size, frame_step=args.frame_step,
        window=args.window, reference_compat=args.reference_compat,
    )  # fmt: skip
    paths = motion_files.write_all(motion, args.out)
    root = "root at the origin" if motion.root_relative else "root moving"
    print(f"{motion.source}: {motion.layout}, {len(motion)} person(s), unit {motion.unit}, {root}")
    for one in motion:
        first, last = one.frames_T[0], one.frames_T[-1]
        filled = f", {one.interpolated_T.sum()} interpolated" if one.interpolated_T.any() else ""
        print(f"  person {one.person}: {len(one.frames_T)} frames, {first} to {last}{filled}")
    if motion.fps is None:
        print(
            f"  frame rate not known: {motion_files.DEFAULT_FPS:g} in TRC, BVH and pictures, no "
            "times elsewhere; --fps says it"
        )
    for note in motion.notes:
        print(f"  {note}")
    print(f"  motion.bvh has bones that do not stretch; its joints are {_bvh_error(motion)} off")
    # The files are there before anything is drawn, and stay if drawing fails.
    for path in paths:
        print(f"wrote {path}")
    if args.picture != "none":
        sys.stdout.flush()
        print(f"wrote {_draw(motion, paths[0].parent, args.picture)}")


def _bvh_error(motion):
    import numpy as np

    from mbjax import bvh_writer
    from mbjax.motion_files import y_up

    errors = [bvh_writer.joint_errors(y_up(one.pose_TxJx3)).ravel() for one in motion]
    mean = np.concatenate(errors).mean()
    return f"{1000 * mean:.1f} mm" if motion.unit == "m" else f"{mean:.3g} ({motion.unit})"


def _intrinsics(args):
    if args.focal is None:
        return args.intrinsics
    if args.intrinsics or not args.image_size:
        raise ValueError("--focal needs --image-size W H, and is instead of --intrinsics")
    return (args.focal, args.focal, args.image_size[0] / 2, args.image_size[1] / 2)


def _draw(motion, folder, kind):
    import numpy as np

    from mbjax import draw, motion_files
    from mbjax.skeleton import root_relative

    one = max(motion, key=lambda one: len(one.frames_T))
    xy = (one.keypoints_TxJx3[..., :2] - one.centre_2) * one.units_per_pixel
    seen_TxJx3 = np.concatenate([xy, one.confidence_TxJ[..., None]], axis=-1)
    pose_TxJx3 = root_relative(one.pose_TxJx3)
    caption = f"person {one.person}, frames {one.frames_T[0]} to {one.frames_T[-1]}"
    if kind == "png" or len(pose_TxJx3) == 1:
        draw.poses(seen_TxJx3, pose_TxJx3, None, folder / "motion.png", title=caption)
        return folder / "motion.png"
    # A GIF of a minute is large and slow to make: 15 pictures a second, 150 in all.
    fps = motion.fps or motion_files.DEFAULT_FPS
    step = max(1, round(fps / 15), -(-len(pose_TxJx3) // 150))
    every = slice(None, None, step)
    draw.animate(
        seen_TxJx3[every], pose_TxJx3[every], None, folder / "motion.gif", fps / step, caption
    )
    return folder / "motion.gif"
