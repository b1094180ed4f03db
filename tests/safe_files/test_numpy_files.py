"""Numpy's files come out as numpy reads them; what claims or inflates to more is refused."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from mbjax import safe_pickle
from mbjax.safe_files import numpy_files
from tests.recipes.limits import outcomes

DTYPES = st.sampled_from(["f2", "f4", "f8", "i4", "i8", "u1", "?", ">f4", "U3"])
ARRAYS = DTYPES.flatmap(
    lambda dtype: np_st.arrays(np.dtype(dtype), np_st.array_shapes(min_side=0, max_dims=3))
)


@given(ARRAYS, ARRAYS, st.booleans())
@settings(max_examples=50, deadline=None)
def test_as_numpy_reads_them(tmp_path_factory, a, b, compressed):
    folder = tmp_path_factory.mktemp("arrays")
    (np.savez_compressed if compressed else np.savez)(folder / "a.npz", a=a, b=b)
    np.save(folder / "a.npy", a)
    read = numpy_files.read(folder / "a.npz")
    assert list(read) == ["a", "b"]
    for got, wanted in ((read["a"], a), (read["b"], b), (numpy_files.read(folder / "a.npy"), a)):
        assert got.dtype == wanted.dtype and got.shape == wanted.shape
        assert got.tobytes() == wanted.tobytes()
    assert list(numpy_files.read_npz(folder / "a.npz", ["b", "c"])) == ["b"]


def test_objects_only_where_they_are_wanted_and_plain(tmp_path):
    ragged = np.empty(2, object)
    ragged[:] = [np.zeros((1, 2)), np.zeros((3, 2))]
    np.savez(tmp_path / "a.npz", x=ragged)
    with pytest.raises(ValueError, match="x: holds objects, where numbers or text"):
        numpy_files.read_npz(tmp_path / "a.npz")
    read = numpy_files.read_npz(tmp_path / "a.npz", objects=True)["x"]
    assert [one.shape for one in read] == [(1, 2), (3, 2)]
    np.savez(tmp_path / "b.npz", x=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="names builtins.print"):
        numpy_files.read_npz(tmp_path / "b.npz", objects=True)


@pytest.mark.parametrize("order", "<>")
def test_text_with_what_is_no_character(tmp_path, order):
    """Python ends in a SystemError where such an entry is taken out of the array."""
    text = np.array(["abc", "\U0010ffff"], f"{order}U3")
    np.save(tmp_path / "a.npy", text)
    np.testing.assert_array_equal(numpy_files.read_npy(tmp_path / "a.npy"), text)
    content = bytearray((tmp_path / "a.npy").read_bytes())
    content[-24:-20] = (0x110000).to_bytes(4, "little" if order == "<" else "big")
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ValueError, match="text with what is not a character"):
        numpy_files.read_npy(tmp_path / "a.npy")
    pickled = pickle.dumps(text).replace(text.tobytes(), bytes(content[-24:]))
    with pytest.raises(ValueError, match="text with what is not a character"):
        safe_pickle.load_stream(io.BytesIO(pickled))


def test_rows_are_read_when_asked_for(tmp_path):
    array = np.arange(60.0).reshape(10, 2, 3)
    np.save(tmp_path / "a.npy", array)
    rows = numpy_files.Rows(tmp_path / "a.npy")
    assert (len(rows), rows.shape, rows.dtype) == (10, (10, 2, 3), np.float64)
    for part in (slice(3, 7), slice(None), slice(9, 20), slice(4, 4)):
        np.testing.assert_array_equal(rows[part], array[part])
    with open(tmp_path / "a.npy", "r+b") as file:
        file.truncate(200)
    with pytest.raises(ValueError, match="became shorter"):
        rows[5:8]
    with pytest.raises(ValueError, match="cut off: shape"):
        numpy_files.Rows(tmp_path / "a.npy")


def npy(shape, descr="<f8", content=b""):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue() + content


def npz(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def zeros(path, megabytes):
    """An archive with an array of zeros, made without having them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as member:
            member.write(npy((megabytes, 1 << 17)))
            for _ in range(megabytes):
                member.write(bytes(1 << 20))


def test_in_bounds_of_memory_and_time(tmp_path):
    zeros(tmp_path / "inflates.npz", 400)
    npz(tmp_path / "claims.npz", x=npy((10**12, 17, 3)))
    with zipfile.ZipFile(tmp_path / "lzma.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", npy((3,), content=bytes(24)))
    for name, content in {
        "claims": npy((10**12,)),
        "nothing": npy((10**12, 0, 3)),
        "overflows": npy((2**62, 4)),
        "negative": npy((-1, 3), content=bytes(240)),
        "deep": npy((3,)).replace(b"(3,)", b"(" * 300),
        "tokens": npy((3,)).replace(b"(3,)", b"(3,L"),
        "empty": b"",
        "text": b"hello",
    }.items():
        (tmp_path / f"{name}.npy").write_bytes(content)
    paths = {path.name: str(path) for path in sorted(tmp_path.iterdir())}
    said = outcomes("from mbjax.safe_files import numpy_files", "numpy_files.read", paths, 300, 5)
    assert set(said) == set(paths)
    wrong = {name: text for name, text in said.items() if not text.startswith("ValueError: ")}
    assert not wrong
    assert all("\n" not in text for text in said.values())


@pytest.mark.parametrize("place", np.linspace(0, 0.999, 40))
def test_a_flipped_bit_is_noticed(tmp_path, place):
    """Of the content: the archive's checksum is verified. Names and times of members have none."""
    array = np.random.default_rng(0).normal(size=50)
    np.savez(tmp_path / "a.npz", x=array)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    begin = content.index(array.tobytes())
    content[begin + int(place * array.nbytes)] ^= 16
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match="x: .*CRC-32|CRC-32"):
        numpy_files.read_npz(tmp_path / "a.npz")
