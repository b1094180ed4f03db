"""Folders for this process alone, gone when it ends, in whatever way but by SIGKILL."""

import atexit
import pathlib
import shutil
import tempfile

_folders: list[pathlib.Path] = []


def folder() -> pathlib.Path:
    """A new empty folder on disk."""
    if not _folders:
        atexit.register(remove_all)
    _folders.append(pathlib.Path(tempfile.mkdtemp(prefix="mbjax-")))
    return _folders[-1]


def remove(path: pathlib.Path) -> None:
    """Removes one folder before the end."""
    shutil.rmtree(path, ignore_errors=True)
    if path in _folders:
        _folders.remove(path)


def remove_all() -> None:
    """Removes the folders of this process, which is about to end."""
    for path in list(_folders):
        remove(path)
