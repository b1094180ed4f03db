"""What `mbjax infer --body` adds to a lifted motion: a body fitted to its joints, and its files."""

import pathlib

from mbjax.body import fit
from mbjax.body.smpl import Smpl
from mbjax.commands.output import wrote
from mbjax.motion import body_files, earlier_run
from mbjax.motion.body_motion import BodyMotion
from mbjax.motion.world import World

# A fit that is farther off than this on average is worth a word.
_FAR_MM = 40
_AT_MOST_OBJ = 2000  # files of 0.8 MB


def check_obj(asked: bool, persons) -> None:
    """ValueError where --obj would write too many files. persons: each has frames_T."""
    frames = sum(len(one.frames_T) for one in persons)
    if asked and frames > _AT_MOST_OBJ:
        raise ValueError(
            f"--obj writes a file for each frame, {_AT_MOST_OBJ:,} at most; here are {frames:,}: "
            "--person takes one person"
        )


def run(
    body: Smpl, in_world: World, frames: int, folder: pathlib.Path, obj: bool, found: dict
) -> None:  # fmt: skip
    """Writes smpl.npz (AMASS's layout) and body.glb per person; obj: also an OBJ of every frame.

    frames: of the video. found: for --json.
    """
    for note in body.notes:
        print(f"  {note}")
    for one in in_world.persons:
        tail = "" if len(in_world.persons) == 1 else f"_person{one.person}"
        fitted = fit.fit(body, one.body_TxJx3 * [1.0, -1.0, -1.0])
        motion = BodyMotion(
            one.person, one.frames_T, fitted.pose_Tx72, fitted.betas_S, fitted.trans_Tx3
        )
        error = float(fitted.error_mm_T.mean())
        far = "; its proportions are not this body's" if error > _FAR_MM else ""
        print(f"  person {one.person}: body {body.where} is {error:.0f} mm from the joints{far}")
        for path in write(motion, body, folder, tail, in_world.fps, frames, obj, found):
            earlier_run.also(folder, path.name)


def write(
    motion: BodyMotion, body: Smpl, folder, tail: str, fps: float, frames: int, obj: bool, found
):
    """The files of one body, of names that end in `tail`; returns smpl.npz and body.glb.

    frames: of the video. obj: also an OBJ of every frame. found: for --json.
    """
    paths = folder / f"smpl{tail}.npz", folder / f"body{tail}.glb"
    body_files.amass(motion, body, paths[0], fps)
    body_files.glb(motion, body, paths[1], fps, frames)
    for path in paths:
        wrote(path, found)
    if obj:
        count = len(body_files.obj(motion, body, folder / f"obj{tail}"))
        wrote(folder / f"obj{tail}", found, f"{count} files to ")
    return paths
