"""Damages a file's content, by its form: bytes, text, JSON, arrays, archives, pickles.

Every function: (content, rng) -> content. What is drawn depends on rng alone.
"""

import copy
import io
import json
import math
import pickle
import re
import zipfile

import numpy as np

NUMBERS = (
    "0", "-1", "1e400", "-1e400", "nan", "NaN", "Infinity", "-Infinity", "1e300", "-1e300",
    "1e-320", "9" * 30, "1" + "0" * 400, "2147483648", "9223372036854775808",
    "-9223372036854775809", "0.5",
    "1e20", "00", "1_000", "0x10", "", "x", "1,5", "--1", "true", "1e5", "65536",
)  # fmt: skip
VALUES = (
    None, True, False, 0, -1, 1, 3, 0.5, -0.5, 1e300, -1e300, 1e20, 10**30, 10**400, -(10**20),
    2**63, math.nan, math.inf, -math.inf, "", "x", "0", "1e400", "../x", "/etc/passwd", "\0",
    "é" * 50,
    "x" * 5000, [], {}, [[]], [None], [1, "x"], {"x": 1}, [0] * 51, [math.nan] * 51, [[1, 2], [3]],
    {"0": {}}, [[[[[[[[[[1]]]]]]]]]],
)  # fmt: skip
ARRAYS = (
    np.float32(0), np.zeros(0), np.zeros((0, 17, 3)), np.zeros((1, 1)), np.full((4, 17, 3), np.nan),
    np.full((4, 17, 2), np.inf), np.full((4, 17, 3), 1e300), np.full((4, 17, 3), -1.0),
    np.zeros((4, 17, 3), complex), np.array("text"), np.array(["a", "b"]), np.zeros(3, bool),
    np.arange(51), np.zeros((2, 3, 17, 3)), np.array(2**63, np.uint64), np.zeros((3,) * 9),
    np.zeros(4, [("x", "f4")]), np.array([b"\xff"]), np.zeros((4, 17, 3), np.float16),
    np.array(10**9), np.array(-5), np.array(1e300), np.array("NaT", "M8[s]"), np.zeros((4, 0, 3)),
)  # fmt: skip


def mutate(name: str, content: bytes, rng) -> bytes:
    """name: of the file, whose ending says the form."""
    by_form = {
        ".json": json_value, ".jsonl": json_lines, ".npy": array, ".npz": archive, ".bin": archive,
        ".pkl": unpickled, ".safetensors": safetensors, ".csv": text, ".bvh": text,
    }  # fmt: skip
    form = by_form.get(name[name.rindex(".") :] if "." in name else "")
    if form is not None and rng.random() < 0.7:
        return form(content, rng)
    return raw(content, rng)


def raw(content, rng):
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(data) + 1))
        length = int(2 ** rng.uniform(0, 8))
        how = rng.integers(7)
        if how == 0 and data:
            data[at % len(data)] ^= 1 << int(rng.integers(8))
        elif how == 1 and data:
            data[at % len(data)] = int(rng.choice([0, 1, 127, 128, 255, 10, 34, 91, 123]))
        elif how == 2:
            del data[at:]
        elif how == 3:
            del data[at : at + length]
        elif how == 4:
            data[at:at] = data[max(0, at - length) : at]
        elif how == 5:
            data[at:at] = rng.bytes(min(length, 16))
        else:
            data[at : at + 8] = int(2 ** rng.uniform(0, 63)).to_bytes(8, "little")
    return bytes(data)


def text(content, rng):
    string = content.decode("utf-8", "replace")
    how = rng.integers(6)
    if how <= 2:
        found = list(re.finditer(r"-?\d+(\.\d+)?", string))
        for one in [found[int(i)] for i in rng.integers(0, len(found), 2)] if found else ():
            string = string[: one.start()] + _pick(NUMBERS, rng) + string[one.end() :]
    elif how == 3:
        found = list(re.finditer(r"\w+", string))
        one = found[int(rng.integers(len(found)))]
        other = found[int(rng.integers(len(found)))]
        string = string[: one.start()] + other[0] + string[one.end() :]
    else:
        lines = string.split("\n")
        i, j = (int(n) for n in rng.integers(0, len(lines), 2))
        if how == 4:
            lines[i], lines[j] = lines[j], lines[i]
        else:
            lines[i : i + 1] = [lines[j]] * int(rng.choice([0, 2, 50]))
        string = "\n".join(lines)
    return string.encode("utf-8", "surrogatepass")


