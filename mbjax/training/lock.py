"""One run, one folder: WORKDIR/lock names the process that trains there.

A process that is gone leaves its lock behind. On its own host that is seen at once (pid and start
of the process); on another host the lock is watched for a while, since a living process writes to
it every few seconds.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid

import jax
import numpy as np
from jax.experimental import multihost_utils

from mbjax.atomic_files import written_beside
from mbjax.devices.cluster import EndedTogether
from mbjax.storage import objects
from mbjax.storage.places import Place, in_bucket

FILE = "lock"
BEAT_S = 10.0
# Three beats and the attribute cache of a network file system.
PATIENCE_S = 45.0
# Between two requests to a bucket by another process: to delete an old lock, and to write its own.
SETTLES_S = 2.0


class FolderInUse(EndedTogether, ValueError):
    """Another process trains in the work folder."""


@contextlib.contextmanager
def held(workdir: Place, say=lambda text: None):
    """The work folder, for this run alone; FolderInUse where another one has it.

    Of several processes of one run the first holds it, and all learn whether it does. say: (text),
    before a long wait.
    """
    with contextlib.ExitStack() as stack:
        problem = ""
        if jax.process_index() == 0:
            try:
                stack.enter_context(_held(workdir, say))
            except FolderInUse as error:
                problem = str(error)
        if multihost_utils.process_allgather(np.array(bool(problem))).any():
            raise FolderInUse(problem or f"work folder {workdir} is in use; see process 0")
        yield


@contextlib.contextmanager
def _held(workdir, say):
    path = workdir / FILE
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "started": started(os.getpid())}
    mine["id"] = uuid.uuid4().hex
    _refuse_if_alive(path, mine, say)
    _take(path, mine)
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, mine, done), daemon=True, name="lock")
    beating.start()
    try:
        # Two that came at the same moment: the one that wrote last has it.
        time.sleep(SETTLES_S if in_bucket(path) else 0.05)
        theirs = _read(path)
        if theirs and theirs.get("id") != mine["id"]:
            raise _in_use(path, theirs)
        yield
    finally:
        done.set()
        beating.join(1.0)
        if (_read(path) or {}).get("id") == mine["id"]:
            with contextlib.suppress(OSError):
                objects.remove(path)


def _refuse_if_alive(path, mine, say):
    theirs = _read(path)
    if theirs is None:
        return
    if theirs.get("host") == mine["host"]:
        pid = theirs.get("pid")
        alive = isinstance(pid, int) and pid != mine["pid"] and started(pid) is not None
        if alive and started(pid) == theirs.get("started"):
            raise _in_use(path, theirs)
        return
    say(
        f"{path} is of process {theirs.get('pid')} on {theirs.get('host')}; watching for up to "
        f"{PATIENCE_S:g} s whether it still runs"
    )
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        time.sleep(min(1.0, PATIENCE_S / 10))
        if not objects.exists(path):
            return
        now = _read(path)
        if now is not None and now != theirs:
            raise _in_use(path, now)


def _in_use(path, theirs):
    return FolderInUse(
        f"work folder {path.parent} is in use by process {theirs.get('pid')} on "
        f"{theirs.get('host')}; stop that one first, or use another --workdir"
    )


def _take(path, mine):
    """Writes the lock, also where that of a process that is gone lies there."""
    if not in_bucket(path):
        return _write(path, mine, 0)
    objects.remove(path)
    try:
        objects.write_new(path, _content(mine, 0))
    except FileExistsError:
        raise _in_use(path, _read(path) or {}) from None


def _write(path, mine, beats):
    with written_beside(path) as beside:
        beside.write_bytes(_content(mine, beats))


def _content(mine, beats):
    return json.dumps({**mine, "beats": beats}).encode()


def _beat(path, mine, done):
    beats = 0
    while not done.wait(BEAT_S):
        beats += 1
        # The folder may vanish or fill up; training has to notice that, not this thread. Where
        # another process took the folder over, the lock stays its own.
        with contextlib.suppress(OSError):
            if (_read(path) or {}).get("id") == mine["id"]:
                _write(path, mine, beats)


def _read(path) -> dict | None:
    """What a lock says; None where there is none, or none that can be understood."""
    try:
        found = json.loads(objects.read_bytes(path))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def started(pid: int) -> str | None:
    """What tells a process from a later one of the same pid: clock ticks from the system's start to
    its own (Linux). None where there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rsplit(b")", 1)[1].split()[19].decode()
    except OSError:
        pass
    if os.path.isdir("/proc/self"):
        return None
    try:  # systems without /proc
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return "alive"
