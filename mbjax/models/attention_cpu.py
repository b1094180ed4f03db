"""The sublayers as XLA's compiler for CPUs runs them fastest; gradients written out.

What it comes to, each measured (speed/README.md):
- LayerNorm's scale and bias, and the scale of attention, are folded into the weights behind them
  (a few hundred thousand numbers instead of millions), so their gradients are small products too.
- q, k and v are three products, each moved to (..., heads, length, channels) in one pass; the array
  (..., 3, heads, channels) is never cut up.
- Gradients of weights are plain products of two-dimensional arrays, of which the narrower is
  transposed in memory before: the compiler's product over rows runs at half the speed, and JAX's
  own transposition makes it copy the wider array.
- Softmax divides the output, of D columns, and not the weights, of L; its gradient takes the sum
  over keys from the output, as flash attention does.
- GELU by erf: `jax.nn.gelu` takes erfc, which costs twice as much.
- In bfloat16 the products of linear layers and those for their inputs' gradients alone are in
  bfloat16, with float32 results, which a CPU with AMX computes four times as fast; attention's
  products and the weights' gradients are faster in float32.

Shapes in names: B clips, T frames, J joints, C channels, H heads, D channels of a head, N rows
(B T J), L and S positions of a sequence as query and as key, F hidden channels of the MLP. A q, k
or v has two axes before H: (B, J) over frames, (B, T) over joints.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mbjax.models.layers import EPSILON

# From (B, T, J, H, D) and back.
_TO_HEADS = {"frames": (0, 2, 3, 1, 4), "joints": (0, 1, 3, 2, 4)}
_FROM_HEADS = {"frames": (0, 3, 1, 2, 4), "joints": (0, 1, 3, 2, 4)}


def attention(x_BxTxJxC, weights, num_heads, over, dtype):
    """x plus its attention; arguments as in `attention.Form`."""
    shape = x_BxTxJxC.shape
    C = shape[-1]
    factor_3C = np.repeat(np.float32([(C // num_heads) ** -0.5, 1, 1]), C)
    kernel_Cx3C = weights.scale_C[:, None] * weights.qkv_kernel_Cx3C * factor_3C
    bias_3C = (weights.bias_C @ weights.qkv_kernel_Cx3C + weights.qkv_bias_3C) * factor_3C
    qkv = tuple(
        (kernel_Cx3C[:, i * C : (i + 1) * C], bias_3C[i * C : (i + 1) * C]) for i in range(3)
    )
    proj = weights.proj_kernel_CxC, weights.proj_bias_C
    x_NxC = x_BxTxJxC.reshape(-1, C).astype(jnp.float32)
    out_NxC = _attention(x_NxC, qkv, proj, shape, num_heads, over, jnp.dtype(dtype))
    return out_NxC.reshape(shape).astype(x_BxTxJxC.dtype)


def mlp(x_BxTxJxC, weights, dtype):
    """x plus its MLP; arguments as in `attention.Form`."""
    kernel_CxF = weights.scale_C[:, None] * weights.fc1_kernel_CxF
    bias_F = weights.bias_C @ weights.fc1_kernel_CxF + weights.fc1_bias_F
    x_NxC = x_BxTxJxC.reshape(-1, x_BxTxJxC.shape[-1]).astype(jnp.float32)
    fc2 = weights.fc2_kernel_FxC, weights.fc2_bias_C
    out_NxC = _mlp(x_NxC, (kernel_CxF, bias_F), fc2, jnp.dtype(dtype))
    return out_NxC.reshape(x_BxTxJxC.shape).astype(x_BxTxJxC.dtype)


# --- LayerNorm without scale and bias, linear layers ------------------------------------------


def _normalised(x_NxC):
    """LayerNorm of scale 1 and bias 0, and what it multiplied by, (N, 1)."""
    centred = x_NxC - x_NxC.mean(-1, keepdims=True)
    rate = jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + EPSILON)
    return centred * rate, rate


def _normalised_gradient(norm_NxC, rate_Nx1, d_norm_NxC):
    along_Nx1 = (d_norm_NxC * norm_NxC).mean(-1, keepdims=True)
    return rate_Nx1 * (d_norm_NxC - d_norm_NxC.mean(-1, keepdims=True) - norm_NxC * along_Nx1)


def _linear(x_NxC, kernel_CxF, bias_F, dtype):
    return _product(x_NxC, kernel_CxF, 0, dtype) + bias_F


def _input_gradient(d_out_NxF, kernel_CxF, dtype):
    return _product(d_out_NxF, kernel_CxF, 1, dtype)


def _product(x, kernel, axis, dtype):
    """Of rows with the kernel's columns (axis 0) or rows (1), in `dtype`, the result in float32."""
    return jax.lax.dot_general(
        x.astype(dtype), kernel.astype(dtype), (((1,), (axis,)), ((), ())),
        preferred_element_type=jnp.float32,
    )  # fmt: skip


def _kernel_gradient(x_NxC, d_out_NxF):
    """x^T d_out, (C, F), by a plain product: the narrower array is transposed in memory before."""
    if x_NxC.shape[1] <= d_out_NxF.shape[1]:
        return jax.lax.optimization_barrier(x_NxC.T) @ d_out_NxF
    # The barriers keep the compiler from undoing it.
    d_out_FxN = jax.lax.optimization_barrier(d_out_NxF.T)
    return jax.lax.optimization_barrier(d_out_FxN @ x_NxC).T


# --- MLP --------------------------------------------------------------------------------------


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _mlp(x_NxC, fc1, fc2, dtype):
    return _mlp_forward(x_NxC, fc1, fc2, dtype)[0]


