"""BatchNorm with torch's conventions, which released checkpoints were trained with."""

import jax
import jax.numpy as jnp
from flax import nnx


class BatchNorm(nnx.Module):
    """torch's BatchNorm1d, over every axis but the last: x (..., channels) float32.

    Momentum 0.1, eps 1e-5; a batch is normalised by its own biased variance while training, the
    running variance is an average of unbiased ones. The batch is the global one: under jit a mean
    over rows is a mean over all devices' rows.
    """

    def __init__(self, channels: int, momentum: float = 0.1, epsilon: float = 1e-5):
        self.momentum, self.epsilon = momentum, epsilon
        self.use_running_average = False  # what nnx's train() and eval() set
        self.scale = nnx.Param(jnp.ones(channels))
        self.bias = nnx.Param(jnp.zeros(channels))
        self.mean = nnx.BatchStat(jnp.zeros(channels))
        self.var = nnx.BatchStat(jnp.ones(channels))
        self.batches = nnx.BatchStat(jnp.int32(0))  # torch's num_batches_tracked

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.astype(jnp.float32)
        mean, var = self.mean[...], self.var[...]
        if not self.use_running_average:
            axes = tuple(range(x.ndim - 1))
            rows = x.size // x.shape[-1]
            mean, var = x.mean(axes), x.var(axes)
            unbiased = var * (rows / max(rows - 1, 1))
            for kept, new in ((self.mean, mean), (self.var, unbiased)):
                kept[...] = (1 - self.momentum) * kept[...] + self.momentum * new
            self.batches[...] = self.batches[...] + 1
        return (x - mean) * jax.lax.rsqrt(var + self.epsilon) * self.scale[...] + self.bias[...]
