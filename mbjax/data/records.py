"""Random access to TFDS dataset directories: a record is one read of a shard, no TensorFlow.

A TFRecord file is a row of [length: uint64][crc of length: uint32][data][crc of data: uint32].
One pass over the lengths gives every record's offset. Records are read with pread, since a memory
map of a shard that another program cuts short ends the process by SIGBUS. Remote folders (gs://,
s3://) are read from a local copy: `RecordReader` makes it once, in $MBJAX_CACHE or ~/.cache/mbjax.
"""

import hashlib
import json
import os
import pathlib
import struct
import threading
import weakref
from importlib import resources

import google_crc32c
import numpy as np

from mbjax.atomic_files import folder_beside
from mbjax.data import record_features
from mbjax.remarks import one_line
from mbjax.safe_files import json_files
from mbjax.storage import objects
from mbjax.storage.places import Place, in_bucket, place

SAMPLE = "sample:"

# Coordinates are pixels, normalised, metres or millimetres: a thousand times what any of them is.
_LARGEST = 1e8

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
# A process may have 1,024 files open by default; shards beyond these are opened for each record.
_MAY_KEEP_OPEN = threading.BoundedSemaphore(512)


class DamagedRecord(ValueError):
    """A shard that is cut short or whose checksum does not fit; says the file and the offset."""


def find_dataset(directory: str | os.PathLike) -> Place:
    """The folder that holds dataset_info.json: `directory`, or the newest version below it.

    'sample:NAME' is a dataset of the sample corpus in the package.
    FileNotFoundError, in one line that says how to make a dataset, where there is none.
    """
    name = os.fspath(directory)
    if name.startswith(SAMPLE):
        root = pathlib.Path(os.fspath(resources.files("mbjax") / "sample" / name[len(SAMPLE) :]))
    else:
        root = place(name)
    if (root / "dataset_info.json").exists():
        return root
    versions = []
    if root.is_dir():
        # DIR, DIR/version, DIR/name/version and DIR/name/config/version are what TFDS writes.
        for pattern in ("*", "*/*", "*/*/*"):
            versions += [p.parent for p in root.glob(f"{pattern}/dataset_info.json")]
            if versions:
                break
    if not versions:
        what = "has no dataset in it" if root.exists() else "does not exist"
        raise FileNotFoundError(
            f"dataset folder {root} {what}; make one with "
            f"'mbjax prepare CORPUS --raw RAW_FOLDER --out {root}' (mbjax prepare --help)"
        )
    if len({p.parent for p in versions}) > 1:
        raise FileNotFoundError(
            f"dataset folder {root} holds several datasets; name one of: "
            + ", ".join(sorted(str(p) for p in versions))
        )
    return max(versions, key=_version)


def _version(path):
    return tuple(int(part) if part.isdigit() else -1 for part in path.name.split("."))


class RecordReader:
    """One split of a dataset directory as a sequence of records.

    `reader[i]` is a dict of numpy arrays and str; `len(reader)` the number of records. Safe to use
    from several threads. Checks each record's checksum and that floats are finite when read.
    """

    def __init__(self, directory: str | os.PathLike, split: str):
        self.directory = _local_copy(find_dataset(directory))
        self.split = split
        self.info, splits = read_info(self.directory)
        if split not in splits:
            raise ValueError(
                f"{self.directory} has no split {split!r}; it has: " + (", ".join(splits) or "none")
            )
        try:
            self._features = record_features.Features(self.directory)
        except ValueError as error:
            raise DamagedRecord(str(error)) from None
        self._shards = [_Shard(path, count) for path, count in self._files(splits[split])]
        self._ends = np.cumsum([len(shard) for shard in self._shards], dtype=np.int64)

    def _files(self, lengths):
        files = sorted(self.directory.glob(f"*-{self.split}.tfrecord-*"))
        if len(files) != len(lengths):
            raise DamagedRecord(
                f"{self.directory}: split {self.split} should have {len(lengths)} shards, "
                f"{len(files)} are here; copy or prepare the dataset again"
            )
        return zip(files, lengths, strict=True)

    def index(self) -> dict:
        """What tells this split from another: records, and for each shard its size and a checksum
        of its records' checksums, in order."""
        return {
            "records": len(self),
            "shards": {shard.path.name: shard.index() for shard in self._shards},
        }

    def __len__(self):
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> dict:
        index = int(index)
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)} in {self.directory}")
        shard_number = int(np.searchsorted(self._ends, index, side="right"))
        shard = self._shards[shard_number]
        place = index - (int(self._ends[shard_number - 1]) if shard_number else 0)
        try:
            record = self._features.decode(shard.data(place))
        except DamagedRecord:
            raise
        except Exception as error:
            reason = one_line(error, 200)
            raise DamagedRecord(
                f"{shard.where(place)}: does not decode as features.json says ({reason})"
            ) from error
        for name, value in record.items():
            if isinstance(value, (float, np.ndarray)):
                _refuse_absurd(name, value, shard.where, place)
        return record


def _refuse_absurd(name, value, where, place):
    """DamagedRecord where a number is not finite, or no coordinate in any unit that is used."""
    # False for NaN, too; one pass where all is well.
    if (np.abs(value) <= _LARGEST).all():
        return
    value = np.asarray(value)
    if not np.isfinite(value).all():
        raise DamagedRecord(f"{where(place)}: {name} holds NaN or infinity")
    first = tuple(int(i) for i in np.argwhere(np.abs(value) > _LARGEST)[0])
    index = f", index {first}" if first else ""
    raise DamagedRecord(
        f"{where(place)}: {name}{index}: {value[first]:g} is beyond any coordinate ({_LARGEST:g})"
    )


