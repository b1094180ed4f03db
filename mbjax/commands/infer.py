"""The subcommand infer: arguments, what is written and what is printed."""

import dataclasses
import sys

from mbjax.commands.detect import detector_argument, keypoints_of
from mbjax.commands.output import json_argument, one_object, wrote
from mbjax.commands.parser import positive, positive_int

_EPILOG = """\
files of keypoints, told by their content: AlphaPose, OpenPose (a folder), MMPose, MediaPipe,
rtmlib, Detectron2, VideoPose3D, COCO results (JSON or .npz), and .npy, .npz of (frames, K, 3)
layouts: h36m17, coco17, coco23, halpe26, coco18, body25, posetrack17, mediapipe33
written into --out: X3D.npy as the release has it; motion.bvh, .glb and .trc for Blender, Unity,
OpenSim; motion.csv, motion.npz and motion_angles.csv; motion.html and motion.mp4 to look at

examples:
  mbjax infer --checkpoint tiny --video dance.mp4 --height 1.75
  mbjax infer --checkpoint tiny --keypoints alphapose-results.json --video dance.mp4
  mbjax infer --checkpoint best_epoch.bin --keypoints openpose/ --height 1.75 --out take1
"""
# Focal length of --depth-from-size over the image's longer side: about 45 degrees across.
_USUAL_LENS = 1.2


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command(
        "infer", _infer, "3D motion from a video, or from a detector's 2D keypoints", epilog=_EPILOG
    )
    sub.add_argument("--checkpoint", required=True, help="a work folder, a weight file, or 'tiny'")
    sub.add_argument(
        "--keypoints", metavar="FILE",
        help="results of a detector: file or folder; without, persons are detected in --video",
    )  # fmt: skip
    detector_argument(sub)
    sub.add_argument("--layout", help="of the keypoints, if the file does not state it: see below")
    sub.add_argument("--person", type=int, metavar="ID", help="only this one (all)")
    sub.add_argument(
        "--fps", type=positive, help="of the video; used if the file does not state it"
    )
    sub.add_argument(
        "--height", type=positive, metavar="M", help="of the person: results in metres"
    )
    sub.add_argument(
        "--intrinsics", type=float, nargs=4, metavar=("FX", "FY", "CX", "CY"),
        help="of the camera, in pixels: results in metres, where the camera sees them; with "
        "--height, or for a person of 1.70 m",
    )  # fmt: skip
    sub.add_argument(
        "--focal", type=positive, metavar="PX",
        help="the same where only the focal length is known, of the image of --image-size",
    )  # fmt: skip
    sub.add_argument(
        "--depth-from-size", action="store_true",
        help="as --focal, for a lens of 1.2 times the image's longer side: how far people go "
        "towards the camera and away from it, by how large they are",
    )  # fmt: skip
    sub.add_argument("--out", default="motion", metavar="DIR", help="folder (%(default)s)")
    sub.add_argument(
        "--rig", default="plain", metavar="NAME",
        help="whose names the bones of BVH and GLB have: plain, mixamo, cmu, blender, vrm "
        "(%(default)s)",
    )  # fmt: skip
    sub.add_argument(
        "--smooth", type=positive, metavar="HZ",
        help="low-pass of BVH, TRC, GLB, CSV and angles, without delay (off; 6 is usual for gait)",
    )  # fmt: skip
    sub.add_argument(
        "--no-foot-lock", action="store_true", help="let planted feet slide as they were lifted"
    )
    sub.add_argument(
        "--pixel", type=positive, nargs=2, metavar=("W", "H"),
        help="normalise by the image's size, and give pixels back",
    )  # fmt: skip
    sub.add_argument(
        "--image-size", type=positive, nargs=2, metavar=("W", "H"),
        help="of the video that was detected on; MediaPipe's coordinates and --focal need it",
    )  # fmt: skip
    sub.add_argument(
        "--frame-step", type=positive_int, metavar="N",
        help="show the model every N-th frame, for one trained at a lower rate (by the rate that "
        "the checkpoint records, else 1)",
    )  # fmt: skip
    sub.add_argument(
        "--window",
        type=positive_int,
        metavar="N",
        help="frames seen at once (as trained, where the checkpoint records it, else all it can)",
    )
    sub.add_argument(
        "--reference-compat",
        action="store_true",
        help="windows, gaps and root as the release's script has them, for exact comparison",
    )
    sub.add_argument(
        "--keep-proportions",
        action="store_true",
        help="lift people of another build than those the checkpoint learnt from as they are",
    )
    sub.add_argument(
        "--body", default="", metavar="SMPL",
        help="SMPL's folder, or 'synthetic': of a mesh net ($MBJAX_SMPL), or fitted to the lifted "
        "joints, as smpl.npz in AMASS's layout and body.glb",
    )  # fmt: skip
    sub.add_argument("--obj", action="store_true", help="of a body: also an OBJ of every frame")
    sub.add_argument(
        "--num-heads", type=positive_int, help="of the checkpoint, if it does not state it (8)"
    )
    sub.add_argument(
        "--video", metavar="FILE", help="to detect in, or that was detected on: for the picture too"
    )
    sub.add_argument(
        "--picture", choices=("mp4", "gif", "png", "none"), default=None,
        help="beside the data (mp4, needs pip install 'mbjax[video]'); with any but none also "
        "motion.html",
    )  # fmt: skip
    sub.add_argument(
        "--video-in-page", action="store_true",
        help="motion.html shows the video under the keypoints (some 8 MB a minute)",
    )  # fmt: skip
    json_argument(sub)


