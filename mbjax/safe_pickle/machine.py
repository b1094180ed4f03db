"""The stack machine that pickles are programs for, without what runs code or grows without bounds.

Operations and their codes are those of Python's pickletools. Left out are the ones that plain data
does not need: persistent and extension ids, buffers kept elsewhere, instances of Python 2's old
classes.
"""

import codecs
import io
import re
import struct

import numpy as np

# Sane files need far fewer: containers of 64 bytes or so, and one more for each 8 bytes of file.
_CONTAINERS = 4_000_000
_LONGEST_CALL = 16  # arguments of a call, and entries of a tuple that is a key


class Refused(ValueError):
    """The pickle names something that plain data does not need."""


class Named:
    """What a name in a pickle stands for: all that a pickle can call."""

    __slots__ = ("_stand_in",)

    def __init__(self, stand_in):
        self._stand_in = stand_in

    def __call__(self, *args):
        return self._stand_in(*args)


class Machine:
    """Runs one pickle. size: the bytes from where the file stands to its end."""

    def __init__(self, file, known):
        start = file.tell()
        self.size = file.seek(0, io.SEEK_END) - start
        file.seek(start)
        self._file, self._known, self._left = file, known, self.size
        self._stack, self._marks, self._memo = [], [], []
        self._containers = _CONTAINERS + self.size // 8
        self._longest_memo = 1_000_000 + self.size // 2
        self._copied = (1 << 20) + 4 * self.size  # bytes that calls may still copy

    def run(self):
        """What the pickle leaves. Any exception means that it is not a sound pickle."""
        while (code := self._read(1)) != b".":
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise ValueError(f"operation {code!r} is not expected")
            operation(self)
        return self._stack.pop()

    # --- the file ---------------------------------------------------------------------------------

    def _read(self, count):
        self._left -= count
        if count < 0 or self._left < 0:
            raise ValueError("it ends too early")
        return self._file.read(count)

    def _line(self):
        line = self._file.readline()
        self._left -= len(line)
        if not line.endswith(b"\n"):
            raise ValueError("it ends too early")
        return line[:-1]

    def _unpack(self, form):
        return struct.unpack(form, self._read(struct.calcsize(form)))[0]

    # --- the stack --------------------------------------------------------------------------------

    def _push(self, value):
        self._stack.append(value)

    def _push_container(self, value, size=1):
        self._containers -= size
        if self._containers < 0:
            raise ValueError("more containers than a file of this length needs")
        self._stack.append(value)

    def _mark(self):
        self._marks.append(len(self._stack))

    def _since_mark(self):
        place = self._marks.pop()
        items = self._stack[place:]
        del self._stack[place:]
        return items

    def _pop(self):
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()  # of a mark and a value, what was put last
        else:
            self._stack.pop()

    def _last(self, kind):
        value = self._stack[-1]
        if type(value) is not kind:
            raise ValueError(f"what is not a {kind.__name__} is used as one")
        return value

    def _short_tuple(self, length):
        if len(self._stack) < length:
            raise ValueError("a tuple of fewer entries than it says")
        items = tuple(self._stack[-length:])
        del self._stack[-length:]
        self._push_container(items)

    # --- the memo ---------------------------------------------------------------------------------

    def _put(self, place):
        if not 0 <= place < self._longest_memo:
            raise ValueError("a memo longer than the file")
        if place >= len(self._memo):
            self._memo.extend([None] * (place + 1 - len(self._memo)))
        self._memo[place] = self._stack[-1]

    def _memoize(self):
        self._put(len(self._memo))

    def _get(self, place):
        self._stack.append(self._memo[place])

    # --- containers -------------------------------------------------------------------------------

    def _append(self):
        item = self._stack.pop()
        self._last(list).append(item)

    def _extend(self):
        items = self._since_mark()
        self._last(list).extend(items)

    def _set_item(self):
        value, key = self._stack.pop(), self._stack.pop()
        _set(self._last(dict), [key, value])

    def _set_items(self):
        items = self._since_mark()
        _set(self._last(dict), items)

    def _dict(self):
        items, made = self._since_mark(), {}
        _set(made, items)
        self._push_container(made)

    def _add_items(self):
        items = self._since_mark()
        target = self._last(set)
        for item in items:
            _check_key(item)
            target.add(item)

    def _frozenset(self):
        items = self._since_mark()
        for item in items:
            _check_key(item)
        self._push_container(frozenset(items), 4)

    # --- names and calls --------------------------------------------------------------------------

    def _global(self):
        self._name(self._line().decode(), self._line().decode())

    def _stack_global(self):
        name, module = self._stack.pop(), self._stack.pop()
        self._name(module, name)

    def _name(self, module, name):
        if type(module) is not str or type(name) is not str:
            raise ValueError("a name that is not text")
        stand_in = self._known.get((module.replace("numpy._core", "numpy.core"), name))
        if stand_in is None:
            full = re.sub(r"[^\x21-\x7e]", "?", f"{module[:100]}.{name[:100]}")
            raise Refused(
                f"the pickle names {full}, which plain data does not need; nothing of it was run."
                " Do not trust this file; download it again from its authors"
            )
        self._push_container(Named(stand_in))

    def _call(self):
        args, function = self._stack.pop(), self._stack.pop()
        if type(function) is not Named or type(args) is not tuple or len(args) > _LONGEST_CALL:
            raise ValueError("a call of what is not a class or function")
        self._count_copies(args)
        self._push_container(function(*args), 4)

    def _build(self):
        state, target = self._stack.pop(), self._stack[-1]
        if hasattr(type(target), "__setstate__") and type(state) is tuple:
            self._count_copies(state)
            target.__setstate__(state)
        elif hasattr(target, "__dict__") and type(state) is dict:
            if any(type(name) is not str or name.startswith("__") for name in state):
                raise ValueError("an attribute that is not expected")
            self._containers -= len(state)
            vars(target).update(state)
        else:
            raise ValueError("a state for what has none")

    def _count_copies(self, values):
        # Bytes are shared with the array that is made of them.
        self._copied -= sum(len(v) for v in values if isinstance(v, (str, list, tuple)))
        if self._copied < 0:
            raise ValueError("more content than a file of this length holds")