def read_info(directory: pathlib.Path) -> tuple[dict, dict[str, list[int]]]:
    """(dataset_info.json, {split: records of each of its shards}); DamagedRecord otherwise."""
    path = directory / "dataset_info.json"
    try:
        info = json_files.read_object(path)
        found = {
            split["name"]: [int(n) for n in split.get("shardLengths", [])]
            for split in info.get("splits", [])
        }
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
        reason = one_line(error)
        raise DamagedRecord(
            f"{path}: does not say splits and their shards ({reason}); copy or prepare the dataset"
            " again"
        ) from None
    for name, lengths in found.items():
        # The name becomes a pattern of file names.
        plain = isinstance(name, str) and name.replace("_", "").replace("-", "").isalnum()
        if not plain or min(lengths, default=0) < 0:
            raise DamagedRecord(f"{path}: {name!r:.100} is not a split of so many records")
    return info, found


class _Shard:
    def __init__(self, path: pathlib.Path, count: int):
        self.path = path
        self._size = path.stat().st_size
        # offsets[i] is where record i begins, the last one where the file ends.
        self._offsets = self._scan(count)
        self._kept_open, self._lock = None, threading.Lock()

    def __len__(self):
        return len(self._offsets) - 1

    def _scan(self, count):
        """Offsets of the records, by their lengths; each length's own checksum is verified."""
        if count * (_HEADER.size + _FOOTER.size) > self._size:
            raise DamagedRecord(
                f"{self.path}: {self._size:,} bytes cannot hold the {count:,} records that "
                "dataset_info.json says; copy or prepare the dataset again"
            )
        offsets = np.empty(count + 1, np.int64)
        with open(self.path, "rb", buffering=1 << 16) as file:
            place = self._checksums = 0
            for i in range(count):
                # With the checksum of the record before, which ends here.
                before = _FOOTER.size if i else 0
                file.seek(place - before)
                header = file.read(before + _HEADER.size)
                self._note(header[:before])
                header = header[before:]
                if len(header) < _HEADER.size:
                    raise DamagedRecord(
                        f"{self._at(place, i)}: the file ends here, {count} expected"
                    )
                length, crc = _HEADER.unpack(header)
                if _masked_crc(header[:8]) != crc:
                    raise DamagedRecord(f"{self._at(place, i)}: the record's length is damaged")
                offsets[i] = place
                place += _HEADER.size + length + _FOOTER.size
                if place > self._size:
                    raise DamagedRecord(f"{self._at(int(offsets[i]), i)}: the file ends inside it")
            file.seek(place - _FOOTER.size if count else 0)
            self._note(file.read(_FOOTER.size))
        if place != self._size:
            raise DamagedRecord(f"{self._at(place, count)}: more data than dataset_info.json says")
        offsets[count] = place
        return offsets

    def _note(self, checksum):
        self._checksums = google_crc32c.extend(self._checksums, checksum)

    def index(self) -> list:
        return [self._size, f"{self._checksums:08x}"]

    def _at(self, offset, index):
        return f"{self.path}, offset {offset}, record {index}"

    def where(self, place):
        return self._at(int(self._offsets[place]), place)

    def data(self, place) -> bytes:
        start, end = (int(offset) for offset in self._offsets[place : place + 2])
        start, end = start + _HEADER.size, end - _FOOTER.size
        # Two reads, as cutting one would copy the data.
        data, footer = self._read(start, end - start), self._read(end, _FOOTER.size)
        if len(data) + len(footer) < end - start + _FOOTER.size:
            raise DamagedRecord(
                f"{self.where(place)}: the file ends inside it; it became shorter since it was"
                " opened"
            )
        if _FOOTER.unpack(footer) != (_masked_crc(data),):
            raise DamagedRecord(
                f"{self.where(place)}: the checksum does not fit; the file is damaged"
            )
        return data

    def _read(self, start, count):
        if self._kept_open is None:
            with self._lock:
                if self._kept_open is None and _MAY_KEEP_OPEN.acquire(blocking=False):
                    self._kept_open = os.open(self.path, os.O_RDONLY)
                    weakref.finalize(self, _close, self._kept_open)
        if self._kept_open is not None:
            return os.pread(self._kept_open, count, start)
        with open(self.path, "rb", buffering=0) as file:
            return os.pread(file.fileno(), count, start)


def _close(descriptor):
    os.close(descriptor)
    _MAY_KEEP_OPEN.release()


def _masked_crc(data) -> int:
    # TFRecord stores crcs rotated and offset, so that a crc of data holding crcs stays sound.
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _local_copy(directory: Place) -> pathlib.Path:
    if not in_bucket(directory):
        return pathlib.Path(directory)
    cache = pathlib.Path(os.environ.get("MBJAX_CACHE", "~/.cache/mbjax")).expanduser()
    there = objects.listing(directory)
    # A dataset that was prepared anew is another one.
    mark = json.dumps([os.fspath(directory), sorted(there.items())])
    name = hashlib.sha256(mark.encode()).hexdigest()[:16]
    local = cache / "datasets" / f"{directory.name}-{name}"
    if not local.is_dir():
        with folder_beside(local) as beside:
            for path in there:
                (beside / path).parent.mkdir(parents=True, exist_ok=True)
                objects.download(directory / path, beside / path)
    return local
