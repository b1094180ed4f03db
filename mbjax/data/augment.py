"""Random changes of 3D clips before they are corrupted: mirror, camera, bone lengths, scale.

Runs inside the training step, on the device. Shapes in names: B batch, T frames, J joints.
Every function takes one key per row. Axes are the camera's: x right, y down, z away.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mbjax.pose import skeleton
from mbjax.pose.normalise import crop_scale_3d


def _ancestry() -> np.ndarray:
    """(J, J) ones where the column's joint lies on the way from the root to the row's."""
    chain = np.eye(skeleton.NUM_JOINTS, dtype=np.float32)
    for joint, parent in enumerate(skeleton.PARENTS):
        if joint != skeleton.ROOT:
            chain[joint] += chain[parent]
    return chain


_CHAIN_JxJ = _ancestry()
_PARENTS = np.array(skeleton.PARENTS)


def random_mirror(keys_B: jax.Array, motion_BxTxJxC: jax.Array) -> jax.Array:
    """Each clip mirrored left to right with probability one half."""

    def one_clip(key, motion_TxJxC):
        return jnp.where(jax.random.bernoulli(key), skeleton.mirror(motion_TxJxC), motion_TxJxC)

    return jax.vmap(one_clip)(keys_B, motion_BxTxJxC)


def random_scale(keys_B: jax.Array, motion_BxTxJx3: jax.Array, low: float, high: float):
    """Each clip crop-scaled in 3D to a ratio drawn from [low, high]."""

    def one_clip(key, motion_TxJx3):
        return crop_scale_3d(motion_TxJx3, jax.random.uniform(key, (), minval=low, maxval=high))[0]

    return jax.vmap(one_clip)(keys_B, motion_BxTxJx3)


def random_camera(
    keys_B: jax.Array, motion_BxTxJx3: jax.Array, yaw: float, pitch: float, roll: float = 0.0
) -> jax.Array:
    """Each clip seen by a camera of its own, turned about the mean place of the root.

    yaw, pitch, roll: half the range in degrees (180 for yaw: from anywhere around).
    """

    def one_clip(key, motion_TxJx3):
        limits = jnp.radians(jnp.array([yaw, pitch, roll], jnp.float32))
        angles = jax.random.uniform(key, (3,), minval=-1.0, maxval=1.0) * limits
        return view(motion_TxJx3, *angles)

    return jax.vmap(one_clip)(keys_B, motion_BxTxJx3)


def view(motion_TxJx3, yaw, pitch, roll=0.0):
    """Motion turned about its root's mean place: yaw first, then pitch, then roll; radians."""
    centre = motion_TxJx3[:, skeleton.ROOT].mean(axis=0)
    (cy, sy), (cp, sp), (cr, sr) = ((jnp.cos(a), jnp.sin(a)) for a in (yaw, pitch, roll))
    zero, one = jnp.zeros_like(cy), jnp.ones_like(cy)
    about_y = jnp.array([[cy, zero, sy], [zero, one, zero], [-sy, zero, cy]])
    about_x = jnp.array([[one, zero, zero], [zero, cp, -sp], [zero, sp, cp]])
    about_z = jnp.array([[cr, -sr, zero], [sr, cr, zero], [zero, zero, one]])
    # Highest precision: on some devices the default would round positions to 8 bits.
    turn = jnp.linalg.multi_dot([about_z, about_x, about_y], precision="highest")
    turned = jnp.einsum("tjc,dc->tjd", motion_TxJx3 - centre, turn, precision="highest")
    return turned + centre


# Bones that are long or short together: hips, legs, trunk, head, shoulders, arms.
_PARTS = (
    ("rhip", "lhip"), sum(skeleton.LEGS, ()), ("belly", "neck"), ("nose", "head"),
    ("lshoulder", "rshoulder"), sum(skeleton.ARMS, ()),
)  # fmt: skip
_PART_OF_J = skeleton.joints_of(_PARTS).argmax(axis=0)  # the root, which has no bone, in the first


def random_bones(
    keys_B: jax.Array, motion_BxTxJx3: jax.Array, std: float, part_std: float = 0.0
) -> jax.Array:
    """Each clip with limbs lengthened or shortened by factors exp(N(0, std)), alike on both sides.

    part_std: of factors that a part of the body has as a whole, as people and definitions of joints
    differ: one's hips lie farther apart, another's trunk is longer. Directions of limbs and the
    root's path are kept.
    """

    def one_clip(key, motion_TxJx3):
        factors_J = jnp.exp(std * jax.random.normal(key, (skeleton.NUM_JOINTS,)))
        factors_J = factors_J[np.minimum(np.arange(skeleton.NUM_JOINTS), skeleton.MIRROR)]
        if part_std:
            of_part = jax.random.normal(jax.random.fold_in(key, 1), (len(_PARTS),))
            factors_J *= jnp.exp(part_std * of_part)[_PART_OF_J]
        bones_TxJx3 = (motion_TxJx3 - motion_TxJx3[:, _PARENTS]) * factors_J[:, None]
        return _from_bones(bones_TxJx3, motion_TxJx3)

    return jax.vmap(one_clip)(keys_B, motion_BxTxJx3)


