"""Checkpoints of a run: Orbax, asynchronous, atomic, and readable without the code that wrote them.

WORKDIR/checkpoints/STEP/ holds four items: params, other (BatchNorm statistics), opt_state, and
meta, a JSON object that says what the parameters belong to (task, sizes of the network, config)
and holds a fingerprint of each array and of itself. They are verified whenever a checkpoint is
read; checkpoints from before fingerprints are taken as they are.
"""

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Callable, Mapping

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as policies

from mbjax.devices.cluster import EndedTogether
from mbjax.remarks import first_line
from mbjax.storage import objects
from mbjax.storage.places import in_bucket, is_url, place
from mbjax.training.signed_meta import (
    DamagedCheckpoint,
    Signed,
    unsigned,
    verify_arrays,
    verify_meta,
)

FOLDER = "checkpoints"
# Old checkpoints are renamed into here before they are deleted: a process that is killed while it
# deletes leaves no half of one among the others.
_REMOVED = "removed"
# What Orbax writes last into a checkpoint in a bucket, where a folder cannot be renamed.
COMMITTED = "commit_success.txt"
ARRAYS = ("params", "other", "opt_state")


def _write_small_arrays_whole():
    """Orbax cuts an array that several devices hold into parts, each written from its own device.

    Each cut is a small program for each shape and device, compiled at the first save: 20 of the
    57 s that a run of 11 steps took on eight CPU devices (one core of an AMD EPYC). Arrays are cut
    into 32 parts at most, of 64 kB or more; a small one is written whole by whoever has its first
    copy.
    """
    usual = ocp.type_handlers.get_type_handler(jax.Array)
    fewer = ocp.type_handlers.ArrayHandler(
        array_metadata_store=getattr(usual, "_array_metadata_store", None),
        min_slice_bytes_for_replica_parallel=64 * 1024,
        max_replicas_for_replica_parallel=32,
    )
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # Orbax warns of what is meant here
    ocp.type_handlers.register_type_handler(jax.Array, fewer, override=True)
    logging.set_verbosity(verbosity)


_write_small_arrays_whole()


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
    lowest (or highest: best_mode 'max') stays too. own: each process has a work folder for itself,
    in which Orbax waits for none of the others.
    """

    def __init__(
        self, workdir, keep: int = 3, best: str | None = None, best_mode: str = "min",
        read_only: bool = False, own: bool = False,
    ):  # fmt: skip
        self._on_disk = not in_bucket(workdir)
        self._own = own
        self.directory = _absolute(workdir) / FOLDER
        if own:
            self.directory.mkdir(parents=True, exist_ok=True)
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
            item_names=(*ARRAYS, "meta"),
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(rules),
                todelete_subdir=_REMOVED,
                create=not (read_only or own),
                read_only=read_only,
                cleanup_tmp_directories=not (read_only or own),
                multiprocessing_options=_alone() if own else ocp.options.MultiprocessingOptions(),
            ),
        )

        self._begun: Signed | None = None  # the newest save, until its arrays are known as finite
        self._deleting: threading.Thread | None = None
        self._writes = not read_only and jax.process_index() == 0
        self._delete_removed()

    def _delete_removed(self):
        """Deletes what is in the folder for it, beside the training."""
        if self._writes and self._on_disk and not (self._deleting and self._deleting.is_alive()):
            self._deleting = threading.Thread(
                target=_empty, args=(self.directory / _REMOVED,), daemon=True
            )
            self._deleting.start()

    def steps(self) -> list[int]:
        """Those that are whole; one that is being written is not."""
        steps = sorted(self._manager.all_steps())
        return [step for step in steps if (self.directory / str(step)).exists()]

    def save(self, state: Mapping, meta: Mapping, metrics: Mapping | None = None) -> None:
        """Begins to write; returns once the arrays are copied. state: the four entries of a run.

        A step that is there already stays as it is. An array with entries that are NaN or infinite
        leaves no checkpoint; NotFinite comes with the next `save`, `wait` or `close`, since the
        fingerprints are computed beside the training.
        """
        self._check_begun()
        step = int(meta["step"])
        if step in self._manager.all_steps():
            return
        # Orbax would make another one, without the run's config.
        if self._on_disk and not self.directory.is_dir():
            gone = "it was there when the run began, and is gone"
            raise FileNotFoundError(errno.ENOENT, gone, os.fspath(self.directory))
        self._delete_removed()
        # Orbax stores no empty tree; a network without statistics has no item `other`.
        trees = {name: state[name] for name in ARRAYS if jax.tree.leaves(state[name])}
        self._begun = Signed(meta, trees)
        self._write(step, trees, {k: float(v) for k, v in metrics.items()} if metrics else None)

    def _write(self, step, trees, metrics):
        items = {name: ocp.args.StandardSave(tree) for name, tree in trees.items()}
        with self._place_of_errors():
            self._manager.save(
                step,
                args=ocp.args.Composite(**items, meta=ocp.args.JsonSave(self._begun)),
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
            items = _restorable(abstract)
            found, reason = self._read(step, items)
            # Each process reads its own part; all must take the same checkpoint, and all must have
            # read it before its fingerprints, sums over all devices, can be computed.
            if not _anywhere(reason):
                reason = _difference(found, items, self.directory / str(step))
            if _anywhere(reason):
                report(
                    f"checkpoint {self.directory / str(step)} cannot be read "
                    f"({reason or 'by another process'}); trying the one before"
                )
                damaged.append(step)
                continue
            self._put_aside(damaged)
            return _state(found, items, abstract), unsigned(found["meta"])
        if self.steps():
            raise ValueError(
                f"no checkpoint in {self.directory} can be read; move it away to start again"
            )
        return None

    def restore_step(self, step: int, abstract: Mapping):
        """(state, meta) of one checkpoint; DamagedCheckpoint where it cannot be read."""
        items = _restorable(abstract)
        found, reason = self._read(step, items)
        reason = reason or _difference(found, items, self.directory / str(step))
        if reason:
            raise DamagedCheckpoint(f"{self.directory / str(step)} cannot be read ({reason})")
        return _state(found, items, abstract), unsigned(found["meta"])

    def _read(self, step, items):
        """(what Orbax restores, ""), or (None, why not)."""
        arguments = ocp.args.Composite(**items, meta=ocp.args.JsonRestore())
        try:
            return self._manager.restore(step, args=arguments), ""
        except Exception as error:  # noqa: BLE001  whatever a damaged folder makes Orbax raise
            return None, first_line(error)

    def _put_aside(self, steps):
        """Renames damaged checkpoints, so that the run can write those steps again."""
        if not steps:
            return
        if self._own or jax.process_index() == 0:
            for step in steps:
                objects.rename_folder(
                    self.directory / str(step), self.directory / f"damaged-{step}"
                )
        multihost_utils.sync_global_devices("damaged checkpoints put aside")
        self._manager.reload()

    def wait(self) -> None:
        """Returns when everything begun is on disk; NotFinite, see `save`."""
        self._check_begun()
        with self._place_of_errors():
            self._manager.wait_until_finished()

    @contextlib.contextmanager
    def _place_of_errors(self):
        """Where the system's error does not name what could not be written, this folder."""
        try:
            yield
        except OSError as error:
            if error.errno is None or error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror, os.fspath(self.directory)) from error

    def _check_begun(self):
        """NotFinite where the newest save is of arrays that are not finite.

        On all processes at the same place; the one that writes meta has not written it, so that the
        others would wait for it for ever.
        """
        if self._begun is not None:
            self._begun.check()
            self._begun = None

    def close(self) -> None:
        self._check_begun()
        with self._place_of_errors():
            self._manager.close()
        if self._deleting:
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


