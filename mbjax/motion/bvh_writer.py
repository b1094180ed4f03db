"""Joint positions as a BVH file: a skeleton of constant bones, and the rotations that move it.

Shapes in names: T frames, J joints (mbjax.pose.skeleton.JOINTS). y is up, right-handed.
A network's limbs change their length a little from frame to frame; readers of BVH expect bones that
do not. Bones have their median lengths here, so joints are a little off: `joint_errors` says by how
much. The format: Meredith and Maddock, "Motion capture file formats explained" (2001).
"""

import numpy as np

from mbjax.pose.skeleton import JOINTS, NUM_JOINTS, PARENTS, ROOT

_CHILDREN = tuple(
    tuple(child for child in range(NUM_JOINTS) if child != ROOT and PARENTS[child] == joint)
    for joint in range(NUM_JOINTS)
)
# Where each limb points in the T-pose of someone who faces +z: their left is +x.
_DIRECTIONS = {
    "rhip": (-1, 0, 0), "lhip": (1, 0, 0), "rknee": (0, -1, 0), "lknee": (0, -1, 0),
    "rankle": (0, -1, 0), "lankle": (0, -1, 0), "belly": (0, 1, 0), "neck": (0, 1, 0),
    "nose": (0, 0.8, 0.6), "head": (0, 0.8, -0.6), "lshoulder": (1, 0, 0), "lelbow": (1, 0, 0),
    "lwrist": (1, 0, 0), "rshoulder": (-1, 0, 0), "relbow": (-1, 0, 0), "rwrist": (-1, 0, 0),
}  # fmt: skip
# An end site is drawn past the last joint of a limb, by this share of the limb.
_END = 0.3


def to_text(pose_TxJx3: np.ndarray, fps: float) -> str:
    """A BVH file of positions (T, 17, 3) in any unit, y up.

    Offsets are near a T-pose. Channels are the root's position and every joint's rotation, Z then X
    then Y, in degrees, without jumps of a whole turn.
    """
    pose_TxJx3 = np.asarray(pose_TxJx3, np.float64)
    offsets_Jx3, turns_TxJx3x3 = _fit(pose_TxJx3)
    columns = [None] * NUM_JOINTS
    for joint, parent in enumerate(PARENTS):
        if joint == ROOT:
            angles_Tx3 = _angles_zxy(turns_TxJx3x3[:, joint])
            columns[joint] = np.concatenate([pose_TxJx3[:, joint], angles_Tx3], axis=-1)
        else:
            to_parent_Tx3x3 = turns_TxJx3x3[:, parent].swapaxes(-1, -2)
            columns[joint] = _angles_zxy(to_parent_Tx3x3 @ turns_TxJx3x3[:, joint])
    order = []
    lines = ["HIERARCHY", *_hierarchy(ROOT, offsets_Jx3, 0, order)]
    lines += ["MOTION", f"Frames: {len(pose_TxJx3)}", f"Frame Time: {1 / fps:.8f}"]
    rows = np.concatenate([columns[joint] for joint in order], axis=-1)
    for row in np.round(rows, 6) + 0.0:  # no "-0.000000"
        lines.append(" ".join(f"{value:.6f}" for value in row))
    return "\n".join(lines) + "\n"


def joint_errors(pose_TxJx3: np.ndarray) -> np.ndarray:
    """How far (T, J) each joint of the file is from where the motion has it, in its unit."""
    pose_TxJx3 = np.asarray(pose_TxJx3, np.float64)
    offsets_Jx3, turns_TxJx3x3 = _fit(pose_TxJx3)
    rigid_TxJx3 = np.zeros_like(pose_TxJx3)
    rigid_TxJx3[:, ROOT] = pose_TxJx3[:, ROOT]
    for joint, parent in enumerate(PARENTS):  # parents stand before their children
        if joint != ROOT:
            bone_Tx3 = turns_TxJx3x3[:, parent] @ offsets_Jx3[joint]
            rigid_TxJx3[:, joint] = rigid_TxJx3[:, parent] + bone_Tx3
    return np.linalg.norm(rigid_TxJx3 - pose_TxJx3, axis=-1)


def _fit(pose_TxJx3):
    """Constant offsets (J, 3) and the turns (T, J, 3, 3) that bring them nearest to the motion.

    Lengths are medians. Where several bones leave a joint, hips from the root say, the angles
    between them are the mean of the motion's: begun in a T-pose, turned onto every frame, averaged.
    """
    bones_TxJx3 = pose_TxJx3 - pose_TxJx3[:, PARENTS]
    lengths_Jx1 = np.median(np.linalg.norm(bones_TxJx3, axis=-1), axis=0)[:, None]
    directions_Jx3 = np.array([_DIRECTIONS.get(name, (0, 0, 0)) for name in JOINTS], np.float64)
    offsets_Jx3 = lengths_Jx1 * directions_Jx3
    for own in (list(children) for children in _CHILDREN if len(children) > 1):
        for _ in range(3):
            turns_Tx3x3 = _best_rotation(offsets_Jx3[own], bones_TxJx3[:, own])
            mean_Nx3 = np.einsum("tji,tnj->ni", turns_Tx3x3, bones_TxJx3[:, own])
            reach_Nx1 = np.linalg.norm(mean_Nx3, axis=-1, keepdims=True)
            usable_Nx1 = reach_Nx1 > 0
            mean_Nx3 = lengths_Jx1[own] * mean_Nx3 / np.where(usable_Nx1, reach_Nx1, 1)
            offsets_Jx3[own] = np.where(usable_Nx1, mean_Nx3, offsets_Jx3[own])
    return offsets_Jx3, _turns(pose_TxJx3, offsets_Jx3)


