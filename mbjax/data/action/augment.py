"""Random changes of 2D clips of one or two persons, for action recognition.

Runs inside the training step, on the device. Shapes in names: B batch, M persons, T frames,
J joints, C = x, y, confidence. Every function takes one key per row; persons of a row move alike.
"""

import jax
import jax.numpy as jnp

from mbjax.pose.normalise import crop_scale

# Half ranges of the random move: degrees, share of the size, half images.
TURN, SCALE, SHIFT = 10.0, 0.1, 0.1


def random_move(keys_B: jax.Array, clips_BxMxTxJxC: jax.Array) -> jax.Array:
    """Each clip turned, scaled and shifted, as a hand-held camera would: linear in time between
    what is drawn for the first and for the last frame. About the origin of the input's x, y."""

    def one_clip(key, clip_MxTxJxC):
        T = clip_MxTxJxC.shape[1]
        half = jnp.array([jnp.radians(TURN), SCALE, SHIFT, SHIFT])
        ends_2x4 = jax.random.uniform(key, (2, 4), minval=-1.0, maxval=1.0) * half
        share_Tx1 = jnp.linspace(0.0, 1.0, T)[:, None]
        move_Tx4 = ends_2x4[0] * (1 - share_Tx1) + ends_2x4[1] * share_Tx1
        turn, scale, right, down = (move_Tx4[:, i, None] for i in range(4))
        cos, sin = (1 + scale) * jnp.cos(turn), (1 + scale) * jnp.sin(turn)
        x, y = clip_MxTxJxC[..., 0], clip_MxTxJxC[..., 1]
        moved = jnp.stack([cos * x - sin * y + right, sin * x + cos * y + down], axis=-1)
        return jnp.concatenate([moved, clip_MxTxJxC[..., 2:]], axis=-1)

    return jax.vmap(one_clip)(keys_B, clips_BxMxTxJxC)


def random_crop_scale(
    keys_B: jax.Array, clips_BxMxTxJxC: jax.Array, low: float, high: float
) -> jax.Array:
    """Each clip crop-scaled (mbjax.pose.normalise) with a ratio drawn from [low, high]."""

    def one_clip(key, clip_MxTxJxC):
        return crop_scale(clip_MxTxJxC, jax.random.uniform(key, (), minval=low, maxval=high))

    return jax.vmap(one_clip)(keys_B, clips_BxMxTxJxC)
