"""What a user gives as a place: a path on disk, or the URL of a folder or an object in a bucket.

A URL is an `epath.Path`, which has pathlib's names; it reads and writes by fsspec, also where
TensorFlow is installed, which would be imported for it.
"""

import functools
import importlib.util
import logging
import math
import os
import pathlib
import time
from typing import TYPE_CHECKING

from mbjax.remarks import remark

# Read once, when a path of whatever kind is first used.
os.environ.setdefault("EPATH_USE_TF", "false")

# Scheme: the package that reads and writes it, and the extra that installs that.
_PACKAGES = {"gs": ("gcsfs", "gcs"), "s3": ("s3fs", "s3")}

if TYPE_CHECKING:
    from etils import epath

    Place = pathlib.Path | epath.Path
else:
    Place = pathlib.PurePath  # which both are: epath takes a third of a command's start


def is_url(path: str | os.PathLike) -> bool:
    """Whether a path is a URL (gs://, s3://, hf:// ...)."""
    return "://" in os.fspath(path)


def scheme(path: str | os.PathLike) -> str:
    """'gs' of gs://bucket/run; '' of a path on disk."""
    text = os.fspath(path)
    return text.partition("://")[0] if "://" in text else ""


def in_bucket(path: str | os.PathLike) -> bool:
    """Whether a path is the URL of something in a bucket."""
    return scheme(path) in _PACKAGES


def place(path: str | os.PathLike) -> Place:
    """The path of a file or folder on disk, or in a bucket.

    ValueError for a URL that names nothing in a bucket, ImportError where the package that reads
    such buckets is not installed; in one line.
    """
    if not is_url(path):
        return pathlib.Path(path).expanduser()
    text, kind = os.fspath(path).rstrip("/"), scheme(path)
    if kind not in _PACKAGES:
        raise ValueError(
            f"{text}: places of the kind {kind}:// cannot be read and written; give a folder on "
            "disk, gs://BUCKET/FOLDER or s3://BUCKET/FOLDER"
        )
    bucket, _, key = text.partition("://")[2].partition("/")
    if not bucket or not key:
        raise ValueError(f"{text} should read {kind}://BUCKET/FOLDER")
    package, extra = _PACKAGES[kind]
    if importlib.util.find_spec(package) is None:
        raise ImportError(f"{text} needs the package {package}: pip install 'mbjax[{extra}]'")
    _prepare(kind)
    from etils import epath

    return epath.Path(text)


def on_disk(path: str | os.PathLike, what: str) -> pathlib.Path:
    """A path on disk; ValueError for a URL, since what is written there needs a disk."""
    if is_url(path):
        raise ValueError(f"{what} {os.fspath(path)} is a URL; give a folder on disk")
    return pathlib.Path(path).expanduser()


def say_away(kind: str, seconds: float) -> None:
    """Remarks that a service does not answer and is asked again for so long; once in that time."""
    now = time.monotonic()
    if now > _said_away.get(kind, -math.inf) + seconds:
        _said_away[kind] = now
        remark(f"{kind}:// does not answer; trying again for up to {seconds:.0f} s")


_said_away: dict[str, float] = {}


@functools.cache
def _prepare(kind):
    """Settings of libraries that have to stand before their first use."""
    import fsspec

    # What other processes write has to be seen at once.
    fsspec.config.conf.setdefault(kind, {}).setdefault("use_listings_cache", False)
    if kind == "gs":
        from mbjax.storage import patient_gcs

        patient_gcs.register()
        # It tells of each try, and what it cannot find out about a bucket; errors come as errors.
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