@dataclasses.dataclass
class _Pictures:
    """What is to be drawn. in_page: the video on motion.html too. problem: why not all of it can
    be, in one line, reported at the end.

    failed: whether that is the user's to put right: then the exit status says so.
    """

    kind: str
    video: object = None
    in_page: bool = False
    problem: str | None = None
    failed: bool = False


def _infer(args):
    from mbjax.atomic_files import output_folder

    with output_folder(args.out), one_object(args) as found:
        status = _infer_into_folder(args, found)
        found["written"] = sorted(found["written"])
        return status


def _infer_into_folder(args, found):
    from mbjax.body import smpl
    from mbjax.commands import infer_body, infer_mesh
    from mbjax.convert import load as loading
    from mbjax.lifting import lift as infer
    from mbjax.models.mesh import MeshNet, RefineNet
    from mbjax.motion import files as motion_files
    from mbjax.motion import world

    _check_choices(args)
    # Mistakes in the keypoints are told before the model is loaded.
    pictures = _open_video(args)
    size = args.image_size or args.pixel
    if size is None and pictures.video:
        size = pictures.video.size
    keypoints = _keypoints(args, size, found)
    intrinsics = _intrinsics(args, size)
    _fit_video(pictures, keypoints)
    fps = args.fps or keypoints.fps or (pictures.video.fps if pictures.video else None)
    kinds = ("dstformer", "mesh", "mesh_refine")
    model = loading.load(args.checkpoint, args.num_heads, kinds=kinds)
    if isinstance(model, MeshNet | RefineNet):
        return infer_mesh.run(args, keypoints, fps, model, found)
    if args.obj and not args.body:
        raise ValueError("--obj needs a body: --body SMPL, or --body synthetic")
    body = smpl.load(args.body) if args.body else None
    motion = infer.lift(
        model, keypoints, person=args.person, fps=fps, height=args.height, pixel=args.pixel,
        intrinsics=intrinsics, image_size=args.image_size, frame_step=args.frame_step,
        window=args.window, reference_compat=args.reference_compat,
        keep_proportions=args.keep_proportions,
    )  # fmt: skip
    in_world = world.of_motion(motion, args.smooth, not args.no_foot_lock)
    infer_body.check_obj(args.obj, in_world.persons)
    frames = 1 + max(int(one.frames_T[-1]) for one in motion)
    frames = max(frames, (pictures.video.frames or 0) if pictures.video else 0)
    paths = motion_files.write_all(
        motion, args.out, rig_names=args.rig, in_world=in_world, frames=frames
    )
    _describe(motion, in_world, frames, found)
    # The files are there before anything is drawn, and stay if drawing fails.
    for path in paths:
        wrote(path, found)
    folder = paths[0].parent
    if pictures.kind != "none":
        _draw_angles(in_world, motion, folder, found)
        _draw(pictures, motion, folder, found, asked=args.picture is not None)
    if body:
        infer_body.run(body, in_world, frames, folder, args.obj, found)
    if pictures.problem:
        word = "error" if pictures.failed else "note"
        print(f"mbjax infer: {word}: {pictures.problem}; all else is written", file=sys.stderr)
    return int(pictures.failed)


def _check_choices(args):
    from mbjax.motion.rig import RIGS

    if args.keypoints is None and args.video is None:
        raise ValueError("give --video FILE to detect in, or --keypoints FILE of another detector")
    if args.rig not in RIGS:
        raise ValueError(f"--rig {args.rig}: known are {', '.join(RIGS)}")


def _keypoints(args, size, found):
    """Of the file, or detected in the video."""
    from mbjax.keypoints import read as keypoint_files

    if args.keypoints is None:
        return keypoints_of(args.video, args.detector, args.out, found)
    return keypoint_files.read(args.keypoints, args.layout, size)


