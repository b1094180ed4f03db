"""Finished parts of a preparation: the records of one raw file, kept until the dataset is whole.

A part is one .npz of plain arrays. It is written beside its name and renamed, so that a part that
is there is whole. Each field of the records is one array of all records' values end to end, with
their shapes.
"""

import io
import json
import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np

from data_prep.corpus import Corpus, SourceFile, checked_records, make_options
from data_prep.report import Report


def make_part(corpus: type[Corpus], source: SourceFile, options: dict, path: str) -> None:
    """Reads one raw file and leaves its part at `path`. Fit for a worker on another machine."""
    report = Report(source.name)
    records = list(checked_records(corpus, source, make_options(corpus, options), report))
    write_part(pathlib.Path(path), records, report)


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
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_report(path: pathlib.Path) -> Report:
    """What was found while the part was made."""
    with np.load(path) as arrays:
        return Report.from_json(json.loads(str(arrays["report"])))


def read_part(path: pathlib.Path) -> Iterator[tuple[str, dict]]:
    """The (key, record) pairs of a part, in the order they were written."""
    with np.load(io.BytesIO(path.read_bytes())) as arrays:
        keys = arrays["keys"].tolist()
        names = [name[6:] for name in arrays.files if name.startswith("value.")]
        values = {name: arrays[f"value.{name}"] for name in names}
        shapes = {name: arrays[f"shape.{name}"] for name in names}
    place = dict.fromkeys(names, 0)
    for i, key in enumerate(keys):
        record = {}
        for name in names:
            shape = tuple(shapes[name][i].tolist())
            end = place[name] + int(np.prod(shape))
            value = values[name][place[name] : end].reshape(shape)
            record[name] = value.item() if shape == () else value
            place[name] = end
        yield key, record


def read_parts(folder: pathlib.Path) -> Iterable[tuple[str, dict]]:
    """All records of the parts in a folder, one part in memory at a time."""
    for path in sorted(folder.glob("*.npz")):
        yield from read_part(path)