def _from_bones(bones_TxJx3, motion_TxJx3):
    """The motion with other bones, each from its parent, on the root's path."""
    bones_TxJx3 = bones_TxJx3.at[:, skeleton.ROOT].set(motion_TxJx3[:, skeleton.ROOT])
    return jnp.einsum("jk,tkc->tjc", _CHAIN_JxJ, bones_TxJx3, precision="highest")


_OF_LIMB_NxJ = skeleton.joints_of((*skeleton.ARMS, *skeleton.LEGS))
_OF_ARMS_J = skeleton.joints_of(skeleton.ARMS).any(axis=0)


def random_limb_swaps(keys_B: jax.Array, motion_BxTxJx3: jax.Array, share: float) -> jax.Array:
    """Each arm and leg, with probability `share`, moves as that of its neighbour in the batch.

    An arm keeps its place to the shoulders and the trunk, a leg to the hips; lengths are kept.
    """
    bones_BxTxJx3 = motion_BxTxJx3 - motion_BxTxJx3[:, :, _PARENTS]

    def one_clip(key, motion_TxJx3, bones_TxJx3, others_TxJx3):
        swaps_Nx1 = jax.random.bernoulli(key, share, (len(_OF_LIMB_NxJ), 1))
        swapped_J = (swaps_Nx1 & _OF_LIMB_NxJ).any(axis=0)
        of_arms_TxJx3, of_legs_TxJx3 = (
            jnp.einsum(
                "tjc,tac,tad->tjd", others_TxJx3, _frame(others_TxJx3, *sides),
                _frame(bones_TxJx3, *sides), precision="highest",
            )
            for sides in (("lshoulder", "rshoulder"), ("lhip", "rhip"))
        )  # fmt: skip
        taken_TxJx3 = jnp.where(_OF_ARMS_J[:, None], of_arms_TxJx3, of_legs_TxJx3)
        lengths_TxJx1, theirs_TxJx1 = (
            jnp.linalg.norm(bones, axis=-1, keepdims=True) for bones in (bones_TxJx3, others_TxJx3)
        )
        taken_TxJx3 *= lengths_TxJx1 / jnp.maximum(theirs_TxJx1, 1e-6)
        changed_TxJx3 = jnp.where(swapped_J[:, None], taken_TxJx3, bones_TxJx3)
        return _from_bones(changed_TxJx3, motion_TxJx3)

    return jax.vmap(one_clip)(keys_B, motion_BxTxJx3, bones_BxTxJx3, _neighbours(bones_BxTxJx3))


def _neighbours(clips_BxTxJx3):
    """The other clip of each pair (first and second, third and fourth, ...); a last one is its own.

    Pairs, so that nothing is sent where each device has an even number of rows.
    """
    paired = len(clips_BxTxJx3) // 2 * 2
    pairs = clips_BxTxJx3[:paired].reshape(-1, 2, *clips_BxTxJx3.shape[1:])
    others = pairs[:, ::-1].reshape(paired, *clips_BxTxJx3.shape[1:])
    return jnp.concatenate([others, clips_BxTxJx3[paired:]]) if len(clips_BxTxJx3) % 2 else others


def _frame(bones_TxJx3, left, right):
    """(T, 3, 3): rows are across, up the trunk and their normal, of unit length."""
    across_Tx3 = bones_TxJx3[:, skeleton.INDEX[left]] - bones_TxJx3[:, skeleton.INDEX[right]]
    across_Tx3 = _unit(across_Tx3)
    trunk_Tx3 = bones_TxJx3[:, skeleton.INDEX["belly"]] + bones_TxJx3[:, skeleton.INDEX["neck"]]
    up_Tx3 = _unit(trunk_Tx3 - (trunk_Tx3 * across_Tx3).sum(-1, keepdims=True) * across_Tx3)
    return jnp.stack([across_Tx3, up_Tx3, jnp.cross(across_Tx3, up_Tx3)], axis=1)


def _unit(vectors):
    return vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


# The limbs of the sample's person together, in metres.
_LIMBS = 3.83


def random_perspective(keys_B: jax.Array, pose_BxTxJx3: jax.Array, near: float, far: float):
    """What a camera `near` to `far` metres away sees of each clip: (B, T, J, 2).

    Distances are those of a grown person, drawn evenly in their logarithm. The root is where it
    is without perspective and the person as large there: nearer joints lie further from it.
    """

    def one_clip(key, pose_TxJx3):
        low, high = np.log(near), np.log(far)
        return perspective(
            pose_TxJx3, jnp.exp(jax.random.uniform(key, (), minval=low, maxval=high))
        )

    return jax.vmap(one_clip)(keys_B, pose_BxTxJx3)


def perspective(pose_TxJx3, metres) -> jax.Array:
    """(T, J, 2): a clip seen from so many metres, as `random_perspective` has it."""
    metre = skeleton.limb_lengths(pose_TxJx3).sum(axis=-1).mean() / _LIMBS
    from_root_TxJx3 = skeleton.root_relative(pose_TxJx3)
    nearer_TxJx1 = 1 + from_root_TxJx3[..., 2:] / (metres * metre)
    # No joint is behind the camera, nor within a fifth of the way to it.
    seen_TxJx2 = from_root_TxJx3[..., :2] / jnp.maximum(nearer_TxJx1, 0.2)
    return pose_TxJx3[:, skeleton.ROOT : skeleton.ROOT + 1, :2] + seen_TxJx2
