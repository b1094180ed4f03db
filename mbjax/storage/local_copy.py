"""Copies on disk of what is in a bucket, for readers of files; gone when the process ends."""

import functools
import os
import pathlib
from collections.abc import Callable

from mbjax.storage import objects, temporary
from mbjax.storage.places import scheme

_MARKS = tuple[tuple[str, int, str], ...]


def file(url: str | os.PathLike) -> pathlib.Path:
    """The local copy of one object; FileNotFoundError where there is none."""
    path = _place(os.fspath(url))
    path.parent.mkdir(parents=True, exist_ok=True)
    objects.download(url, path)
    return path


def folder(url: str | os.PathLike, wanted: Callable[[str], bool]) -> pathlib.Path:
    """The local copy of the objects below a URL whose names below it are wanted.

    What did not change since it was copied is not copied again.
    """
    marks = tuple(
        (name, *about) for name, about in objects.listing(url).items() if wanted(name)
    )  # fmt: skip
    return _copied(os.fspath(url).rstrip("/"), marks)


@functools.lru_cache(maxsize=8)
def _copied(url: str, marks: _MARKS) -> pathlib.Path:
    there = _place(url)
    for name, *_ in marks:
        path = there / name
        path.parent.mkdir(parents=True, exist_ok=True)
        objects.download(f"{url}/{name}", path)
    return there


def _place(url) -> pathlib.Path:
    """A new path on disk that reads like the URL."""
    return temporary.folder() / scheme(url) / url.partition("://")[2]
