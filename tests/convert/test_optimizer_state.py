"""AdamW's moments between torch and Optax; what torch's own optimizer makes of them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from mbjax.convert import names, optimizer_state, params, twin
from mbjax.training import optimizer
from tests.recipes import weights as recipes

ROWS = names.dstformer_rows(recipes.TINY)


def tensors(entries):
    return {
        "state": {
            number: {name: torch.from_numpy(np.array(value)) for name, value in entry.items()}
            for number, entry in entries["state"].items()
        },
        "param_groups": entries["param_groups"],
    }


@pytest.mark.parametrize("count", [0, 1, 12_345])
def test_there_and_back_is_exact(count):
    zero = jax.tree.map(np.zeros_like, recipes.weights())
    adam = recipes.adam(count=count) if count else optimizer_state.Adam(0, zero, zero)
    group = {"params": list(range(len(ROWS)))}
    there = optimizer_state.to_torch(adam, ROWS, [group])
    assert len(there["state"]) == (len(ROWS) if count else 0)
    back = optimizer_state.from_torch(there, ROWS, recipes.weights())
    assert back.count == count
    assert recipes.same(back.mu, adam.mu) and recipes.same(back.nu, adam.nu)


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_the_optax_state_is_that_of_a_run(clip_norm):
    weights = recipes.weights()
    state = optimizer_state.to_optax(recipes.adam(), weights, clip_norm)
    fresh = optimizer.adamw(lambda step: 1e-3, 0.01, clip_norm).init(weights)
    assert jax.tree.structure(state) == jax.tree.structure(fresh)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(fresh), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
    back = optimizer_state.from_optax(state)
    assert back.count == 5 and recipes.same(back.mu, recipes.adam().mu)
    assert optimizer_state.from_optax(optax.sgd(0.1).init(weights)) is None


def test_one_step_from_there_is_one_step_here():
    weights, gradients = recipes.weights(), recipes.weights(seed=9)
    update = optimizer.adamw(lambda step: jnp.float32(5e-4), 0.01)
    state = optimizer_state.to_optax(recipes.adam(), weights)
    changes, _ = jax.jit(update.update)(gradients, state, weights)
    here = params.to_torch(jax.tree.map(np.add, weights, changes), ROWS)

    network = twin.TwinDSTformer(recipes.TINY)
    network.load_state_dict(
        {name: torch.from_numpy(a.copy()) for name, a in params.to_torch(weights, ROWS).items()}
    )
    own = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=0.01)
    groups = own.state_dict()["param_groups"]
    own.load_state_dict(tensors(optimizer_state.to_torch(recipes.adam(), ROWS, groups)))
    gradients = params.to_torch(gradients, ROWS)
    for name, parameter in network.named_parameters():
        parameter.grad = torch.from_numpy(gradients[name].copy())
    own.step()
    for name, parameter in network.named_parameters():
        # Weights below 1: two or three float32 roundings of 6e-8.
        np.testing.assert_allclose(parameter.detach().numpy(), here[name], rtol=0, atol=2e-7)


def test_parameters_that_no_gradient_reaches_have_no_state():
    """As torch leaves them out; importing fills zeros in their place."""
    import dataclasses

    rows = [dataclasses.replace(r, trained=not r.torch.startswith("head.")) for r in ROWS]
    there = optimizer_state.to_torch(recipes.adam(), rows, [{"params": list(range(len(rows)))}])
    left = {number for number, row in enumerate(rows) if row.torch.startswith("head.")}
    assert set(range(len(rows))) - set(there["state"]) == left
    back = optimizer_state.from_torch(there, rows, recipes.weights())
    assert not back.mu["head"]["kernel"].any()
    assert recipes.same(back.mu["norm"], recipes.adam().mu["norm"])
    with pytest.raises(ValueError, match="lacks head.weight, head.bias"):
        optimizer_state.from_torch(there, ROWS, recipes.weights())
