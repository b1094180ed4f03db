"""A rig: named bones in a T-pose, and the rotations that bring them to a person's joints.

Shapes in names: T frames, J joints (17), B bones, 2 sides (left, right). Axes: y up, metres; in the
T-pose the person faces +z with their left at +x.
The 17 joints are not a rig: they have a nose, and no hands or feet. Bones here are those that
retargeting looks for; `RIGS` has their names in several programs.
"""

import dataclasses

import numpy as np

from mbjax.motion import feet
from mbjax.motion.feet import frame, unit
from mbjax.pose.skeleton import INDEX

_TRUNK = ("hips", "spine", "chest", "neck", "head")
_ARM, _LEG = ("shoulder", "upper_arm", "forearm", "hand"), ("thigh", "shin", "foot", "toes")
BONES = (
    *_TRUNK, *(f"left_{bone}" for bone in _ARM), *(f"right_{bone}" for bone in _ARM),
    *(f"left_{bone}" for bone in _LEG), *(f"right_{bone}" for bone in _LEG),
)  # fmt: skip
BONE = {name: i for i, name in enumerate(BONES)}


def _parent(bone):
    if bone in _TRUNK:
        return _TRUNK[_TRUNK.index(bone) - 1] if bone != "hips" else None
    side, _, part = bone.partition("_")
    chain = _ARM if part in _ARM else _LEG
    place = chain.index(part)
    return f"{side}_{chain[place - 1]}" if place else "chest" if chain is _ARM else "hips"


PARENTS = tuple(BONE.get(_parent(bone), -1) for bone in BONES)


def _sided(trunk, parts, name):
    """Names of all BONES: the trunk's, and name(part, "left" or "right") of each limb's."""
    limbs = [name(part, side) for chain in parts for side in ("left", "right") for part in chain]
    return (*trunk, *limbs)


_CAMEL = (("Shoulder", "Arm", "ForeArm", "Hand"), ("UpLeg", "Leg", "Foot", "ToeBase"))
_RIGIFY = (("shoulder", "upper_arm", "forearm", "hand"), ("thigh", "shin", "foot", "toe"))
_VRM = (("Shoulder", "UpperArm", "LowerArm", "Hand"), ("UpperLeg", "LowerLeg", "Foot", "Toes"))

# Names of BONES, in their order, as other programs know them.
RIGS = {
    "plain": BONES,
    # Mixamo's, and with these MotionBuilder's and Rokoko's.
    "mixamo": _sided(
        [f"mixamorig:{name}" for name in ("Hips", "Spine", "Spine1", "Neck", "Head")], _CAMEL,
        lambda part, side: f"mixamorig:{side.title()}{part}",
    ),
    # The conversion of the CMU database to BVH; mbjax prepare bvh reads it as --naming cmu.
    "cmu": _sided(
        ("Hips", "LowerBack", "Spine", "Neck1", "Head"), _CAMEL,
        lambda part, side: side.title() + part,
    ),
    # Blender's Rigify: .L and .R, by which Blender itself mirrors poses.
    "blender": _sided(
        _TRUNK, _RIGIFY, lambda part, side: f"{part}.{side[0].upper()}",
    ),
    # VRM and Unity's humanoid.
    "vrm": _sided(_TRUNK, _VRM, lambda part, side: side + part),
}  # fmt: skip

# Where along a bone of the 17 joints a bone of the rig begins: the spine above the hips, the
# shoulder beside the neck, the head above the neck.
_SPINE_AT, _SHOULDER_AT, _HEAD_AT = 0.25, 0.2, 0.45
# Of stature: the hand to the knuckles' ends, and the ball of the foot before the ankle.
_HAND, _BALL = 0.09, 0.075


@dataclasses.dataclass(frozen=True, eq=False)
class Animation:
    """A rig in motion. offsets: from the parent's joint, in the T-pose, the hips' own being where
    they are when the person stands on the floor; ends: from a bone's joint to its tip.
    turns: relative to the parent's. root: where the hips are.
    """

    offsets_Bx3: np.ndarray
    ends_Bx3: np.ndarray
    turns_TxBx3x3: np.ndarray
    root_Tx3: np.ndarray

    def positions(self) -> np.ndarray:
        """Where each bone begins (T, B, 3), and then where it ends: (T, 2B, 3)."""
        T, B = len(self.root_Tx3), len(BONES)
        starts, whole = np.empty((T, B, 3)), np.empty((T, B, 3, 3))
        for bone, parent in enumerate(PARENTS):
            if parent < 0:
                starts[:, bone], whole[:, bone] = self.root_Tx3, self.turns_TxBx3x3[:, bone]
                continue
            starts[:, bone] = starts[:, parent] + whole[:, parent] @ self.offsets_Bx3[bone]
            whole[:, bone] = whole[:, parent] @ self.turns_TxBx3x3[:, bone]
        ends = starts + np.einsum("tbij,bj->tbi", whole, self.ends_Bx3)
        return np.concatenate([starts, ends], axis=1)

    def rest_positions(self) -> np.ndarray:
        """Where each bone begins in the T-pose (B, 3)."""
        rest_Bx3 = np.array(self.offsets_Bx3)
        for bone, parent in enumerate(PARENTS):
            if parent >= 0:
                rest_Bx3[bone] += rest_Bx3[parent]
        return rest_Bx3