def _turns(pose_TxJx3, offsets_Jx3):
    """How each joint is turned (T, J, 3, 3): its children's offsets onto their bones.

    Several children: the best rotation (Kabsch, 1976). One: the shortest turn from how the parent
    is turned, so that a limb does not twist for no reason. None: as its parent.
    """
    T = len(pose_TxJx3)
    turns_TxJx3x3 = np.tile(np.eye(3), (T, NUM_JOINTS, 1, 1))
    for joint in range(NUM_JOINTS):  # parents stand before their children
        if joint != ROOT:
            turns_TxJx3x3[:, joint] = turns_TxJx3x3[:, PARENTS[joint]]
        children = list(_CHILDREN[joint])
        if not children:
            continue
        bones_TxNx3 = pose_TxJx3[:, children] - pose_TxJx3[:, joint : joint + 1]
        if len(children) > 1:
            turns_TxJx3x3[:, joint] = _best_rotation(offsets_Jx3[children], bones_TxNx3)
            continue
        parent_Tx3x3 = turns_TxJx3x3[:, joint].copy()
        bone_Tx3 = np.einsum("tji,tj->ti", parent_Tx3x3, bones_TxNx3[:, 0])
        rest_3 = np.array(_DIRECTIONS[JOINTS[children[0]]], np.float64)
        turns_TxJx3x3[:, joint] = parent_Tx3x3 @ _shortest_turn(rest_3, bone_Tx3)
    return turns_TxJx3x3


def _best_rotation(offsets_Nx3, bones_TxNx3):
    covariance_Tx3x3 = np.einsum("tni,nj->tij", bones_TxNx3, offsets_Nx3)
    u, _, vt = np.linalg.svd(covariance_Tx3x3)
    sign_T = np.where(np.linalg.det(u @ vt) < 0, -1.0, 1.0)
    u[:, :, 2] *= sign_T[:, None]
    return u @ vt


def _shortest_turn(rest_3, bone_Tx3):
    """(T, 3, 3) from one direction to others; a bone of no length, or none to turn: identity."""
    length_T = np.linalg.norm(bone_Tx3, axis=-1)
    there_Tx3 = bone_Tx3 / np.where(length_T > 0, length_T, 1)[:, None]
    there_Tx3[length_T == 0] = rest_3
    cosine_T = there_Tx3 @ rest_3
    cross_Tx3 = np.cross(rest_3, there_Tx3)
    skew_Tx3x3 = np.cross(np.eye(3)[None], cross_Tx3[:, None], axis=-1)
    # R = I + K + K^2 / (1 + cos); straight back, any axis across will do: half a turn about it.
    back_T = cosine_T < -1 + 1e-9
    turn_Tx3x3 = skew_Tx3x3 @ skew_Tx3x3 / np.where(back_T, 1, 1 + cosine_T)[:, None, None]
    turn_Tx3x3 += np.eye(3) + skew_Tx3x3
    across_3 = np.cross(rest_3, np.eye(3)[np.abs(rest_3).argmin()])
    across_3 /= np.linalg.norm(across_3)
    turn_Tx3x3[back_T] = 2 * np.outer(across_3, across_3) - np.eye(3)
    return turn_Tx3x3


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


def _hierarchy(joint, offsets_Jx3, depth, order):
    """The lines of a joint and of all below it; `order` gets the joints as they come."""
    order.append(joint)
    tab = "  " * depth
    yield f"{tab}{'JOINT' if depth else 'ROOT'} {JOINTS[joint]}"
    yield f"{tab}{{"
    yield f"{tab}  OFFSET {_triple(offsets_Jx3[joint])}"
    place = "" if depth else "Xposition Yposition Zposition "
    yield f"{tab}  CHANNELS {3 if depth else 6} {place}Zrotation Xrotation Yrotation"
    for child in _CHILDREN[joint]:
        yield from _hierarchy(child, offsets_Jx3, depth + 1, order)
    if not _CHILDREN[joint]:
        yield f"{tab}  End Site"
        yield f"{tab}  {{"
        yield f"{tab}    OFFSET {_triple(_END * offsets_Jx3[joint])}"
        yield f"{tab}  }}"
    yield f"{tab}}}"


def _triple(offset_3):
    return " ".join(f"{value:.6f}" for value in offset_3)
