"""A rig in motion as a BVH file: its skeleton, then one line of channel values per frame.

Shapes in names: T frames, B bones (mbjax.motion.rig.BONES). y is up, right-handed, metres. The
format: Meredith and Maddock, "Motion capture file formats explained" (2001).
"""

import numpy as np

from mbjax.motion.rig import PARENTS, RIGS, Animation


def to_text(animation: Animation, fps: float, rig: str = "plain") -> str:
    """A BVH file. rig: whose names the bones have, one of mbjax.motion.rig.RIGS.

    Offsets are those of a T-pose that faces +z. Channels are the hips' position and every bone's
    rotation, Z then X then Y, in degrees, without jumps of a whole turn. The hips' own offset is 0:
    programs differ in whether its channels replace or move it.
    """
    names = RIGS[rig]
    columns = [_angles_zxy(animation.turns_TxBx3x3[:, bone]) for bone in range(len(names))]
    columns[0] = np.concatenate([animation.root_Tx3, columns[0]], axis=-1)
    order = []
    lines = ["HIERARCHY", *_hierarchy(animation, names, 0, 0, order)]
    # At 8 digits Blender shows 29.97 frames a second as 30.000003.
    lines += ["MOTION", f"Frames: {len(animation.root_Tx3)}", f"Frame Time: {1 / fps:.12f}"]
    rows = np.concatenate([columns[bone] for bone in order], axis=-1)
    for row in np.round(rows, 6) + 0.0:  # no "-0.000000"
        lines.append(" ".join(f"{value:.6f}" for value in row))
    return "\n".join(lines) + "\n"


def _angles_zxy(turn_Tx3x3):
    """Degrees (T, 3) about z, x, y, such that Rz Rx Ry is the turn; unwrapped in time."""
    sin_x_T = np.clip(turn_Tx3x3[:, 2, 1], -1, 1)
    z_T = np.arctan2(-turn_Tx3x3[:, 0, 1], turn_Tx3x3[:, 1, 1])
    y_T = np.arctan2(-turn_Tx3x3[:, 2, 0], turn_Tx3x3[:, 2, 2])
    # x at a right angle: z and y turn about the same axis, and all goes to z.
    locked_T = np.hypot(turn_Tx3x3[:, 0, 1], turn_Tx3x3[:, 1, 1]) < 1e-9
    z_T = np.where(locked_T, np.arctan2(turn_Tx3x3[:, 1, 0], turn_Tx3x3[:, 0, 0]), z_T)
    y_T = np.where(locked_T, 0, y_T)
    angles_Tx3 = np.stack([np.unwrap(z_T), np.arcsin(sin_x_T), np.unwrap(y_T)], axis=-1)
    return np.rad2deg(angles_Tx3)


def _hierarchy(animation, names, bone, depth, order):
    """The lines of a bone and of all below it; `order` gets the bones as they come."""
    order.append(bone)
    tab = "  " * depth
    yield f"{tab}{'JOINT' if depth else 'ROOT'} {names[bone]}"
    yield f"{tab}{{"
    yield f"{tab}  OFFSET {_triple(animation.offsets_Bx3[bone] if depth else np.zeros(3))}"
    place = "" if depth else "Xposition Yposition Zposition "
    yield f"{tab}  CHANNELS {3 if depth else 6} {place}Zrotation Xrotation Yrotation"
    children = [child for child, parent in enumerate(PARENTS) if parent == bone]
    for child in children:
        yield from _hierarchy(animation, names, child, depth + 1, order)
    if not children:
        yield f"{tab}  End Site"
        yield f"{tab}  {{"
        yield f"{tab}    OFFSET {_triple(animation.ends_Bx3[bone])}"
        yield f"{tab}  }}"
    yield f"{tab}}}"


def _triple(offset_3):
    return " ".join(f"{value:.6f}" for value in offset_3)
