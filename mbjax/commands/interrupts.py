"""Ctrl-C: one line and status 130, from the first instant, while compiling, and a second time.

Python runs a signal's handler between two of its own instructions: not while XLA compiles, which
takes minutes for a large network. The system's part of the handler writes a byte at once, and a
thread that waits for it can end the process.
"""

import os
import signal
import sys
import threading
import time

from mbjax import atomic_files

STATUS = 130
_PATIENCE_S = 1.0  # for Python's own handler, after which the process is taken to be compiling
_CLEANING_UP_S = 5.0  # for what a command does on its way out, after which it is made to leave


class _State:
    command = ""
    installed = False
    running = False
    count = 0
    handled = threading.Event()


def install() -> None:
    """From here on an interrupt is one line; nothing where whoever started us has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return
    signal.signal(signal.SIGINT, _handle)
    _State.installed = True
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read,), daemon=True, name="interrupts").start()


def running(command: str) -> None:
    """A command begins: an interrupt is now a KeyboardInterrupt, so that it can clean up."""
    _State.command, _State.running = command, True


def finished() -> None:
    """Nothing is left to clean up."""
    _State.running = False


def end(status: int) -> int:
    """Ends an interrupted or failed process at once; returns the status where it is not ours."""
    if _State.installed:
        leave(status)
    return status


def leave(status: int, line: str = "") -> None:
    """Ends the process at once: threads that still compile or write would fail on the way out."""
    atomic_files.remove_unfinished()
    if line:
        os.write(2, f"{line}\n".encode())
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, RuntimeError):  # closed, or being written to
            pass
    os._exit(status)


def line(why: str = "interrupted") -> str:
    return f"mbjax {_State.command}: {why}" if _State.command else f"mbjax: {why}"


def _handle(number, frame):
    _State.handled.set()
    # Libraries that are being imported swallow a KeyboardInterrupt, or abort the process at it.
    if not _State.running or _importing(frame):
        leave(STATUS, line())
    raise KeyboardInterrupt


def _importing(frame):
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _watch(read):
    while True:
        for number in os.read(read, 64):
            if number == signal.SIGINT:
                _State.count += 1
                threading.Thread(target=_noted, args=(_State.count,), daemon=True).start()


def _noted(count):
    if count > 1:
        leave(STATUS, line())
    if signal.getsignal(signal.SIGINT) is _handle:
        if _State.handled.wait(_PATIENCE_S):
            # The exception can be lost: in a callback of the garbage collector it is ignored.
            time.sleep(_CLEANING_UP_S)
        leave(STATUS, line())
    else:  # a training run, which saves after its step
        os.write(2, f"{line('stopping after this step; again: at once')}\n".encode())
