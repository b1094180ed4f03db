"""Checkpoints of a run: Orbax, asynchronous, atomic, and readable without the code that wrote them.

WORKDIR/checkpoints/STEP/ holds four items: params, other (BatchNorm statistics), opt_state, and
meta, a JSON object that says what the parameters belong to (task, sizes of the network, config).
"""

import os
import shutil
import threading
from collections.abc import Callable, Mapping

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as policies

from mbjax.devices.cluster import EndedTogether

FOLDER = "checkpoints"
# Old checkpoints are renamed into here before they are deleted: a process that is killed while it
# deletes leaves no half of one among the others.
_REMOVED = "removed"
_ARRAYS = ("params", "other", "opt_state")


class _Manager(ocp.CheckpointManager):
    """Leaves the preemption service to the loop.

    Orbax also asks it, in a thread and with the number of the step that it has just finished to
    write, and the service takes the last number it hears for the step the process is at.
    """

    def reached_preemption(self, step: int) -> bool:
        return False


class Checkpoints:
    """The checkpoints in one work folder.

    keep: how many of the newest stay. best: the name of a metric; the checkpoint where it was
    lowest (or highest: best_mode 'max') stays too.
    """

    def __init__(
        self, workdir, keep: int = 3, best: str | None = None, best_mode: str = "min",
        read_only: bool = False,
    ):  # fmt: skip
        self.directory = epath.Path(workdir).expanduser().resolve() / FOLDER
        rules = [policies.LatestN(keep)]
        if best:
            rules.append(
                policies.BestN(
                    get_metric_fn=lambda metrics: float(metrics[best]),
                    reverse=best_mode == "min",
                    n=1,
                    keep_checkpoints_without_metrics=False,
                )
            )
        self._manager = _Manager(
            self.directory,
            item_names=(*_ARRAYS, "meta"),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(rules),
                todelete_subdir=_REMOVED,
                create=not read_only,
                read_only=read_only,
                cleanup_tmp_directories=not read_only,
            ),
        )

        self._deleting: threading.Thread | None = None
        self._writes = not read_only and jax.process_index() == 0
        self._delete_removed()

    def _delete_removed(self):
        """Deletes what is in the folder for it, beside the training."""
        if self._writes and not (self._deleting and self._deleting.is_alive()):
            self._deleting = threading.Thread(
                target=_empty, args=(self.directory / _REMOVED,), daemon=True
            )
            self._deleting.start()

    def steps(self) -> list[int]:
        return sorted(self._manager.all_steps())

    def save(self, state: Mapping, meta: Mapping, metrics: Mapping | None = None) -> None:
        """Begins to write; returns once the arrays are copied. state: the four entries of a run.

        A step that is there already stays as it is.
        """
        step = int(meta["step"])
        if step in self._manager.all_steps():
            return
        self._delete_removed()
        # Orbax stores no empty tree; a network without statistics has no item `other`.
        items = {n: ocp.args.StandardSave(state[n]) for n in _ARRAYS if jax.tree.leaves(state[n])}
        metrics = {k: float(v) for k, v in metrics.items()} if metrics else None
        self._manager.save(
            step,
            args=ocp.args.Composite(**items, meta=ocp.args.JsonSave(dict(meta))),
            metrics=metrics,
            force=True,
        )

    def restore(self, abstract: Mapping, report: Callable[[str], None] = lambda text: None):
        """(state, meta) of the newest checkpoint that can be read, or None where there is none.

        abstract: jax.ShapeDtypeStruct with shardings, shaped like what was saved; the checkpoint
        may come from another mesh or number of hosts. Says which checkpoints it had to pass over.
        """
        damaged: list[int] = []
        for step in reversed(self.steps()):
            items = {
                name: ocp.args.StandardRestore(abstract[name])
                for name in _ARRAYS
                if jax.tree.leaves(abstract[name])
            }
            reason = ""
            try:
                found = self._manager.restore(
                    step, args=ocp.args.Composite(**items, meta=ocp.args.JsonRestore())
                )
            except Exception as error:  # noqa: BLE001  whatever a damaged folder makes Orbax raise
                reason = _first_line(error)
            # Each process reads its own part; all must take the same checkpoint.
            if multihost_utils.process_allgather(np.array(bool(reason))).any():
                report(
                    f"checkpoint {self.directory / str(step)} cannot be read "
                    f"({reason or 'by another process'}); trying the one before"
                )
                damaged.append(step)
                continue
            self._put_aside(damaged)
            state = {name: found[name] if name in items else abstract[name] for name in _ARRAYS}
            return state, found["meta"]
        if self.steps():
            raise ValueError(
                f"no checkpoint in {self.directory} can be read; move it away to start again"
            )
        return None

    def _put_aside(self, steps):
        """Renames damaged checkpoints, so that the run can write those steps again."""
        if not steps:
            return
        if jax.process_index() == 0:
            for step in steps:
                (self.directory / str(step)).rename(self.directory / f"damaged-{step}")
        multihost_utils.sync_global_devices("damaged checkpoints put aside")
        self._manager.reload()

    def wait(self) -> None:
        """Returns when everything begun is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        self._manager.close()
        if self._writes:
            self._deleting.join()
            shutil.rmtree(self.directory / _REMOVED, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        """Waits for what was begun, but not where the other processes may be gone."""
        together = error is None or isinstance(error, EndedTogether)
        if together or jax.process_count() == 1:
            self.wait()
            self.close()


def find(path: str | os.PathLike, which: str = "latest") -> epath.Path:
    """The folder of one checkpoint: `path` itself, or one in the work folder `path`.

    which: 'latest' or a step's number. FileNotFoundError in one line where there is none.
    """
    path = epath.Path(path).expanduser()
    if (path / "params").exists():
        return path.resolve()
    folder = path if path.name == FOLDER else path / FOLDER
    steps = (
        sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())
        if (folder.is_dir())
        else []
    )
    if which != "latest" and steps:
        if str(which) not in map(str, steps):
            there = ", ".join(map(str, steps))
            raise FileNotFoundError(f"{path} has no checkpoint of step {which}; it has: {there}")
        return (folder / str(which)).resolve()
    if not steps:
        folds = sorted(p.name for p in path.glob("fold-*")) if path.is_dir() else []
        if folds:
            raise FileNotFoundError(
                f"{path} holds a run for each subject; give one of them: {', '.join(folds)}"
            )
        raise FileNotFoundError(
            f"no checkpoint at {path}: expected a work folder of a run, or one of its "
            f"{FOLDER}/STEP folders"
        )
    return (folder / str(steps[-1])).resolve()


def read(path: str | os.PathLike, items=("params", "other")) -> tuple[dict, dict]:
    """(meta, {item: nested dict of numpy arrays}) of one checkpoint, on any machine.

    path: what `find` takes. Lists and named tuples come back as Orbax keeps them; positions in
    lists of layers are integers again.
    """
    folder = find(path)
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        meta = reader.restore(folder / "meta")
    arrays = {}
    with ocp.PyTreeCheckpointer() as reader:
        for item in items:
            if not (folder / item).exists():
                arrays[item] = {}
                continue
            tree = reader.metadata(folder / item).item_metadata
            tree = getattr(tree, "tree", tree)
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            arrays[item] = _integer_keys(reader.restore(folder / item, restore_args=as_numpy))
    return meta, arrays


def _integer_keys(tree):
    if isinstance(tree, Mapping):
        return {
            int(k) if isinstance(k, str) and k.isdigit() else k: _integer_keys(v)
            for k, v in tree.items()
        }
    if isinstance(tree, list):
        return [_integer_keys(v) for v in tree]
    return tree


def _empty(folder):
    """Deletes what is in a folder; it stays, since more may be on its way into it."""
    for path in folder.iterdir() if folder.exists() else ():
        shutil.rmtree(path, ignore_errors=True)


def _first_line(error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
