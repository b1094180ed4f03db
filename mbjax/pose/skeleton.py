"""The 17-joint skeleton: names, limbs, left-right pairs, mirror image.

Other layouts of 2D keypoints become it in mbjax.keypoints.layouts.
Shapes in names: B batch, T frames, J joints (17), C channels.
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

# What moves from shoulders and hips on, by the joints that bones end at.
ARMS = (("lelbow", "lwrist"), ("relbow", "rwrist"))
LEGS = (("lknee", "lankle"), ("rknee", "rankle"))


def joints_of(groups) -> np.ndarray:
    """(N, J) bool: which joints each of N groups of names has."""
    return np.array([[name in group for name in JOINTS] for group in groups])


# The 14 that 3DPW is compared on: no root, belly, nose; H36M's head stands for the head's top.
FOURTEEN = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16)

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
    """(..., J, 2 or 3) -> (..., 16), the length of each of LIMBS in the pose's unit."""
    xp = namespace(pose)
    starts, ends = (xp.asarray(np.array(side)) for side in zip(*LIMBS, strict=True))
    return xp.linalg.vector_norm(pose[..., ends, :] - pose[..., starts, :], axis=-1)


def _need_joints(motion):
    if motion.shape[-2] != NUM_JOINTS:
        raise ValueError(
            f"expected {NUM_JOINTS} joints in the last axis but one, got shape {motion.shape}; "
            "convert other layouts with mbjax.keypoints.layouts.from_layout"
        )
