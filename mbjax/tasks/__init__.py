"""A task: which data, which network, which loss, which evaluation. `train.run` runs any of them.

A module of this folder that is a task has `make_task(config) -> Task` and
`evaluate_checkpoint(config, path, out) -> Report`; TASKS names them for the command line.
"""

import dataclasses
import importlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType

import optax
from flax import nnx
from ml_collections import ConfigDict

from mbjax.data.plan import Plan


@dataclasses.dataclass(frozen=True)
class TrainSource:
    """One source of training batches and what is done with them.

    load: (records, rows, generator) -> {name: (rows, ...) array}, and len(load) records.
    loss: (model, batch, keys_B, progress) -> (scalar, {term: scalar}); keys are one per row,
    progress runs from 0 to 1 over the training. labels, per_class: for batches of per_class
    records of each of some classes, see `data.plan.Source`.
    """

    load: Callable
    loss: Callable
    batch_size: int
    from_epoch: int = 0
    steps_per_epoch: int = 0
    until_epoch: int = 0
    labels: Sequence[int] = ()
    per_class: int = 0


@dataclasses.dataclass(frozen=True)
class Task:
    """All that `train.run` needs to know.

    make_model: (nnx.Rngs) -> network. optimizer: (plan) -> (Optax transformation, schedule of the
    rate, for the log). evaluate: (Evaluator) -> {metric: float}, or None. best: the metric by
    which a checkpoint is the best. describe: what goes into a checkpoint about the network.
    initial: new parameters -> those that a run starts from, numpy (an encoder's weights put in).
    trainable: path of a parameter -> whether it trains; None: all do. The optimizer has to leave
    the others alone as well (`optimizer.adamw_in_groups`).
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


@dataclasses.dataclass(frozen=True)
class Report:
    """An evaluation's result: lines for a person, and the same as numbers for a program."""

    text: str
    metrics: Mapping


TASKS = {
    "pretrain": "mbjax.tasks.pretrain",
    "pose3d": "mbjax.tasks.pose3d",
    "action": "mbjax.tasks.action",
    "oneshot": "mbjax.tasks.oneshot",
    "mesh": "mbjax.tasks.mesh",
}


def find(name: str) -> ModuleType:
    """The module of a task; ValueError, with the known names, on another."""
    if name not in TASKS:
        raise ValueError(f"no task named {name!r}; there are: {', '.join(TASKS)}")
    return importlib.import_module(TASKS[name])


def writable(out: str | None) -> pathlib.Path | None:
    """The folder that an evaluation's files go into, made; ValueError where it cannot be."""
    if not out:
        return None
    folder = pathlib.Path(out).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"the folder {folder} cannot be made: {error.strerror}") from None
    return folder


def as_state(model: nnx.Module) -> tuple[nnx.GraphDef, dict]:
    """A model as what training has: its definition, and params and other by name."""
    graphdef, params, other = nnx.split(model, nnx.Param, ...)
    return graphdef, {"params": nnx.to_pure_dict(params), "other": nnx.to_pure_dict(other)}


def sources_in_order(config) -> Iterator[tuple[str, ConfigDict]]:
    """(name, settings) of the sources that have a folder, in the order of config.pass_order.

    ValueError, with the known names, where that order names another.
    """
    for name in config.pass_order:
        if name not in config.sources:
            raise ValueError(
                f"pass_order names {name!r}; the sources are: {', '.join(config.sources)}"
            )
        if config.sources[name].dir:
            yield name, config.sources[name]
