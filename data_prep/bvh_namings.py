"""Which node of a BVH file is which of the 17 joints: namings, given or told from the file.

A naming is a dict, as a JSON file of a user's own has it:

    {"joints": {"root": ["LeftUpLeg", "RightUpLeg"], "rhip": "RightUpLeg", ... "head": "Head.end",
                "nose": {"between": ["Head", "Head.end"], "share": 0.5, "forward": 0.6,
                         "axis": "+z"}},
     "metres_per_unit": 0.01, "drop_first_frame": false}

A joint is a node, or the mean of several; "X.end" is the end site of X. The nose, which motion
capture rarely has, may stand `share` of the way between two nodes and `forward` of their distance
along an axis of the first node. Namings that are told from a file have a fourth form, `Fixed`.

T frames, N nodes of the file's skeleton, J = 17 joints.
"""

import pathlib
import re
from typing import NamedTuple

import numpy as np

from mbjax.motion import rig
from mbjax.pose.skeleton import INDEX, JOINTS, limb_lengths
from mbjax.safe_files import json_files

CMU = {
    "joints": {
        "root": ["LeftUpLeg", "RightUpLeg"],
        "rhip": "RightUpLeg", "rknee": "RightLeg", "rankle": "RightFoot",
        "lhip": "LeftUpLeg", "lknee": "LeftLeg", "lankle": "LeftFoot",
        "belly": "Spine", "neck": "Neck1", "head": "Head.end",
        "nose": {"between": ["Head", "Head.end"], "share": 0.5, "forward": 0.6, "axis": "+z"},
        "lshoulder": "LeftArm", "lelbow": "LeftForeArm", "lwrist": "LeftHand",
        "rshoulder": "RightArm", "relbow": "RightForeArm", "rwrist": "RightHand",
    },
    # CMU's own unit is 1 / 0.45 inch.
    "metres_per_unit": 0.0254 / 0.45,
    # Row 0 of every file of the conversion is a calibration pose with the arms out.
    "drop_first_frame": True,
}  # fmt: skip


def _of_rig(names) -> dict:
    """The naming of a BVH that `mbjax infer` wrote with a rig's names (mbjax.motion.rig.RIGS)."""
    name = dict(zip(rig.BONES, names, strict=True))
    joints = {"root": [name["left_thigh"], name["right_thigh"]], "belly": name["chest"]}
    joints |= {
        joint: name[bone]
        for bone, joint in rig.JOINT_OF_BONE.items()
        if joint not in ("root", "belly")
    }
    head, top = name["head"], f"{name['head']}.end"
    # Where lifted noses are: a little above where the head begins, two thirds of it ahead.
    joints |= {"head": top}
    joints["nose"] = {"between": [head, top], "share": 0.1, "forward": 0.7, "axis": "+z"}
    return {"joints": joints, "metres_per_unit": 1.0, "drop_first_frame": False}


# mbjax: what `mbjax infer` writes; --rig mixamo, blender and vrm likewise. Its --rig cmu is read as
# cmu, with --metres-per-unit 1 --drop-first-frame no.
NAMINGS = {"cmu": CMU, "mbjax": _of_rig(rig.RIGS["plain"])}
NAMINGS |= {name: _of_rig(rig.RIGS[name]) for name in ("mixamo", "blender", "vrm")}
AUTO = "auto"

# Programs by what they call the limbs, thigh to foot and upper arm to hand; the first of each with
# SIDE where left or right stands. Compared without case, punctuation, and what stands before a
# colon.
FAMILIES = {
    "Mixamo, MotionBuilder, HumanIK, LaFAN1, DeepMotion": (
        "SIDEupleg", "SIDEleg", "SIDEfoot", "SIDEarm", "SIDEforearm", "SIDEhand",
    ),
    "Rokoko": ("SIDEthigh", "SIDEshin", "SIDEfoot", "SIDEarm", "SIDEforearm", "SIDEhand"),
    "Xsens, 100STYLE": (
        "SIDEhip", "SIDEknee", "SIDEankle", "SIDEshoulder", "SIDEelbow", "SIDEwrist",
    ),
    "VRM, Unity": (
        "SIDEupperleg", "SIDElowerleg", "SIDEfoot", "SIDEupperarm", "SIDElowerarm", "SIDEhand",
    ),
    "Bandai Namco": (
        "upperlegSIDE", "lowerlegSIDE", "footSIDE", "upperarmSIDE", "lowerarmSIDE", "handSIDE",
    ),
    "Blender": ("thighSIDE", "shinSIDE", "footSIDE", "upperarmSIDE", "forearmSIDE", "handSIDE"),
    "mbjax": ("SIDEthigh", "SIDEshin", "SIDEfoot", "SIDEupperarm", "SIDEforearm", "SIDEhand"),
}  # fmt: skip
# Before and after the names proper: DeepMotion's, VRM's and Character Creator's.
_AROUND = re.compile(r"^(?:jbip[clr]?|ccbase|bip01|joint)|jnt$")
_LIMBS = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")

