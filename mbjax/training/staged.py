"""Checkpoints in Amazon's object storage, which Orbax does not write to: by way of this disk.

Orbax keeps them in a folder on disk, as it does for a run on disk. Each is then uploaded, its mark
last, so that one without a mark is none; a new start downloads them. One process writes all of a
checkpoint here, so a run of several processes needs gs:// or a disk that they share.
"""

import pathlib
import threading
from collections.abc import Mapping

import jax

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
        if jax.process_count() > 1:
            raise ValueError(
                f"work folder {workdir}: a run of several processes cannot write to s3://; use "
                "gs://, or a disk that all of them see (FSx, NFS)"
            )
        self._url = workdir / FOLDER
        self._staging = temporary.folder()
        self._uploaded = set(committed_steps(self._url))
        for step in self._uploaded:
            self._download(step)
        self._uploading: threading.Thread | None = None
        self._failure: Exception | None = None
        super().__init__(self._staging, keep, best, best_mode)

    def _download(self, step):
        for name in objects.listing(self._url / str(step)):
            path = self._staging / FOLDER / str(step) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            objects.download(self._url / str(step) / name, path)

    def save(self, state: Mapping, meta: Mapping, metrics: Mapping | None = None) -> None:
        """Begins to write and to upload, once the checkpoint before is uploaded."""
        self._join()
        super().save(state, meta, metrics)
        self._uploading = threading.Thread(target=self._upload, daemon=True, name="upload")
        self._uploading.start()

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
            objects.remove(self._url / str(step) / COMMITTED)
            self._uploaded.discard(step)

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
        self._sync()

    def close(self) -> None:
        try:
            self._join()
            super().close()
        finally:
            temporary.remove(self._staging)