# The joint of the 17 that each bone begins at, of those that begin at one.
JOINT_OF_BONE = {
    "hips": "root", "chest": "belly", "neck": "neck",
    **{f"{side}_{bone}": side[0] + joint for side in ("left", "right") for bone, joint in (
        ("upper_arm", "shoulder"), ("forearm", "elbow"), ("hand", "wrist"),
        ("thigh", "hip"), ("shin", "knee"), ("foot", "ankle"))},
}  # fmt: skip


def animate(
    body_TxJx3: np.ndarray, feet_Tx2x3x3: np.ndarray, lengths_J: np.ndarray, height: float
) -> Animation:
    """The rig of one person, brought to a body of constant lengths (mbjax.motion.one_skeleton).

    feet: rotations, columns x (left), y (up), z (to the toes), see mbjax.motion.feet.
    """
    at = {name: body_TxJx3[:, i] for name, i in INDEX.items()}
    pelvis_Tx3x3 = _frame_xy(at["lhip"] - at["rhip"], at["belly"] - at["root"])
    chest_Tx3x3 = _frame_xy(at["lshoulder"] - at["rshoulder"], at["neck"] - at["belly"])
    offsets_Bx3, ends_Bx3 = _t_pose(at, pelvis_Tx3x3, chest_Tx3x3, lengths_J, height)
    chain = _Chain(offsets_Bx3, ends_Bx3, at["root"], pelvis_Tx3x3)
    chain.aim("spine", at["belly"])
    start_Tx3 = chain.start("chest")
    chain.turn("chest", _frame_xy(at["lshoulder"] - at["rshoulder"], at["neck"] - start_Tx3))
    chain.aim("neck", at["head"])
    up_Tx3 = at["head"] - chain.start("head")
    ahead_Tx3 = at["nose"] - (at["neck"] + at["head"]) / 2
    # A nose on the line from neck to head says nothing of where the face is.
    short_T = np.linalg.norm(np.cross(ahead_Tx3, unit(up_Tx3)), axis=-1) < 0.02 * height
    ahead_Tx3 = np.where(short_T[:, None], chest_Tx3x3[:, :, 2], ahead_Tx3)
    head_Tx3x3 = frame(up_Tx3, -ahead_Tx3)  # z up the head, y backwards: to y up, z ahead
    chain.turn("head", np.stack([head_Tx3x3[..., 0], head_Tx3x3[..., 2], -head_Tx3x3[..., 1]], -1))
    for place, side in enumerate(("left", "right")):
        joint = {part: at[side[0] + part] for part in ("shoulder", "elbow", "wrist")}
        chain.aim(f"{side}_shoulder", joint["shoulder"])
        chain.aim(f"{side}_upper_arm", joint["elbow"])
        chain.aim(f"{side}_forearm", joint["wrist"])
        chain.follow(f"{side}_hand")
        chain.aim(f"{side}_thigh", at[f"{side[0]}knee"])
        chain.aim(f"{side}_shin", at[f"{side[0]}ankle"])
        chain.start(f"{side}_foot")
        chain.turn(f"{side}_foot", feet_Tx2x3x3[:, place])
        chain.follow(f"{side}_toes")
    return Animation(offsets_Bx3, ends_Bx3, chain.relative(), at["root"])


