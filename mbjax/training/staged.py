"""Checkpoints in Amazon's object storage, which Orbax does not write to: by way of this disk.

Orbax keeps them in a folder on disk, as it does for a run on disk. Each is then uploaded, its mark
last, so that one without a mark is none; a new start downloads them. Of several processes the first
gathers and writes all of a checkpoint; each downloads them to a disk of its own.
"""

import pathlib
import threading
from collections.abc import Mapping

import jax
import numpy as np
from jax.experimental import multihost_utils

from mbjax.storage import objects, temporary
from mbjax.storage.places import Place, scheme
from mbjax.training.checkpoint import COMMITTED, FOLDER, Checkpoints
from mbjax.training.fetched import committed_steps


def checkpoints_of(workdir: Place, keep: int, best: str | None, best_mode: str) -> Checkpoints:
    """The checkpoints in a work folder on disk or in a bucket."""
    if scheme(workdir) == "s3":
        return StagedCheckpoints(workdir, keep, best, best_mode)
    return Checkpoints(workdir, keep, best, best_mode)


class StagedCheckpoints(Checkpoints):
    """Those in a bucket's work folder; `directory` is the copy on disk."""

    def __init__(self, workdir, keep=3, best=None, best_mode="min"):
        self._url = workdir / FOLDER
        self._staging = temporary.folder()
        self._uploaded = set(committed_steps(self._url))
        for step in self._uploaded:
            self._download(step)
        self._begun_steps = set(self._uploaded)  # the same on all processes
        self._uploading: threading.Thread | None = None
        self._failure: Exception | None = None
        super().__init__(self._staging, keep, best, best_mode, own=jax.process_count() > 1)

    def _download(self, step):
        for name in objects.listing(self._url / str(step)):
            path = self._staging / FOLDER / str(step) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            objects.download(self._url / str(step) / name, path)

    def save(self, state: Mapping, meta: Mapping, metrics: Mapping | None = None) -> None:
        """Begins to write and to upload, once the checkpoint before is uploaded."""
        self._join()
        if int(meta["step"]) in self._begun_steps:
            return
        self._begun_steps.add(int(meta["step"]))
        super().save(state, meta, metrics)
        if self._writes:
            self._uploading = threading.Thread(target=self._upload, daemon=True, name="upload")
            self._uploading.start()

    def _write(self, step, trees, metrics):
        if self._own:
            trees = jax.tree.map(_whole, trees)
        if self._writes:
            super()._write(step, trees, metrics)

    def _upload(self):
        try:
            self._manager.wait_until_finished()
            self._sync()
        except Exception as error:  # noqa: BLE001  raised where the loop waits for it
            self._failure = error

    def _sync(self):
        """Makes the bucket hold the checkpoints that are on disk, and no others."""
        there = set(self.steps())
        for step in sorted(there - self._uploaded):
            objects.remove_folder(self._url / str(step))  # half of one, of a killed process
            folder = pathlib.Path(self.directory) / str(step)
            names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
            for name in names:
                if name != COMMITTED:
                    objects.upload(folder / name, self._url / str(step) / name)
            objects.write(self._url / str(step) / COMMITTED, b"")  # the last of them
            self._uploaded.add(step)
        for step in sorted(self._uploaded - there):
            objects.remove(self._url / str(step) / COMMITTED)
            objects.remove_folder(self._url / str(step))
            self._uploaded.discard(step)

    def _put_aside(self, steps):
        super()._put_aside(steps)
        for step in steps:  # they are written and uploaded again
            if self._writes:
                objects.remove(self._url / str(step) / COMMITTED)
            self._uploaded.discard(step)
            self._begun_steps.discard(step)

    def _join(self):
        if self._uploading is not None:
            self._uploading.join()
            self._uploading = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def wait(self) -> None:
        """Returns when everything begun is in the bucket; NotFinite, see `save`."""
        self._join()
        super().wait()
        if self._writes:
            self._sync()
        if self._own:  # else the others would be gone, and their devices with them
            multihost_utils.sync_global_devices("checkpoints are in the bucket")

    def close(self) -> None:
        try:
            self._join()
            super().close()
        finally:
            temporary.remove(self._staging)


def _whole(array):
    """All of an array as numpy; on the first process at least, which writes it."""
    if array.is_fully_replicated:
        return np.asarray(array.addressable_data(0)) if jax.process_index() == 0 else array
    return multihost_utils.process_allgather(array, tiled=True)