def _mlp_forward(x_NxC, fc1, fc2, dtype):
    norm_NxC, rate_Nx1 = _normalised(x_NxC)
    before_NxF = _linear(norm_NxC, *fc1, dtype)
    after_NxF = before_NxF * _normal_share(before_NxF)
    kept = norm_NxC, rate_Nx1, before_NxF, after_NxF, fc1[0], fc2[0]
    return x_NxC + _linear(after_NxF, *fc2, dtype), kept


def _mlp_backward(dtype, kept, d_NxC):
    norm_NxC, rate_Nx1, before_NxF, after_NxF, kernel1_CxF, kernel2_FxC = kept
    # Else the forward pass's erf is kept for here, in an array as large, at no gain.
    h_NxF = jax.lax.optimization_barrier(before_NxF)
    density_NxF = np.float32((2 * np.pi) ** -0.5) * jnp.exp(-0.5 * h_NxF * h_NxF)
    d_before_NxF = _input_gradient(d_NxC, kernel2_FxC, dtype)
    d_before_NxF = d_before_NxF * (_normal_share(h_NxF) + h_NxF * density_NxF)
    d_norm_NxC = _input_gradient(d_before_NxF, kernel1_CxF, dtype)
    return (
        d_NxC + _normalised_gradient(norm_NxC, rate_Nx1, d_norm_NxC),
        (_kernel_gradient(norm_NxC, d_before_NxF), d_before_NxF.sum(0)),
        (_kernel_gradient(after_NxF, d_NxC), d_NxC.sum(0)),
    )


_mlp.defvjp(_mlp_forward, _mlp_backward)


def _normal_share(x):
    """Share of the normal distribution below x; x times it is the exact GELU."""
    return 0.5 + 0.5 * jax.lax.erf(x * np.float32(0.5**0.5))


# --- attention --------------------------------------------------------------------------------


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5, 6))
def _attention(x_NxC, qkv, proj, shape, num_heads, over, dtype):
    return _attention_forward(x_NxC, qkv, proj, shape, num_heads, over, dtype)[0]


def _attention_forward(x_NxC, qkv, proj, shape, num_heads, over, dtype):
    norm_NxC, rate_Nx1 = _normalised(x_NxC)
    q, k, v = (
        _to_heads(_linear(norm_NxC, *one, dtype), shape, num_heads, over) for one in qkv
    )  # each (.., H, L, D)
    logits = jnp.einsum("...ld,...sd->...ls", q, k)
    powers = jnp.exp(logits - logits.max(-1, keepdims=True))
    divisor = 1 / powers.sum(-1, keepdims=True)
    mixed_NxC = _from_heads(jnp.einsum("...ls,...sd->...ld", powers, v) * divisor, over)
    kernels = tuple(kernel_CxC for kernel_CxC, _ in qkv)
    kept = norm_NxC, rate_Nx1, q, k, v, powers, divisor, mixed_NxC, kernels, proj[0]
    return x_NxC + _linear(mixed_NxC, *proj, dtype), kept


def _attention_backward(shape, num_heads, over, dtype, kept, d_NxC):
    norm_NxC, rate_Nx1, q, k, v, powers, divisor, mixed_NxC, kernels, proj_CxC = kept
    d_mixed_NxC = _input_gradient(d_NxC, proj_CxC, dtype)
    # A query's sum over keys of weight times its gradient is that over its output's channels.
    per_head = (d_mixed_NxC * mixed_NxC).reshape(*shape[:3], num_heads, -1).sum(-1, keepdims=True)
    per_head = per_head.transpose(_TO_HEADS[over]) * divisor
    d_mixed = _to_heads(d_mixed_NxC, shape, num_heads, over) * divisor
    d_logits = powers * (jnp.einsum("...ld,...sd->...ls", d_mixed, v) - per_head)
    d_q = jnp.einsum("...ls,...sd->...ld", d_logits, k)
    d_k, d_v = _sums_over_queries(((d_logits, q), (powers, d_mixed)), over)
    d_qkv = [_from_heads(a, over) for a in (d_q, d_k, d_v)]
    d_norm_NxC = sum(
        _input_gradient(d_out_NxC, kernel_CxC, dtype)
        for d_out_NxC, kernel_CxC in zip(d_qkv, kernels, strict=True)
    )
    return (
        d_NxC + _normalised_gradient(norm_NxC, rate_Nx1, d_norm_NxC),
        tuple((_kernel_gradient(norm_NxC, d_out), d_out.sum(0)) for d_out in d_qkv),
        (_kernel_gradient(mixed_NxC, d_NxC), d_NxC.sum(0)),
    )


def _sums_over_queries(pairs, over):
    """weights^T values, (.., H, S, D), of each (weights (.., H, L, S), values (.., H, L, D))."""
    barrier = jax.lax.optimization_barrier
    if over == "joints":  # small arrays: transposed before, for a plain product
        return [
            jnp.einsum("...sl,...ld->...sd", barrier(weights.swapaxes(-1, -2)), values)
            for weights, values in pairs
        ]
    # The narrower array first; the barrier keeps the compiler from undoing it.
    sums = barrier([jnp.einsum("...ld,...ls->...ds", values, weights) for weights, values in pairs])
    return [a.swapaxes(-1, -2) for a in sums]


_attention.defvjp(_attention_forward, _attention_backward)


def _to_heads(a_NxC, shape, num_heads, over):
    return a_NxC.reshape(*shape[:3], num_heads, -1).transpose(_TO_HEADS[over])


def _from_heads(a, over):
    return a.transpose(_FROM_HEADS[over]).reshape(-1, a.shape[2] * a.shape[4])
