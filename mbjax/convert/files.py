"""What a file of weights holds once read, whatever its format; and writing one whole."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass
class WeightFile:
    """A state dict and what came with it, arrays as numpy.

    tensors: {name as in the file: array}. fields: the numbers beside it (epoch, lr, min_loss ...).
    container: the key it was under ('model_pos', 'model', ...), '' for none. optimizer: torch's
    optimizer.state_dict(). record: what this package wrote about itself, if it made the file.
    """

    tensors: dict[str, np.ndarray]
    fields: dict = dataclasses.field(default_factory=dict)
    container: str = ""
    optimizer: dict | None = None
    record: dict | None = None
    notes: list[str] = dataclasses.field(default_factory=list)


def as_float32(tensors: dict[str, np.ndarray], notes: list[str]) -> dict[str, np.ndarray]:
    """Floats of any width as float32, said in `notes`; integers (counters) stay."""
    widths = set()

    def convert(array):
        # bfloat16 is no numpy type of its own kind; it is told by its name.
        if array.dtype == np.float32 or not (
            array.dtype.kind == "f" or array.dtype.name == "bfloat16"
        ):
            return array
        widths.add(array.dtype.name)
        return array.astype(np.float32)

    result = {name: convert(array) for name, array in tensors.items()}
    if widths:
        notes.append(f"{' and '.join(sorted(widths))} weights, used as float32")
    return result


@contextlib.contextmanager
def written_beside(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A path to write to that becomes `path` when the block ends well, and is gone otherwise."""
    path = pathlib.Path(path).expanduser()
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the file to write")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"the folder {path.parent} to write {path.name} to does not exist")
    # The ending stays: it is how libraries tell formats.
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        # Some writers make files for their owner alone.
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o666 & ~umask)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
