"""What a command prints when it fails: one line for what a user or a machine can cause.

Everything else is a fault of the program and keeps its traceback, which MBJAX_TRACEBACK=1 shows
in any case.
"""

import errno
import logging
import os
import re
import sys
import threading
import warnings

from mbjax.remarks import one_line

# Of the disk; libraries that write wrap them in errors of their own, each in another way.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENOTCONN)
_LONGEST = 1000  # characters of a line
# Orbax and TensorStore name the file being written in the middle of a long sentence.
_PLACE = re.compile(r'(?:"|\s)(/[^"\s]+)')


def outcome(error: Exception) -> tuple[int, str] | None:
    """(exit status, line) of what ended a command; None for a fault of the program."""
    # Here, since they import JAX, and nothing of this is needed where all goes well.
    from mbjax.training.preemption import ProcessLost, Stopped

    if isinstance(error, Stopped | ProcessLost):
        return error.exit_status, str(error)
    line = line_of(error)
    return None if line is None else (1, f"error: {line}")


def line_of(error: BaseException) -> str | None:
    """The line for an error that a user or a machine can cause; None for a fault of the program."""
    line = _whole_line(error)
    # A damaged file may hold a name of any length; the beginning and the end say most.
    return line if line is None or len(line) <= _LONGEST else f"{line[:700]} ... {line[-250:]}"


def _whole_line(error):
    # An error of this project brings a sentence of its own, also about a full disk.
    own = type(error).__module__.partition(".")[0] in ("mbjax", "data_prep")
    disk = None if own else _of_the_disk(error)
    if disk is not None:
        return disk
    if isinstance(error, OSError):
        return _system(error)
    text = one_line(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {text}" if str(error) else "out of memory"
    if type(error).__name__ == "JaxRuntimeError":
        full = "RESOURCE_EXHAUSTED" in text or "Out of memory" in text
        return f"out of the device's memory: {text[:200]}" if full else None
    if isinstance(error, ValueError | ImportError):
        return text
    return None


def _of_the_disk(error) -> str | None:
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in _DISK:
            return _system(one)
    for one in _chain(error):
        text = str(one)
        for number in _DISK:
            if os.strerror(number) in text:
                place = _PLACE.search(text)
                where = f"{place[1].split('.orbax-checkpoint-tmp')[0]}: " if place else ""
                return f"{where}{os.strerror(number)}"
    return None


def _chain(error):
    """An error, what it was raised from, and what was being handled; members of groups too."""
    seen, waiting = set(), [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [*getattr(one, "exceptions", ()), one.__cause__, one.__context__]


def _system(error: OSError) -> str:
    """FILE: what the system says; the errors of this package bring a sentence of their own."""
    if error.strerror and error.filename is not None:
        return one_line(f"{error.filename}: {error.strerror}")
    return one_line(error.strerror or error)


def quiet_threads() -> None:
    """What fails in the background comes to the command as its own error, or does not matter.

    Checkpoints are written by threads and event loops; when a disk is full each of them prints a
    traceback, hundreds of lines beside the one that says it.
    """
    if os.environ.get("MBJAX_TRACEBACK"):
        return
    threading.excepthook = lambda about: None
    # 'Task exception was never retrieved', with its traceback.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="coroutine .* was never awaited")
    usual = sys.unraisablehook

    def unraisable(about):
        if not isinstance(about.exc_value, RuntimeError | OSError | KeyboardInterrupt):
            usual(about)

    sys.unraisablehook = unraisable
