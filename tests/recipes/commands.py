"""The command in a process of its own, as users start it."""

import os
import signal
import subprocess
import sys

from tests.recipes.settings import ROOT

# What the installed script holds.
SCRIPT = "import sys; from mbjax.cli import entry; sys.exit(entry())"


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", **more}


def start(*arguments, folder, how=("-P", "-m", "mbjax"), **more) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *how, *map(str, arguments)], cwd=folder, env=environment(**more),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_as_from_a_terminal,
    )  # fmt: skip


def _as_from_a_terminal():
    """What a script starts with & ignores Ctrl-C; tests may have been started so."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(*arguments, folder, **more):
    """(exit status, stdout, stderr)."""
    process = start(*arguments, folder=folder, **more)
    out, error = process.communicate(timeout=300)
    return process.returncode, out, error