def _set(target, items):
    if len(items) % 2:
        raise ValueError("a key without a value")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) is not str:
            _check_key(key)
        target[key] = value


def _check_key(key, in_tuple=False):
    """ValueError for a key whose hash could take long, or many of which could have one hash."""
    if key is None or isinstance(key, (str, bytes, float, np.generic)):
        return
    if isinstance(key, int) and abs(key) < 1 << 60:
        return
    if type(key) is tuple and not in_tuple and len(key) <= _LONGEST_CALL:
        for item in key:
            _check_key(item, in_tuple=True)
        return
    raise ValueError(f"a key of type {type(key).__name__} that is not expected")


# --- operations -----------------------------------------------------------------------------------


def _integer(line):
    truth = {b"00": False, b"01": True}  # how protocols 0 and 1 write them
    return truth[line] if line in truth else int(line)


def _quoted(line):
    if len(line) < 2 or line[:1] not in (b"'", b'"') or line[-1:] != line[:1]:
        raise ValueError("a string without quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("latin1")


def _long(data):
    return int.from_bytes(data, "little", signed=True)


def _constant(value):
    return lambda machine: machine._push(value)


def _number(form):
    return lambda machine: machine._push(machine._unpack(form))


def _of_line(convert):
    return lambda machine: machine._push(convert(machine._line()))


def _of_length(form, convert):
    """What follows its own length."""
    return lambda machine: machine._push(convert(machine._read(machine._unpack(form))))


def _latin(data):
    return data.decode("latin1")


def _utf8(data):
    return data.decode("utf-8", "surrogatepass")


_OPERATIONS = {
    b"\x80": lambda machine: machine._read(1),  # the protocol's number
    b"\x95": lambda machine: machine._read(8),  # a frame's length, which helps reading from pipes
    b"(": Machine._mark,
    b"0": Machine._pop,
    b"1": Machine._since_mark,
    b"2": lambda machine: machine._push(machine._stack[-1]),
    # numbers
    b"N": _constant(None),
    b"\x88": _constant(True),
    b"\x89": _constant(False),
    b"I": _of_line(_integer),
    b"L": _of_line(lambda line: int(line.removesuffix(b"L"))),
    b"F": _of_line(float),
    b"J": _number("<i"),
    b"K": _number("<B"),
    b"M": _number("<H"),
    b"G": _number(">d"),
    b"\x8a": _of_length("<B", _long),
    b"\x8b": _of_length("<i", _long),
    # text and bytes; those of Python 2 as latin-1
    b"S": _of_line(_quoted),
    b"V": _of_line(lambda line: line.decode("raw-unicode-escape")),
    b"T": _of_length("<i", _latin),
    b"U": _of_length("<B", _latin),
    b"B": _of_length("<I", bytes),
    b"C": _of_length("<B", bytes),
    b"\x8e": _of_length("<Q", bytes),
    b"\x96": _of_length("<Q", bytes),
    b"X": _of_length("<I", _utf8),
    b"\x8c": _of_length("<B", _utf8),
    b"\x8d": _of_length("<Q", _utf8),
    # containers
    b")": _constant(()),
    b"\x85": lambda machine: machine._short_tuple(1),
    b"\x86": lambda machine: machine._short_tuple(2),
    b"\x87": lambda machine: machine._short_tuple(3),
    b"t": lambda machine: machine._push_container(tuple(machine._since_mark())),
    b"]": lambda machine: machine._push_container([]),
    b"l": lambda machine: machine._push_container(machine._since_mark()),
    b"}": lambda machine: machine._push_container({}),
    b"d": Machine._dict,
    b"\x8f": lambda machine: machine._push_container(set(), 4),
    b"\x91": Machine._frozenset,
    b"a": Machine._append,
    b"e": Machine._extend,
    b"s": Machine._set_item,
    b"u": Machine._set_items,
    b"\x90": Machine._add_items,
    # the memo
    b"p": lambda machine: machine._put(int(machine._line())),
    b"q": lambda machine: machine._put(machine._unpack("<B")),
    b"r": lambda machine: machine._put(machine._unpack("<I")),
    b"\x94": Machine._memoize,
    b"g": lambda machine: machine._get(int(machine._line())),
    b"h": lambda machine: machine._get(machine._unpack("<B")),
    b"j": lambda machine: machine._get(machine._unpack("<I")),
    # names and calls
    b"c": Machine._global,
    b"\x93": Machine._stack_global,
    b"R": Machine._call,
    b"\x81": Machine._call,  # a new object of a class: the same of a stand-in
    b"b": Machine._build,
}
