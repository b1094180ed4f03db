"""The sublayers as the paper writes them: the form that every other one is tested against.

Shapes in names: B clips, T frames, J joints, C channels, H heads, D channels per head.
"""

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from mbjax.models.layers import normalised, projected


def attention(x_BxTxJxC, weights, num_heads, over, dtype):
    """x plus its attention; arguments as in `attention.Form`."""
    B, T, J, C = x_BxTxJxC.shape
    norm = normalised(x_BxTxJxC, weights.scale_C, weights.bias_C)
    qkv = checkpoint_name(
        projected(norm, weights.qkv_kernel_Cx3C, weights.qkv_bias_3C, dtype), "qkv"
    )
    qkv = qkv.reshape(B, T, J, 3, num_heads, C // num_heads)
    q, k, v = (qkv[:, :, :, i] for i in range(3))  # each BxTxJxHxD
    scores, mix = (
        ("btjhd,btkhd->bthjk", "bthjk,btkhd->btjhd")
        if over == "joints"
        else ("btjhd,bsjhd->bjhts", "bjhts,bsjhd->btjhd")
    )
    logits = jnp.einsum(scores, q, k, preferred_element_type=jnp.float32)
    shares = jax.nn.softmax(logits * (C // num_heads) ** -0.5, axis=-1)
    out_BxTxJxHxD = jnp.einsum(mix, shares.astype(v.dtype), v)
    out = checkpoint_name(out_BxTxJxHxD.reshape(B, T, J, C), "attention")
    return x_BxTxJxC + projected(out, weights.proj_kernel_CxC, weights.proj_bias_C, dtype)


def mlp(x_BxTxJxC, weights, dtype):
    """x plus its MLP; arguments as in `attention.Form`."""
    norm = normalised(x_BxTxJxC, weights.scale_C, weights.bias_C)
    hidden = checkpoint_name(
        projected(norm, weights.fc1_kernel_CxF, weights.fc1_bias_F, dtype), "fc1"
    )
    hidden = jax.nn.gelu(hidden, approximate=False)
    return x_BxTxJxC + projected(hidden, weights.fc2_kernel_FxC, weights.fc2_bias_C, dtype)
