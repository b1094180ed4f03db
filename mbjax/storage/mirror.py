"""A folder on disk whose files are kept in a bucket: for logs, which grow by lines."""

import contextlib
import os
import threading

from mbjax.storage import objects, temporary

EVERY_S = 15.0


class Mirror:
    """`folder`, new and on disk, whose files are uploaded to a URL now and then, and by `sync`.

    An object has no end to write to, so that a file that grew is uploaded whole. What fails in the
    background is tried again; `sync` raises OSError.
    """

    def __init__(self, url: str | os.PathLike, every_s: float = EVERY_S):
        self.folder = temporary.folder()
        self._url, self._every_s = os.fspath(url).rstrip("/"), every_s
        self._uploaded: dict[str, tuple[int, int]] = {}
        self._one_at_a_time = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True, name="mirror")
        self._thread.start()

    def fetch(self, name: str) -> None:
        """Copies one file from the bucket into the folder; nothing where there is none."""
        with contextlib.suppress(FileNotFoundError):
            objects.download(f"{self._url}/{name}", self.folder / name)

    def sync(self, patience: float = objects.PATIENCE_S) -> None:
        """Uploads what changed; returns when it is there."""
        with self._one_at_a_time:
            for path in sorted(self.folder.rglob("*")):
                name = path.relative_to(self.folder).as_posix()
                if path.name.startswith(".") or not path.is_file():  # being written
                    continue
                about = path.stat()
                state = (about.st_size, about.st_mtime_ns)
                if self._uploaded.get(name) != state:
                    objects.upload(path, f"{self._url}/{name}", patience)
                    self._uploaded[name] = state

    def _keep(self):
        while not self._done.wait(self._every_s):
            with contextlib.suppress(OSError):
                self.sync(patience=0)

    def close(self) -> None:
        """Uploads the rest, and removes the folder."""
        self._done.set()
        self._thread.join()
        try:
            self.sync()
        finally:
            temporary.remove(self.folder)
