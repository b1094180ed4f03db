"""The training step: one pure function of (state, batch), compiled for a mesh; and a fresh state.

Shapes in names: B rows of a batch. A state is a dict of four entries: params, other (BatchNorm
statistics), opt_state, step. It is donated to each step and lives where `distributed` puts it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from mbjax.data.detector_noise import row_keys
from mbjax.devices import sharding
from mbjax.training.optimizer import names_of
from mbjax.training.task import Task, TrainSource


def make_step(
    graphdef,
    source: TrainSource,
    optimizer,
    seed: int,
    total_steps: int,
    accumulate: int = 1,
    trainable: Callable[[tuple], bool] | None = None,
) -> Callable:
    """(state, batch) -> (state, metrics), a pure function of the two.

    Randomness comes from (seed, step, global row). accumulate: how many slices of the batch are
    passed through the network one after another, the gradient being their mean. trainable: as in
    `Task`; no gradient is computed for the other parameters.
    """

    def frozen_stopped(params):
        if trainable is None:
            return params
        return jax.tree.map_with_path(
            lambda path, leaf: leaf if trainable(names_of(path)) else jax.lax.stop_gradient(leaf),
            params,
        )

    def gradient(params, other, batch, keys_B, progress):
        def loss(params):
            model = nnx.merge(graphdef, frozen_stopped(params), other)
            model.train()
            total, terms = source.loss(model, batch, keys_B, progress)
            return total, (terms, nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param))))

        (total, (terms, other)), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return grads, other, {"loss": total, **terms}

    def step(state, batch):
        key = jax.random.fold_in(jax.random.key(seed), state["step"])
        keys_B = row_keys(key, 0, source.batch_size)
        progress = state["step"] / total_steps
        if accumulate == 1:
            grads, other, metrics = gradient(
                state["params"], state["other"], batch, keys_B, progress
            )
        else:
            # Slices take every n-th row, so that each holds rows of all devices.
            slices = jax.tree.map(
                lambda a: a.reshape(-1, accumulate, *a.shape[1:]).swapaxes(0, 1), (batch, keys_B)
            )

            def one_slice(carry, part):
                grads, other, metrics = gradient(state["params"], carry[1], *part, progress)
                return (jax.tree.map(jnp.add, carry[0], grads), other), metrics

            zeros = jax.tree.map(jnp.zeros_like, state["params"])
            (grads, other), metrics = jax.lax.scan(one_slice, (zeros, state["other"]), slices)
            grads = jax.tree.map(lambda g: g / accumulate, grads)
            metrics = jax.tree.map(jnp.mean, metrics)
        updates, opt_state = optimizer.update(grads, state["opt_state"], state["params"])
        metrics["gradient_norm"] = optax.tree.norm(grads)
        new_state = {
            "params": optax.apply_updates(state["params"], updates),
            "other": other,
            "opt_state": opt_state,
            "step": state["step"] + 1,
        }
        return new_state, metrics

    return step


def compiled_step(step: Callable, mesh, abstract_state) -> Callable:
    """The step as one compiled program on the mesh, with donated state and replicated metrics."""
    shardings = sharding.state_sharding(abstract_state, mesh)
    return jax.jit(
        step,
        in_shardings=(shardings, sharding.batch_sharding(mesh)),
        out_shardings=(shardings, sharding.replicated(mesh)),
        donate_argnums=0,
    )


def make_state(task: Task, optimizer, seed: int) -> tuple[nnx.GraphDef, Callable]:
    """The network's definition, and a function without arguments that makes a fresh state."""

    def split():
        return nnx.split(task.make_model(nnx.Rngs(seed)), nnx.Param, ...)

    def fresh():
        _, params, other = split()
        params = nnx.to_pure_dict(params)
        return {
            "params": params,
            "other": nnx.to_pure_dict(other),
            "opt_state": optimizer.init(params),
            "step": jnp.int32(0),
        }

    graphdef, _, _ = nnx.split(
        nnx.eval_shape(lambda: task.make_model(nnx.Rngs(seed))), nnx.Param, ...
    )
    return graphdef, fresh


def whole_params(fresh) -> dict:
    """A fresh state's parameters as numpy arrays, on every host the same."""
    return jax.tree.map(np.asarray, jax.jit(lambda: fresh()["params"])())


def placed(params, shardings):
    """Host arrays, the same on every host, as arrays of the mesh."""
    return jax.tree.map(
        lambda array, leaf_sharding: jax.make_array_from_callback(
            array.shape, leaf_sharding, lambda index: array[index]
        ),
        params,
        shardings,
    )
