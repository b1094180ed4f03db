"""The two sublayers inside TPU kernels: what each computes on one tile of rows held on the chip.

LayerNorm, products, softmax and residual of a tile never leave the chip's vector memory, forward
and backward; the backward pass recomputes them from the sublayer's input. Weight gradients add up
in that memory over all tiles.

Shapes in names: R rows of a tile, C channels, F hidden channels, H heads, D channels per head.
"""

import jax
import jax.numpy as jnp

from mbjax.models.layers import EPSILON

_SQRT_HALF = 0.7071067811865476
_DENSITY_AT_ZERO = 0.3989422804014327


def dot(a, b, contract=((1,), (0,))):
    """Product of two matrices over the named axes, summed in float32."""
    return jax.lax.dot_general(a, b, (contract, ((), ())), preferred_element_type=jnp.float32)


ROWS = ((0,), (0,))  # over the rows of both: a gradient of a weight
COLUMNS = ((1,), (1,))  # over the columns of both: by a transposed weight


def normalise(x_RxC, scale_1xC, bias_1xC):
    """(LayerNorm, the normalised rows before scale and bias, 1 / standard deviation); float32."""
    centred = x_RxC - x_RxC.mean(-1, keepdims=True)
    inverse = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + EPSILON)
    standard = centred * inverse
    return standard * scale_1xC + bias_1xC, standard, inverse


def normalise_backward(grad_RxC, standard_RxC, inverse_Rx1, scale_1xC):
    """Gradients of `normalise`: of x, scale (1, C), bias (1, C)."""
    scaled = grad_RxC * scale_1xC
    along = (scaled * standard_RxC).mean(-1, keepdims=True)
    grad_x = inverse_Rx1 * (scaled - scaled.mean(-1, keepdims=True) - standard_RxC * along)
    return grad_x, column_sums(grad_RxC * standard_RxC), column_sums(grad_RxC)


def column_sums(x_RxC):
    return x_RxC.sum(0, keepdims=True)


def same_frame(rows: int, frames: int):
    """0 where two rows of a tile (joints x frames) are of one frame, far below 0 elsewhere."""
    row = jax.lax.broadcasted_iota(jnp.int32, (rows, rows), 0)
    column = jax.lax.broadcasted_iota(jnp.int32, (rows, rows), 1)
    return jnp.where(jax.lax.rem(row - column, frames) == 0, 0.0, -1e30)


def _heads(qkv_Rx3C, num_heads):
    """(q, k, v) of each head, RxD."""
    C = qkv_Rx3C.shape[1] // 3
    D = C // num_heads
    for head in range(num_heads):
        yield tuple(qkv_Rx3C[:, i * C + head * D : i * C + (head + 1) * D] for i in range(3))


def _exponentials(q_RxD, k_RxD, mask_RxR):
    """exp(logits - row maximum), float32, and 1 / its row sums."""
    logits = dot(q_RxD, k_RxD, COLUMNS) * q_RxD.shape[1] ** -0.5
    if mask_RxR is not None:
        logits = logits + mask_RxR
    powers = jnp.exp(logits - logits.max(-1, keepdims=True))
    return powers, 1 / powers.sum(-1, keepdims=True)


def attention(x_RxC, weights, mask_RxR, num_heads, dtype):
    """x plus its attention, float32. weights: arrays as `AttentionWeights`, biases as (1, n)."""
    norm, _, _ = normalise(x_RxC, weights.scale_C, weights.bias_C)
    qkv = (dot(norm.astype(dtype), weights.qkv_kernel_Cx3C) + weights.qkv_bias_3C).astype(dtype)
    out = []
    for q, k, v in _heads(qkv, num_heads):
        powers, inverse = _exponentials(q, k, mask_RxR)
        out.append((dot(powers.astype(dtype), v) * inverse).astype(dtype))
    out_RxC = jnp.concatenate(out, axis=1)
    return x_RxC + dot(out_RxC, weights.proj_kernel_CxC) + weights.proj_bias_C


