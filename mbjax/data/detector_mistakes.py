"""What detectors get wrong for a while: limbs not seen, nobody seen, left and right exchanged.

Beside the noise and the masks of detector_noise.py, which change from frame to frame; the release
has none of these. Runs inside the training step, on the device. Shapes in names: B batch, T frames,
J joints. One key per row, so what a row gets depends on that row alone.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mbjax.pose import skeleton

# What can be hidden or exchanged at once: left arm, right arm, left leg, right leg. A shoulder and
# a hip, which a detector places by the trunk, stay.
LIMBS = (("lelbow", "lwrist"), ("relbow", "rwrist"), ("lknee", "lankle"), ("rknee", "rankle"))
_OF_LIMB_NxJ = np.array([[name in limb for name in skeleton.JOINTS] for limb in LIMBS])
# Arms with their shoulders, legs with their hips.
_PAIRS = (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
_OF_PAIR_NxJ = np.array([[name[1:] in pair for name in skeleton.JOINTS] for pair in _PAIRS])


def spans(key: jax.Array, count: int, frames: int, share) -> jax.Array:
    """(count, T) bool: each, with probability `share`, true for 1 to T / 2 frames in a row."""
    has_key, first_key, length_key = jax.random.split(key, 3)
    has_Nx1 = jax.random.uniform(has_key, (count, 1)) < share
    length_Nx1 = jax.random.randint(length_key, (count, 1), 1, max(frames // 2, 1) + 1)
    first_Nx1 = jax.random.randint(first_key, (count, 1), 1 - length_Nx1, frames)
    frame_T = jnp.arange(frames)
    return has_Nx1 & (frame_T >= first_Nx1) & (frame_T < first_Nx1 + length_Nx1)


def hide_spans(keys_B: jax.Array, x_BxTxJx3: jax.Array, share) -> jax.Array:
    """Nobody is, with probability `share`, seen for a span of frames: x, y, confidence are 0."""

    def one_clip(key, x_TxJx3):
        hidden_T = spans(key, 1, len(x_TxJx3), share)[0]
        return jnp.where(hidden_T[:, None, None], 0.0, x_TxJx3)

    return jax.vmap(one_clip)(keys_B, x_BxTxJx3)


def hide_limbs(keys_B: jax.Array, x_BxTxJx3: jax.Array, share) -> jax.Array:
    """Each arm and leg is, with probability `share`, not seen for a span of frames."""

    def one_clip(key, x_TxJx3):
        hidden_NxT = spans(key, len(LIMBS), len(x_TxJx3), share)
        hidden_TxJ = (hidden_NxT[:, :, None] & _OF_LIMB_NxJ[:, None]).any(axis=0)
        return jnp.where(hidden_TxJ[..., None], 0.0, x_TxJx3)

    return jax.vmap(one_clip)(keys_B, x_BxTxJx3)


def swap_sides(keys_B: jax.Array, x_BxTxJx3: jax.Array, share) -> jax.Array:
    """The arms, and the legs, have with probability `share` left for right for a span of frames."""

    def one_clip(key, x_TxJx3):
        swapped_NxT = spans(key, len(_PAIRS), len(x_TxJx3), share)
        swapped_TxJ = (swapped_NxT[:, :, None] & _OF_PAIR_NxJ[:, None]).any(axis=0)
        return jnp.where(swapped_TxJ[..., None], x_TxJx3[:, skeleton.MIRROR], x_TxJx3)

    return jax.vmap(one_clip)(keys_B, x_BxTxJx3)


def add(keys_B: jax.Array, x_BxTxJx3: jax.Array, shares, ramp=1.0) -> jax.Array:
    """Swaps, then limbs, then spans, as far as their share in the config's `mistakes` is not 0."""
    for number, change in enumerate((swap_sides, hide_limbs, hide_spans)):
        if share := shares[change.__name__]:
            own_B = jax.vmap(lambda key, number=number: jax.random.fold_in(key, number))(keys_B)
            x_BxTxJx3 = change(own_B, x_BxTxJx3, ramp * share)
    return x_BxTxJx3