def _alone():
    """Of a process whose folder is its own."""
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
    )


def _restorable(abstract):
    return {
        name: ocp.args.StandardRestore(abstract[name])
        for name in ARRAYS
        if jax.tree.leaves(abstract[name])
    }


def _state(found, items, abstract):
    return {name: found[name] if name in items else abstract[name] for name in ARRAYS}


def _absolute(path) -> epath.Path:
    path = epath.Path(place(path))
    return path if is_url(path) else path.resolve()


def steps_in(folder: str | os.PathLike) -> list[int]:
    """Steps of the checkpoints in a folder, on disk or in a bucket, in order; none where it is not
    there."""
    return sorted(int(name) for name in objects.names(folder) if name.isdigit())


def find(path: str | os.PathLike, which: str = "latest") -> epath.Path:
    """The folder of one checkpoint: `path` itself, or one in the work folder `path`.

    which: 'latest' or a step's number. FileNotFoundError in one line where there is none.
    """
    path = epath.Path(place(path))  # as the user calls it, in messages
    if (path / "params").exists():
        return _absolute(path)
    folder = path if path.name == FOLDER else path / FOLDER
    steps = steps_in(folder)
    if which != "latest" and steps:
        if str(which) not in map(str, steps):
            there = ", ".join(map(str, steps))
            raise FileNotFoundError(f"{path} has no checkpoint of step {which}; it has: {there}")
        return _absolute(folder / str(which))
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
    return _absolute(folder / str(steps[-1]))


def read(path: str | os.PathLike, items=("params", "other")) -> tuple[dict, dict]:
    """(meta, {item: nested dict of numpy arrays}) of one checkpoint, on any machine.

    path: what `find` takes. Lists and named tuples come back as Orbax keeps them; positions in
    lists of layers are integers again. DamagedCheckpoint where a fingerprint does not fit.
    """
    folder = find(path)
    meta = read_meta(folder)
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
    verify_arrays(meta, arrays, folder)
    return unsigned(meta), arrays


def read_meta(folder: epath.Path) -> dict:
    """The meta of one checkpoint's folder with what signing added; DamagedCheckpoint where it is
    not as it was saved."""
    with ocp.Checkpointer(ocp.JsonCheckpointHandler()) as reader:
        meta = reader.restore(folder / "meta")
    verify_meta(meta, folder)
    return meta


def _difference(found, items, folder) -> str:
    """Why what was restored is not what was saved in `folder`; '' if it is."""
    try:
        verify_meta(found["meta"], folder)
        if found["meta"]["step"] != int(folder.name):
            return f"it is a copy of step {found['meta']['step']}"
        verify_arrays(found["meta"], {name: found[name] for name in items}, folder)
    except DamagedCheckpoint as error:
        return first_line(error)
    return ""


def _anywhere(reason: str) -> bool:
    return bool(multihost_utils.process_allgather(np.array(bool(reason))).any())


def leaves(arrays: Mapping) -> list:
    """The arrays of what `read` gives."""
    return jax.tree.leaves(dict(arrays))


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
