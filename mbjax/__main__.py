"""`python -m mbjax` is the `mbjax` command."""

import os
import sys


def _leave_current_folder():
    """Takes the current folder off the path, where `python -m` puts it first.

    A jax.py or a folder `configs` that happens to lie there would be imported. It stays only where
    it is the checkout that this file is of.
    """
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it was deleted; Python has not put it there
        return
    if sys.flags.safe_path or sys.path[0] not in ("", here):
        return
    if os.path.samefile(here, os.path.join(os.path.dirname(__file__), "..")):
        others = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, others]))
    else:
        del sys.path[0]


if __name__ == "__main__":
    _leave_current_folder()

from mbjax.cli import entry  # noqa: E402

if __name__ == "__main__":
    sys.exit(entry())
