"""What the evaluations of all tasks share: one walk over the examples, compiled once.

Shapes in names: N rows of a batch.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mbjax.data.feed import Batch, every_example, to_devices
from mbjax.devices import sharding


class Compiled:
    """A step of evaluation, compiled once for each device mesh.

    step: (model in evaluation mode, batch, *constants) -> a tree of arrays, one row each.
    """

    def __init__(self, step: Callable):
        self._step, self._by_devices = step, {}

    def on(self, graphdef: nnx.GraphDef, state: dict, devices: Mesh, *constants) -> Callable:
        """(batch) -> the step's outputs for these weights, whole on every host.

        state: {'params', 'other'} as training has it. constants: arrays that all batches share.
        """
        if devices not in self._by_devices:

            def run(graphdef, params, other, constants, batch):
                model = nnx.merge(graphdef, params, other)
                model.eval()
                return self._step(model, batch, *constants)

            self._by_devices[devices] = jax.jit(
                sharding.traced_on(devices, run),
                static_argnums=0,
                out_shardings=sharding.replicated(devices),
            )
        return functools.partial(
            self._by_devices[devices], graphdef, state["params"], state["other"], constants
        )


def walk(
    examples: Sequence[int],
    make_batch: Callable[[np.ndarray], Batch],
    predict: Callable,
    batch_size: int,
    devices: Mesh,
) -> Iterator[tuple[np.ndarray, Any]]:
    """(numbers (N,), outputs of N rows, numpy) of all examples, each once, in their order.

    make_batch: numbers of this host's rows -> their arrays. predict: what `Compiled.on` gives.
    batch_size: of all devices together, rounded up to a multiple of them; the last batch is filled
    up with repeats, which are not given.
    """
    row_sharding = sharding.batch_sharding(devices)
    size = -(-batch_size // devices.size) * devices.size
    rows = sharding.local_rows(row_sharding, size)
    examples_N = np.asarray(examples)
    for places, real in every_example(len(examples_N), size):
        numbers = examples_N[places]
        outputs = predict(to_devices(make_batch(numbers[rows]), row_sharding, size))
        yield numbers[real], jax.tree.map(functools.partial(_rows, real), outputs)


def _rows(real_N, array):
    return np.asarray(array)[real_N]


def as_state(model: nnx.Module) -> tuple[nnx.GraphDef, dict]:
    """A model as what training has: its definition, and params and other by name."""
    graphdef, params, other = nnx.split(model, nnx.Param, ...)
    return graphdef, {"params": nnx.to_pure_dict(params), "other": nnx.to_pure_dict(other)}


def config_for(config: ConfigDict, model: nnx.Module) -> ConfigDict:
    """A copy of a config whose input channels and length are those of a checkpoint's network."""
    config = config.copy_and_resolve_references()
    config.model.update(dim_in=model.config.dim_in, maxlen=model.config.maxlen)
    return config
