"""launch/slurm.sbatch under a real Slurm: tasks meet, are preempted, requeue, and end exactly."""

import pathlib
import sys
import tempfile
import time

import numpy as np
import pytest

from mbjax.training import checkpoint
from mbjax.training.run_log import read_metrics
from tests.recipes import slurm
from tests.recipes.settings import QUICK_TO_COMPILE, ROOT, TINY_SETTINGS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(slurm.missing()), reason=f"Slurm: {slurm.missing()}"),
]

SETTINGS = (
    *TINY_SETTINGS, "--config.sources.annotated.dir=", "--config.model.structure=st",
    "--config.epochs=300", "--config.save_every=", "--config.log_every=20 steps",
)  # fmt: skip


def submit(cluster, workdir):
    """The job's number. --chdir: as from a folder of the user's."""
    printed = cluster.run(
        "sbatch", "--parsable", "--nodes=2", "--gpus-per-node=0", "--cpus-per-task=1",
        "--time=20", f"--chdir={cluster.folder}", ROOT / "launch" / "slurm.sbatch", "pretrain",
        "--config", "pretrain:tiny", *SETTINGS,
        MBJAX_ENV=sys.prefix, MBJAX_WORKDIR=str(workdir), JAX_PLATFORMS="cpu",
        JAX_NUM_CPU_DEVICES="1", XLA_FLAGS=QUICK_TO_COMPILE,
        PYTHONPATH=str(ROOT),
    )  # fmt: skip
    return printed.strip()


def wait(cluster, job, condition, seconds=180):
    log = cluster.folder / f"mbjax-{job}.log"
    deadline = time.monotonic() + seconds
    while not condition(state := cluster.state(job)):
        text = log.read_text() if log.exists() else ""
        wrong = time.monotonic() > deadline or state.startswith("FAILED")
        assert not wrong, f"{state}\n{text}\n{cluster.logs()}"
        time.sleep(0.5)
    return log.read_text() if log.exists() else ""


def end_of(workdir):
    _, arrays = checkpoint.read(workdir, checkpoint.ARRAYS)
    return checkpoint.leaves(arrays)


@pytest.fixture
def cluster():
    # munged wants a way to its socket for all, and names of sockets are short.
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        with slurm.cluster(pathlib.Path(folder)) as started:
            yield started


def test_a_job_is_preempted_requeued_and_ends_as_if_undisturbed(cluster, tmp_path):
    job = submit(cluster, tmp_path / "run")
    wait(cluster, job, lambda state: bool(read_metrics(tmp_path / "run")))
    assert cluster.state(job) == "RUNNING 0"
    # What Slurm sends before a time limit and at a preemption: to the steps, not the script.
    cluster.run("scancel", "--signal=TERM", job)
    text = wait(cluster, job, lambda state: state.startswith(("PENDING", "RUNNING 1")))
    assert f"Slurm job {job}: 2 processes, on node0, node1" in text, text
    assert text.count("Exited with exit code 75") == 2, text
    assert "slurm.sbatch: saved; back into the queue" in text
    stopped = int(text.partition(": stopped at step ")[2].split(",")[0].replace(",", ""))
    text = wait(cluster, job, lambda state: state == "COMPLETED 1")
    assert f"continuing at step {stopped:,}" in text, text

    other = submit(cluster, tmp_path / "calm")
    wait(cluster, other, lambda state: state == "COMPLETED 0")
    for mine, theirs in zip(end_of(tmp_path / "run"), end_of(tmp_path / "calm"), strict=True):
        np.testing.assert_array_equal(mine, theirs)
