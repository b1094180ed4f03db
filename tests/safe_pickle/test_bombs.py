"""Small files that would take gigabytes, hang or kill the process are refused in bounds of both."""

import itertools
import pickle

import numpy as np
import pytest

from mbjax.safe_pickle import load
from tests.recipes.limits import outcomes


def laughs(levels, kind=tuple):
    """A container that holds the same container four times, and so on: 4^levels of them."""
    value = kind(["ha"] * 4)
    for _ in range(levels):
        value = kind([value] * 4)
    return pickle.dumps({"keypoints": value}, 2)


LARGE_TEXT = b"X" + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20)
# Numbers that all have the hash 0.
COLLIDING = [pickle.dumps(k * (2**61 - 1))[2:-1] for k in range(1, 60_000)]
NOTHING = pickle.dumps(np.zeros((0, 3)), 2)
BOMBS = {
    "memo": b"Nr\x00\x00\x00\x10.",
    "memo by text": b"Np99999999999\n.",
    "memo below zero": b"Np-5\n.",
    "laughing tuples": laughs(17),
    "laughing lists": laughs(17, list),
    "laughing key": b"}(KaKaKaKat" + b"q\x00h\x00h\x00h\x00(h\x00h\x00h\x00h\x00t" * 17 + b"Ns.",
    "deep key": b"}" + b")" + b"\x85" * 200_000 + b"Ns.",
    "deep frozen set": b"(" * 200_000 + b"N" + b"\x91" * 200_000 + b".",
    "deep list": b"]" * 200_000 + b"a" * 199_999 + b".",
    "deep object arrays": b"\x80\x02" + b"cnumpy\nndarray\n)R" * 100_000 + b".",
    "encoded again and again": b"\x80\x02" + LARGE_TEXT + b"q\x00X\x06\x00\x00\x00latin1\x86q\x01"
    + b"c_codecs\nencode\nq\x02" + b"h\x02h\x01R" * 20_000 + b".",
    "a million sets": b"\x80\x04" + b"\x8f" * 8_000_000 + b".",
    "bytes beyond the file": b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"x.",
    "bytes of no length": b"\x80\x04T\xff\xff\xff\xffx.",
    "keys of one hash": b"}(" + b"N".join(COLLIDING) + b"Nu.",
    "items of one hash": b"\x8f(" + b"".join(COLLIDING) + b"\x90.",
    "rows of nothing": NOTHING.replace(b"K\x00K\x03", b"J\xff\xff\xff\x7fK\x00"),
    "type code": b"\x80\x02cnumpy\ndtype\nX\x40\x42\x0f\x00" + b"1" * 1_000_000 + b"\x85R.",
    "long name": b"c" + b"a" * 1_000_000 + b"\nb\n.",
    "long number": b"I" + b"9" * 1_000_000 + b"\n.",
}  # fmt: skip


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bombs")
    paths = {}
    for number, (name, content) in enumerate(BOMBS.items()):
        path = folder / f"{number}.pkl"
        path.write_bytes(content)
        paths[name] = str(path)
    # The largest of the files has 8 MB; a sane one of that size takes about three times as much.
    return outcomes("from mbjax import safe_pickle", "safe_pickle.load", paths, 700, 10)


@pytest.mark.parametrize("name", BOMBS)
def test_refused_in_bounds_of_memory_and_time(said, name):
    assert said.get(name, "the process ended").startswith(("ValueError: ", "Refused: ")), said


def test_what_is_shared_within_reason_is_read(tmp_path):
    """Published files name the same size, text and array again and again."""
    size, array = (1080, 1920), np.zeros((100, 17, 3))
    content = [{"img_shape": size, "camera": "54138969", "x": array} for _ in range(50)]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    read = load(tmp_path / "a.pkl")
    assert len(read) == 50 and all(one["img_shape"] == size for one in read)
    assert all(a["x"] is b["x"] for a, b in itertools.pairwise(read))


def test_operations_are_those_of_python():
    """Each that is known here does there what it does here: on pickles of all protocols."""
    import pickletools

    from mbjax.safe_pickle.machine import _OPERATIONS

    known = {op.code.encode("latin1"): op.name for op in pickletools.opcodes}
    assert set(_OPERATIONS) | {b"."} <= set(known)
    left_out = {name for code, name in known.items() if code not in _OPERATIONS}
    assert left_out == {
        "STOP", "PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEWOBJ_EX",
        "NEXT_BUFFER", "READONLY_BUFFER",
    }  # fmt: skip
