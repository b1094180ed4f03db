"""A task: which data, which network, which loss, which evaluation. `train.run` runs any of them."""

import dataclasses
from collections.abc import Callable, Mapping

import optax
from flax import nnx

from mbjax.data.plan import Plan


@dataclasses.dataclass(frozen=True)
class TrainSource:
    """One source of training batches and what is done with them.

    load: (records, rows, generator) -> {name: (rows, ...) array}, and len(load) records.
    loss: (model, batch, keys_B, progress) -> (scalar, {term: scalar}); keys are one per row,
    progress runs from 0 to 1 over the training.
    """

    load: Callable
    loss: Callable
    batch_size: int
    from_epoch: int = 0
    steps_per_epoch: int = 0


@dataclasses.dataclass(frozen=True)
class Task:
    """All that `train.run` needs to know.

    make_model: (nnx.Rngs) -> network. optimizer: (plan) -> (Optax transformation, schedule of the
    rate, for the log). evaluate: (Evaluator) -> {metric: float}, or None. best: the metric by
    which a checkpoint is the best. describe: what goes into a checkpoint about the network.
    """

    name: str
    make_model: Callable[[nnx.Rngs], nnx.Module]
    sources: Mapping[str, TrainSource]
    optimizer: Callable[[Plan], tuple[optax.GradientTransformation, optax.Schedule]]
    describe: Mapping
    evaluate: Callable | None = None
    best: str | None = None
    best_mode: str = "min"
