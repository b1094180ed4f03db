"""Layers that several networks share: linear, LayerNorm, MLP sublayer weights; how they start."""

import jax
import jax.numpy as jnp
from flax import nnx

# The release truncates at +-2, a hundred standard deviations out: a plain normal.
normal = nnx.initializers.normal(0.02)

EPSILON = 1e-6


def linear(dim_in: int, dim_out: int, dtype, rngs: nnx.Rngs) -> nnx.Linear:
    """A linear layer that starts as the release's do; dtype: of its product."""
    return nnx.Linear(dim_in, dim_out, dtype=dtype, kernel_init=normal, rngs=rngs)


class LayerNorm(nnx.LayerNorm):
    """Statistics in float32, result in the type of the input."""

    def __call__(self, x):
        return super().__call__(x.astype(jnp.float32)).astype(x.dtype)


def layer_norm(dim: int, rngs: nnx.Rngs) -> LayerNorm:
    # The two-pass variance: E[x^2] - E[x]^2 cancels where a stream drifts far from zero.
    return LayerNorm(dim, epsilon=EPSILON, use_fast_variance=False, rngs=rngs)


def normalised(x: jax.Array, scale_C: jax.Array, bias_C: jax.Array) -> jax.Array:
    """`LayerNorm` as a function of its parameters, over the last axis of x."""
    centred = x.astype(jnp.float32)
    centred = centred - centred.mean(-1, keepdims=True)
    variance = jnp.square(centred).mean(-1, keepdims=True)
    return (centred * (jax.lax.rsqrt(variance + EPSILON) * scale_C) + bias_C).astype(x.dtype)


def projected(x: jax.Array, kernel: jax.Array, bias: jax.Array, dtype) -> jax.Array:
    """`linear` as a function of its parameters, in `dtype`."""
    return x.astype(dtype) @ kernel.astype(dtype) + bias.astype(dtype)
