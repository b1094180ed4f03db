"""Random bodies in the published layouts, and a writer of Python 2 pickles, for the tests."""

import pickle
import struct
from typing import ClassVar

import numpy as np

from mbjax.body.model import Body

SMPL_PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
# 22 body joints, then five fingers of three joints on each wrist.
SMPLH_PARENTS = SMPL_PARENTS[:22] + tuple(
    wrist if joint == 0 else first + 3 * finger + joint - 1
    for wrist, first in ((20, 22), (21, 37))
    for finger in range(5)
    for joint in range(3)
)


def random_body(seed, parents=SMPL_PARENTS, num_vertices=60, num_betas=10):
    """The arrays of a body model file, float64, by their published names, as sparse as real ones.

    Vertices belong to bones in blocks and are shared with the neighbours in the tree; sizes of
    the blend shapes are those of a person in metres.
    """
    rng = np.random.default_rng(seed)
    V, J = num_vertices, len(parents)
    parents = np.array(parents)
    owner = np.arange(V) * J // V
    near = np.eye(J, dtype=bool)
    near[np.arange(1, J), parents[1:]] = near[parents[1:], np.arange(1, J)] = True
    weights = near[owner] * rng.uniform(0.01, 1, (V, J))
    regressor = near[:, owner] * rng.uniform(0, 1, (J, V))
    return {
        "v_template": rng.normal(size=(V, 3)) * 0.4,
        "shapedirs": rng.normal(size=(V, 3, num_betas)) * 0.02,
        "posedirs": rng.normal(size=(V, 3, 9 * (J - 1))) * 0.002,
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([np.where(parents < 0, 2**32 - 1, parents), np.arange(J)]),
        "f": rng.integers(0, V, (2 * V, 3)).astype(np.uint32),
    }


def random_regressor(seed, body, bones, per_joint=40):
    """A (len(bones), V) regressor: each joint a mean of vertices on a bone and its neighbours."""
    rng = np.random.default_rng(seed)
    regressor = np.zeros((len(bones), len(body["v_template"])))
    for row, bone in zip(regressor, bones, strict=True):
        close = np.flatnonzero(body["weights"][:, bone])
        row[rng.choice(close, min(per_joint, len(close)), replace=False)] = rng.uniform(
            0.1, 1, min(per_joint, len(close))
        )
    return regressor / regressor.sum(1, keepdims=True)


def golden_body(seed):
    """The dense random body of SMPL's size behind the golden meshes: (body, regressor, mean).

    A recipe: the same draws in the same order, or another body comes out.
    """
    rng, V = np.random.default_rng(seed), 6890
    arrays = {
        "v_template": rng.normal(size=(V, 3)) * 0.3,
        "shapedirs": rng.normal(size=(V, 3, 10)) * 0.02,
        "posedirs": rng.normal(size=(V, 3, 207)) * 0.002,
    }

    def rows_to_one(rows):
        return rows / rows.sum(1, keepdims=True)

    arrays["J_regressor"] = rows_to_one(rng.uniform(size=(24, V)) ** 8)
    arrays["weights"] = rows_to_one(rng.uniform(size=(V, 24)) ** 8)
    parents = (2**32 - 1, 0, *SMPL_PARENTS[2:])
    arrays["kintree_table"] = np.stack([parents, np.arange(24)]).astype(np.int64)
    rng.integers(0, V, size=(13776, 3))  # faces
    regressor = rows_to_one(rng.uniform(size=(17, V)) ** 8)
    pose = np.tile(np.array([1.0, 0, 0, 1, 0, 0]), 24) + rng.normal(size=144) * 0.1
    return Body.from_arrays(arrays), regressor, (pose, rng.normal(size=10) * 0.1)


class Named:
    """An object that is pickled as an instance of the class `module.name`, with this state."""

    def __init__(self, module, name, **state):
        self.module, self.name, self.state = module, name, state


