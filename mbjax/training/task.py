"""A task: which data, which network, which loss, which evaluation. `training.loop` runs any."""

import dataclasses
from collections.abc import Callable, Mapping

import optax
from flax import nnx
from ml_collections import ConfigDict

from mbjax.data.plan import Plan, Source


@dataclasses.dataclass(frozen=True)
class TrainSource:
    """One source of training batches and what is done with them.

    rows: which records fill which rows of which step. load: (records, rows, generator) -> {name:
    (rows, ...) array}, and load.data_index() -> {split: what tells its data from others}.
    loss: (model, batch, keys_B, progress) -> (scalar, {term: scalar}); keys
    are one per row, progress runs from 0 to 1 over the training.
    """

    rows: Source
    load: Callable
    loss: Callable

    @property
    def batch_size(self) -> int:
        return self.rows.batch_size


@dataclasses.dataclass(frozen=True)
class Task:
    """All that `training.loop.run` needs to know.

    make_model: (nnx.Rngs) -> network. optimizer: (plan) -> (Optax transformation, schedule of the
    rate, for the log). evaluate: (graphdef, state, mesh) -> {metric: float}, with a data_index()
    like that of a source's load; or None. best: the metric by which a checkpoint is the best.
    describe: what goes into a checkpoint about the network.
    initial: new parameters -> those that a run starts from, numpy (an encoder's weights put in).
    trainable: path of a parameter -> whether it trains; None: all do. The optimizer has to leave
    the others alone as well (`optimizer.adamw_in_groups`). config: with what the data added to it
    (names of classes), for the work folder and the checkpoints; None: as it was given.
    progress: (means of the training metrics since the last line, metrics of the last evaluation) ->
    what the progress line says; None: the loss.
    """

    name: str
    make_model: Callable[[nnx.Rngs], nnx.Module]
    sources: Mapping[str, TrainSource]
    optimizer: Callable[[Plan], tuple[optax.GradientTransformation, optax.Schedule]]
    describe: Mapping
    evaluate: Callable | None = None
    best: str | None = None
    best_mode: str = "min"
    initial: Callable[[dict], dict] | None = None
    trainable: Callable[[tuple], bool] | None = None
    config: ConfigDict | None = None
    progress: Callable[[Mapping[str, float], Mapping[str, float]], str] | None = None

    def data_index(self) -> dict:
        """{source: {split: what tells its data from others}}, the evaluation as one more source."""
        index = {name: source.load.data_index() for name, source in self.sources.items()}
        if hasattr(self.evaluate, "data_index"):
            index["evaluation"] = self.evaluate.data_index()
        return index


@dataclasses.dataclass(frozen=True)
class Report:
    """An evaluation's result: lines for a person, and the same as numbers for a program."""

    text: str
    metrics: Mapping
