"""The tasks. Each is a folder whose task.py has `make_task(config) -> Task` and
`evaluate_checkpoint(config, path, out) -> Report`; TASKS names them for the command line.
"""

import importlib
import pathlib
from collections.abc import Iterator
from types import ModuleType

from flax import nnx
from ml_collections import ConfigDict

TASKS = {
    "pretrain": "mbjax.tasks.pretrain.task",
    "pose3d": "mbjax.tasks.pose3d.task",
    "action": "mbjax.tasks.action.task",
    "oneshot": "mbjax.tasks.oneshot.task",
    "mesh": "mbjax.tasks.mesh.task",
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
