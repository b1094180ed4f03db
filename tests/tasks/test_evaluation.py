"""The walk of evaluations: each example once, whatever the batch and the devices."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from mbjax.devices import sharding
from mbjax.models.dstformer import DSTformer, DSTformerConfig
from mbjax.tasks.evaluation import Compiled, as_state, config_for, walk


class Scale(nnx.Module):
    def __init__(self, factor):
        self.factor = nnx.Param(jnp.float32(factor))


def test_each_example_comes_once_and_in_order():
    traced = []

    def step(model, batch, shift):
        traced.append(batch["x"].shape)
        return {"scaled": batch["x"] * model.factor[...] + shift, "twice": 2 * batch["x"]}

    compiled = Compiled(step)
    for devices, batch_size in ((8, 16), (1, 3)):
        mesh = sharding.make_mesh(devices=jax.devices()[:devices])
        # Weights are arguments: other ones need no other compilation.
        for factor in (2.0, 3.0):
            predict = compiled.on(*as_state(Scale(factor)), mesh, np.float32(1))
            examples = [5, 3, 8, 0, 21, 4, 4]
            parts = list(
                walk(examples, lambda n: {"x": n.astype(np.float32)}, predict, batch_size, mesh)
            )
            numbers = np.concatenate([numbers for numbers, _ in parts])
            assert numbers.tolist() == examples
            for name, wanted in (("scaled", factor * numbers + 1), ("twice", 2 * numbers)):
                found = np.concatenate([outputs[name] for _, outputs in parts])
                np.testing.assert_array_equal(found, wanted)  # small whole numbers: exact
    assert traced == [(16,), (3,)]


def test_a_config_for_a_checkpoint_is_a_copy():
    config = ConfigDict({"model": {"dim_in": 3, "maxlen": 243}})
    small = DSTformerConfig(dim_in=2, dim_feat=8, dim_rep=8, depth=1, num_heads=2, maxlen=9)
    other = config_for(config, DSTformer(small, rngs=nnx.Rngs(0)))
    assert (other.model.dim_in, other.model.maxlen) == (2, 9)
    assert (config.model.dim_in, config.model.maxlen) == (3, 243)
