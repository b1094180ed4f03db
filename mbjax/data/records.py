"""Random access to TFDS dataset directories: one memory map per shard, no TensorFlow.

A TFRecord file is a row of [length: uint64][crc of length: uint32][data][crc of data: uint32].
One pass over the lengths gives every record's offset; from then on a clip is a slice.
Remote folders (gs://, s3://) are read from a local copy: `RecordReader.open` makes it once, in
$MBJAX_CACHE or ~/.cache/mbjax, since a slice of a memory map needs a local file.
"""

import hashlib
import json
import mmap
import os
import pathlib
import struct
import tempfile
import threading
from importlib import resources

import google_crc32c
import numpy as np
from etils import epath

SAMPLE = "sample:"

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")


class DamagedRecord(ValueError):
    """A shard that is cut short or whose checksum does not fit; says the file and the offset."""


def find_dataset(directory: str | os.PathLike) -> epath.Path:
    """The folder that holds dataset_info.json: `directory`, or the newest version below it.

    'sample:NAME' is a dataset of the sample corpus in the package.
    FileNotFoundError, in one line that says how to make a dataset, where there is none.
    """
    name = os.fspath(directory)
    if name.startswith(SAMPLE):
        root = epath.Path(os.fspath(resources.files("mbjax") / "sample" / name[len(SAMPLE) :]))
    else:
        root = epath.Path(os.path.expanduser(name))
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
        self.info = json.loads((self.directory / "dataset_info.json").read_text())
        self._features = _features(self.directory)
        self._shards = [_Shard(path, count) for path, count in self._split_files()]
        self._ends = np.cumsum([len(shard) for shard in self._shards], dtype=np.int64)

    def _split_files(self):
        splits = {entry["name"]: entry for entry in self.info.get("splits", ())}
        if self.split not in splits:
            raise ValueError(
                f"{self.directory} has no split {self.split!r}; it has: "
                + (", ".join(splits) or "none")
            )
        lengths = [int(n) for n in splits[self.split].get("shardLengths", ())]
        files = sorted(self.directory.glob(f"*-{self.split}.tfrecord-*"))
        if len(files) != len(lengths):
            raise DamagedRecord(
                f"{self.directory}: split {self.split} should have {len(lengths)} shards, "
                f"{len(files)} are here; copy or prepare the dataset again"
            )
        return zip(files, lengths, strict=True)

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
            record = self._features.deserialize_example_np(shard.data(place))
        except DamagedRecord:
            raise
        except Exception as error:
            raise DamagedRecord(
                f"{shard.where(place)}: does not decode as features.json says "
                f"({str(error).splitlines()[0]})"
            ) from error
        for name, value in record.items():
            if isinstance(value, bytes):
                record[name] = value.decode("utf-8", "replace")
            elif np.asarray(value).dtype.kind == "f" and not np.isfinite(value).all():
                raise DamagedRecord(f"{shard.where(place)}: {name} holds NaN or infinity")
        return record


class _Shard:
    def __init__(self, path: pathlib.Path, count: int):
        self.path = path
        self._size = path.stat().st_size
        self._offsets = self._scan(count)
        self._map, self._lock = None, threading.Lock()

    def __len__(self):
        return len(self._offsets)

    def _scan(self, count):
        """Offsets of the records, by their lengths; each length's own checksum is verified."""
        offsets = np.empty(count, np.int64)
        with open(self.path, "rb", buffering=1 << 16) as file:
            place = 0
            for i in range(count):
                file.seek(place)
                header = file.read(_HEADER.size)
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
        if place != self._size:
            raise DamagedRecord(f"{self._at(place, count)}: more data than dataset_info.json says")
        return offsets

    def _at(self, offset, index):
        return f"{self.path}, offset {offset}, record {index}"

    def where(self, place):
        return self._at(int(self._offsets[place]), place)

    def data(self, place) -> bytes:
        if self._map is None:
            with self._lock, open(self.path, "rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start = int(self._offsets[place])
        length, _ = _HEADER.unpack_from(self._map, start)
        start += _HEADER.size
        data = self._map[start : start + length]
        (crc,) = _FOOTER.unpack_from(self._map, start + length)
        if _masked_crc(data) != crc:
            raise DamagedRecord(
                f"{self.where(place)}: the checksum does not fit; the file is damaged"
            )
        return data


def _masked_crc(data: bytes) -> int:
    # TFRecord stores crcs rotated and offset, so that a crc of data holding crcs stays sound.
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _features(directory):
    # Imported here: a quarter of a second that commands without data need not spend.
    from tensorflow_datasets.core import features

    return features.FeaturesDict.from_config(os.fspath(directory))


def _is_remote(directory) -> bool:
    return "://" in os.fspath(directory)


def _local_copy(directory: epath.Path) -> pathlib.Path:
    if not _is_remote(directory):
        return pathlib.Path(directory)
    cache = pathlib.Path(os.environ.get("MBJAX_CACHE", "~/.cache/mbjax")).expanduser()
    name = hashlib.sha256(os.fspath(directory).encode()).hexdigest()[:16]
    local = cache / "datasets" / f"{directory.name}-{name}"
    if not local.is_dir():
        local.parent.mkdir(parents=True, exist_ok=True)
        beside = pathlib.Path(tempfile.mkdtemp(dir=local.parent))
        for path in directory.iterdir():
            path.copy(beside / path.name)
        try:
            beside.rename(local)
        except OSError:  # another process of this machine was first
            if not local.is_dir():
                raise
    return local
