"""What detectors get wrong for a while: limbs not seen, nobody seen, left and right exchanged.

Beside the noise and the masks of detector_noise.py, which change from frame to frame; the release
has none of these. Runs inside the training step, on the device. Shapes in names: B batch, T frames,
J joints. One key per row, so what a row gets depends on that row alone.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from mbjax.data.plan import folded
from mbjax.pose import skeleton

# What can be hidden at once: left arm, right arm, left leg, right leg. A shoulder and a hip, which
# a detector places by the trunk, stay.
LIMBS = (*skeleton.ARMS, *skeleton.LEGS)
_OF_LIMB_NxJ = skeleton.joints_of(LIMBS)
# What is exchanged: both arms with their shoulders, both legs with their hips.
_OF_PAIR_NxJ = skeleton.joints_of(
    [side + name for side in "lr" for name in pair]
    for pair in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
)
_WHOLE_1xJ = np.ones((1, skeleton.NUM_JOINTS), bool)
_KEY = 4  # of a row's mask key: what mistakes draw is apart from what masks draw


def spans(key: jax.Array, count: int, frames: int, share) -> jax.Array:
    """(count, T) bool: each, with probability `share`, true for 1 to T / 2 frames in a row."""
    has_key, first_key, length_key = jax.random.split(key, 3)
    has_Nx1 = jax.random.uniform(has_key, (count, 1)) < share
    length_Nx1 = jax.random.randint(length_key, (count, 1), 1, max(frames // 2, 1) + 1)
    first_Nx1 = jax.random.randint(first_key, (count, 1), 1 - length_Nx1, frames)
    frame_T = jnp.arange(frames)
    return has_Nx1 & (frame_T >= first_Nx1) & (frame_T < first_Nx1 + length_Nx1)


def _for_a_while(
    keys_B: jax.Array, x_BxTxJx3: jax.Array, share, groups_NxJ: np.ndarray, change: Callable
) -> jax.Array:
    """Each group of joints is, with probability `share`, changed for a span of frames."""

    def one_clip(key, x_TxJx3):
        span_NxT = spans(key, len(groups_NxJ), len(x_TxJx3), share)
        changed_TxJ = (span_NxT[:, :, None] & groups_NxJ[:, None]).any(axis=0)
        return jnp.where(changed_TxJ[..., None], change(x_TxJx3), x_TxJx3)

    return jax.vmap(one_clip)(keys_B, x_BxTxJx3)


def hide_spans(keys_B: jax.Array, x_BxTxJx3: jax.Array, share) -> jax.Array:
    """Nobody is, with probability `share`, seen for a span of frames: x, y, confidence are 0."""
    return _for_a_while(keys_B, x_BxTxJx3, share, _WHOLE_1xJ, jnp.zeros_like)


def hide_limbs(keys_B: jax.Array, x_BxTxJx3: jax.Array, share) -> jax.Array:
    """Each arm and leg is, with probability `share`, not seen for a span of frames."""
    return _for_a_while(keys_B, x_BxTxJx3, share, _OF_LIMB_NxJ, jnp.zeros_like)


def swap_sides(keys_B: jax.Array, x_BxTxJx3: jax.Array, share) -> jax.Array:
    """The arms, and the legs, have with probability `share` left for right for a span of frames."""
    return _for_a_while(
        keys_B, x_BxTxJx3, share, _OF_PAIR_NxJ, lambda x_TxJx3: x_TxJx3[:, skeleton.MIRROR]
    )


def add(mask_keys_B: jax.Array, x_BxTxJx3: jax.Array, shares, ramp=1.0) -> jax.Array:
    """Swaps, then limbs, then spans, as far as their share in the config's `mistakes` is not 0."""
    keys_B = folded(mask_keys_B, _KEY)
    for number, change in enumerate((swap_sides, hide_limbs, hide_spans)):
        if share := shares[change.__name__]:
            x_BxTxJx3 = change(folded(keys_B, number), x_BxTxJx3, ramp * share)
    return x_BxTxJx3
