"""Numpy's files of others, read in bounded memory and running nothing: .npy, .npz.

numpy.load makes room for as many numbers as a header claims and inflates whatever an archive holds;
here both are compared with the file first. Errors are ValueErrors of one line without the path.
"""

import contextlib
import errno
import io
import os
import pathlib
import zipfile
import zlib

import numpy as np

from mbjax import safe_pickle
from mbjax.remarks import one_line
from mbjax.safe_pickle.arrays import check_text

# Bytes that an archive may inflate to, and so many for each of its own. Deflate reaches 1,000;
# arrays of zeros aside, numbers hardly reach 10.
_LARGEST, _PER_BYTE = 256 << 20, 50
# Rows of an array that holds nothing: readers walk through them.
_MOST_EMPTY_ROWS = 1_000_000
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read(path: str | os.PathLike, **options) -> np.ndarray | dict[str, np.ndarray]:
    """The array of an .npy file, or the arrays of an .npz; which it is the content says."""
    with open(path, "rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    return read_npz(path, **options) if is_archive else read_npy(path, **options)


def read_npy(path: str | os.PathLike, *, objects: bool = False, stand_ins=None) -> np.ndarray:
    """The array of an .npy file. objects, stand_ins: as read_npz."""
    size = pathlib.Path(path).stat().st_size
    with open(path, "rb") as file, _as_one_line():
        return _array(lambda: contextlib.nullcontext(file), size, objects, stand_ins)


def read_npz(
    path: str | os.PathLike, names=None, *, objects: bool = False, stand_ins=None
) -> dict[str, np.ndarray]:
    """The arrays of an .npz archive by name; of `names`, those that it has.

    objects: also arrays of objects, whose pickles mbjax.safe_pickle reads with these stand_ins.
    ValueError for what is not an archive, is damaged (each member's checksum is verified), inflates
    to more than fits its length, or holds objects where none are wanted; OSError of the system.
    """
    most = _LARGEST + _PER_BYTE * pathlib.Path(path).stat().st_size
    found = {}
    with open(path, "rb") as file, _as_one_line(), zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if names is not None and name not in names:
                continue
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{name} is compressed by a method that numpy does not write")
            most -= member.file_size
            if most < 0:
                raise ValueError(f"{name} inflates to more than an array of numbers would")
            with _named(name):
                found[name] = _array(
                    lambda member=member: archive.open(member), member.file_size, objects, stand_ins
                )
    return found


class Rows:
    """The rows of an .npy file of numbers, read when asked for: rows[3:5]."""

    def __init__(self, path: str | os.PathLike):
        size = pathlib.Path(path).stat().st_size
        self._file = open(path, "rb")  # noqa: SIM115  closed with the object
        with _as_one_line():
            self.shape, by_columns, self.dtype = _header(self._file)
            self._start = self._file.tell()
            _check_size(self.shape, self.dtype, size - self._start)
            if self.dtype.hasobject:
                raise ValueError("holds objects, where numbers or text are expected")
            if by_columns or not self.shape:
                raise ValueError("an array by columns, or a single number")
        self._row = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=object))

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        first, last, _ = rows.indices(len(self))
        last = max(first, last)
        self._file.seek(self._start + first * self._row)
        data = self._file.read((last - first) * self._row)
        if len(data) < (last - first) * self._row:
            raise ValueError("the file became shorter while it was read")
        return np.frombuffer(data, self.dtype).reshape(last - first, *self.shape[1:])


def _array(open_member, size, objects, stand_ins):
    with open_member() as stream:
        start = stream.tell()
        shape, _, dtype = _header(stream)
        length = stream.tell() - start
        if dtype.hasobject:
            if not objects or dtype.kind != "O":
                raise ValueError("holds objects, where numbers or text are expected")
            # Arrays of objects are few: what safe_pickle needs is a stream that can be measured.
            array = safe_pickle.load_stream(io.BytesIO(stream.read()), stand_ins)
            if not isinstance(array, np.ndarray) or array.shape != shape:
                raise ValueError("the pickle in it is not the array that its header describes")
            return array
        _check_size(shape, dtype, size - length)
    with open_member() as stream:
        stream.seek(start)
        return check_text(np.lib.format.read_array(stream, allow_pickle=False))


def _header(stream):
    version = np.lib.format.read_magic(stream)
    if version not in _READ_HEADER:
        raise ValueError(f"version {version} of the format, which arrays of numbers do not need")
    return _READ_HEADER[version](stream)


def _check_size(shape, dtype, size):
    # Python's own integers, which do not overflow.
    content = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if content > size or min(shape, default=0) < 0:
        raise ValueError(f"cut off: shape {shape} of {dtype} takes {content:,} bytes, not {size:,}")
    if content == 0 and max(shape, default=0) > _MOST_EMPTY_ROWS:
        raise ValueError(f"an array of shape {shape}, which holds nothing")


@contextlib.contextmanager
def _named(name):
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


@contextlib.contextmanager
def _as_one_line():
    """Whatever a broken file ends in, as a ValueError of one line; the system's errors stay."""
    try:
        yield
    except MemoryError as error:
        raise ValueError("too large for this machine's memory") from error
    except OSError as error:
        # The system's; without a number it is zipfile's or numpy's own, or a damaged offset's.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(one_line(error, 300)) from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"broken or cut off ({one_line(error, 300)})") from error
    except safe_pickle.Refused:
        raise
    except Exception as error:  # a header is Python source, and fails in as many ways
        raise ValueError(one_line(error, 300)) from error
