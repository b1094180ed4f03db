"""Reads pickles of plain data, running nothing in them.

A pickle may name any function of any installed module and call it. The raw files of these corpora
need dicts, lists, tuples, text, numbers and numpy arrays only, so only the names that numpy writes
for its arrays are known here, each as a stand-in that keeps data; any other name is refused before
anything is called. Protocols 0 to 5, from Python 2 or 3, numpy 1 or 2.
"""

import pathlib
import pickle
import re

import numpy as np


class _Dtype:
    """Stand-in for numpy.dtype that knows numbers and, for containers, objects."""

    def __init__(self, code="", *_):
        if not isinstance(code, str) or not re.fullmatch(r"[biufc]\d{1,2}|O8?|[SU]\d+", code):
            raise ValueError(f"arrays of type {code!r} are not expected")
        self.code, self.order = code, "="

    def __setstate__(self, state):
        if state[1] not in ("<", ">", "=", "|"):
            raise ValueError(f"byte order {state[1]!r} is not expected")
        self.order = state[1]

    @property
    def dtype(self):
        return np.dtype(self.order + self.code)


class _Array:
    """Stand-in for numpy.ndarray; `value` is the array, built from its bytes."""

    value = None

    def __init__(self, *_):  # numpy gives a class, a shape and a type code that mean nothing yet
        pass

    def __setstate__(self, state):
        _, shape, dtype, fortran_order, content = state
        order = "F" if fortran_order else "C"
        if dtype.code[0] == "O":
            array = np.empty(len(content), dtype=object)
            array[:] = content
        else:
            array = np.frombuffer(_raw(content), dtype.dtype)
        self.value = array.reshape(tuple(shape), order=order)


def _raw(content):
    # Python 2 wrote str where Python 3 has bytes; read as latin-1 its characters are the bytes.
    return content.encode("latin1") if isinstance(content, str) else bytes(content)


def _scalar(dtype, content):
    return np.frombuffer(_raw(content), dtype.dtype)[0]


def _from_buffer(buffer, dtype, shape, order):
    array = _Array()
    array.value = np.frombuffer(_raw(buffer), dtype.dtype).reshape(shape, order=order)
    return array


def _encode(text, encoding):
    if encoding != "latin1":
        raise ValueError(f"bytes in {encoding!r} are not expected")
    return text.encode("latin1")


def _no_bytes():
    return b""  # how protocols 0 to 2 write it


_KNOWN = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}


class _Refused(ValueError):
    pass


class _Unpickler(pickle.Unpickler):
    def __init__(self, file):
        super().__init__(file, encoding="latin1")
        self._own = {}

    def find_class(self, module, name):
        stand_in = _KNOWN.get((module.replace("numpy._core", "numpy.core"), name))
        if stand_in is None:
            raise _Refused(
                f"the pickle names {module}.{name}, which plain data does not need; nothing of it"
                " was run. Do not trust this file; download it again from its authors"
            )
        # A pickle may also set attributes on what it names: give it one of its own to spoil.
        if (module, name) not in self._own:
            if isinstance(stand_in, type):
                own = type(stand_in.__name__, (stand_in,), {})
            else:

                def own(*args):
                    return stand_in(*args)

            self._own[module, name] = own
        return self._own[module, name]


def load(path):
    """What a pickle of plain data holds; arrays may share memory with one another, read-only.

    ValueError, in one line without the path, for a pickle that is empty, cut off, or names anything
    but numpy's arrays. Needs as much memory as the file is long, and some for its lists.
    """
    path = pathlib.Path(path)
    if path.stat().st_size == 0:
        raise ValueError("the file is empty")
    with path.open("rb") as file:
        return load_stream(file)


def load_stream(file):
    """The same of an open binary file."""
    try:
        return _plain(_Unpickler(file).load(), depth=0)
    except _Refused:
        raise
    # Rubbish may ask for any amount of memory, a whole file for more than there is.
    except MemoryError as error:
        raise ValueError("not a whole pickle, or too large for this machine's memory") from error
    # Bytes that are no pickle, or half of one, end in an error of almost any type.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"not a whole pickle ({reason}); download it again") from error


def _plain(value, depth):
    """The value with numpy arrays in place of their stand-ins, containers changed in place."""
    # Published files are three containers deep; one that contains itself must end somewhere.
    if depth > 20:
        raise ValueError("containers within containers without an end")
    if isinstance(value, dict):
        for key in value:
            value[key] = _plain(value[key], depth + 1)
    elif isinstance(value, list):
        value[:] = [_plain(item, depth + 1) for item in value]
    elif isinstance(value, tuple):
        return tuple(_plain(item, depth + 1) for item in value)
    elif isinstance(value, _Array):
        array = value.value
        if array is None:
            raise ValueError("an array without content")
        if array.dtype == object:
            for place in np.ndindex(array.shape):
                array[place] = _plain(array[place], depth + 1)
        return array
    # An array here was a stand-in already seen: its container stands in the pickle more than once.
    elif value is not None and not isinstance(
        value, (str, bytes, int, float, np.generic, np.ndarray)
    ):
        raise ValueError(f"found {type(value).__name__.strip('_')} instead of plain data")
    return value
