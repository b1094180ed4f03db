"""Finished parts of a preparation: the records of one raw file, kept until the dataset is whole.

A part is one .npz of plain arrays, which appears whole or not at all. One that was damaged since
is removed when it is met, to be made again. Each field of the records is one array of all records'
values end to end, with their shapes.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np

from data_prep.report import Report
from mbjax.atomic_files import written_beside
from mbjax.remarks import one_line
from mbjax.safe_files import numpy_files


class DamagedPart(ValueError):
    """A part that is not as it was written; it is removed."""


def write_part(path: pathlib.Path, records: list[tuple[str, dict]], report: Report) -> None:
    """Writes (key, record) pairs, all of the same fields, and what was found while making them."""
    arrays = {
        "report": np.array(json.dumps(report.to_json())),
        "keys": np.array([key for key, _ in records], dtype=np.str_),
    }
    for name in records[0][1] if records else ():
        values = [np.asarray(record[name]) for _, record in records]
        arrays[f"shape.{name}"] = np.array([value.shape for value in values], np.int64)
        arrays[f"value.{name}"] = np.concatenate([value.reshape(-1) for value in values])
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as beside, beside.open("wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())


def read_report(path: pathlib.Path) -> Report:
    """What was found while the part was made. DamagedPart if that cannot be read."""
    with _removed_if_damaged(path):
        arrays = numpy_files.read_npz(path, ["report"])
        return Report.from_json(json.loads(str(arrays["report"])))


def read_part(path: pathlib.Path) -> list[tuple[str, dict]]:
    """The (key, record) pairs of a part, in the order they were written. DamagedPart otherwise."""
    with _removed_if_damaged(path):
        return list(_records(numpy_files.read_npz(path)))


def _records(arrays) -> Iterator[tuple[str, dict]]:
    names = [name[6:] for name in arrays if name.startswith("value.")]
    values = {name: arrays[f"value.{name}"] for name in names}
    shapes = {name: arrays[f"shape.{name}"] for name in names}
    place = dict.fromkeys(names, 0)
    for i, key in enumerate(arrays["keys"].tolist()):
        record = {}
        for name in names:
            shape = tuple(shapes[name][i].tolist())
            end = place[name] + int(np.prod(shape))
            value = values[name][place[name] : end].reshape(shape)
            record[name] = value.item() if shape == () else value
            place[name] = end
        yield key, record


@contextlib.contextmanager
def _removed_if_damaged(path):
    try:
        yield
    # What a part does not hold, or holds in another form.
    except (
        ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError,
        ArithmeticError,
    ) as error:  # fmt: skip
        path.unlink(missing_ok=True)
        raise DamagedPart(
            f"{path} was damaged and is removed ({one_line(error)}); run again to make it anew"
        ) from error


def read_parts(folder: pathlib.Path) -> Iterable[tuple[str, dict]]:
    """All records of the parts in a folder, one part in memory at a time."""
    for path in sorted(folder.glob("*.npz")):
        yield from read_part(path)
