"""numpy's .npy and .npz files, opened without running anything in them."""

import io
import pathlib
import zipfile

import numpy as np

from mbjax import safe_pickle


def read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """{name: array}, of an .npy file under the name 'keypoints'; ValueError for a broken file."""
    try:
        return _read(path)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"cannot be read ({' '.join(str(error).split())})") from None
    except Exception as error:  # zipfile and zlib have their own; each means a broken file
        raise ValueError(f"a broken file ({error})") from None


def _read(path):
    if path.suffix == ".npy":
        return {"keypoints": _member(path.read_bytes())}
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        return {name.removesuffix(".npy"): _member(archive.read(name)) for name in names}


def _member(content):
    """One array; of objects, only plain numbers and lists are taken, and nothing is executed."""
    stream = io.BytesIO(content)
    try:
        return np.lib.format.read_array(stream, allow_pickle=False)
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
    array = safe_pickle.load_stream(stream)
    if not isinstance(array, np.ndarray):
        raise ValueError("objects, not arrays of numbers")
    return array
