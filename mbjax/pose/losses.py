"""Training losses on 3D motion and on 2D clips (paper, section 3.3; release, lib/model/loss).

Shapes in names: B batch, T frames, J joints. All are means over the batch, computed in float32.
`pose` and `target` are (B, T, J, 3) in the same unit, `conf` is (B, T, J, 1).
"""

import jax
import jax.numpy as jnp

from mbjax.pose.skeleton import LIMB_PAIRS, LIMBS

# Where two limbs are parallel the derivative of acos is infinite; cosines stay this far inside.
_COSINE_MARGIN = 1e-7


def joint_error(pose_BxTxJx3: jax.Array, target_BxTxJx3: jax.Array) -> jax.Array:
    """Mean distance between predicted and true joints (MPJPE as a loss)."""
    return jnp.mean(distance(pose_BxTxJx3 - target_BxTxJx3))


def scale_normalised_error(pose_BxTxJx3, target_BxTxJx3):
    """Joint error after each frame's pose is scaled to fit the target in the least squares."""
    fit = jnp.sum(pose_BxTxJx3 * target_BxTxJx3, axis=(-2, -1), keepdims=True)
    size = jnp.sum(jnp.square(pose_BxTxJx3), axis=(-2, -1), keepdims=True)
    # An all-zero frame has no scale; it counts with its plain error instead of NaN.
    empty = size == 0
    scale = jnp.where(empty, 0.0, fit / jnp.where(empty, 1.0, size))
    return joint_error(scale * pose_BxTxJx3, target_BxTxJx3)


def velocity_error(pose_BxTxJx3, target_BxTxJx3):
    """Mean distance between frame-to-frame differences; 0 for a single frame. No fps factor."""
    if pose_BxTxJx3.shape[1] < 2:
        return jnp.float32(0)
    return joint_error(jnp.diff(pose_BxTxJx3, axis=1), jnp.diff(target_BxTxJx3, axis=1))


def limb_variance(pose_BxTxJx3):
    """Variance of each limb's length over the clip (unbiased), mean over limbs."""
    if pose_BxTxJx3.shape[1] < 2:
        return jnp.float32(0)
    return jnp.mean(jnp.var(_limb_lengths(pose_BxTxJx3), axis=1, ddof=1))


def limb_length_error(pose_BxTxJx3, target_BxTxJx3):
    """Mean absolute difference of limb lengths."""
    return jnp.mean(jnp.abs(_limb_lengths(pose_BxTxJx3) - _limb_lengths(target_BxTxJx3)))


def _limbs(pose_BxTxJx3):
    start, end = (jnp.array(side) for side in zip(*LIMBS, strict=True))
    return pose_BxTxJx3[:, :, end] - pose_BxTxJx3[:, :, start]


def _limb_lengths(pose_BxTxJx3):
    # Not skeleton.limb_lengths: a limb of no length must have a gradient.
    return distance(_limbs(pose_BxTxJx3))


def limb_angles(pose_BxTxJx3):
    """Angles in radians between the pairs of limbs in LIMB_PAIRS, (B, T, 18)."""
    limbs = _limbs(pose_BxTxJx3)
    first, second = (limbs[:, :, jnp.array(side)] for side in zip(*LIMB_PAIRS, strict=True))
    # The norm's floor is that of the usual cosine similarity: a limb of no length is at a right
    # angle to everything instead of NaN.
    norms = jnp.maximum(distance(first), 1e-8) * jnp.maximum(distance(second), 1e-8)
    cosine = jnp.sum(first * second, axis=-1) / norms
    return jnp.arccos(jnp.clip(cosine, -1 + _COSINE_MARGIN, 1 - _COSINE_MARGIN))


def angle_error(pose_BxTxJx3, target_BxTxJx3):
    """Mean absolute difference of limb angles, radians."""
    return jnp.mean(jnp.abs(limb_angles(pose_BxTxJx3) - limb_angles(target_BxTxJx3)))


def angle_velocity_error(pose_BxTxJx3, target_BxTxJx3):
    """Mean absolute difference of the frame-to-frame change of limb angles, radians."""
    if pose_BxTxJx3.shape[1] < 2:
        return jnp.float32(0)
    change = jnp.diff(limb_angles(pose_BxTxJx3), axis=1)
    return jnp.mean(jnp.abs(change - jnp.diff(limb_angles(target_BxTxJx3), axis=1)))


def weighted_2d_error(pose_BxTxJx3, target_BxTxJx2, conf_BxTxJx1):
    """Mean distance in x and y, the difference weighted by confidence before its norm is taken."""
    difference = (pose_BxTxJx3[..., :2] - target_BxTxJx2[..., :2]) * conf_BxTxJx1
    return jnp.mean(distance(difference))


def distance(difference):
    """Euclidean norm over the last axis; its gradient at zero is zero, not NaN."""
    squared = jnp.sum(jnp.square(difference.astype(jnp.float32)), axis=-1)
    away = squared != 0  # NaN is not 0: a network that diverged must have no loss of 0
    return jnp.where(away, jnp.sqrt(jnp.where(away, squared, 1.0)), 0.0)


# What the terms of the 3D loss are called in a config, and in the log.
LOSS_TERMS = {
    "joint": joint_error,
    "scale": scale_normalised_error,
    "velocity": velocity_error,
    "limb_variance": lambda pose, target: limb_variance(pose),
    "limb_length": limb_length_error,
    "angle": angle_error,
    "angle_velocity": angle_velocity_error,
}


def pose_loss(pose_BxTxJx3, target_BxTxJx3, weights):
    """The weighted sum of LOSS_TERMS, and every term by name.

    weights: {term: float}; a term of weight 0 is not computed. KeyError on an unknown term.
    """
    pose, target = (a.astype(jnp.float32) for a in (pose_BxTxJx3, target_BxTxJx3))
    terms = {
        name: LOSS_TERMS[name](pose, target)
        for name, weight in weights.items()
        if not (isinstance(weight, int | float) and weight == 0)
    }
    total = sum((weights[name] * value for name, value in terms.items()), jnp.float32(0))
    return total, terms
