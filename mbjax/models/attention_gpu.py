"""Attention by `jax.nn.dot_product_attention`, in layouts that cuDNN takes without a transpose.

Frames: joints and heads are both heads, (B, T, J * H, D). Joints: frames are clips, (B * T, J, H,
D). Neither has a bias or a mask, which cuDNN does not train with at odd lengths. cuDNN computes in
bfloat16 only; in float32, and on other devices, XLA computes the same.
"""

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from mbjax.devices import sharding
from mbjax.models.attention_packed import separate_qkv
from mbjax.models.layers import projected


def attention(x_BxTxJxC, weights, num_heads, over, dtype):
    """x plus its attention; arguments as in `attention.Form`."""
    B, T, J, C = x_BxTxJxC.shape
    D = C // num_heads
    shape = (B, T, J * num_heads, D) if over == "frames" else (B * T, J, num_heads, D)
    q, k, v = (one.reshape(shape) for one in separate_qkv(x_BxTxJxC, weights, dtype))
    cudnn = sharding.platform() == "gpu" and jnp.dtype(dtype) == jnp.bfloat16
    out = jax.nn.dot_product_attention(q, k, v, implementation="cudnn" if cudnn else "xla")
    out_BxTxJxC = checkpoint_name(out.reshape(B, T, J, C), "attention")
    return x_BxTxJxC + projected(
        out_BxTxJxC, weights.proj_kernel_CxC, weights.proj_bias_C, dtype
    )  # fmt: skip
