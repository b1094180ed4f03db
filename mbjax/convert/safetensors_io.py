"""safetensors files: weights alone, for people without PyTorch.

Tensors have torch's names and layouts without prefix, so that `load_state_dict` takes them too. The
file's metadata has the entry `mbjax`, JSON: the record of the run (sizes, heads, step, config).
"""

import json
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from mbjax.atomic_files import written_beside
from mbjax.convert.array_types import WeightFile, as_float32


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
            record = (file.metadata() or {}).get("mbjax")
        record = json.loads(record) if record else None
    except (safetensors.SafetensorError, json.JSONDecodeError, OSError) as error:
        raise ValueError(
            f"{path} is damaged, cut short, or no safetensors file ({error}); copy or download it "
            "again"
        ) from None
    return WeightFile(as_float32(tensors, notes), record=record, notes=notes)


def write(path: str | os.PathLike, tensors: Mapping[str, np.ndarray], record: Mapping) -> None:
    """Atomic: the file appears whole or not at all."""
    safetensors = require_safetensors()
    with written_beside(path) as beside:
        safetensors.numpy.save_file(
            {name: np.array(array, order="C") for name, array in tensors.items()},
            beside,
            {"mbjax": json.dumps(record), "format": "pt"},
        )
