"""Dropout whose mask is a function of each row's own key, the same on any number of devices."""

import jax
import jax.numpy as jnp


def dropout(keys_B: jax.Array | None, x: jax.Array, rate: float) -> jax.Array:
    """x (B, ...) with entries zeroed with probability `rate`, the others scaled by 1 / (1 - rate).

    keys_B: one key per row; None for no dropout (evaluation).
    """
    if keys_B is None or not rate:
        return x
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys_B)
    return jnp.where(keep, x / (1 - rate), 0.0)
