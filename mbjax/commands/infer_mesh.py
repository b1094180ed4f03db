"""What `mbjax infer` does with a mesh net: bodies of all persons, their files and pictures."""

import pathlib
import sys

import numpy as np

from mbjax.body import smpl
from mbjax.commands import infer_body
from mbjax.commands.output import wrote
from mbjax.lifting import mesh as body_motion
from mbjax.lifting.prepare import clips_of
from mbjax.motion.files import DEFAULT_FPS
from mbjax.pictures import bodies as draw_mesh


def run(args, keypoints, fps, model, found: dict) -> int:
    """args: of `mbjax infer`. Writes smpl.npz, body.glb and a picture per person into args.out.

    found: gets what --json prints. ValueError for options that only a lifting net has.
    """
    for name in (
        "height", "intrinsics", "focal", "reference_compat", "keep_proportions", "video",
    ):  # fmt: skip
        if getattr(args, name):
            raise ValueError(f"--{name.replace('_', '-')} is for lifting nets; this is a mesh net")
    if args.frame_step is not None:
        raise ValueError("--frame-step is for lifting nets; this is a mesh net")
    body = smpl.load(args.body)
    clips, notes = clips_of(keypoints, args.person, args.pixel, args.image_size)
    motions = body_motion.mesh_motion(model, clips, body, args.window)
    infer_body.check_obj(args.obj, motions)
    folder = pathlib.Path(args.out).expanduser()
    rate = fps or DEFAULT_FPS
    found.update(
        source=keypoints.source, layout=keypoints.layout, fps=fps, body=body.where,
        persons=[{"person": one.person, "frames": len(one.frames_T)} for one in motions],
        notes=[*notes, *body.notes],
    )  # fmt: skip
    print(f"{keypoints.source}: {keypoints.layout}, {len(motions)} person(s), body {body.where}")
    if fps is None:
        notes = [*notes, f"frame rate not known: {rate:g} in all files; --fps says it"]
    for note in (*notes, *body.notes):
        print(f"  {note}")
    frames = 1 + max(int(one.frames_T[-1]) for one in motions)
    for one in motions:
        tail = "" if len(motions) == 1 else f"_person{one.person}"
        first, last = one.frames_T[0], one.frames_T[-1]
        print(f"  person {one.person}: {len(one.frames_T)} frames, {first} to {last}")
        infer_body.write(one, body, folder, tail, rate, frames, args.obj, found)
    if args.picture != "none":
        one = max(motions, key=lambda one: len(one.frames_T))
        wrote(draw(one, body, folder, args.picture or "mp4", rate), found)
    return 0


def draw(motion, body, folder: pathlib.Path, kind: str, fps: float) -> pathlib.Path:
    """mesh.mp4, .gif or .png of a person, from the front and from the side.

    Without PyAV an MP4 becomes a GIF, and a line on stderr says so.
    """
    if kind == "mp4":
        try:
            import av  # noqa: F401
        except ImportError:
            print("note: MP4 needs pip install 'mbjax[video]'; a GIF instead", file=sys.stderr)
            kind = "gif"
    T = len(motion.frames_T)
    # A GIF of a minute is large and slow to make: 15 pictures a second, 150 in all.
    step = max(1, round(fps / 15), -(-T // 150)) if kind == "gif" else 1
    rows = np.arange(0, T, step) if kind != "png" else np.linspace(0, T - 1, min(T, 5)).astype(int)
    path = folder / f"mesh.{kind}"
    if kind == "png":
        pictures = [_both_sides(motion, body, row, upright=True) for row in rows]
        draw_mesh.save(draw_mesh.beside(pictures), path)
    elif kind == "gif":
        draw_mesh.save_gif([_both_sides(motion, body, row) for row in rows], path, fps / step)
    else:
        from mbjax.pictures import video

        size = (2 * draw_mesh.SIZE, draw_mesh.SIZE)
        video.write((_both_sides(motion, body, row) for row in rows), path, fps, size)
    return path


def _both_sides(motion, body, row, upright=False):
    """One frame from the front and, turned by 90 degrees, from the side."""
    verts = motion.verts(body, slice(row, row + 1))[0]
    # The picture follows the person: what moves is the body.
    centre = motion.trans_Tx3[row] + body.body.joint_template_Jx3[0]
    views = [verts, draw_mesh.turned(verts, 90, centre)]
    pictures = [draw_mesh.picture(view, body.faces_Fx3, centre, 1.15) for view in views]
    return draw_mesh.stacked(pictures) if upright else draw_mesh.beside(pictures)
