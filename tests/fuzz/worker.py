"""Reads damaged files, one after another, in a process that may be killed by them.

    python -m tests.fuzz.worker READER,READER.. FIRST LAST SEED FOLDER

prints a JSON object for each case that went wrong. FOLDER/progress holds the reader and the case at
work, for whoever finds this process dead.
"""

import json
import pathlib
import resource
import signal
import sys
import time
import traceback
import warnings

import numpy as np

from tests.fuzz import readers
from tests.fuzz.mutate import mutate

SECONDS, MEGABYTES = 10, 2048  # of the processor, and of memory, that a case may take
_WAITS = 10 * SECONDS  # by the clock: other processes may have the processor


class TooLong(BaseException):
    pass


def run(name, first, last, seed, folder):
    """Cases first to last of one reader, in a new folder of `folder`."""
    from mbjax.commands import failures

    work = folder / name
    work.mkdir()
    read = readers.READERS[name](work)
    sane = {path: path.read_bytes() for path in sorted(work.rglob("*")) if path.is_file()}
    read()  # which imports what it needs, and must work
    assert {path for path in work.rglob("*") if path.is_file()} == set(sane), "it leaves files"
    _limit_memory()
    paths = list(sane)
    number = list(readers.READERS).index(name)
    for case in range(first, last):
        rng = np.random.default_rng([seed, number, case])
        path = paths[int(rng.integers(len(paths)))]
        path.write_bytes(mutate(path.name, sane[path], rng))
        (folder / "progress").write_text(f"{name} {case}")
        begun = time.process_time()
        wrong = _outcome(read, failures)
        seconds = time.process_time() - begun
        if wrong or seconds > SECONDS:
            about = {"reader": name, "case": case, "file": path.name, "seconds": round(seconds, 1)}
            print(json.dumps({**about, "error": wrong or "took too long"}), flush=True)
        path.write_bytes(sane[path])
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _outcome(read, failures) -> str:
    """'' where the file was read, or refused in one line."""
    try:
        signal.setitimer(signal.ITIMER_REAL, _WAITS)
        read()
        return ""
    except TooLong:
        return f"more than {_WAITS} s: " + _where()
    except MemoryError:
        return f"more than {MEGABYTES} MB: " + _where()
    except Exception as error:
        # What commands report in one line; anything else would be a traceback.
        line = failures.line_of(error)
        if line is None:
            return f"{type(error).__name__}: {str(error)[:200]}: " + _where()
        return "a line of more than 2,000 characters: " + line[:200] if len(line) > 2000 else ""
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _where():
    frames = traceback.extract_tb(sys.exc_info()[2])
    ours = [f for f in frames if "/mbjax/" in f.filename or "/data_prep/" in f.filename]
    named = [f"{f.filename.split('/')[-1]}:{f.lineno}" for f in (ours[-2:] + frames[-1:])]
    return " > ".join(named)


def _too_long(*_):
    raise TooLong


def _limit_memory():
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (MEGABYTES << 20), resource.RLIM_INFINITY))


if __name__ == "__main__":
    names, first, last, seed, folder = sys.argv[1:]
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _too_long)
    for one in names.split(","):
        run(one, int(first), int(last), int(seed), pathlib.Path(folder))
