"""The command in a process of its own, as users start it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys

from tests.recipes.settings import ROOT

# What the installed script holds.
SCRIPT = "import sys; from mbjax.cli import entry; sys.exit(entry())"


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", **more}


def start(*arguments, folder, how=("-P", "-m", "mbjax"), **more) -> subprocess.Popen:
    with _as_from_a_terminal():
        return subprocess.Popen(
            [sys.executable, *how, *map(str, arguments)], cwd=folder, env=environment(**more),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip


@contextlib.contextmanager
def _as_from_a_terminal():
    """What a script starts with & ignores Ctrl-C, and its children do; tests may be started so."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)


def run(*arguments, folder, **more):
    """(exit status, stdout, stderr)."""
    process = start(*arguments, folder=folder, **more)
    out, error = process.communicate(timeout=300)
    return process.returncode, out, error


def browser() -> str | None:
    """The path of a Chromium; None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)
