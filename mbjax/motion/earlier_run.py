"""A list of the files that a run wrote into a folder, so that the next run's do not mix with them.

The list is FOLDER/.mbjax_files, one name a line.
"""

import pathlib
import re
from collections.abc import Iterable

from mbjax.atomic_files import written_beside

LIST = ".mbjax_files"
# Whatever else a list says, nothing but such a file is ever removed.
_OURS = re.compile(r"(motion|X3D|body|smpl)[\w.]*")


def replaced_by(folder: pathlib.Path, names: Iterable[str]) -> list[str]:
    """Removes what an earlier run listed and this one did not write, and lists these names.

    Returns the names of what was removed.
    """
    names = list(names)
    stale = [name for name in _listed(folder) if name not in names and _OURS.fullmatch(name)]
    removed = []
    for name in stale:
        path = folder / name
        if path.is_file():
            path.unlink()
            removed.append(name)
    _write(folder, names)
    return removed


def also(folder: pathlib.Path, name: str) -> None:
    """Lists one more file, of the same run."""
    names = _listed(folder)
    if name not in names:
        _write(folder, [*names, name])


def _listed(folder):
    try:
        return (folder / LIST).read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError):
        return []


def _write(folder, names):
    with written_beside(folder / LIST) as beside:
        beside.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
