"""Reads SMPL and SMPL+H bodies from the files their authors publish, running nothing in them.

`SMPL_NEUTRAL.pkl` is a Python 2 pickle of chumpy objects, scipy sparse matrices and numpy arrays;
`smplh/GENDER/model.npz` and `dmpls/GENDER/model.npz` are numpy archives. A pickle may name any
function of any installed module: mbjax.safe_pickle reads it, and knows beside numpy's arrays the
few classes that these files need, each by a stand-in that keeps data and does nothing else; chumpy
and scipy are not needed. Any other name is refused.
"""

from pathlib import Path

import numpy as np

from mbjax import safe_pickle
from mbjax.body.model import PUBLISHED_NAMES, Body
from mbjax.remarks import one_line
from mbjax.safe_files import numpy_files

SMPL_JOINTS, SMPLH_JOINTS = 24, 52
_DEEPEST = 5  # arrays in one another; published files are three deep
_LARGEST_DENSE = 10_000_000  # entries; SMPL's joint regressor has 24 x 6890
_SOURCE = "the authors of SMPL are at smpl.is.tue.mpg.de and mano.is.tue.mpg.de"
_ADVICE = f"download it again ({_SOURCE})"


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
        sizes = [*soft.shape]
        if len(sizes) != 3 or sizes[1] != 3 or sizes[2] < num_dmpls:
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
    try:
        content = safe_pickle.load(path, _STAND_INS)
    except ValueError as error:
        raise ValueError(f"{path}: {error} ({_SOURCE})") from error
    if not isinstance(content, dict):
        content = {}
    return {name: _plain(content[name], path, name) for name in names if name in content}


def _read_archive(path, names):
    try:
        arrays = numpy_files.read_npz(path, names, objects=True, stand_ins=_STAND_INS)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; {_ADVICE}") from error
    return {name: _plain(arrays[name], path, name) for name in names if name in arrays}


# --- stand-ins for what a pickle of a body names --------------------------------------------


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
    # What protocol 0 and 1 write for an object: an empty one, of a class that is known here.
    return cls()


def _stand_ins():
    of_scipy = {
        "csc_matrix": _Sparse, "csc_array": _Sparse,
        "csr_matrix": _SparseRows, "csr_array": _SparseRows,
    }  # fmt: skip
    # Where scipy has kept them, from Python 2 on.
    modules = ("", ".csc", ".csr", "._csc", "._csr")
    sets = {"set": _Bag, "frozenset": _Bag, "object": _Bag}
    return {
        ("chumpy.ch", "Ch"): _Chumpy,
        ("chumpy.reordering", "Select"): _Select,
        ("copy_reg", "_reconstructor"): _reconstruct_object,
        ("copyreg", "_reconstructor"): _reconstruct_object,
        **{(f"scipy.sparse{m}", name): cls for m in modules for name, cls in of_scipy.items()},
        **{(m, name): cls for m in ("__builtin__", "builtins") for name, cls in sets.items()},
    }


_STAND_INS = _stand_ins()


def _plain(value, path, name):
    """The dense numpy array that a stand-in, or stand-ins within one another, stand for."""
    try:
        return _dense(value)
    # Whatever a stand-in turns out not to hold: the content of the file is at fault.
    except (
        AttributeError, IndexError, TypeError, ValueError, RecursionError, MemoryError,
    ) as error:  # fmt: skip
        raise ValueError(
            f"{path}: {name} cannot be made an array ({one_line(error)}); {_ADVICE}"
        ) from error


def _dense(value, depth=0):
    if depth > _DEEPEST:
        raise ValueError("an array of an array without an end")
    if isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        # An archive keeps an object, a sparse matrix say, as an array of that one object.
        return _dense(value.item(), depth + 1)
    if isinstance(value, _Chumpy):
        return _dense(value.x, depth + 1)
    if isinstance(value, _Select):
        chosen = _dense(value.a, depth + 1).ravel()[_dense(value.idxs, depth + 1)]
        return chosen.reshape([int(n) for n in value.preferred_shape])
    if isinstance(value, _Sparse):
        return _dense_from_sparse(value, depth + 1)
    if isinstance(value, (list, tuple, int, float, np.generic)):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise ValueError(f"found {type(value).__name__.strip('_')} instead of numbers")
    return value


def _dense_from_sparse(matrix, depth):
    rows, columns = (int(n) for n in matrix._shape)
    if min(rows, columns) < 0 or rows * columns > _LARGEST_DENSE:
        raise ValueError(f"a sparse matrix of {rows} x {columns} is not a body's")
    data, indices, indptr = (
        _dense(getattr(matrix, n), depth) for n in ("data", "indices", "indptr")
    )
    # Rows of a matrix kept by rows are columns of its transpose.
    minor, major = (rows, columns) if matrix.by_columns else (columns, rows)
    outside = indices.size and (indices.min() < 0 or indices.max() >= minor)
    if indptr.shape != (major + 1,) or data.shape != indices.shape or outside:
        raise ValueError("the sparse matrix does not fit together")
    if indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
        raise ValueError("the sparse matrix does not fit together")
    dense = np.zeros((minor, major), dtype=data.dtype)
    np.add.at(dense, (indices, np.repeat(np.arange(major), np.diff(indptr))), data)
    return dense if matrix.by_columns else dense.T
