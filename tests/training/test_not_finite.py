"""Training that diverges stops at once, and leaves nothing that is not finite."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbjax.pose import losses
from mbjax.training import checkpoint, loop, session
from tests.recipes.processes import small_config, small_task


def run(workdir, loss=None, rate=1e-2, evaluate=None, **settings):
    """Twelve steps of the small network with another loss or rate (step -> rate)."""

    def make_task(config):
        task = small_task()(config)
        source = task.sources["numbers"]
        if loss:
            source = dataclasses.replace(source, loss=loss)
        return dataclasses.replace(
            task,
            sources={"numbers": source},
            optimizer=lambda plan: (optax.sgd(rate), lambda step: 0.0),
            evaluate=evaluate,
        )

    config = small_config(12, **settings)
    if evaluate:
        config.evaluate_every = "6 steps"
    return loop.run(config, make_task, workdir, say=lambda text: None)


def assert_last_good(workdir, step):
    assert checkpoint.find(workdir).name == str(step)
    _, arrays = checkpoint.read(workdir, checkpoint.ARRAYS)
    assert all(np.isfinite(leaf).all() for leaf in checkpoint.leaves(arrays))


def rate_until(last, count):
    """A rate that is infinite after so many updates."""
    return jnp.where(count < last, 1e-2, jnp.inf)


def error_of(model, batch):
    return ((model(batch["x"]) - batch["x"][:, :2]) ** 2).mean()


def test_a_gradient_that_is_not_finite_stops_training(tmp_path):
    """Its loss is finite: the derivative of a root at 0."""

    def loss(model, batch, keys_B, progress):
        nothing = jnp.where(progress > 5.5 / 12, 0.0, 1.0) * (
            1 + jnp.sum(model.layer.bias[...] ** 2)
        )
        return error_of(model, batch) + 0 * jnp.sqrt(nothing), {}

    message = r"the norm of the gradient is (nan|inf) at step 7 \(numbers\); the last good .* is 4"
    with pytest.raises(session.TrainingDiverged, match=message):
        run(tmp_path, loss)
    assert_last_good(tmp_path, 4)


def test_parameters_that_are_not_finite_are_never_saved(tmp_path):
    """The loss and the gradient of the step before are finite; a checkpoint is due."""
    schedule = functools.partial(rate_until, 7)
    with pytest.raises(
        session.TrainingDiverged, match=r"holds NaN or infinite values.* step 8; .*the last good.*4"
    ):
        run(tmp_path, rate=schedule, log_every="100 steps")
    assert_last_good(tmp_path, 4)


def test_nor_moments(tmp_path):
    """Of the last checkpoint, whose parameters and losses are finite."""

    def make_task(config):
        plain, schedule = optax.sgd(1e-2), lambda step: 0.0

        def update(gradients, state, params):
            moment = jnp.where(state[0] == 11, jnp.inf, state[0] + 1)
            return plain.update(gradients, plain.init(params), params)[0], (moment,)

        optimizer = optax.GradientTransformation(lambda params: (jnp.float32(0),), update)
        return dataclasses.replace(
            small_task()(config), optimizer=lambda plan: (optimizer, schedule)
        )

    with pytest.raises(session.TrainingDiverged, match="opt_state/0 holds .* step 12; .* is 8"):
        loop.run(small_config(12), make_task, tmp_path, say=lambda text: None)
    assert_last_good(tmp_path, 8)


def test_nor_evaluated(tmp_path):
    schedule = functools.partial(rate_until, 5)
    seen = []

    def evaluate(graphdef, state, mesh):
        seen.append(jax.device_get(state["params"]))
        return {"error": 0.0}

    with pytest.raises(session.TrainingDiverged, match="after step 6; the last good"):
        run(tmp_path, rate=schedule, evaluate=evaluate, log_every="100 steps")
    assert not seen


@pytest.mark.slow
def test_nan_is_not_a_perfect_fit():
    """What let a network of NaN train to the end with a loss of 0."""
    nan, target = jnp.full((1, 3, 17, 3), jnp.nan), jnp.zeros((1, 3, 17, 3))
    for name, loss in losses.LOSS_TERMS.items():
        assert jnp.isnan(loss(nan, target)), name
    assert losses.distance(jnp.array([0.0, 0.0])) == 0
    assert jax.grad(lambda x: losses.distance(x))(jnp.zeros(2)).tolist() == [0.0, 0.0]
