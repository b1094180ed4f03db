"""The training step: one pure function of (state, batch), compiled for a mesh; and a fresh state.

`prepared` makes all of it from a task, for whoever trains, measures or compiles. Shapes in names:
B rows of a batch. A state is a dict of four entries: params, other (BatchNorm statistics),
opt_state, step. It is donated to each step and lives where `devices.sharding` puts it.
"""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from mbjax.data.plan import Plan, row_keys
from mbjax.devices import sharding
from mbjax.training.optimizer import names_of
from mbjax.training.task import Task, TrainSource


@dataclasses.dataclass(frozen=True)
class Prepared:
    """All of a run that is fixed before its first step.

    schedule: step -> learning rate, for the log. fresh: () -> a new state, to be traced.
    abstract: its arrays' shapes and types; shardings: where they live on the mesh. steps: by
    source, (state, batch) -> (state, metrics), compiled when first called.
    """

    task: Task
    plan: Plan
    mesh: jax.sharding.Mesh
    schedule: optax.Schedule
    graphdef: nnx.GraphDef
    fresh: Callable[[], dict]
    abstract: dict
    shardings: dict
    steps: Mapping[str, Callable]

    def new_state(self) -> dict:
        """The state before the first step, on the mesh, with the task's initial parameters."""
        state = jax.jit(self.fresh, out_shardings=self.shardings)()
        if self.task.initial:
            initial = self.task.initial(_whole_params(self.fresh))
            state["params"] = _placed(initial, self.shardings["params"])
        return state

    def targets(self) -> dict:
        """The state's abstract arrays with their shardings, for restoring."""
        return jax.tree.map(
            lambda leaf, leaf_sharding: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=leaf_sharding
            ),
            self.abstract,
            self.shardings,
        )


def prepared(task: Task, config, mesh) -> Prepared:
    """Plan, optimizer, state and steps of a task on a mesh; ValueError for a batch size that does
    not divide by its devices."""
    for name, source in task.sources.items():
        sharding.check_batch(source.batch_size, mesh, config.accumulate, f"{name}: batch_size")
    plan = make_plan(task, config)
    optimizer, schedule = task.optimizer(plan)
    graphdef, fresh = make_state(task, optimizer, config.seed)
    abstract = jax.eval_shape(fresh)  # traced already
    steps = {
        name: compiled_step(
            make_step(task, source, graphdef, optimizer, plan, config.accumulate), mesh, abstract
        )
        for name, source in task.sources.items()
    }
    shardings = sharding.state_sharding(abstract, mesh)
    return Prepared(task, plan, mesh, schedule, graphdef, fresh, abstract, shardings, steps)


def make_plan(task: Task, config) -> Plan:
    """The plan of a task's sources, in the order of config.pass_order."""
    sources = [task.sources[name].rows for name in config.pass_order if name in task.sources]
    return Plan(sources, config.seed, config.epochs, config.order)


def make_step(
    task: Task, source: TrainSource, graphdef, optimizer, plan: Plan, accumulate: int = 1
) -> Callable:
    """(state, batch) -> (state, metrics), a pure function of the two.

    Randomness comes from (the plan's seed, step, global row). accumulate: how many slices of the
    batch are passed through the network one after another, the gradient being their mean. No
    gradient is computed for parameters that the task does not train.
    """

    def frozen_stopped(params):
        if task.trainable is None:
            return params
        return jax.tree.map_with_path(
            lambda path, leaf: (
                leaf if task.trainable(names_of(path)) else jax.lax.stop_gradient(leaf)
            ),
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
        key = jax.random.fold_in(jax.random.key(plan.seed), state["step"])
        keys_B = row_keys(key, 0, source.batch_size)
        progress = state["step"] / plan.total_steps
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
        with jax.named_scope("optimizer"):
            updates, opt_state = optimizer.update(grads, state["opt_state"], state["params"])
            metrics["gradient_norm"] = optax.tree.norm(grads)
            params = optax.apply_updates(state["params"], updates)
        new_state = {
            "params": params,
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
        sharding.traced_on(mesh, step),
        in_shardings=(shardings, sharding.batch_sharding(mesh)),
        out_shardings=(shardings, sharding.replicated(mesh)),
        donate_argnums=0,
    )


def make_state(task: Task, optimizer, seed: int) -> tuple[nnx.GraphDef, Callable]:
    """The network's definition, and a function without arguments that makes a fresh state."""
    definitions = []

    def fresh():
        graphdef, params, other = nnx.split(task.make_model(nnx.Rngs(seed)), nnx.Param, ...)
        definitions.append(graphdef)  # a static value: to make the network once more is slow
        params = nnx.to_pure_dict(params)
        return {
            "params": params,
            "other": nnx.to_pure_dict(other),
            "opt_state": optimizer.init(params),
            "step": jnp.int32(0),
        }

    jax.eval_shape(fresh)
    return definitions[0], fresh


def _whole_params(fresh) -> dict:
    """A fresh state's parameters as numpy arrays, on every host the same."""
    return jax.tree.map(np.asarray, jax.jit(lambda: fresh()["params"])())


def _placed(params, shardings):
    """Host arrays, the same on every host, as arrays of the mesh."""
    return jax.tree.map(
        lambda array, leaf_sharding: jax.make_array_from_callback(
            array.shape, leaf_sharding, lambda index: array[index]
        ),
        params,
        shardings,
    )
