"""`python -m mbjax` is the `mbjax` command."""

import sys

from mbjax.cli import entry

if __name__ == "__main__":
    sys.exit(entry())