def json_value(content, rng):
    try:
        value = json.loads(content)
    except ValueError:
        return raw(content, rng)
    if rng.random() < 0.03:  # deeper than any reader goes
        return b"[" * 100_000 if rng.random() < 0.5 else b'{"a":' * 100_000
    for _ in range(int(rng.integers(1, 3))):
        value = _changed(value, rng, lambda rng: _pick(VALUES, rng))
    try:
        return json.dumps(value).encode()
    except ValueError:  # an integer of more digits than Python writes
        return raw(content, rng)


def json_lines(content, rng):
    lines = content.split(b"\n")
    i = int(rng.integers(len(lines)))
    lines[i] = json_value(lines[i] or b"{}", rng) if rng.random() < 0.8 else raw(lines[i], rng)
    return b"\n".join(lines)


def _places(value, path=()):
    """The paths of all containers' entries, of long lists the first and the last."""
    if isinstance(value, dict):
        entries = list(value.items())
    elif isinstance(value, list):
        entries = list(enumerate(value))
        entries = entries[:3] + entries[-2:]
    else:
        return
    for key, item in entries:
        yield (*path, key)
        yield from _places(item, (*path, key))


def _changed(value, rng, draw):
    places = list(_places(value))
    if not places or rng.random() < 0.05:
        return draw(rng)
    *path, last = places[int(rng.integers(len(places)))]
    inside = value
    for key in path:
        inside = inside[key]
    how = rng.integers(6)
    if how == 0:
        del inside[last]
    elif how == 1 and isinstance(inside, dict):
        inside[str(_pick(VALUES, rng))[:60]] = inside.pop(last)
    elif how == 2 and isinstance(inside, list):
        inside[last:last] = [inside[last]] * int(rng.choice([1, 3, 100]))
    else:
        inside[last] = draw(rng)
    return value


def array(content, rng):
    try:
        value = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError):
        return raw(content, rng)
    how = rng.integers(6)
    if how == 0:  # another header for the same bytes
        head, _, rest = content.partition(b"\n")
        changed = text(head[10:], rng)[: len(head) - 10].ljust(len(head) - 10)
        return head[:10] + changed + b"\n" + rest
    if how == 1:
        value = _pick(ARRAYS, rng)
    elif how == 2 and value.size and value.dtype.kind == "f":
        value = value.copy()
        places = rng.integers(0, value.size, int(rng.integers(1, 9)))
        value.flat[places] = float(_pick([math.nan, math.inf, 1e30, -1e30, 0, 1e-40], rng))
    elif how == 3 and value.dtype.kind in "fiu":
        with np.errstate(all="ignore"):
            value = value.astype(_pick(["f2", "i1", "u8", "?", "c8", "U2", "S1"], rng), copy=True)
    elif how == 4 and value.ndim:
        axis = int(rng.integers(value.ndim))
        value = np.take(value, np.arange(max(0, value.shape[axis] - 1)), axis)
    else:
        value = value[None] if rng.random() < 0.5 or not value.ndim else value[0]
    stream = io.BytesIO()
    np.save(stream, value, allow_pickle=False)
    return stream.getvalue()


def archive(content, rng):
    """A member of a zip is damaged, and the archive's checksums made to fit."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old:
            members = {name: old.read(name) for name in old.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError):
        return raw(content, rng)
    names = list(members)
    name = _pick(names, rng)
    how = rng.integers(8)
    if how == 0:
        members.pop(name)
    elif how == 1:
        members[name + _pick(["x", "/../x", ".npy"], rng)] = members.pop(name)
    elif how == 2:
        members[name], members[names[0]] = members[names[0]], members[name]
    else:
        members[name] = mutate(name, members[name], rng)
    stream = io.BytesIO()
    method = zipfile.ZIP_STORED if rng.random() < 0.8 else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(stream, "w", method) as new:
        for name, data in members.items():
            new.writestr(name, data)
    return stream.getvalue()


def unpickled(content, rng):
    """Some value in a pickle is another. Only pickles that the tests made come here."""
    how = rng.random()
    try:
        value = pickle.loads(content, encoding="latin1") if how < 0.7 else None
    except Exception:  # of names that only body models have
        value = None
    if value is None:
        return raw(content, rng)
    draw = (lambda rng: _pick(ARRAYS, rng)) if rng.random() < 0.4 else lambda r: _pick(VALUES, r)
    return pickle.dumps(_changed(value, rng, draw), int(rng.integers(0, 6)))


def safetensors(content, rng):
    length = int.from_bytes(content[:8], "little")
    if not 0 < length < len(content):
        return raw(content, rng)
    if rng.random() < 0.3:
        return content[: 8 + length] + raw(content[8 + length :], rng)
    header = json_value(content[8 : 8 + length], rng)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def _pick(choices, rng):
    # A copy, since lists among them become part of what is changed further.
    return copy.deepcopy(choices[int(rng.integers(len(choices)))])