def _t_pose(at, pelvis_Tx3x3, chest_Tx3x3, lengths_J, height):
    """Offsets (B, 3) and ends (B, 3) from the lengths; hips and shoulders where they mostly are."""
    length = {name: lengths_J[i] for name, i in INDEX.items()}
    offsets, ends = np.zeros((len(BONES), 3)), np.zeros((len(BONES), 3))
    hip_3 = _usual(pelvis_Tx3x3, at["lhip"] - at["root"], at["rhip"] - at["root"], length["lhip"])
    shoulder_3 = _usual(
        chest_Tx3x3, at["lshoulder"] - at["neck"], at["rshoulder"] - at["neck"],
        length["lshoulder"],
    )  # fmt: skip
    neck = float(np.median(np.linalg.norm(at["head"] - at["neck"], axis=-1)))
    ankle, ball = feet.ANKLE_HEIGHT * height, _BALL * height
    toe = (1 - feet.BEHIND_ANKLE) * feet.FOOT_LENGTH * height

    def put(bone, offset_3):
        offsets[BONE[bone]] = offset_3
        if PARENTS[BONE[bone]] >= 0:
            ends[PARENTS[BONE[bone]]] = offset_3

    put("hips", (0, length["lknee"] + length["lankle"] + ankle - hip_3[1], 0))
    put("spine", (0, _SPINE_AT * length["belly"], 0))
    put("chest", (0, (1 - _SPINE_AT) * length["belly"], 0))
    put("neck", (0, length["neck"], 0))
    put("head", (0, _HEAD_AT * neck, 0))
    ends[BONE["head"]] = (0, (1 - _HEAD_AT) * neck, 0)
    for side, sign in (("left", 1), ("right", -1)):
        mirror_3 = np.array([sign, 1, 1])
        put(f"{side}_shoulder", [0, length["neck"], 0] + _SHOULDER_AT * shoulder_3 * mirror_3)
        put(f"{side}_upper_arm", (1 - _SHOULDER_AT) * shoulder_3 * mirror_3)
        put(f"{side}_forearm", (sign * length["lelbow"], 0, 0))
        put(f"{side}_hand", (sign * length["lwrist"], 0, 0))
        ends[BONE[f"{side}_hand"]] = (sign * _HAND * height, 0, 0)
        put(f"{side}_thigh", hip_3 * mirror_3)
        put(f"{side}_shin", (0, -length["lknee"], 0))
        put(f"{side}_foot", (0, -length["lankle"], 0))
        put(f"{side}_toes", (0, -0.8 * ankle, ball))
        ends[BONE[f"{side}_toes"]] = (0, -0.2 * ankle, toe - ball)
    ends[BONE["hips"]] = offsets[BONE["spine"]]
    ends[BONE["chest"]] = offsets[BONE["neck"]]
    return offsets, ends


def _usual(turn_Tx3x3, left_Tx3, right_Tx3, length):
    """A left joint's usual place (3,) in a turning frame: the mean of it and of the right mirrored.

    Before or behind is left out, since nobody's hips are.
    """
    local_Tx3 = np.einsum("tji,tj->ti", turn_Tx3x3, left_Tx3)
    local_Tx3 = local_Tx3 + [-1, 1, 1] * np.einsum("tji,tj->ti", turn_Tx3x3, right_Tx3)
    usual_3 = np.median(local_Tx3, axis=0) * [1, 1, 0]
    reach = np.linalg.norm(usual_3)
    return length * (usual_3 / reach if reach > 1e-9 else np.array([1.0, 0, 0]))


class _Chain:
    """Bones turned one after the other, parents first, each from where the ones before put it."""

    def __init__(self, offsets_Bx3, ends_Bx3, root_Tx3, hips_Tx3x3):
        self._offsets, self._ends = offsets_Bx3, ends_Bx3
        self._start = {"hips": root_Tx3}
        self._whole = {"hips": hips_Tx3x3}

    def start(self, bone):
        if bone not in self._start:
            parent = BONES[PARENTS[BONE[bone]]]
            offset_Tx3 = self._whole[parent] @ self._offsets[BONE[bone]]
            self._start[bone] = self._start[parent] + offset_Tx3
        return self._start[bone]

    def turn(self, bone, whole_Tx3x3):
        self._whole[bone] = whole_Tx3x3

    def follow(self, bone):
        """As its parent."""
        self.start(bone)
        self._whole[bone] = self._whole[BONES[PARENTS[BONE[bone]]]]

    def aim(self, bone, target_Tx3):
        """The shortest turn from how the parent is turned, so that nothing twists for no reason."""
        parent_Tx3x3 = self._whole[BONES[PARENTS[BONE[bone]]]]
        wanted_Tx3 = np.einsum("tji,tj->ti", parent_Tx3x3, target_Tx3 - self.start(bone))
        rest_3 = unit(self._ends[BONE[bone]])
        self._whole[bone] = parent_Tx3x3 @ shortest_turn(rest_3, wanted_Tx3)

    def relative(self):
        """(T, B, 3, 3): each bone's turn in its parent's."""
        turns = [
            self._whole[bone] if parent < 0
            else self._whole[BONES[parent]].swapaxes(-1, -2) @ self._whole[bone]
            for bone, parent in zip(BONES, PARENTS, strict=True)
        ]  # fmt: skip
        return np.stack(turns, axis=1)


def _frame_xy(x_Tx3, y_Tx3):
    """Rotations (T, 3, 3) whose x is x_Tx3 and whose y is the nearest to y_Tx3 across it."""
    zxy = frame(x_Tx3, y_Tx3)  # z along x_Tx3, y across it
    return np.stack([zxy[..., 2], zxy[..., 1], -zxy[..., 0]], axis=-1)


def shortest_turn(rest_3: np.ndarray, bone_Tx3: np.ndarray) -> np.ndarray:
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
