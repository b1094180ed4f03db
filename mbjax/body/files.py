"""Reads SMPL and SMPL+H bodies from the files their authors publish, running nothing in them.

`SMPL_NEUTRAL.pkl` is a Python 2 pickle of chumpy objects, scipy sparse matrices and numpy arrays;
`smplh/GENDER/model.npz` and `dmpls/GENDER/model.npz` are numpy archives. A pickle may name any
function of any installed module, so only the dozen classes that these files need are known here,
each by a stand-in that keeps data and does nothing else; chumpy and scipy are not needed. Any
other name is refused.
"""

import io
import pickle
import zipfile
import zlib
from pathlib import Path

import numpy as np

from mbjax.body.model import PUBLISHED_NAMES, Body
from mbjax.safe_pickle import _Array, _Dtype, _encode, _from_buffer, _scalar

SMPL_JOINTS, SMPLH_JOINTS = 24, 52
_ADVICE = "download it again from the authors of SMPL (smpl.is.tue.mpg.de, mano.is.tue.mpg.de)"


def read_smpl(path, *, num_betas=10, dtype=np.float32):
    """The SMPL body (24 joints) of a `.pkl` as published, or of a `.npz` with the same names.

    The first num_betas of its shape coefficients are used (files have 10 or 300). ValueError in
    one line for a file that is broken, incomplete, another body, or names a class that is not
    allowed; FileNotFoundError where there is none.
    """
    return _read_body(path, SMPL_JOINTS, num_betas, None, dtype)


def read_smpl_arrays(path) -> dict[str, np.ndarray]:
    """The arrays of a file of a body model by their published names, as they are stored.

    `mbjax.body.model.Body.from_arrays` checks them. Errors as read_smpl.
    """
    return _read_members(path, PUBLISHED_NAMES)


def read_smplh(path, dmpl_path=None, *, num_betas=16, num_dmpls=8, dtype=np.float32):
    """The SMPL+H body (52 joints), with num_dmpls soft-tissue directions if dmpl_path is given.

    Paths as in AMASS: `smplh/GENDER/model.npz`, `dmpls/GENDER/model.npz`. Errors as read_smpl.
    """
    soft = None
    if dmpl_path is not None:
        soft = _read_members(dmpl_path, ("eigvec",)).get("eigvec", np.zeros(0))
        if soft.ndim != 3 or soft.shape[1] != 3 or soft.shape[2] < num_dmpls:
            raise ValueError(
                f"{dmpl_path}: eigvec has shape {soft.shape}, (V, 3, {num_dmpls} or more) was"
                " wanted; give the model.npz of the dmpls folder"
            )
        soft = soft[..., :num_dmpls]
    return _read_body(path, SMPLH_JOINTS, num_betas, soft, dtype)


def _read_body(path, num_joints, num_betas, soft, dtype):
    arrays = read_smpl_arrays(path)
    body = Body.from_arrays(
        arrays, num_betas=num_betas, soft_Vx3xD=soft, dtype=dtype, where=str(path)
    )
    if body.num_joints != num_joints:
        raise ValueError(
            f"{path}: a body of {body.num_joints} joints, {num_joints} were wanted; SMPL has"
            f" {SMPL_JOINTS} and SMPL+H {SMPLH_JOINTS}"
        )
    return body


def _read_members(path, names):
    """{name: array} of those `names` that are in a pickle or an archive, as its content says."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such body model file; {_ADVICE}")
    with path.open("rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
    if is_archive:
        return _read_archive(path, names)
    content = _restricted_load(path.read_bytes(), path)
    if not isinstance(content, dict):
        content = {}
    return {name: _plain(content[name], path, name) for name in names if name in content}


def _read_archive(path, names):
    try:
        with zipfile.ZipFile(path) as archive:
            present = [name for name in names if f"{name}.npy" in archive.namelist()]
            return {name: _read_npy(archive.read(f"{name}.npy"), path, name) for name in present}
    # RuntimeError is zipfile's word for an archive under a password or of an unknown method, and
    # OSError what a damaged offset ends in.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
        raise ValueError(f"{path}: broken or cut off ({_line(error)}); {_ADVICE}") from error


def _line(error):
    return " ".join(str(error).split())


def _read_npy(member, path, name):
    """The array of one member; one of objects goes through the restricted unpickler."""
    stream = io.BytesIO(member)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        dtype = read_header(stream)[2]
        if not dtype.hasobject:
            stream.seek(0)
            return np.lib.format.read_array(stream, allow_pickle=False)
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{path}: {name} is not a numpy array ({_line(error)}); {_ADVICE}"
        ) from error
    return _plain(_restricted_load(stream.read(), path), path, name)


# --- the restricted unpickler ---------------------------------------------------------------


class _Chumpy:
    """Stand-in for chumpy's Ch, whose array is `x`."""