def attention_backward(x_RxC, grad_RxC, weights, mask_RxR, num_heads, dtype):
    """Gradients of `attention`: of x, and a tuple in the order of `AttentionWeights`; float32."""
    norm, standard, inverse_std = normalise(x_RxC, weights.scale_C, weights.bias_C)
    norm = norm.astype(dtype)
    qkv = (dot(norm, weights.qkv_kernel_Cx3C) + weights.qkv_bias_3C).astype(dtype)
    grad = grad_RxC.astype(dtype)
    grad_out = dot(grad, weights.proj_kernel_CxC, COLUMNS)
    D = x_RxC.shape[1] // num_heads
    out, grads_q, grads_k, grads_v = [], [], [], []
    for head, (q, k, v) in enumerate(_heads(qkv, num_heads)):
        powers, inverse = _exponentials(q, k, mask_RxR)
        shares = powers * inverse
        low_shares = shares.astype(dtype)
        one_out = dot(low_shares, v)
        one_grad = grad_out[:, head * D : (head + 1) * D]
        along = (one_grad * one_out).sum(-1, keepdims=True)
        one_grad = one_grad.astype(dtype)
        grad_shares = dot(one_grad, v, COLUMNS)
        grad_logits = (shares * (grad_shares - along) * D**-0.5).astype(dtype)
        out.append(one_out.astype(dtype))
        grads_v.append(dot(low_shares, one_grad, ROWS))
        grads_q.append(dot(grad_logits, k))
        grads_k.append(dot(grad_logits, q, ROWS))
    grad_qkv = jnp.concatenate([*grads_q, *grads_k, *grads_v], axis=1)
    low_grad_qkv = grad_qkv.astype(dtype)
    out_RxC = jnp.concatenate(out, axis=1)
    grad_norm = dot(low_grad_qkv, weights.qkv_kernel_Cx3C, COLUMNS)
    grad_x, grad_scale, grad_bias = normalise_backward(
        grad_norm, standard, inverse_std, weights.scale_C
    )
    return grad_RxC + grad_x, (
        grad_scale, grad_bias, dot(norm, low_grad_qkv, ROWS), column_sums(grad_qkv),
        dot(out_RxC, grad, ROWS), column_sums(grad_RxC),
    )  # fmt: skip


def mlp(x_RxC, weights, dtype):
    """x plus its MLP, float32. weights: arrays as `MLPWeights`, biases as (1, n)."""
    norm, _, _ = normalise(x_RxC, weights.scale_C, weights.bias_C)
    hidden = dot(norm.astype(dtype), weights.fc1_kernel_CxF) + weights.fc1_bias_F
    active = hidden * _normal_below(hidden)
    return x_RxC + dot(active.astype(dtype), weights.fc2_kernel_FxC) + weights.fc2_bias_C


def mlp_backward(x_RxC, grad_RxC, weights, dtype):
    """Gradients of `mlp`: of x, and a tuple in the order of `MLPWeights`; float32."""
    norm, standard, inverse_std = normalise(x_RxC, weights.scale_C, weights.bias_C)
    norm = norm.astype(dtype)
    hidden = dot(norm, weights.fc1_kernel_CxF) + weights.fc1_bias_F
    below = _normal_below(hidden)
    active = (hidden * below).astype(dtype)
    slope = below + hidden * (_DENSITY_AT_ZERO * jnp.exp(-0.5 * hidden * hidden))
    grad = grad_RxC.astype(dtype)
    grad_hidden = dot(grad, weights.fc2_kernel_FxC, COLUMNS) * slope
    low_grad_hidden = grad_hidden.astype(dtype)
    grad_norm = dot(low_grad_hidden, weights.fc1_kernel_CxF, COLUMNS)
    grad_x, grad_scale, grad_bias = normalise_backward(
        grad_norm, standard, inverse_std, weights.scale_C
    )
    return grad_RxC + grad_x, (
        grad_scale, grad_bias, dot(norm, low_grad_hidden, ROWS), column_sums(grad_hidden),
        dot(active, grad, ROWS), column_sums(grad_RxC),
    )  # fmt: skip


def _normal_below(x):
    """The normal distribution function."""
    return 0.5 * (1 + jax.lax.erf(x * _SQRT_HALF))