def _describe(motion, in_world, frames, found):
    """Prints what was lifted, and puts it into `found` for --json."""
    from mbjax.motion.files import DEFAULT_FPS

    notes = list(dict.fromkeys((*motion.notes, *in_world.notes)))
    found.update(
        source=motion.source, layout=motion.layout, unit=motion.unit, fps=motion.fps,
        persons=[
            {
                "person": one.person, "frames": len(one.frames_T), "first": int(one.frames_T[0]),
                "last": int(one.frames_T[-1]), "interpolated": int(one.interpolated_T.sum()),
            }
            for one in motion
        ],
        notes=notes,
    )  # fmt: skip
    root = "root at the origin" if motion.root_relative else "root moving"
    root = "before the camera" if motion.placed else root
    print(f"{motion.source}: {motion.layout}, {len(motion)} person(s), unit {motion.unit}, {root}")
    for one in motion:
        first, last = one.frames_T[0], one.frames_T[-1]
        filled = f", {one.interpolated_T.sum()} interpolated" if one.interpolated_T.any() else ""
        print(f"  person {one.person}: {len(one.frames_T)} frames, {first} to {last}{filled}")
    if motion.fps is None:
        print(
            f"  frame rate not known: {DEFAULT_FPS:g} in TRC, BVH, GLB and pictures, "
            "no times elsewhere; --fps says it"
        )
    for note in notes:
        print(f"  {note}")
    for one, placed in zip(motion, in_world.persons, strict=True):
        _print_skeleton(one, placed, frames)


def _open_video(args):
    """Opens --video at once; what is wrong with it is said when the motion has been written."""
    pictures = _Pictures(args.picture or "mp4")
    if args.video_in_page and (args.video is None or pictures.kind == "none"):
        raise ValueError("--video-in-page needs --video FILE, and a --picture other than none")
    pictures.in_page = args.video_in_page
    if args.video is None:
        return pictures
    if pictures.kind != "mp4" and args.keypoints is not None:
        raise ValueError(f"--video goes into an MP4; it does not go with --picture {pictures.kind}")
    from mbjax.detect import frames

    try:
        pictures.video = frames.probe(args.video)
    except (ImportError, OSError, ValueError) as error:
        if args.keypoints is None:
            raise
        pictures.problem, pictures.failed = str(error), True
    return pictures


def _fit_video(pictures, keypoints):
    """Keypoints that lie outside the video's pictures are of another one: it is not drawn."""
    from mbjax.lifting.prepare import share_outside

    if pictures.video is None:
        return
    share = max(
        share_outside(track.keypoints_NxKx3, pictures.video.size) for track in keypoints.tracks
    )
    if share > 0.5:
        width, height = pictures.video.size
        pictures.problem = (
            f"{pictures.video.path} is {width} x {height}, and {share:.0%} of somebody's keypoints "
            "are outside it; is it the video that was detected on? Drawn without it"
        )
        pictures.video, pictures.failed = None, True


def _draw_angles(in_world, motion, folder, found):
    from mbjax.motion import earlier_run
    from mbjax.pictures import angle_curves

    path = folder / "motion_angles.png"
    angle_curves.draw(in_world, path, motion.fps)
    earlier_run.also(folder, path.name)
    wrote(path, found)


def _draw(pictures, motion, folder, found, asked):
    from mbjax.motion import earlier_run
    from mbjax.pictures import of_motion

    page = of_motion.page(motion, folder, pictures.video, pictures.in_page)
    earlier_run.also(folder, page.name)
    wrote(page, found)
    try:
        path, missing = of_motion.draw(motion, folder, pictures.kind, pictures.video)
    except ImportError as error:
        if pictures.problem is None:
            pictures.problem, pictures.failed = f"motion.mp4 is not drawn: {error}", asked
        return
    earlier_run.also(folder, path.name)
    wrote(path, found)
    if missing:
        print(f"  the video ends before the keypoints: {missing} frames drawn without it")


def _print_skeleton(one, placed, frames):
    """What became of a person's limbs, and of the frames before they came and after they went."""
    from mbjax.motion import files as motion_files
    from mbjax.motion import one_skeleton

    left, right = one_skeleton.leg_lengths(placed.joints_TxJx3)
    both = sum(one_skeleton.leg_lengths(placed.body_TxJx3)) / 2
    off = 1000 * motion_files.rig_errors(placed).mean()
    print(
        f"  person {one.person}: left leg {left:.2f} m, right {right:.2f} m as lifted; BVH, TRC "
        f"and GLB have {both:.2f} m for both, joints {off:.0f} mm off on average"
    )
    first, last = placed.frames_T[0], placed.frames_T[-1]
    if first > 0 or last < frames - 1:
        print(
            f"  person {one.person}: not there in all of frames 0 to {frames - 1}; BVH and GLB "
            f"hold the first and last pose there, the other files begin at frame {first}"
        )


def _intrinsics(args, size):
    if args.focal is None and not args.depth_from_size:
        return args.intrinsics
    name = "--focal" if args.focal else "--depth-from-size"
    if args.intrinsics or (args.focal and args.depth_from_size) or not size:
        raise ValueError(
            f"{name} is instead of --intrinsics, and needs the image's size: --image-size W H, or "
            "a --video"
        )
    focal = args.focal or _USUAL_LENS * max(size)
    return (focal, focal, size[0] / 2, size[1] / 2)
