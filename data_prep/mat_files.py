"""MATLAB's files, read by scipy or h5py in a process of its own: both crash on some damaged files.

    python -m data_prep.mat_files FILE OUT.npz NAME...

is that process. Cells become OUT's arrays NAME.0, NAME.1 and so on.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from mbjax.remarks import one_line
from mbjax.safe_files import numpy_files

_SECONDS = 600  # for files of some hundred MB, on a slow disk


def read(path: pathlib.Path, names: tuple[str, ...]) -> dict:
    """These variables of a .mat file, older or of version 7.3 (HDF5): arrays, or lists of a cell's.

    ValueError, in one line without the path, where it cannot be read or lacks one.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "found.npz"
        # The same modules as here, and none from the current folder.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "data_prep.mat_files", str(path), str(out), *names],
                capture_output=True, text=True, errors="replace", env=environment,
                timeout=_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ValueError(f"not read within {_SECONDS} s") from None
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"it crashed, {done.returncode}"]
            raise ValueError(f"not a .mat file that can be read ({lines[-1][:200]})")
        found = numpy_files.read_npz(out)
    missing = [name for name in names if name not in found and f"{name}.0" not in found]
    if missing:
        raise ValueError(f"has no {', '.join(missing)}")
    return {name: found[name] if name in found else _cells(found, name) for name in names}


def _cells(found, name):
    count = sum(key.startswith(f"{name}.") for key in found)
    return [found[f"{name}.{i}"] for i in range(count)]


def _main(path, out, *names):
    import h5py
    import scipy.io

    arrays = {}
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path) as file:
                for name in names:
                    if name in file:
                        arrays |= _flat(name, _of_hdf5(file, file[name]))
        else:
            content = scipy.io.loadmat(path, variable_names=names)
            for name in names:
                if name in content:
                    value = content[name]
                    cells = value.dtype == object
                    arrays |= _flat(name, list(value.reshape(-1)) if cells else value)
        np.savez(out, **arrays)
    except Exception as error:  # almost any, of files that are cut short or something else
        sys.exit(one_line(error))


def _of_hdf5(file, value):
    """Cells are references; MATLAB's axes come in reverse for cells of matrices."""
    import h5py

    if value.dtype == h5py.ref_dtype:
        return [np.asarray(file[one]).T for one in np.asarray(value).reshape(-1)]
    return np.asarray(value)


def _flat(name, value):
    if not isinstance(value, list):
        return {name: _numbers(name, value)}
    return {f"{name}.{i}": _numbers(name, one) for i, one in enumerate(value)}


def _numbers(name, value):
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} does not hold numbers")
    return array


if __name__ == "__main__":
    _main(*sys.argv[1:])
