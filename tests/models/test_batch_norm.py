import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from mbjax.models.batch_norm import BatchNorm
from mbjax.models.dropout import dropout


def test_batch_norm_is_torchs():
    theirs, ours = torch.nn.BatchNorm1d(6), BatchNorm(6)
    generator = np.random.default_rng(0)
    for _ in range(3):
        x = generator.normal(2, 3, (5, 6)).astype(np.float32)
        # Means and variances of a few float32 numbers.
        np.testing.assert_allclose(
            ours(jnp.asarray(x)), theirs(torch.tensor(x)).detach(), rtol=1e-5, atol=1e-5
        )
    np.testing.assert_allclose(ours.mean[...], theirs.running_mean, rtol=1e-5)
    np.testing.assert_allclose(ours.var[...], theirs.running_var, rtol=1e-5)
    assert int(ours.batches[...]) == int(theirs.num_batches_tracked) == 3
    ours.eval(), theirs.eval()
    x = generator.normal(size=(2, 6)).astype(np.float32)
    np.testing.assert_allclose(ours(x), theirs(torch.tensor(x)).detach(), rtol=1e-5, atol=1e-5)
    assert int(ours.batches[...]) == 3, "evaluation changes nothing"


def test_batch_norms_statistics_are_of_the_global_batch():
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("data",))
    sharded = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    x = np.random.default_rng(1).normal(size=(2 * len(jax.devices()), 4)).astype(np.float32)
    graphdef, *states = nnx.split(BatchNorm(4), nnx.Param, ...)
    trees = [nnx.to_pure_dict(state) for state in states]

    @jax.jit
    def run(x):
        model = nnx.merge(graphdef, *trees)
        return model(x), model.mean[...]

    whole, split = run(jnp.asarray(x)), run(jax.device_put(x, sharded))
    for a, b in zip(whole, split, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)  # sums in another order
    assert not np.allclose(run(jnp.asarray(x[:2]))[1], whole[1])


def test_dropout_is_a_function_of_the_rows_keys():
    keys = jax.random.split(jax.random.key(0), 64)
    x = jnp.ones((64, 50))
    dropped = np.asarray(dropout(keys, x, 0.25))
    assert set(np.unique(dropped)) == {0.0, np.float32(1 / 0.75)}
    # 3,200 draws: five standard deviations are 0.04.
    assert abs((dropped == 0).mean() - 0.25) < 0.04
    np.testing.assert_array_equal(dropout(keys[5:9], x[:4], 0.25), dropped[5:9])
    np.testing.assert_array_equal(dropout(None, x, 0.25), x)
