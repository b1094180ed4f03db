"""The flip-average, in two batches or in one; in_batches against the whole at once."""

import jax.numpy as jnp
import numpy as np

from mbjax.models import flip
from mbjax.models.batched import in_batches
from mbjax.pose.skeleton import mirror


def skewed(x):
    """A model whose mirror image is another: x is weighed by its place."""
    return x * jnp.arange(1, 18)[:, None] + 0.1


def test_the_average_is_its_own_mirror_image():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 3, 17, 3)), jnp.float32)
    mean = flip.averaged(skewed, x)
    # The same numbers are added, in the other order: exact.
    np.testing.assert_array_equal(mirror(flip.averaged(skewed, mirror(x))), mean)
    assert np.abs(mean - skewed(x)).max() > 0.1


def test_one_batch_says_the_same():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 3, 17, 3)), jnp.float32)
    # Elementwise: whatever the batch, each row's arithmetic is the same.
    np.testing.assert_array_equal(
        flip.averaged(skewed, x, one_batch=True), flip.averaged(skewed, x)
    )


def test_every_batch_has_one_size_and_no_row_is_lost():
    rng = np.random.default_rng(0)
    x, sizes = rng.normal(size=(7, 2)), []

    def forward(rows):
        sizes.append(len(rows))
        return {"twice": 2 * rows, "sum": rows.sum(axis=1)}

    found = in_batches(forward, x, 3)
    assert sizes == [3, 3, 3]
    np.testing.assert_array_equal(found["twice"], 2 * x)
    np.testing.assert_array_equal(found["sum"], x.sum(axis=1))
    sizes.clear()
    assert len(in_batches(forward, x, 100)["sum"]) == 7 and sizes == [7]