# Metres of a unit: m, cm, mm, inch, CMU's, foot, decimetre.
UNITS = (1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45, 0.3048, 0.1)
# The 16 limbs of a person together, in metres: the sample's, and those of a child and of a giant.
_LIMBS_OF_A_PERSON, _SMALLEST, _LARGEST = 3.83, 1.9, 5.2
# Of the sum of all limbs: from where the head begins to its top; the nose above and ahead of that.
_HEAD, _NOSE_UP, _NOSE_AHEAD = 0.05, 0.018, 0.028
_SHORTEST_HEAD = 0.025
# The sum of all limbs as a multiple of legs' and arms', in the sample.
_LONG_LIMBS = 1.45
# Metres; stiff legs and knees that are captured badly stay within.
_BACKWARDS = 0.02


class Fixed(NamedTuple):
    """A joint that stands at a fixed place in a node's own axes."""

    node: str
    place_3: np.ndarray


def read_naming(name: str) -> dict:
    """A built-in naming, or one from a JSON file; ValueError if it is not complete and sound."""
    if name in NAMINGS:
        return NAMINGS[name]
    path = pathlib.Path(name).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"naming {name!r} is neither built in ({', '.join([AUTO, *NAMINGS])}) nor a JSON file"
        )
    naming = json_files.read_object(path)
    naming = {"metres_per_unit": 0.01, "drop_first_frame": False, **naming}
    joints = naming.get("joints")
    missing = sorted(set(JOINTS) - set(joints if isinstance(joints, dict) else ()))
    if missing:
        raise ValueError(f"naming {name}: 'joints' lacks {', '.join(missing)}")
    for joint in JOINTS:
        if not _is_rule(joints[joint]):
            raise ValueError(
                f"naming {name}: {joint} is not a node's name, a list of names, or the four of"
                " between, share, forward and axis"
            )
    metres = naming["metres_per_unit"]
    if not _is_number(metres) or not 0 < metres <= 1000:
        raise ValueError(f"naming {name}: metres_per_unit is not a number from 0 to 1000")
    if not isinstance(naming["drop_first_frame"], bool):
        raise ValueError(f"naming {name}: drop_first_frame is not true or false")
    return naming


def _is_rule(rule):
    """Whether it says where a joint is: one of the three forms of the module's docstring."""
    if isinstance(rule, dict):
        return (
            set(rule) == {"between", "share", "forward", "axis"}
            and isinstance(rule["between"], list)
            and len(rule["between"]) == 2
            and all(isinstance(name, str) for name in rule["between"])
            and all(_is_number(rule[key]) and abs(rule[key]) < 100 for key in ("share", "forward"))
            and rule["axis"] in ("x", "y", "z", "+x", "+y", "+z", "-x", "-y", "-z")
        )
    names = [rule] if isinstance(rule, str) else rule
    return isinstance(names, list) and bool(names) and all(isinstance(n, str) for n in names)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def joints_of(motion, rules: dict) -> np.ndarray:
    """(T, J, 3): the 17 joints by the rules of a naming, in the file's unit and axes."""
    places_TxNx3, turns_TxNx3x3 = motion.positions()

    def mean(names):
        names = [names] if isinstance(names, str) else names
        return places_TxNx3[:, [motion.place_of(name) for name in names]].mean(axis=1)

    def between(between, share, forward, axis):
        start_Tx3, end_Tx3 = (mean(name) for name in between)
        sign = -1.0 if axis.startswith("-") else 1.0
        column = "xyz".index(axis[-1])
        ahead_Tx3 = sign * turns_TxNx3x3[:, motion.place_of(between[0]), :, column]
        length_Tx1 = np.linalg.norm(end_Tx3 - start_Tx3, axis=-1, keepdims=True)
        return start_Tx3 + share * (end_Tx3 - start_Tx3) + forward * length_Tx1 * ahead_Tx3

    def one(rule):
        if isinstance(rule, Fixed):
            node = motion.place_of(rule.node)
            return places_TxNx3[:, node] + turns_TxNx3x3[:, node] @ rule.place_3
        return between(**rule) if isinstance(rule, dict) else mean(rule)

    return np.stack([one(rules[name]) for name in JOINTS], axis=1)