class Global:
    """A class or function that a pickle names."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """A call that a pickle asks its reader for: Call(Global("os", "system"), "...")."""

    def __init__(self, function, *args):
        self.function, self.args = function, args


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2 wrote: str as bytes, old module names, objects of absent modules."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Global):
            self.write(b"c" + f"{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.args)
            self.write(b"R")
        elif isinstance(obj, Named):
            cls = Global(obj.module, obj.name)
            if self.proto < 2:
                base = Global("__builtin__", "object")
                constructor = Global("copy_reg", "_reconstructor")
                self._reduce(constructor, (cls, base, None), obj.state)
            else:
                self.save(cls)
                self.write(b")\x81")  # an empty tuple of arguments; a new object
                self.save(obj.state)
                self.write(b"b")
        elif isinstance(obj, (np.ndarray, np.dtype)):
            _, args, state = obj.__reduce__()
            name = "dtype" if isinstance(obj, np.dtype) else "_reconstruct"
            module = "numpy" if name == "dtype" else "numpy.core.multiarray"
            args = tuple(Global("numpy", "ndarray") if a is np.ndarray else a for a in args)
            self._reduce(Global(module, name), args, state)
        else:
            super().save(obj, save_persistent_id)

    def _reduce(self, function, args, state):
        self.save(Call(function, *args))
        self.save(state)
        self.write(b"b")

    def _save_str(self, obj):
        raw = obj if isinstance(obj, bytes) else obj.encode("latin1")
        if self.proto == 0:
            self.write(b"S" + repr(raw)[1:].encode() + b"\n")
        else:
            self.write(b"T" + struct.pack("<i", len(raw)) + raw)

    dispatch[str] = dispatch[bytes] = _save_str


def write_python2_pickle(path, content, protocol):
    with path.open("wb") as file:
        Python2Pickler(file, protocol).dump(content)


def as_published_pickle(arrays, num_hidden=0):
    """The content of SMPL_NEUTRAL.pkl: chumpy objects, a sparse regressor, and more beside them.

    num_hidden more shape directions are kept behind a Select that leaves them out.
    """
    shapes = arrays["shapedirs"]
    hidden = np.full((*shapes.shape[:2], num_hidden), 9.0)
    everything = np.concatenate([shapes, hidden], axis=-1)
    kept = np.arange(everything.size).reshape(everything.shape)[..., : shapes.shape[-1]]
    return {
        **arrays,
        "v_template": chumpy_array(arrays["v_template"]),
        "shapedirs": Named(
            "chumpy.reordering",
            "Select",
            a=chumpy_array(everything),
            idxs=kept.ravel(),
            preferred_shape=kept.shape,
        ),
        "posedirs": chumpy_array(arrays["posedirs"]),
        "weights": np.asfortranarray(arrays["weights"]),
        "kintree_table": arrays["kintree_table"].astype(np.uint32),
        "J_regressor": sparse_by_columns(arrays["J_regressor"]),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
        "vert_sym_idxs": np.arange(5),
    }


def chumpy_array(array):
    return Named(
        "chumpy.ch",
        "Ch",
        x=array,
        _dirty_vars=Call(Global("__builtin__", "set"), ["x"]),
        _itr=None,
        _depends_on_deps=False,
    )


def sparse_by_columns(dense, module="scipy.sparse.csc", name="csc_matrix"):
    columns, rows = np.nonzero(dense.T)
    starts = np.searchsorted(columns, np.arange(dense.shape[1] + 1)).astype(np.int32)
    return Named(
        module,
        name,
        data=dense[rows, columns],
        indices=rows.astype(np.int32),
        indptr=starts,
        _shape=dense.shape,
        maxprint=50,
    )


def smpl_folder(
    folder, num_vertices=60, num_betas=10, joints=SMPL_PARENTS, name="SMPL_NEUTRAL.npz"
):
    """The files that `mbjax.body.smpl.load` looks for, of a random body; returns their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = random_body(0, joints, num_vertices, num_betas)
    rng = np.random.default_rng(1)
    np.savez(folder / name, **arrays)
    np.save(folder / "J_regressor_h36m_correct.npy", rng.uniform(size=(17, num_vertices)))
    np.save(folder / "J_regressor_extra.npy", rng.uniform(size=(9, num_vertices)))
    pose = np.tile(np.array([1.0, 0, 0, 1, 0, 0]), 24)
    np.savez(folder / "smpl_mean_params.npz", pose=pose, shape=np.zeros(10), cam=np.zeros(3))
    return folder
