"""Stand-ins for the names that numpy writes into pickles of its arrays."""

import re

import numpy as np

# An empty array may promise any number of rows, which readers then walk through.
_MOST_EMPTY_ROWS = 1_000_000
_LAST_CHARACTER = 0x10FFFF


class Dtype:
    """numpy.dtype, of numbers, text and, for containers, objects."""

    def __init__(self, code="", *_):
        known = r"[biufc]\d{1,2}|O8?|[SU]\d{1,6}"
        if not isinstance(code, str) or not re.fullmatch(known, code[:9]):
            raise ValueError("arrays of a type that is not expected")
        self.code, self.order = code, "="

    def __setstate__(self, state):
        if state[1] not in ("<", ">", "=", "|"):
            raise ValueError("a byte order that is not expected")
        self.order = state[1]

    @property
    def dtype(self):
        return np.dtype(self.order + self.code)


class Array:
    """numpy.ndarray; `value` is the array, built from its bytes."""

    value = None

    def __init__(self, *_):  # numpy gives a class, a shape and a type code that mean nothing yet
        pass

    def __setstate__(self, state):
        _, shape, dtype, fortran_order, content = state
        if dtype.code[0] == "O":
            array = np.empty(len(content), dtype=object)
            array[:] = content
        else:
            array = np.frombuffer(_raw(content), dtype.dtype)
        self.value = _shaped(array, shape, "F" if fortran_order else "C")


def check_text(array: np.ndarray) -> np.ndarray:
    """The array; ValueError where it is of text and holds what is not a character.

    Python ends in a SystemError where such an entry is taken out.
    """
    if array.dtype.kind == "U" and array.size:
        codes = np.frombuffer(array.tobytes(), array.dtype.str[0] + "u4")
        if codes.max() > _LAST_CHARACTER:
            raise ValueError("text with what is not a character")
    return array


def _shaped(array, shape, order):
    if array.size == 0 and any(length > _MOST_EMPTY_ROWS for length in shape):
        raise ValueError("an array without content and with a million rows")
    return check_text(array).reshape(tuple(shape), order=order)


def _raw(content):
    # Python 2 wrote str where Python 3 has bytes; read as latin-1 its characters are the bytes.
    return content.encode("latin1") if isinstance(content, str) else content


def _scalar(dtype, content):
    return check_text(np.frombuffer(_raw(content), dtype.dtype))[0]


def _from_buffer(buffer, dtype, shape, order):
    array = Array()
    array.value = _shaped(np.frombuffer(_raw(buffer), dtype.dtype), shape, order)
    return array


def _encode(text, encoding):
    if encoding != "latin1":
        raise ValueError("bytes in an encoding that is not expected")
    return text.encode("latin1")


def _no_bytes():
    return b""  # how protocols 0 to 2 write it


NUMPY = {
    ("numpy", "dtype"): Dtype,
    ("numpy", "ndarray"): Array,
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}
