"""No damaged file gives a traceback, ends the process, hangs for 10 s or takes 2 GB, in any reader.

A few cases of each reader run with the other tests. Many, by hand:

    MBJAX_FUZZ=100000 MBJAX_FUZZ_SEED=1 pytest -s tests/fuzz

spread over all readers (MBJAX_FUZZ_READERS=a,b: over these). A case depends on the seed, its reader
and its number alone: python -m tests.fuzz.worker READER CASE CASE+1 SEED FOLDER runs it again.
"""

import collections
import concurrent.futures
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.fuzz.mutate import mutate
from tests.fuzz.readers import READERS
from tests.recipes.settings import ROOT

CASES = int(os.environ.get("MBJAX_FUZZ", "0"))
SEED = int(os.environ.get("MBJAX_FUZZ_SEED", "0"))
CHOSEN = os.environ.get("MBJAX_FUZZ_READERS", "").split(",") if CASES else []
# They start PyTorch, JAX or a process, which takes longer than all other readers' cases.
SLOW = (
    "torch_weights", "safetensors_weights", "checkpoint", "parity_input", "corpus_mpi",
    "corpus_mpi_hdf5",
)  # fmt: skip


def run(names, first, last, folder):
    """What went wrong, as worker.py prints it; a process that dies is started again behind it."""
    names, wrong = list(names), []
    while names:
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.worker", ",".join(names), str(first), str(last),
             str(SEED), str(folder)],
            cwd=ROOT, capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )  # fmt: skip
        wrong += [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{"]
        if done.returncode == 0:
            break
        progress = folder / "progress"
        assert progress.exists(), done.stderr[-2000:]
        name, case = progress.read_text().split()
        ended = f"ended with status {done.returncode}: {done.stderr[-300:]}"
        wrong.append({"reader": name, "case": int(case), "error": ended})
        names, first = names[names.index(name) :], int(case) + 1
        if len(names) > 1:  # the others begin at their first case again
            wrong += run(names[:1], first, last, folder.with_name(f"{folder.name}-{case}"))
            names, first = names[1:], 0
        folder = folder.with_name(f"{folder.name}+")
    return wrong


def report(wrong):
    """One case of each kind, with how many there are."""
    kinds = collections.defaultdict(list)
    for one in wrong:
        # What is read differs from case to case, where it fails does not.
        kinds[one["reader"], one["error"].split(":")[0], one["error"].split(": ")[-1]].append(one)
    return "\n".join(f"{len(ones)} like {json.dumps(ones[0])}" for ones in kinds.values())


@pytest.mark.skipif(CASES > 0, reason="many cases are asked for")
def test_a_few_cases_of_every_reader(tmp_path):
    wrong = run([name for name in READERS if name not in SLOW], 0, 8, tmp_path / "work")
    assert not wrong, report(wrong)


@pytest.mark.slow
@pytest.mark.skipif(CASES > 0, reason="many cases are asked for")
@pytest.mark.parametrize("name", SLOW)
def test_a_few_cases_of_slow_readers(tmp_path, name):
    wrong = run([name], 0, 20, tmp_path / "work")
    assert not wrong, report(wrong)


@pytest.mark.skipif(CASES == 0, reason="MBJAX_FUZZ says how many")
def test_as_many_cases_as_asked_for(tmp_path):
    names = [name for name in CHOSEN if name] or list(READERS)
    each = -(-CASES // len(names))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {name: pool.submit(run, [name], 0, each, tmp_path / name) for name in names}
        wrong = [one for name in names for one in running[name].result()]
    print(f"\n{each:,} cases of each of {len(names)} readers: {len(wrong)} wrong")
    assert not wrong, report(wrong)


def test_cases_depend_on_their_number_alone_and_differ():
    content = json.dumps({"a": [1, 2.5, {"b": "text"}]}).encode()
    made = [mutate("a.json", content, np.random.default_rng([0, 0, case])) for case in range(200)]
    again = [mutate("a.json", content, np.random.default_rng([0, 0, case])) for case in range(200)]
    assert made == again and len(set(made)) > 100


def test_what_a_case_does_is_seen(tmp_path, monkeypatch):
    """The worker tells errors, too long, and too much memory from what commands report."""
    from mbjax.commands import failures
    from tests.fuzz import worker

    def raises(error):
        raise error

    assert worker._outcome(lambda: None, failures) == ""
    assert worker._outcome(lambda: raises(ValueError("x")), failures) == ""
    assert worker._outcome(lambda: raises(FileNotFoundError("x")), failures) == ""
    for error in (KeyError("x"), AttributeError(), RecursionError(), AssertionError()):
        assert type(error).__name__ in worker._outcome(lambda e=error: raises(e), failures)
    assert "MB" in worker._outcome(lambda: raises(MemoryError()), failures)
    assert "more than" in worker._outcome(lambda: raises(worker.TooLong()), failures)
