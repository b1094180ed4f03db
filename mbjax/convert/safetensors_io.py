"""safetensors files: weights alone, for people without PyTorch.

Tensors have torch's names and layouts without prefix, so that `load_state_dict` takes them too. The
file's metadata has the entry `mbjax`, JSON: the record of the run (sizes, heads, step, config), and
`mbjax_checksum`, over the record and all tensors, which is verified when the file is read.
"""

import json
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from mbjax.atomic_files import written_beside
from mbjax.convert.array_types import WeightFile, as_float32
from mbjax.training.fingerprint import Fingerprints, text_checksum

_RECORD, _CHECKSUM = "mbjax", "mbjax_checksum"


def require_safetensors():
    """The module safetensors; ImportError in one line where it is not installed."""
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            ".safetensors files need the package safetensors, which is not installed: pip install "
            "safetensors"
        ) from None
    return safetensors


def read(path: str | os.PathLike) -> WeightFile:
    """The tensors and the record; ValueError or FileNotFoundError in one line."""
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    safetensors = require_safetensors()
    notes: list[str] = []
    try:
        with safetensors.safe_open(path, "numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        record, checksum = metadata.get(_RECORD), metadata.get(_CHECKSUM)
        if checksum != _checksum(record, tensors) and not (checksum is None and _old(record)):
            raise ValueError("the checksum of its tensors and its record does not fit")
        record = json.loads(record) if record else None
    except (safetensors.SafetensorError, ValueError, RecursionError, OSError) as error:
        raise ValueError(
            f"{path} is damaged, cut short, or no safetensors file ({error}); copy or download it "
            "again"
        ) from None
    return WeightFile(as_float32(tensors, notes), record=record, notes=notes)


def write(path: str | os.PathLike, tensors: Mapping[str, np.ndarray], record: Mapping) -> None:
    """Atomic: the file appears whole or not at all."""
    safetensors = require_safetensors()
    arrays = {name: np.array(array, order="C") for name, array in tensors.items()}
    text = json.dumps(record)
    metadata = {_RECORD: text, _CHECKSUM: _checksum(text, arrays), "format": "pt"}
    with written_beside(path) as beside:
        safetensors.numpy.save_file(arrays, beside, metadata)
        _sort_metadata(beside)


def _sort_metadata(path):
    """In place: the library writes it in any order, and the same weights are the same bytes."""
    with open(path, "r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= size:
            file.seek(8)
            file.write(text.ljust(size))


def _checksum(record, tensors) -> str | None:
    """Over the record's text and the tensors; None for files of others, which have no record."""
    if record is None:
        return None
    return text_checksum(record + Fingerprints(tensors).combined())


def _old(record) -> bool:
    """Whether a record is from before there were checksums."""
    record = json.loads(record)
    return isinstance(record, dict) and record.get("version") == 1
