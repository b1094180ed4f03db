"""Whether what is kept is whole: a checkpoint, a run, a file of weights, a dataset.

Everything is read, and held against the checksums that it carries.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable

from mbjax.convert import read as source
from mbjax.convert.read import without_warnings
from mbjax.data import health
from mbjax.data.records import SAMPLE
from mbjax.remarks import one_line
from mbjax.safe_files import json_files
from mbjax.training import checkpoint, fetched, workdir
from mbjax.training.run_log import METRICS_FILE, read_metrics
from mbjax.training.signed_meta import is_signed

_FILES = (".bin", ".pth", ".pt", ".safetensors")


@dataclasses.dataclass
class Verified:
    """What was looked at, a line each, and what is damaged: place and why."""

    lines: list[str] = dataclasses.field(default_factory=list)
    damage: list[str] = dataclasses.field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.damage


def verify(path: str | os.PathLike) -> Verified:
    """Reads all of `path`: a work folder, a checkpoint's folder, a .bin, .pth, .pt or .safetensors
    file, or a dataset folder; what lies in a bucket is copied for it. FileNotFoundError or
    ValueError where it is none of these."""
    local = fetched.fetch(path, fetched.ALL)
    found = _verify(local)
    for lines in (found.lines, found.damage):
        lines[:] = [line.replace(local, os.fspath(path)) for line in lines]
    return found


def _verify(path):
    found = Verified()
    place = pathlib.Path(path).expanduser()
    if path.startswith(SAMPLE):
        _dataset(path, found)
    elif place.suffix in _FILES and place.is_file():
        _attempt(found, path, lambda: _weights(path))
    elif (place / "meta").exists() or (place / "params").exists():
        _attempt(found, path, lambda: _checkpoint(place))
    elif (place / checkpoint.FOLDER).is_dir():
        _run(place, found)
    elif not place.exists():
        raise FileNotFoundError(f"{path} does not exist")
    elif place.is_dir():
        _dataset(path, found)
    else:
        raise ValueError(
            f"{path}: not a work folder, a checkpoint, a dataset, or a file that ends in "
            + ", ".join(_FILES)
        )
    return found


def _attempt(found: Verified, what: str, look: Callable[[], str]) -> None:
    try:
        found.lines.append(look())
    except Exception as error:  # noqa: BLE001  whatever damaged files make libraries raise
        reason = one_line(error, 400)
        found.damage.append(reason if what in reason else f"{what}: {reason}")


def _weights(path) -> str:
    read = source.read(path, optimizer=True)
    return f"{read}: sound"


def _checkpoint(folder) -> str:
    with without_warnings():
        meta = checkpoint.read_meta(checkpoint.find(folder))
        _, arrays = checkpoint.read(folder, checkpoint.ARRAYS)
    if folder.name.isdigit() and meta["step"] != int(folder.name):
        raise ValueError(f"it is a copy of step {meta['step']}")
    count = len(checkpoint.leaves(arrays))
    if not is_signed(meta):
        return f"{folder}: {count} arrays can be read; saved before there were checksums"
    return f"{folder}: {count} arrays and meta are what was saved"


def _run(folder, found: Verified) -> None:
    for name in (workdir.CONFIG, workdir.DATA):
        if (folder / name).exists():
            _attempt(found, str(folder / name), lambda name=name: _json(folder / name))
    if (folder / METRICS_FILE).exists():
        _attempt(found, str(folder / METRICS_FILE), lambda: _log(folder))
    checkpoints = folder / checkpoint.FOLDER
    steps = checkpoint.steps_in(checkpoints)
    if not steps:
        found.damage.append(f"{checkpoints}: not one checkpoint")
    for step in steps:
        one = checkpoints / str(step)
        _attempt(found, str(one), lambda one=one: _checkpoint(one))


def _json(path) -> str:
    json_files.read_object(path)
    return f"{path}: can be read"


def _log(folder) -> str:
    lines = (folder / METRICS_FILE).read_bytes().count(b"\n")
    rows = read_metrics(folder)
    if len(rows) < lines:
        raise ValueError(f"{lines - len(rows)} of {lines} lines are no lines of a log")
    return f"{folder / METRICS_FILE}: {lines} lines"


def _dataset(path, found: Verified) -> None:
    looked = health.inspect(path, check=True)
    found.damage += looked.damage
    records = [line for line in looked.lines if line.endswith("records") or "dataset" in line]
    found.lines += records
