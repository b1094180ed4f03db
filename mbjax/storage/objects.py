"""Reads and writes of whole files, on disk and in buckets, with errors of one kind.

What fails is an OSError that names the place: FileNotFoundError, FileExistsError, PermissionError,
or `BucketError` for the rest (a network that is away, a bucket that does not answer).
"""

import contextlib
import errno
import functools
import os
import pathlib
import threading
import time
from collections.abc import Callable

from mbjax.remarks import one_line
from mbjax.storage.places import Place, in_bucket, place, say_away, scheme

# How long a network may be away before an operation fails.
PATIENCE_S = 120.0


_answered: set[str] = set()  # schemes of which an operation succeeded


class BucketError(OSError):
    """A bucket that cannot be read or written; one line."""


def read_bytes(path: str | os.PathLike) -> bytes:
    """The whole file."""
    if not in_bucket(path):
        return place(path).read_bytes()
    return _do(path, lambda system, url: system.cat_file(url))


def write_new(path: str | os.PathLike, content: bytes) -> None:
    """Writes an object that is not there; FileExistsError where another process was first.

    The bucket decides between two that write at the same moment.
    """
    _do(path, lambda system, url: system.pipe_file(url, content, mode="create"))


def write(path: str | os.PathLike, content: bytes, patience: float = PATIENCE_S) -> None:
    """Puts a whole object into a bucket, in the place of one that is there."""
    _do(path, lambda system, url: system.pipe_file(url, content), patience)


def exists(path: str | os.PathLike) -> bool:
    """Whether there is such a file or folder."""
    if not in_bucket(path):
        return place(path).exists()
    return _do(path, lambda system, url: bool(system.exists(url)))


def remove(path: str | os.PathLike) -> None:
    """Deletes one file; nothing where there is none."""
    if not in_bucket(path):
        return place(path).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        _do(path, lambda system, url: system.rm_file(url))


def remove_folder(path: str | os.PathLike) -> None:
    """Deletes all objects below a URL; nothing where there are none."""
    with contextlib.suppress(FileNotFoundError):
        _do(path, lambda system, url: system.rm(url, recursive=True))


def rename_folder(path: Place, target: Place) -> None:
    """Renames a folder on disk; in a bucket, which has none, copies each object and deletes it."""
    if not in_bucket(path):
        pathlib.Path(path).rename(target)
        return
    for name in listing(path):
        write(f"{_url(target)}/{name}", read_bytes(f"{_url(path)}/{name}"))
    remove_folder(path)


def names(folder: str | os.PathLike) -> list[str]:
    """Names of the files and folders in a folder, sorted; none where it is not there."""
    if not in_bucket(folder):
        there = place(folder)
        return sorted(path.name for path in there.iterdir()) if there.is_dir() else []
    try:
        found = _do(folder, lambda system, url: system.ls(url, detail=False))
    except FileNotFoundError:
        return []
    own = _url(folder).partition("://")[2]
    below = (each.rstrip("/") for each in found)
    return sorted({each.rpartition("/")[2] for each in below if each != own})


def listing(folder: str | os.PathLike) -> dict[str, tuple[int, str]]:
    """{path below a bucket's folder: (bytes, what changes when it is written again)}."""
    found = _do(folder, lambda system, url: system.find(url, detail=True))
    start = _url(folder).partition("://")[2] + "/"
    return {
        name.removeprefix(start): (int(about["size"] or 0), _version(about))
        for name, about in sorted(found.items())
        if about["type"] == "file" and not name.endswith("/")
    }


def download(url: str | os.PathLike, path: str | os.PathLike) -> None:
    """Copies one object to a file on disk."""
    _do(url, lambda system, url: system.get_file(url, os.fspath(path)))


def upload(path: str | os.PathLike, url: str | os.PathLike, patience: float = PATIENCE_S) -> None:
    """Copies a file on disk to one object, which appears whole or not at all."""
    _do(url, lambda system, url: system.put_file(os.fspath(path), url), patience)


def check_writable(folder: str | os.PathLike) -> None:
    """OSError, in one line, where nothing can be written below a URL: before any work is done."""
    probe = f"{_url(folder)}/.writable-{os.getpid()}"
    try:
        write(probe, b"", patience=0)
    except FileNotFoundError:
        bucket = _url(folder).partition("://")[2].partition("/")[0]
        name = f"{scheme(folder)}://{bucket}"
        raise FileNotFoundError(f"{_url(folder)}: there is not a bucket {name}") from None
    remove(probe)


@functools.cache
def _system(kind):
    import fsspec

    system = fsspec.filesystem(kind)
    system.patience_s = 0.0  # `_do` has its own
    return system


def _do(path, action: Callable, patience: float = PATIENCE_S):
    """action(file system, URL), again and again while a bucket does not answer."""
    url = _url(path)
    kind = scheme(place(path))
    deadline, pause = time.monotonic() + patience, 1.0
    # The libraries look for credentials and try for most of a minute without a word.
    waiting = threading.Timer(10.0, say_away, (kind, patience))
    waiting.daemon = True
    if kind not in _answered:
        waiting.start()
    while True:
        try:
            result = action(_system(kind), url)
            _answered.add(kind)
            return result
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, "there is not such an object", url) from None
        except FileExistsError:
            raise FileExistsError(errno.EEXIST, "it is there already", url) from None
        except Exception as error:  # noqa: BLE001  aiohttp's, google-auth's, botocore's, by version
            told = _told(error, url)
            if not isinstance(told, BucketError) or time.monotonic() > deadline:
                raise told from error
            say_away(kind, patience)
        finally:
            waiting.cancel()
        time.sleep(pause)
        pause = min(2 * pause, 15.0)


def _told(error, url) -> OSError:
    text = f"{type(error).__name__} {one_line(error, 300)}"
    code = str(getattr(error, "code", ""))
    denied = any(word in text for word in ("Forbidden", "AccessDenied", "Access Denied"))
    if denied or code == "403" or isinstance(error, PermissionError):
        return PermissionError(f"{url}: these credentials may not read or write there ({text})")
    if code == "401" or any(word in text for word in ("Unauthorized", "Credentials")):
        return PermissionError(f"{url}: there are not credentials that are accepted ({text})")
    return BucketError(f"{url}: {text}")


def _url(path) -> str:
    return os.fspath(path).rstrip("/")


def _version(about) -> str:
    """Of a listing's entry: a bucket's own mark of what an object holds."""
    return str(about.get("generation") or about.get("ETag") or about.get("etag") or "")
