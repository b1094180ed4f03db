"""What `mbjax infer --body` adds to a lifted motion: a body fitted to its joints, and its files."""

import pathlib

from mbjax.body import fit
from mbjax.body.smpl import Smpl
from mbjax.motion import body_files, earlier_run
from mbjax.motion.body_motion import BodyMotion
from mbjax.motion.world import World

# A fit that is farther off than this on average is worth a word.
_FAR_MM = 40


def run(body: Smpl, in_world: World, folder: pathlib.Path, obj: bool) -> None:
    """Writes smpl.npz (AMASS's layout) and body.glb per person; obj: also an OBJ of every frame."""
    for note in body.notes:
        print(f"  {note}")
    for one in in_world.persons:
        tail = "" if len(in_world.persons) == 1 else f"_person{one.person}"
        found = fit.fit(body, one.body_TxJx3 * [1.0, -1.0, -1.0])
        motion = BodyMotion(
            one.person, one.frames_T, found.pose_Tx72, found.betas_S, found.trans_Tx3
        )
        error = float(found.error_mm_T.mean())
        far = "; its proportions are not this body's" if error > _FAR_MM else ""
        print(f"  person {one.person}: body {body.where} is {error:.0f} mm from the joints{far}")
        body_files.amass(motion, body, folder / f"smpl{tail}.npz", in_world.fps)
        body_files.glb(motion, body, folder / f"body{tail}.glb", in_world.fps)
        for file in (f"smpl{tail}.npz", f"body{tail}.glb"):
            earlier_run.also(folder, file)
            print(f"wrote {folder / file}", flush=True)
        if obj:
            paths = body_files.obj(motion, body, folder / f"obj{tail}")
            print(f"wrote {len(paths)} files to {folder / f'obj{tail}'}", flush=True)
