"""The tasks, by the names that the command line and configs have for them.

Each is a folder with `make_task(config) -> Task` and `evaluate_checkpoint(config, path, out) ->
Report`, in files of the same names: task (sources and loss), evaluation, and, where it has its own,
losses and metrics. May import convert and training, and what stands below them.
"""

import importlib
from types import ModuleType

TASKS = {
    "pretrain": "mbjax.tasks.pretrain",
    "pose3d": "mbjax.tasks.pose3d",
    "action": "mbjax.tasks.action",
    "oneshot": "mbjax.tasks.oneshot",
    "mesh": "mbjax.tasks.mesh",
}


def find(name: str) -> ModuleType:
    """The package of a task; ValueError, with the known names, on another."""
    if name not in TASKS:
        raise ValueError(f"no task named {name!r}; there are: {', '.join(TASKS)}")
    return importlib.import_module(TASKS[name])
