"""Large memory pages for this process: the `mbjax` script starts Python again with them."""

import os
import sys

_SETTING = "GLIBC_TUNABLES"


def restart() -> None:
    """Replaces this process by one with huge pages; returns where it has them, or cannot.

    A training step on the CPU takes hundreds of MB for a moment and gives them back; in 4 KB pages
    the kernel spends as long making them as the step takes to compute. glibc reads this setting
    only when a process starts. -P: without it Python would import from the current folder first.
    """
    if sys.platform == "linux" and _SETTING not in os.environ:
        os.environ[_SETTING] = "glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, "-P", "-m", "mbjax", *sys.argv[1:]])
