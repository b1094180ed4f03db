"""What a file of weights holds once read, whatever its format."""

import dataclasses

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