# --- told from the file ---------------------------------------------------------------------------


def told(motion, metres_per_unit: float = 0.0) -> tuple[str, dict]:
    """Whose names a file has, and the naming. metres_per_unit: 0 to tell it too.

    ValueError where the names are nobody's that is known, where no usual unit makes a person of
    them, and where the knees bend backwards.
    """
    names = [node.name for node in motion.nodes]
    family, naming = next(
        ((name, naming) for name, naming in NAMINGS.items() if _has_all(naming, names)),
        (None, None),
    )
    if naming is None:
        family, naming = _of_family(motion, names)
    pose_TxJx3 = joints_of(motion, naming["joints"])
    metres = metres_per_unit or _unit(pose_TxJx3)
    pose_TxJx3 = pose_TxJx3 * metres
    _check_knees(pose_TxJx3)
    drop = _stands_apart(pose_TxJx3) or (naming is CMU and metres == naming["metres_per_unit"])
    return family, {**naming, "metres_per_unit": metres, "drop_first_frame": drop}


def _check_knees(pose_TxJx3):
    """ValueError where left and right are taken for one another, or an axis is turned round."""
    at = {name: pose_TxJx3[:, INDEX[name]] for name in JOINTS}
    up_Tx3 = _unit_vectors(at["neck"] - at["root"])
    ahead_Tx3 = _unit_vectors(np.cross(at["lhip"] - at["rhip"], up_Tx3))
    ahead = np.mean(
        [
            np.sum(
                (at[f"{side}knee"] - (at[f"{side}hip"] + at[f"{side}ankle"]) / 2) * ahead_Tx3, -1
            )
            for side in "lr"
        ]
    )
    if ahead < -_BACKWARDS:
        raise ValueError(
            f"the knees bend backwards, by {-ahead:.2f} m in the mean: left and right are swapped,"
            " or an axis is turned round; give --naming FILE.json"
        )


def _has_all(naming, names):
    def needed(rule):
        return (
            rule["between"] if isinstance(rule, dict) else [rule] if isinstance(rule, str) else rule
        )

    return all(name in names for rule in naming["joints"].values() for name in needed(rule))


def _unit(pose_TxJx3) -> float:
    size = float(np.median(limb_lengths(pose_TxJx3).sum(axis=-1)))
    metres = min(UNITS, key=lambda unit: abs(np.log(max(size, 1e-9) * unit / _LIMBS_OF_A_PERSON)))
    if not _SMALLEST <= size * metres <= _LARGEST:
        raise ValueError(
            f"the bones are {size:.4g} units together, which is a person's size in no usual unit;"
            " give --metres-per-unit and --naming"
        )
    return metres


def _stands_apart(pose_TxJx3) -> bool:
    """Whether the first frame is a calibration pose: the step out of it is none of the motion's."""
    if len(pose_TxJx3) < 4:
        return False
    step_T = np.linalg.norm(np.diff(pose_TxJx3[:40], axis=0), axis=-1).mean(axis=-1)
    return bool(step_T[0] > 0.05 and step_T[0] > 4 * step_T[1:].max())


def _plain(name: str) -> str:
    """A node's name in lower-case letters and digits, without namespace, prefix and suffix."""
    text = re.sub("[^a-z0-9]", "", name.rsplit(":", 1)[-1].lower())
    return text if name.endswith(".end") else _AROUND.sub("", text)


