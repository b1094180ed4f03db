"""Reads pickles of plain data, running nothing in them, in bounded memory and time.

A pickle is a program for a small stack machine, and may name any function of any installed module
and call it. machine.py is another machine for the same programs without that power: it knows dicts,
lists, tuples, sets, text and numbers, and of names only those that numpy writes for its arrays
(arrays.py) and those that the caller adds, each as a stand-in that keeps data. Any other name is
refused before anything is called. Protocols 0 to 5, from Python 2 or 3, numpy 1 or 2.

The standard machine trusts its input in other ways too: seven bytes make it allocate gigabytes for
its memo, a key nested deeply enough overflows the C stack, and tuples that hold the same tuple four
times over make 4^n of n. Here memory is at most some times the length of the file, and whoever
walks through the result (plain.py) meets no more than that either.
"""

import os
import pathlib
from collections.abc import Callable, Mapping

from mbjax.remarks import one_line
from mbjax.safe_pickle.arrays import NUMPY
from mbjax.safe_pickle.machine import Machine, Refused
from mbjax.safe_pickle.plain import Plain

__all__ = ["Refused", "load", "load_stream"]

StandIns = Mapping[tuple[str, str], Callable]


def load(path: str | os.PathLike, stand_ins: StandIns | None = None):
    """What a pickle of plain data holds; arrays may share memory with one another, read-only.

    stand_ins: {(module, name): class or function} for further names. Objects of these classes come
    back as they are, with the attributes that the pickle gives them, which are plain data again.
    ValueError, in one line without the path, for a pickle that is empty, cut off, larger than its
    length lets expect, or names anything else. Takes about a second for three million operations;
    an array is one.
    """
    path = pathlib.Path(path)
    if path.stat().st_size == 0:
        raise ValueError("the file is empty; download it again")
    with path.open("rb") as file:
        return load_stream(file, stand_ins)


def load_stream(file, stand_ins: StandIns | None = None):
    """The same of an open binary file, from where it stands to its end."""
    stand_ins = dict(stand_ins or {})
    try:
        machine = Machine(file, {**NUMPY, **stand_ins})
        classes = tuple(one for one in stand_ins.values() if isinstance(one, type))
        return Plain(machine.size, classes).of(machine.run())
    except Refused:
        raise
    except MemoryError as error:
        raise ValueError("not a whole pickle, or too large for this machine's memory") from error
    # Bytes that are not a pickle, or half of one, end in an error of almost any type.
    except Exception as error:
        reason = one_line(error, 200)
        raise ValueError(f"not a whole pickle ({reason}); download it again") from error
