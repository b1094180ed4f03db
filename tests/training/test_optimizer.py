import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbjax.training import optimizer
from mbjax.training.every import Every


def test_rate_falls_per_epoch_of_the_plan():
    schedule = optimizer.learning_rate(5e-4, 0.99, np.array([0, 10, 30]))
    rates = [float(schedule(step)) for step in (0, 9, 10, 29, 30, 100)]
    # Float32 powers.
    np.testing.assert_allclose(rates, 5e-4 * 0.99 ** np.array([0, 0, 1, 1, 2, 2]), rtol=1e-6)


def test_warm_up_and_cosine():
    schedule = optimizer.learning_rate(1.0, 1.0, np.array([0]), warmup_steps=4, cosine_steps=100)
    np.testing.assert_allclose([float(schedule(s)) for s in (0, 1)], [0.25, 0.5], rtol=1e-3)
    np.testing.assert_allclose(float(schedule(100)), 0.02, rtol=1e-5)


def test_adamw_is_torchs():
    torch = pytest.importorskip("torch")
    start = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    theirs = torch.nn.Parameter(torch.tensor(start))
    their_optimizer = torch.optim.AdamW([theirs], lr=5e-4, weight_decay=0.01)
    ours = jnp.asarray(start)
    tx = optimizer.adamw(lambda _: 5e-4, 0.01)
    state = tx.init(ours)
    for step in range(20):
        gradient = np.random.default_rng(step).normal(size=(5, 3)).astype(np.float32)
        theirs.grad = torch.tensor(gradient)
        their_optimizer.step()
        updates, state = tx.update(jnp.asarray(gradient), state, ours)
        ours = optax.apply_updates(ours, updates)
    # Twenty float32 steps that round in another order.
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_masked_parameters_are_not_decayed():
    params = {"backbone": jnp.ones(3), "head": jnp.ones(3)}
    tx = optimizer.adamw(lambda _: 0.1, 0.5, decay_mask={"backbone": True, "head": False})
    updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    np.testing.assert_allclose(updates["backbone"], -0.05, rtol=1e-6)
    np.testing.assert_array_equal(updates["head"], 0)


def test_durations():
    starts = np.array([0, 10, 30, 60])

    def due(text):
        every = Every(text, 100, starts)
        return [step for step in range(1, 101) if every.due(step)]

    assert due("25 steps") == [25, 50, 75, 100]
    assert due("1 epoch") == [10, 30, 60, 100]
    assert due("2 epochs") == [30, 100]
    assert due("50 %") == [50, 100]
    assert due("") == due("0 steps") == []
    with pytest.raises(ValueError, match="write it as '500 steps'"):
        due("often")


def test_groups_have_their_own_rates_and_the_frozen_stay():
    params = {"backbone": {"w": jnp.ones(4), "head": jnp.ones(2)}, "head": jnp.ones(3)}

    def group_of(path):
        return optimizer.FROZEN if path == ("backbone", "head") else path[0]

    rates = {"backbone": lambda _: 1e-4, "head": lambda _: 1e-3}
    tx = optimizer.adamw_in_groups(rates, group_of, weight_decay=0.01)
    gradient = jax.tree.map(lambda a: jnp.full_like(a, 0.5), params)
    updates, _ = tx.update(gradient, tx.init(params), params)
    # Adam's first step is the sign of the gradient; decay adds 1 % of the parameter.
    np.testing.assert_allclose(updates["backbone"]["w"], -1e-4 * 1.01, rtol=1e-5)
    np.testing.assert_allclose(updates["head"], -1e-3 * 1.01, rtol=1e-5)
    np.testing.assert_array_equal(updates["backbone"]["head"], 0.0)


def test_muon_turns_matrices_and_leaves_the_rest_to_nadamw():
    params = {"kernel": jnp.zeros((8, 4)), "bias": jnp.ones(4)}
    tx = optimizer.muon(lambda _: 1e-2, weight_decay=0.1)
    gradient = {"kernel": jax.random.normal(jax.random.key(0), (8, 4)), "bias": jnp.full(4, 0.5)}
    updates, _ = tx.update(gradient, tx.init(params), params)
    nadamw = optax.nadamw(1e-2, weight_decay=0.1)
    rest = {"bias": params["bias"]}
    expected, _ = nadamw.update({"bias": gradient["bias"]}, nadamw.init(rest), rest)
    np.testing.assert_allclose(updates["bias"], expected["bias"], rtol=1e-5)
    # Newton and Schulz's five steps bring singular values near to one, between 0.7 and 1.2.
    singular = np.linalg.svd(updates["kernel"], compute_uv=False) / 1e-2
    assert singular.max() / singular.min() < 1.2 / 0.7
    # Of a matrix with all singular values one, the longer side's root scales to 0.2.
    rms = np.sqrt(np.mean(np.square(updates["kernel"]))) / 1e-2
    assert 0.7 * 0.2 < rms < 1.2 * 0.2
    scaled, _ = tx.update({**gradient, "kernel": 7 * gradient["kernel"]}, tx.init(params), params)
    np.testing.assert_allclose(scaled["kernel"], updates["kernel"], rtol=1e-4, atol=1e-8)