class _Select:
    """Stand-in for chumpy's Select: entries `idxs` of `a`, as an array of `preferred_shape`."""


class _Sparse:
    """Stand-in for a scipy sparse matrix, compressed by columns or by rows."""

    by_columns = True


class _SparseRows(_Sparse):
    by_columns = False


class _Bag:
    """Stand-in for a set: chumpy keeps some, and nothing here reads them."""

    def __init__(self, *_):
        pass


def _reconstruct_object(cls, *_):
    # What protocol 0 and 1 write for an object: an empty one, of a class let through below.
    return cls()


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, file, path):
        super().__init__(file, encoding="latin1")
        self._path = path
        self._known = {}

    def find_class(self, module, name):
        stand_in = _stand_in(module, name)
        if stand_in is None:
            raise _Refused(
                f"{self._path}: the pickle names {module}.{name}, which no body model needs;"
                f" nothing of it was run. Trust it not, and {_ADVICE}"
            )
        # A pickle may also set attributes on what it names: give it one of its own to spoil.
        if (module, name) not in self._known:
            if isinstance(stand_in, type):
                own = type(stand_in.__name__, (stand_in,), {})
            else:

                def own(*args):
                    return stand_in(*args)

            self._known[module, name] = own
        return self._known[module, name]


class _Refused(ValueError):
    pass


def _stand_in(module, name):
    """What a class or function of a published file is read as; None if it must not be there."""
    module = module.replace("numpy._core", "numpy.core")
    fixed = {
        ("numpy", "dtype"): _Dtype,
        ("numpy", "ndarray"): _Array,
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("numpy.core.numeric", "_frombuffer"): _from_buffer,
        ("chumpy.ch", "Ch"): _Chumpy,
        ("chumpy.reordering", "Select"): _Select,
        ("copy_reg", "_reconstructor"): _reconstruct_object,
        ("copyreg", "_reconstructor"): _reconstruct_object,
        ("_codecs", "encode"): _encode,
    }
    if module in ("__builtin__", "builtins"):
        return {"set": _Bag, "frozenset": _Bag, "object": _Bag}.get(name)
    if module == "scipy.sparse" or module.startswith("scipy.sparse."):
        return {
            "csc_matrix": _Sparse, "csc_array": _Sparse,
            "csr_matrix": _SparseRows, "csr_array": _SparseRows,
        }.get(name)  # fmt: skip
    return fixed.get((module, name))


def _restricted_load(content, path):
    try:
        return _RestrictedUnpickler(io.BytesIO(content), path).load()
    except _Refused:
        raise
    # Bytes that are no pickle, or half of one, end in an error of almost any type.
    except Exception as error:
        raise ValueError(
            f"{path}: not a whole body model pickle ({_line(error)}); {_ADVICE}"
        ) from error


def _plain(value, path, name):
    """The dense numpy array that a stand-in, or stand-ins within one another, stand for."""
    try:
        return _dense(value)
    # Whatever a stand-in turns out not to hold: the content of the file is at fault.
    except (
        AttributeError, IndexError, TypeError, ValueError, RecursionError, MemoryError,
    ) as error:  # fmt: skip
        raise ValueError(
            f"{path}: {name} cannot be made an array ({_line(error)}); {_ADVICE}"
        ) from error


def _dense(value):
    if isinstance(value, _Array):
        value = value.value
    if isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        # An archive keeps an object, a sparse matrix say, as an array of that one object.
        return _dense(value.item())
    if isinstance(value, _Chumpy):
        return _dense(value.x)
    if isinstance(value, _Select):
        chosen = _dense(value.a).ravel()[_dense(value.idxs)]
        return chosen.reshape([int(n) for n in value.preferred_shape])
    if isinstance(value, _Sparse):
        return _dense_from_sparse(value)
    if isinstance(value, (list, tuple, int, float, np.generic)):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise ValueError(f"found {type(value).__name__.strip('_')} instead of numbers")
    return value


def _dense_from_sparse(matrix):
    shape = tuple(int(n) for n in matrix._shape)
    data, indices, indptr = (_dense(getattr(matrix, n)) for n in ("data", "indices", "indptr"))
    # Rows of a matrix kept by rows are columns of its transpose.
    minor, major = shape if matrix.by_columns else shape[::-1]
    outside = indices.size and (indices.min() < 0 or indices.max() >= minor)
    if indptr.shape != (major + 1,) or data.shape != indices.shape or outside:
        raise ValueError("the sparse matrix does not fit together")
    dense = np.zeros((minor, major), dtype=data.dtype)
    np.add.at(dense, (indices, np.repeat(np.arange(major), np.diff(indptr))), data)
    return dense if matrix.by_columns else dense.T
