"""`python -m mbjax` is the `mbjax` command."""

import os
import sys

# `python -m` puts the current folder first, and a jax.py or a folder `configs` that happens to lie
# there would be imported. It stays only where it is the checkout that this file is of.
if __name__ == "__main__" and not sys.flags.safe_path:
    if os.path.samefile(sys.path[0] or ".", os.path.join(os.path.dirname(__file__), "..")):
        others = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.getcwd(), others]))
    else:
        del sys.path[0]

from mbjax.cli import entry  # noqa: E402

if __name__ == "__main__":
    sys.exit(entry())
