"""Which fields the records of a dataset have, by its features.json, and how they are decoded.

TFDS would import the module that the file names for each field. Here the names are only compared
with the few kinds of fields that prepared datasets have. A record is a tf.train.Example.
"""

import dataclasses
import pathlib

import numpy as np

from mbjax.remarks import one_line
from mbjax.safe_files import json_files

_CORE = "tensorflow_datasets.core.features."
_DICT = _CORE + "features_dict.FeaturesDict"
_TENSORS = (_CORE + "tensor_feature.Tensor", _CORE + "scalar.Scalar")
_TEXT = _CORE + "text_feature.Text"
_DTYPES = ("bool", "uint8", "int32", "int64", "float16", "float32", "float64")
# Not zlib, whose few bytes may stand for gigabytes.
_ENCODINGS = ("none", "bytes")


@dataclasses.dataclass(frozen=True)
class _Field:
    """shape: None where a size differs from record to record; dtype: None for text."""

    name: str
    dtype: np.dtype | None
    shape: tuple[int | None, ...] = ()
    as_bytes: bool = False

    @property
    def says_shape(self):
        # One unknown size follows from the length.
        return self.shape.count(None) > 1

    def decode(self, values):
        """values: what an Example has by name."""
        key = f"{self.name}/value" if self.says_shape else self.name
        if key not in values:
            raise ValueError(f"no {key} in it")
        stored = values[key]
        if self.dtype is None:
            return _one(stored.bytes_list.value, key).decode("utf-8", "replace")
        if self.as_bytes:
            array = np.frombuffer(_one(stored.bytes_list.value, key), self.dtype)
            return array.reshape(self._sizes(values))
        numbers = (stored.float_list if self.dtype.kind == "f" else stored.int64_list).value
        array = np.array(numbers, self.dtype)
        return array.reshape(self._sizes(values)) if self.shape else _one(array, key).item()

    def _sizes(self, values):
        if not self.says_shape:
            return [-1 if size is None else size for size in self.shape]
        sizes = list(values[f"{self.name}/shape"].int64_list.value)
        if len(sizes) != len(self.shape) or any(
            wanted not in (None, size) for size, wanted in zip(sizes, self.shape, strict=True)
        ):
            raise ValueError(f"{self.name} of shape {sizes!r:.100}")
        return sizes


def _one(values, key):
    if len(values) != 1:
        raise ValueError(f"{key} has {len(values)} values instead of one")
    return values[0]


class Features:
    """The fields of a dataset's records, from the folder with its features.json.

    ValueError, in one line, where they are not a prepared dataset's.
    """

    def __init__(self, directory: pathlib.Path):
        path = directory / "features.json"
        if not path.is_file():
            raise ValueError(f"{path} is missing; copy or prepare the dataset again")
        content = json_files.read_object(path)
        if content.get("pythonClassName") != _DICT:
            raise ValueError(f"{path}: not the fields of a prepared dataset; prepare it again")
        fields = content.get("featuresDict")
        fields = fields.get("features") if isinstance(fields, dict) else None
        if not isinstance(fields, dict) or not fields:
            raise ValueError(f"{path}: no fields; copy or prepare the dataset again")
        self._fields = []
        for name, field in fields.items():
            try:
                self._fields.append(_read_field(name, field))
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
                raise ValueError(
                    f"{path}: field {name[:100]!r} is not one of a prepared dataset"
                    f" ({one_line(error)})"
                ) from None

    def decode(self, data: bytes) -> dict:
        """The fields of one record: arrays, Python's numbers, text. Any exception if damaged."""
        # Imported here: a quarter of a second that commands without data need not spend.
        from tensorflow_datasets.proto import tf_example_pb2

        values = tf_example_pb2.Example.FromString(data).features.feature
        return {field.name: field.decode(values) for field in self._fields}


def _read_field(name, field):
    kind = field["pythonClassName"]
    if kind == _TEXT:
        return _Field(name, None)
    if kind not in _TENSORS:
        raise ValueError(f"kind {kind!r:.100}")
    tensor = field["tensor"]
    dtype, encoding = tensor["dtype"], tensor.get("encoding", "none")
    if dtype not in _DTYPES or encoding not in _ENCODINGS:
        raise ValueError(f"dtype {dtype!r:.100}, encoding {encoding!r:.100}")
    sizes = [int(size) for size in tensor.get("shape", {}).get("dimensions", ())]
    if any(not -1 <= size < 1 << 40 for size in sizes) or len(sizes) > 8:
        raise ValueError(f"shape {sizes!r:.100}")
    shape = tuple(None if size == -1 else size for size in sizes)
    return _Field(name, np.dtype(dtype), shape, encoding == "bytes")
