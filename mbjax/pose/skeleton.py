"""The 17-joint skeleton: names, limbs, left-right pairs, and how other 2D layouts become it.

Shapes in names: B batch, T frames, J joints (17), K keypoints of another layout, C channels.
Works on numpy arrays and on JAX arrays alike: the array's own namespace is used.
"""

import numpy as np

# Human3.6M order; everything in this project is in it unless a name says otherwise.
JOINTS = (
    "root", "rhip", "rknee", "rankle", "lhip", "lknee", "lankle", "belly", "neck", "nose", "head",
    "lshoulder", "lelbow", "lwrist", "rshoulder", "relbow", "rwrist",
)  # fmt: skip
NUM_JOINTS = len(JOINTS)
INDEX = {name: i for i, name in enumerate(JOINTS)}
ROOT = INDEX["root"]

# Parent of each joint; the root is its own.
PARENTS = (0, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
LIMBS = tuple((parent, joint) for joint, parent in enumerate(PARENTS) if joint != ROOT)

# Left limbs blue, right limbs red, the trunk black, in the order of LIMBS.
LIMB_COLOURS = tuple(
    {"l": "tab:blue", "r": "tab:red"}.get(JOINTS[joint][0], "black") for _, joint in LIMBS
)

LEFT = tuple(i for i, name in enumerate(JOINTS) if name[0] == "l")
RIGHT = tuple(INDEX["r" + JOINTS[i][1:]] for i in LEFT)
# MIRROR[i] is the joint that stands at i's place in a mirror.
MIRROR = np.arange(NUM_JOINTS)
MIRROR[list(LEFT)], MIRROR[list(RIGHT)] = RIGHT, LEFT

# Pairs of limbs (positions in LIMBS) whose angle the angle losses look at.
LIMB_PAIRS = (
    (0, 3), (0, 6), (3, 6), (0, 1), (1, 2), (3, 4), (4, 5), (6, 7), (7, 10), (7, 13), (8, 13),
    (10, 13), (7, 8), (8, 9), (10, 11), (11, 12), (13, 14), (14, 15),
)  # fmt: skip


def namespace(array):
    """numpy for numpy arrays, jax.numpy for JAX arrays, without importing either's rival."""
    return array.__array_namespace__()


def mirror(motion):
    """Left-right mirror of (..., J, C): x changes sign, left and right joints change places.

    Twice is the identity. C is 2 (x, y), or 3 with depth or confidence last.
    """
    _need_joints(motion)
    xp = namespace(motion)
    swapped = motion[..., xp.asarray(MIRROR), :]
    return xp.concat([-swapped[..., :1], swapped[..., 1:]], axis=-1)


def root_relative(pose):
    """(..., J, C) with the root joint of every frame at the origin."""
    return pose - pose[..., ROOT : ROOT + 1, :]


def limb_lengths(pose):
    """(..., J, 3) -> (..., 16), the length of each of LIMBS in the pose's unit."""
    xp = namespace(pose)
    starts, ends = (xp.asarray(np.array(side)) for side in zip(*LIMBS, strict=True))
    return xp.linalg.vector_norm(pose[..., ends, :] - pose[..., starts, :], axis=-1)


def _need_joints(motion):
    if motion.shape[-2] != NUM_JOINTS:
        raise ValueError(
            f"expected {NUM_JOINTS} joints in the last axis but one, got shape {motion.shape}; "
            "convert other layouts with mbjax.pose.skeleton.from_layout"
        )


# --- other 2D layouts -------------------------------------------------------------------------
# Each target joint is the mean of the listed source keypoints (nested lists: mean of means).
# Confidence of a mean is the mean, but for PoseTrack's root and belly, where it is the smaller.

_COCO_NAMES = (
    "nose", "leye", "reye", "lear", "rear", "lshoulder", "rshoulder", "lelbow", "relbow",
    "lwrist", "rwrist", "lhip", "rhip", "lknee", "rknee", "lankle", "rankle",
)  # fmt: skip
_HALPE_NAMES = _COCO_NAMES + (
    "head", "neck", "root", "lbigtoe", "rbigtoe", "lsmalltoe", "rsmalltoe", "lheel", "rheel",
)  # fmt: skip
_BODY25_NAMES = (
    "nose", "neck", "rshoulder", "relbow", "rwrist", "lshoulder", "lelbow", "lwrist", "root",
    "rhip", "rknee", "rankle", "lhip", "lknee", "lankle", "reye", "leye", "rear", "lear",
    "lbigtoe", "lsmalltoe", "lheel", "rbigtoe", "rsmalltoe", "rheel",
)  # fmt: skip
_COCO18_NAMES = (
    "nose", "neck", "rshoulder", "relbow", "rwrist", "lshoulder", "lelbow", "lwrist", "rhip",
    "rknee", "rankle", "lhip", "lknee", "lankle", "reye", "leye", "rear", "lear",
)  # fmt: skip
_POSETRACK_NAMES = (
    "nose", "neck", "head", "lear", "rear", "lshoulder", "rshoulder", "lelbow", "relbow",
    "lwrist", "rwrist", "lhip", "rhip", "lknee", "rknee", "lankle", "rankle",
)  # fmt: skip
_MEDIAPIPE_NAMES = (
    "nose", "leyeinner", "leye", "leyeouter", "reyeinner", "reye", "reyeouter", "lear", "rear",
    "lmouth", "rmouth", "lshoulder", "rshoulder", "lelbow", "relbow", "lwrist", "rwrist",
    "lpinky", "rpinky", "lindex", "rindex", "lthumb", "rthumb", "lhip", "rhip", "lknee", "rknee",
    "lankle", "rankle", "lheel", "rheel", "lfoot", "rfoot",
)  # fmt: skip

_HIPS, _SHOULDERS = ("lhip", "rhip"), ("lshoulder", "rshoulder")
_NO_TORSO = {
    "root": _HIPS,
    "neck": _SHOULDERS,
    "belly": (_HIPS, _SHOULDERS),
    "head": ("leye", "reye"),
}

LAYOUTS = {
    "h36m17": (JOINTS, {}),
    "coco17": (_COCO_NAMES, _NO_TORSO),
    "halpe26": (_HALPE_NAMES, {"belly": ("root", "neck")}),
    # OpenPose's COCO model; its neck is computed, and by AlphaPose from other points than these.
    "coco18": (_COCO18_NAMES, _NO_TORSO),
    "body25": (_BODY25_NAMES, {"belly": ("root", "neck"), "head": ("leye", "reye")}),
    "posetrack17": (_POSETRACK_NAMES, {"root": _HIPS, "belly": (_HIPS, "neck")}),
    "mediapipe33": (_MEDIAPIPE_NAMES, _NO_TORSO),
}
_SMALLER_CONFIDENCE = {"posetrack17": ("root", "belly")}


def _leaves(rule):
    return [rule] if isinstance(rule, str) else [leaf for part in rule for leaf in _leaves(part)]


def from_layout(keypoints, layout):
    """2D keypoints of another layout as the 17 joints here.

    keypoints (..., K, 2 or 3): x, y in any unit and, as a third channel, confidence.
    layout: a name in LAYOUTS. Returns (..., 17, 2 or 3). ValueError on an unknown layout or on a
    number of keypoints that is not the layout's.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"unknown layout {layout!r}; known: {', '.join(LAYOUTS)}")
    names, rules = LAYOUTS[layout]
    if keypoints.ndim < 2 or keypoints.shape[-2] != len(names) or keypoints.shape[-1] not in (2, 3):
        raise ValueError(
            f"layout {layout} has {len(names)} keypoints of 2 or 3 channels, got an array of shape "
            f"{tuple(keypoints.shape)}"
        )
    xp = namespace(keypoints)
    place = {name: i for i, name in enumerate(names)}

    def mean(rule):
        if isinstance(rule, str):
            return keypoints[..., place[rule], :]
        return sum(mean(part) for part in rule) / len(rule)

    smaller = _SMALLER_CONFIDENCE.get(layout, ())
    joints = []
    for name in JOINTS:
        rule = rules.get(name, name)
        joint = mean(rule)
        if name in smaller and keypoints.shape[-1] == 3:
            confidence = xp.min(
                xp.stack([keypoints[..., place[leaf], 2] for leaf in _leaves(rule)]), axis=0
            )
            joint = xp.concat([joint[..., :2], confidence[..., None]], axis=-1)
        joints.append(joint)
    return xp.stack(joints, axis=-2)
