"""Attention in fewer, larger products: several frames of joints as one masked sequence.

17 joints fill an eighth of a matrix unit's 128 rows; 9 frames of them make 153 rows, where each row
is masked to the joints of its own frame. q, k and v are products of their own, so that none is a
slice of a larger array.

Shapes in names: B clips, T frames, J joints, C channels, H heads, D channels per head, P frames of
a pack, N packs, S rows of a sequence.
"""

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from mbjax.models.layers import normalised, projected

FEWEST, MOST = 7, 15


def attention(x_BxTxJxC, weights, num_heads, over, dtype):
    """x plus its attention; arguments as in `attention.Form`."""
    B, T, J, C = x_BxTxJxC.shape
    q, k, v = separate_qkv(x_BxTxJxC, weights, dtype)
    if over == "frames":
        out = _attend(*(one.swapaxes(1, 2).reshape(B * J, T, C) for one in (q, k, v)), num_heads)
        out_BxTxJxC = out.reshape(B, J, T, C).swapaxes(1, 2)
    else:
        P = frames_of_a_pack(T)
        packed = (_packed(one, P) for one in (q, k, v))
        out = _attend(*packed, num_heads, _same_frame(P, J)).reshape(B, -1, J, C)
        out_BxTxJxC = out[:, :T]
    out_BxTxJxC = checkpoint_name(out_BxTxJxC, "attention")
    return x_BxTxJxC + projected(
        out_BxTxJxC, weights.proj_kernel_CxC, weights.proj_bias_C, dtype
    )  # fmt: skip


def separate_qkv(x_BxTxJxC, weights, dtype):
    """q, k, v after LayerNorm, each BxTxJxC and a product of its own."""
    norm = normalised(x_BxTxJxC, weights.scale_C, weights.bias_C)
    kernels = jnp.split(weights.qkv_kernel_Cx3C, 3, axis=1)
    biases = jnp.split(weights.qkv_bias_3C, 3)
    return tuple(
        checkpoint_name(projected(norm, kernel, bias, dtype), "qkv")
        for kernel, bias in zip(kernels, biases, strict=True)
    )


def frames_of_a_pack(T: int) -> int:
    """The size, of 7 to 15 frames, that wastes the fewest on the last pack; T if that is less."""
    return min(range(min(T, FEWEST), min(T, MOST) + 1), key=lambda P: (-T % P, P))


def _packed(x_BxTxJxC, P):
    B, T, J, C = x_BxTxJxC.shape
    padded = jnp.pad(x_BxTxJxC, ((0, 0), (0, -T % P), (0, 0), (0, 0)))
    return padded.reshape(-1, P * J, C)


def _same_frame(P, J):
    frame_S = jnp.repeat(jnp.arange(P), J)
    return frame_S[:, None] == frame_S


def _attend(q_NxSxC, k_NxSxC, v_NxSxC, num_heads, mask_SxS=None):
    N, S, C = q_NxSxC.shape
    D = C // num_heads
    q, k, v = (
        one.reshape(N, S, num_heads, D).swapaxes(1, 2) for one in (q_NxSxC, k_NxSxC, v_NxSxC)
    )
    logits = jnp.einsum("nhsd,nhtd->nhst", q, k, preferred_element_type=jnp.float32) * D**-0.5
    if mask_SxS is not None:
        logits = jnp.where(mask_SxS, logits, -jnp.inf)
    shares = jax.nn.softmax(logits, axis=-1)
    out = jnp.einsum("nhst,nhtd->nhsd", shares.astype(v.dtype), v)
    return out.swapaxes(1, 2).reshape(N, S, C)
