"""Pickles of plain data come out as they went in; anything else is refused before it runs."""

import os
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from mbjax import safe_pickle

DTYPES = st.sampled_from(["f2", "f4", "f8", "i4", "i8", "u1", "?", ">f4", "U3"])
ARRAYS = DTYPES.flatmap(
    lambda dtype: np_st.arrays(np.dtype(dtype), np_st.array_shapes(min_side=0, max_dims=3))
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), ARRAYS
)
PLAIN = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner)
)


def same(a, b):
    if isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in b)
    if isinstance(b, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(PLAIN, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_plain_data_comes_back(tmp_path_factory, value, protocol):
    path = tmp_path_factory.mktemp("pickles") / "a.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    assert same(safe_pickle.load(path), value)


def test_numpy_1_and_2_spell_their_modules_differently(tmp_path):
    content = pickle.dumps({"a": np.arange(3.0), "b": np.float32(2)}, protocol=2)
    assert b"numpy._core" in content or b"numpy.core" in content
    for old, new in ((b"numpy._core", b"numpy.core"), (b"numpy.core", b"numpy._core")):
        # Protocol 2 writes names as lines of text, so they may change their length.
        (tmp_path / "a.pkl").write_bytes(content.replace(old, new))
        loaded = safe_pickle.load(tmp_path / "a.pkl")
        np.testing.assert_array_equal(loaded["a"], np.arange(3.0))
        assert loaded["b"] == 2


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "call",
    [
        (os.system, ("touch ran",)),
        (eval, ("open('ran', 'w')",)),
        (getattr, ("text", "upper")),
        (np.load, ("x.npy",)),
        (np.memmap, ("ran", "f4", "w+", 0, (1,))),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_code_is_not_run(tmp_path, monkeypatch, call, protocol):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"x": [Evil(*call)]}, protocol=protocol))
    with pytest.raises(ValueError, match="plain data does not need; nothing of it was run"):
        safe_pickle.load(tmp_path / "a.pkl")
    assert not (tmp_path / "ran").exists()


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_rubbish_is_a_value_error_of_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("pickles") / "a.pkl"
    # Python's own reader makes a table as long as the number after opcode r (LONG_BINPUT) says.
    path.write_bytes(content.replace(b"r", b""))
    try:
        safe_pickle.load(path)
    except ValueError as error:
        assert "\n" not in str(error)


def test_a_length_beyond_all_memory(tmp_path):
    # BINBYTES8 of 2^62 bytes.
    content = b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"x."
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(ValueError, match="not a whole pickle"):
        safe_pickle.load(tmp_path / "a.pkl")


def test_every_cut_is_noticed(tmp_path):
    content = pickle.dumps({"keypoint": np.arange(20.0), "label": 3})
    for end in range(len(content)):
        (tmp_path / "a.pkl").write_bytes(content[:end])
        with pytest.raises(ValueError, match="empty|not a whole pickle"):
            safe_pickle.load(tmp_path / "a.pkl")


def test_a_list_in_itself_ends(tmp_path):
    loop = []
    loop.append(loop)
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(loop))
    with pytest.raises(ValueError, match="without an end"):
        safe_pickle.load(tmp_path / "a.pkl")
