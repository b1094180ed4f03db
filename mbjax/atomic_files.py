"""Files and folders that appear whole or not at all; what is written to is checked before."""

import contextlib
import errno
import glob
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator

from mbjax.storage import objects, temporary
from mbjax.storage.places import is_url, on_disk, place

# Being written at this moment, and folders made for it; `remove_unfinished` is for a process that
# leaves in the middle.
_unfinished: set[pathlib.Path] = set()
_made: list[pathlib.Path] = []


@contextlib.contextmanager
def written_beside(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A path to write to that becomes `path` when the block ends well, and is gone otherwise.

    OSError, with the file and the system's reason, where there is no room or no right to write,
    also where the library that writes raises something else for it. For a URL the path is on disk,
    and is uploaded when the block ends well.
    """
    if is_url(path):
        with _written_before_upload(place(path)) as local:
            yield local
        return
    path = pathlib.Path(path).expanduser()
    _refuse_file(path)
    # The ending stays: it is how libraries tell formats.
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    _remove_left_over(path)
    _unfinished.add(beside)
    try:
        yield beside
        # Some writers make files for their owner alone.
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o666 & ~umask)
        beside.replace(path)
    except OSError as error:
        if error.filename is None or str(beside) in str(error.filename):
            raise _named(error, path) from error
        raise
    except Exception as error:
        reason = _why_not_writable(beside, error)
        if reason is not None:
            raise _named(reason, path) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        _unfinished.discard(beside)


@contextlib.contextmanager
def _written_before_upload(url):
    folder = temporary.folder()
    try:
        yield folder / url.name
        objects.upload(folder / url.name, url)
    finally:
        temporary.remove(folder)


@contextlib.contextmanager
def folder_beside(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A new folder to fill that becomes `path` when the block ends well, and is gone otherwise.

    Where another process made `path` meanwhile, that one stays. ValueError for a URL.
    """
    path = on_disk(path, "folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield beside
        try:
            beside.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def check_file(path: str | os.PathLike) -> None:
    """Raises, before any work is done, what `written_beside(path)` would raise at its end."""
    if is_url(path):
        return objects.check_writable(place(path).parent)
    path = pathlib.Path(path).expanduser()
    _refuse_file(path)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.check")
    try:
        beside.touch()
    except OSError as error:
        raise _named(error, path) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


@contextlib.contextmanager
def output_folder(path: str | os.PathLike, what: str = "--out") -> Iterator[pathlib.Path]:
    """A folder to write to, made where it is missing; gone again if the block leaves it empty.

    OSError, before any work is done, where it cannot be made or written to; ValueError for a URL.
    what: its name for the user.
    """
    path = on_disk(path, what)
    # All folders that are new, the innermost first.
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        _made.extend(made)
        make_folder(path, what)
        yield path
    finally:
        _remove_empty(made)
        _made[:] = [folder for folder in _made if folder not in made]


def make_folder(path: str | os.PathLike | None, what: str = "--out") -> pathlib.Path | None:
    """A folder to write to, made where it is missing; None for none. Errors of `output_folder`.

    For several processes at once: it stays, since another one may be about to write.
    """
    if not path:
        return None
    path = on_disk(path, what)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{what} {path} is a file, not a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
        check_file(path / "check")
    except OSError as error:
        reason = error.strerror or str(error)
        raise type(error)(error.errno, f"{what}: {reason}", os.fspath(path)) from error
    return path


def remove_unfinished() -> None:
    """Removes what is being written by this process, which is about to end."""
    for path in list(_unfinished):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
    _remove_empty(_made)
    temporary.remove_all()


def _remove_left_over(path):
    """Removes what processes that were killed more than a day ago have left beside `path`."""
    name = f".{glob.escape(path.stem)}.*{glob.escape(path.suffix)}"
    for old in path.parent.glob(name):
        number = old.name.removeprefix(f".{path.stem}.").removesuffix(path.suffix)
        with contextlib.suppress(OSError):
            if number.isdecimal() and time.time() - old.stat().st_mtime > 86400:
                old.unlink()


def _remove_empty(folders):
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:  # holds something, or was never made
            break


def _refuse_file(path):
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the file to write")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} to write {path.name} to does not exist")


def _named(error, path) -> OSError:
    """The system's error with the file that the user asked for."""
    return OSError(error.errno, error.strerror or str(error), os.fspath(path))


def _why_not_writable(beside, error) -> OSError | None:
    """The system's reason that a library's error stands for; None where it is no such error.

    Told by the text, or by what the system says to a little more at the end of the file.
    """
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
        if os.strerror(number) in str(error):
            return OSError(number, os.strerror(number))
    try:
        with open(beside, "ab", buffering=0) as file:
            file.write(bytes(1 << 16))
            os.fsync(file.fileno())
    except OSError as reason:
        return reason
    return None
