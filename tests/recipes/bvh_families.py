"""BVH files as other programs write them: their names, units, axes, and bones that lie anywhere."""

import numpy as np
from scipy.spatial.transform import Rotation

from mbjax.motion import rig
from mbjax.motion.bvh_reader import read_bvh

_LIMBS = ("shoulder", "upper_arm", "forearm", "hand", "thigh", "shin", "foot", "toes")


def _names(trunk, side, *limbs):
    """{bone: name}. side: "Left", "l_", ... before, or "_L" (with %) after the limb's name."""
    names = dict(zip(("hips", "spine", "chest", "neck", "head"), trunk, strict=True))
    for word, ours in zip(side, ("left", "right"), strict=True):
        for bone, limb in zip(_LIMBS, limbs, strict=True):
            names[f"{ours}_{bone}"] = word.replace("%", limb)
    return names


_CAMEL = ("Shoulder", "Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot", "ToeBase")
# name of the family: (names of bones, metres of a unit, axis that points up)
FAMILIES = {
    "Mixamo": (
        _names(
            [f"mixamorig:{n}" for n in ("Hips", "Spine", "Spine1", "Neck", "Head")],
            ("mixamorig:Left%", "mixamorig:Right%"), *_CAMEL,
        ), 0.01, "y",
    ),
    "LaFAN1": (
        _names(
            ("Hips", "Spine", "Spine1", "Neck", "Head"), ("Left%", "Right%"), *_CAMEL[:-1], "Toe",
        ), 0.01, "y",
    ),
    "HumanIK": (
        _names(
            [f"Character1:{n}" for n in ("Hips", "Spine", "Spine1", "Neck", "Head")],
            ("Character1:Left%", "Character1:Right%"), *_CAMEL,
        ), 0.0254, "y",
    ),
    "Rokoko": (
        _names(
            ("Hips", "Spine1", "Spine2", "Neck", "Head"), ("Left%", "Right%"),
            "Shoulder", "Arm", "ForeArm", "Hand", "Thigh", "Shin", "Foot", "Toe",
        ), 0.01, "y",
    ),
    "Xsens": (
        _names(
            ("Hips", "Chest", "Chest2", "Neck", "Head"), ("Left%", "Right%"),
            "Collar", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Toe",
        ), 0.01, "z",
    ),
    "Bandai Namco": (
        _names(
            ("Hips", "Spine", "Chest", "Neck", "Head"), ("%_L", "%_R"),
            "Shoulder", "UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot", "Toes",
        ), 0.01, "y",
    ),
    "VRM": (
        _names(
            [f"J_Bip_C_{n}" for n in ("Hips", "Spine", "Chest", "Neck", "Head")],
            ("J_Bip_L_%", "J_Bip_R_%"),
            "Shoulder", "UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot", "ToeBase",
        ), 1.0, "y",
    ),
    "DeepMotion": (
        _names(
            ("hips_JNT", "spine_JNT", "spine1_JNT", "neck_JNT", "head_JNT"), ("l_%_JNT", "r_%_JNT"),
            "shoulder", "arm", "forearm", "hand", "upleg", "leg", "foot", "toebase",
        ), 0.001, "y",
    ),
}  # fmt: skip


def write(path, ours, family, *, lying=True, mirrored=False):
    """`ours`, a BVH with the plain rig's names, as another program would have written it.

    lying: bones of the rest pose point along x, one and all turned; mirrored: left is called right.
    """
    names, metres, up = FAMILIES[family]
    motion = read_bvh(ours)
    places_TxNx3, turns_TxNx3x3 = motion.positions()
    of_world = Rotation.from_euler("x", 90 if up == "z" else 0, degrees=True).as_matrix()
    of_bones = Rotation.from_euler("zyx", [-90, 40, 0] if lying else [0, 0, 0], degrees=True)
    of_bones = of_bones.as_matrix()
    turns = of_world @ turns_TxNx3x3 @ of_bones.T
    roots = places_TxNx3[:, 0] @ of_world.T / metres
    lines, rows = ["HIERARCHY"], [roots]
    children = {
        i: [c for c, n in enumerate(motion.nodes) if n.parent == i] for i in range(len(turns[0]))
    }

    def emit(i, depth):
        node, pad = motion.nodes[i], "  " * depth
        offset = of_bones @ node.offset_3 / metres
        if node.name.endswith(".end"):
            lines.append(f"{pad}End Site\n{pad}{{\n{pad}  OFFSET {_numbers(offset)}\n{pad}}}")
            return
        bone = rig.RIGS["plain"].index(node.name)
        bone = rig.BONES[bone]
        if mirrored:
            bone = bone.replace("left", "#").replace("right", "left").replace("#", "right")
        place = "Xposition Yposition Zposition " if node.parent < 0 else ""
        lines.append(f"{pad}{'ROOT' if node.parent < 0 else 'JOINT'} {names[bone]}\n{pad}{{")
        lines.append(f"{pad}  OFFSET {_numbers(offset if node.parent >= 0 else 0 * offset)}")
        lines.append(f"{pad}  CHANNELS {6 if place else 3} {place}Zrotation Yrotation Xrotation")
        own = (
            turns[:, i]
            if node.parent < 0
            else np.swapaxes(turns[:, node.parent], 1, 2) @ turns[:, i]
        )
        rows.append(Rotation.from_matrix(own).as_euler("ZYX", degrees=True))
        for child in children[i]:
            emit(child, depth + 1)
        lines.append(pad + "}")

    emit(0, 0)
    values = np.concatenate(rows, axis=1)
    lines += ["MOTION", f"Frames: {len(values)}", f"Frame Time: {1 / motion.fps:.9f}"]
    lines += [_numbers(row) for row in values]
    path.write_text("\n".join(lines) + "\n")


def _numbers(values):
    return " ".join(f"{value:.6f}" for value in values)