def _of_family(motion, names):
    nodes: dict[str, str] = {}
    for name in names:
        # VRM writes the side between prefix and name: J_Bip_L_UpperLeg.
        side = re.search(r"^J_Bip_([LR])_", name)
        nodes.setdefault((side[1].lower() if side else "") + _plain(name), name)
    lacking = {}
    for family, parts in FAMILIES.items():
        for left, right in (("left", "right"), ("l", "r")):
            limbs = {
                side + joint: nodes.get(part.replace("SIDE", word))
                for side, word in (("l", left), ("r", right))
                for joint, part in zip(_LIMBS, parts, strict=True)
            }
            missing = [
                part.replace("SIDE", left)
                for joint, part in zip(_LIMBS, parts, strict=True)
                if not limbs["l" + joint]
            ]
            if all(limbs.values()) and "head" in nodes:
                return family, {
                    "joints": _rules(motion, limbs, nodes),
                    "metres_per_unit": 1.0,
                    "drop_first_frame": False,
                }
            lacking[len(missing), family] = missing
    (count, family), missing = min(lacking.items())
    near = f"; nearest is {family} without {', '.join(missing or ['a head'])}" if count < 4 else ""
    raise ValueError(
        f"the naming cannot be told from its {len(names)} nodes ({', '.join(names[:8])} ...)"
        f"{near}; known are cmu and those of {'; '.join(FAMILIES)}; give --naming FILE.json"
    )


def _rules(motion, limbs, nodes):
    """The rules of all joints. What has no name of its own is found from how the file moves."""
    places_TxNx3, turns_TxNx3x3 = motion.positions()
    at = {joint: places_TxNx3[:, motion.place_of(name)] for joint, name in limbs.items()}
    hips_Tx3 = (at["lhip"] + at["rhip"]) / 2
    head = motion.place_of(nodes["head"])
    shoulders_Tx3 = (at["lshoulder"] + at["rshoulder"]) / 2
    neck = nodes.get("neck") or [limbs["lshoulder"], limbs["rshoulder"]]
    rules = {**limbs, "root": [limbs["lhip"], limbs["rhip"]], "neck": neck}
    rules["belly"] = _belly(motion, places_TxNx3, hips_Tx3, shoulders_Tx3, head)

    long_limbs = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
    size = _LONG_LIMBS * sum(
        np.linalg.norm(at[side + start] - at[side + end], axis=-1).mean()
        for side in "lr"
        for start, end in long_limbs
    )
    # The way up and ahead in the head's own axes, as they are in the mean over the motion.
    up_Tx3 = _unit_vectors(shoulders_Tx3 - hips_Tx3)
    ahead_Tx3 = _unit_vectors(
        np.cross(at["lhip"] - at["rhip"] + at["lshoulder"] - at["rshoulder"], up_Tx3)
    )
    turns_Tx3x3 = turns_TxNx3x3[:, head]
    up_3, ahead_3 = (
        _unit_vectors(np.einsum("tji,tj->ti", turns_Tx3x3, way_Tx3).mean(axis=0))
        for way_Tx3 in (up_Tx3, ahead_Tx3)
    )
    top_3 = up_3 * _HEAD * size
    for name in ("headtopend", "headtop", "headend"):
        if name in nodes:
            offset_Tx3 = places_TxNx3[:, motion.place_of(nodes[name])] - places_TxNx3[:, head]
            given_3 = np.einsum("tji,tj->ti", turns_Tx3x3, offset_Tx3).mean(axis=0)
            if np.linalg.norm(given_3) > _SHORTEST_HEAD * size:
                top_3 = given_3
                break
    rules["head"] = Fixed(nodes["head"], top_3)
    rules["nose"] = Fixed(nodes["head"], (up_3 * _NOSE_UP + ahead_3 * _NOSE_AHEAD) * size)
    return rules


def _belly(motion, places_TxNx3, hips_Tx3, shoulders_Tx3, head) -> str:
    """The node between hips and head that is nearest to the middle of the trunk."""
    chain, node = [], motion.nodes[head].parent
    while node >= 0:
        chain.append(node)
        node = motion.nodes[node].parent
    trunk_Tx3 = shoulders_Tx3 - hips_Tx3
    share_C = [
        float(np.mean(np.sum((places_TxNx3[:, node] - hips_Tx3) * trunk_Tx3, axis=-1)
                      / np.sum(trunk_Tx3**2, axis=-1)))
        for node in chain
    ]  # fmt: skip
    return motion.nodes[chain[int(np.argmin(np.abs(np.array(share_C) - 0.5)))]].name


def _unit_vectors(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
