"""PyTorch checkpoint files. The one place of the package, besides the twin, that imports torch.

Files are opened with `weights_only=True`: tensors, numbers, strings and containers of them. Written
files hold what the release's training scripts write, plus one entry of the zip archive that torch
does not look at, mbjax.json: the record of the run (sizes, heads, step, config) and a checksum of
all arrays. It is verified when the file is read, as are the CRCs of the zip archive.
"""

import codecs
import json
import os
import pathlib
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping

import numpy as np

from mbjax.atomic_files import written_beside
from mbjax.convert.array_types import WeightFile, as_float32
from mbjax.remarks import first_line, one_line
from mbjax.training.fingerprint import Fingerprints

RECORD = "mbjax.json"
# Keys that hold a state dict: pose and pretraining, downstream, MMPose, plain habit.
_CONTAINERS = ("model_pos", "model", "state_dict", "model_state_dict")


def require_torch(what: str = "PyTorch files", otherwise: str = ""):
    """The module torch; ImportError in one line where it is not installed. what: what it is for."""
    try:
        import torch
    except ImportError:
        raise ImportError(
            f"PyTorch, needed for {what}, is not installed: pip install 'mbjax[torch]'{otherwise}"
        ) from None
    return torch


def read(path: str | os.PathLike) -> WeightFile:
    """Everything in a .bin, .pth or .pt file; ValueError or FileNotFoundError in one line."""
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    torch = require_torch(
        f"files such as {path.name}",
        "; or, on a machine that has it, mbjax export FILE --out weights.safetensors",
    )
    _check_archive(path)
    content = _load(torch, path)
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise ValueError(f"{path} holds a {kind}, not a state dict")  # noqa: TRY004
    notes: list[str] = []
    container = next((key for key in _CONTAINERS if isinstance(content.get(key), Mapping)), "")
    state = content[container] if container else content
    tensors = {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}
    if not tensors or (not container and len(tensors) < len(state)):
        raise ValueError(
            f"{path} holds no state dict: looked for {', '.join(_CONTAINERS)}, or tensors by name; "
            f"its keys: {', '.join(map(str, list(content)[:8]))}"
        )
    fields = {}
    if container:
        for key, value in content.items():
            if key not in (container, "optimizer"):
                try:
                    value = _plain(torch, value)
                except (RuntimeError, TypeError):
                    continue  # a sparse tensor or the like: nothing here has use for it
                one = isinstance(value, np.ndarray) and value.size == 1
                fields[key] = value.item() if one else value
    optimizer = content.get("optimizer") if container else None
    if not (isinstance(optimizer, Mapping) and "state" in optimizer):
        optimizer = None
    try:
        arrays = {name: _array(torch, tensor) for name, tensor in tensors.items()}
        optimizer = _plain(torch, optimizer)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{path}: a tensor cannot be used: {first_line(error, 160)}") from None
    record = _record(path)
    _check_arrays(path, record, arrays, optimizer)
    return WeightFile(
        tensors=as_float32(arrays, notes),
        fields=fields,
        container=container,
        optimizer=optimizer,
        record=record,
        notes=notes,
    )


def write(
    path: str | os.PathLike,
    tensors: Mapping[str, np.ndarray],
    fields: Mapping,
    container: str,
    optimizer: Mapping | None,
    record: Mapping | None = None,
) -> None:
    """One checkpoint as the release writes it: fields in their order, then the record.

    fields: name -> number or list; the names `optimizer` and `container` in it are placeholders
    that say where these two stand. Atomic: the file appears whole or not at all.
    """
    torch = require_torch()
    filled = dict(fields)
    filled[container] = {name: torch.from_numpy(_own(array)) for name, array in tensors.items()}
    if optimizer is None:
        filled.pop("optimizer", None)
    else:
        state = {
            number: {name: torch.from_numpy(_own(value)) for name, value in entry.items()}
            for number, entry in optimizer["state"].items()
        }
        filled["optimizer"] = {"state": state, "param_groups": optimizer["param_groups"]}
    with written_beside(path) as beside:
        # A file, not its name, which would stand in the archive: the same weights, the same bytes.
        with open(beside, "wb") as file:
            torch.save(filled, file)
        if record is not None:
            record = {**record, "checksum": _checksum(tensors, optimizer)}
            with zipfile.ZipFile(beside, "a") as archive:
                folder = archive.namelist()[0].split("/")[0]
                # Dated as all of torch's: without a time.
                place = zipfile.ZipInfo(f"{folder}/{RECORD}")
                archive.writestr(place, json.dumps(record))


