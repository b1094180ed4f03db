"""Shapes that names state (`pose_BxTxJx3`), held against what the arrays are while code runs."""

import contextlib
import pathlib
import re
import sys
from collections.abc import Iterator

# The part behind the last underscore: one letter or a number for each axis.
_STATED = re.compile(r".*_((?:[A-Z]|\d+)(?:x(?:[A-Z]|\d+))*)")


def stated(name: str) -> list[str] | None:
    """The axes in a name; None where it states none."""
    found = _STATED.fullmatch(name)
    return found[1].split("x") if found and re.search("[A-Z]", found[1]) else None


def breaches_of(arrays: dict, more_axes: bool = False) -> list[str]:
    """What is wrong with arrays by name: a rank, a number, or one letter for two sizes.

    more_axes: names state the last axes alone.
    """
    wrong, sizes = [], {}
    for name, array in arrays.items():
        axes, shape = stated(name), getattr(array, "shape", None)
        if axes is None or not isinstance(shape, tuple):
            continue
        if more_axes:
            shape = shape[-len(axes) :]
        fits = len(axes) == len(shape) and all(
            int(axis) == size if axis.isdigit() else sizes.setdefault(axis, size) == size
            for axis, size in zip(axes, shape, strict=True)
        )
        if not fits:
            wrong.append(f"{name} has shape {shape}; " + str({a: sizes[a] for a in sorted(sizes)}))
    return wrong


@contextlib.contextmanager
def watched(*folders: pathlib.Path) -> Iterator[dict[str, str]]:
    """{place: breach} of all functions of the folders' files that return in the block.

    All local names are looked at, arguments too. A function whose docstring has shapes like
    (..., J, 3) takes arrays with more axes before those.
    """
    places = tuple(str(folder) for folder in folders)
    found: dict[str, str] = {}

    def look(frame, event, _):
        if event != "return" or not frame.f_code.co_filename.startswith(places):
            return
        arrays = {
            name: value for name, value in frame.f_locals.items()
            if "_" in name and hasattr(value, "shape")
        }  # fmt: skip
        code = frame.f_code
        # A docstring is the first constant of its function.
        more_axes = "(..." in str(code.co_consts[0] if code.co_consts else "")
        for breach in breaches_of(arrays, more_axes):
            found[f"{pathlib.Path(code.co_filename).name}: {code.co_name}"] = breach

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield found
    finally:
        sys.setprofile(before)
