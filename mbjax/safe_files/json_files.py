"""JSON files of others: whatever is wrong with one is a ValueError of one line that names it."""

import json
import os
import pathlib

from mbjax.remarks import one_line
from mbjax.storage import objects
from mbjax.storage.places import in_bucket

# Indexes, tables and cards; what holds data has readers of its own.
_LARGEST = 200 << 20


def read_object(path: str | os.PathLike) -> dict:
    """The object ({...}) of a JSON file. ValueError with the path, OSError of the system."""
    if not in_bucket(path) and pathlib.Path(path).stat().st_size > _LARGEST:
        raise ValueError(
            f"{path}: larger than {_LARGEST >> 20} MiB, which is not what it should be"
        )
    try:
        value = json.loads(objects.read_bytes(path))
    # RecursionError: brackets nested without an end.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({one_line(error)})") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: not a JSON object but {type(value).__name__}")
    return value