def _checksum(tensors, optimizer) -> str:
    state = optimizer["state"] if optimizer else {}
    return Fingerprints({"tensors": dict(tensors), "state": state}).combined()


def _check_arrays(path, record, arrays, optimizer):
    """ValueError where a file of this package does not hold the arrays that were written."""
    if isinstance(record, dict) and record.get("version") != 1:
        try:
            good = record.get("checksum") == _checksum(arrays, optimizer)
        except (TypeError, AttributeError, ValueError):  # whatever an odd optimizer state holds
            good = False
        if not good:
            raise ValueError(f"{path} is damaged: the checksum of its arrays does not fit")


def _check_archive(path):
    """ValueError where a member of the zip archive is not what its CRC says.

    A file in which no member's fits was written without (torch can leave them out), unless it is
    one of this package.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # torch compresses nothing; what is compressed may be of any size.
            stored = [i for i in archive.infolist() if i.compress_type == zipfile.ZIP_STORED]
            broken = [info.filename for info in stored if not _whole(archive, info)]
            ours = any(info.filename.split("/")[1:] == [RECORD] for info in stored)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error):
        return  # no archive: torch's older format, or for torch to complain about
    if broken and (ours or len(broken) < len(stored)):
        raise ValueError(
            f"{path} is damaged: {broken[0]} in it does not fit its CRC; copy or download it again"
        )


def _whole(archive, info) -> bool:
    try:
        with archive.open(info) as member:
            while member.read(1 << 20):
                pass
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError):
        return False
    return True


def _load(torch, path):
    allowed = [
        (_scalar, "numpy.core.multiarray.scalar"),
        (_scalar, "numpy._core.multiarray.scalar"),
        (codecs.encode, "_codecs.encode"),
        np.dtype,
        *(type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")),
    ]
    try:
        # The release writes the best error as a numpy scalar: numbers, so they are let in.
        with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats, which are read all the same
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # What it asks for stands in the text as 'GLOBAL os.system' or in backquotes.
        found = re.search(r"(?:GLOBAL|global:?)\s+`?([\w.]+)", str(error))
        if not found:
            raise ValueError(f"{path} is no PyTorch checkpoint, or is damaged") from None
        raise ValueError(
            f"{path} holds more than tensors and numbers (it asks for {found[1]}), and opening "
            "such a file can run code; if you trust it, save its state_dict alone with torch.save "
            "and use that file"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  whatever damaged bytes make torch raise
        raise ValueError(
            f"{path} is damaged, cut short, or no PyTorch checkpoint ({first_line(error, 160)}); "
            "copy or download it again"
        ) from None


def _scalar(dtype, data):
    """numpy's scalars, as their pickles call for them, numbers alone."""
    if not isinstance(dtype, np.dtype) or dtype.kind not in "fiub" or not isinstance(data, bytes):
        raise pickle.UnpicklingError("a numpy scalar that is no number")
    return np.frombuffer(data, dtype, count=1)[0].item()


def _record(path):
    """What this package wrote into the archive, or None."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.split("/")[1:] == [RECORD]:
                    return json.loads(archive.read(name))
    except NotImplementedError as error:  # a version or method of zip that there is not
        raise ValueError(
            f"{path} is damaged ({one_line(error)}); copy or download it again"
        ) from None
    except (zipfile.BadZipFile, json.JSONDecodeError, OSError):
        pass  # torch's format before zip archives, which never carries a record
    return None


def _plain(torch, value):
    """The same containers with tensors as numpy arrays."""
    if isinstance(value, torch.Tensor):
        return _array(torch, value)
    if isinstance(value, Mapping):
        return {key: _plain(torch, entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(torch, entry) for entry in value)
    return value


def _array(torch, tensor):
    tensor = tensor.detach().cpu()
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise TypeError("it is sparse or quantised")
    if tensor.dtype == torch.bfloat16:  # numpy has none
        import ml_dtypes

        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def _own(array):
    """A writable contiguous copy: torch shares the memory it is given."""
    return np.array(array, order="C")
