"""Runs of several real processes: the same numbers however they are laid out, and every way to die.

A layout is processes x devices of each.
"""

import json
import os
import random
import shutil
import signal
import time

import jax
import numpy as np
import pytest

from mbjax.training import checkpoint
from mbjax.training.preemption import EXIT_START_AGAIN
from mbjax.training.run_log import read_metrics
from tests.recipes.processes import Run, pretraining, small_run
from tests.recipes.settings import TINY_MODEL

# 20 steps with noise, masks and mirroring, all of which draw random numbers on the device.
SETTINGS = (
    *TINY_MODEL, "--config.model.structure=st", "--config.batch_size=8",
    "--config.epochs=4", "--config.sources.motion.steps_per_epoch=5",
    "--config.sources.annotated.dir=", "--config.sources.detected.dir=",
    "--config.augment.bone_std=0", "--config.augment.yaw=0", "--config.augment.pitch=0",
    "--config.augment.scale_high=0", "--config.warmup_steps=2", "--config.evaluation.dir=",
    "--config.log_every=1 step", "--config.save_every=20 steps", "--config.feed_threads=1",
)  # fmt: skip
# Parameters of the Full model, two of them being in _Small anyway.
ARRAYS_OF_FULL = 258
LAYOUTS = ((1, 4), (2, 2), (4, 1))
KILLS = int(os.environ.get("MBJAX_KILLS", "6"))


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """{(processes, devices): folder} of finished runs; the parameters are split in two in the last.

    Half of each array is on devices of two processes there.
    """
    folders = {}
    for layout in LAYOUTS:
        folder = tmp_path_factory.mktemp("x".join(map(str, layout)))
        settings = (*SETTINGS, "--config.fsdp=2") if layout == LAYOUTS[-1] else SETTINGS
        jobs = [(settings, folder / "run", folder / "rows")]
        run = Run(*layout, pretraining, jobs, log=folder / "log")
        assert run.wait() == [0] * layout[0], run.text()
        folders[layout] = folder
    return folders


def fed(folder):
    rows = [row for path in sorted(folder.glob("rows.*")) for row in json.loads(path.read_text())]
    return sorted(map(tuple, rows))


def losses(workdir):
    rows = [row for row in read_metrics(workdir) if row["kind"] == "train"]
    # The last two steps share a line, with their mean.
    assert [row["step"] for row in rows] == [*range(1, 19), 20]
    return np.array([row["motion/loss"] for row in rows])


@pytest.mark.slow
def test_every_layout_feeds_the_same_rows_bit_for_bit(layouts):
    expected = fed(layouts[1, 4])
    assert len(expected) == 20 * 4, "20 steps, a block of rows on each of four devices"
    assert fed(layouts[2, 2]) == expected and fed(layouts[4, 1]) == expected


@pytest.mark.slow
def test_every_layout_has_the_same_losses(layouts):
    expected = losses(layouts[1, 4] / "run")
    assert len(set(expected)) == 19
    for layout in LAYOUTS[1:]:
        # Sums over devices in another order: float32 rounding, over 20 steps.
        np.testing.assert_allclose(losses(layouts[layout] / "run"), expected, rtol=1e-5)


@pytest.mark.slow
def test_one_process_writes_the_log_and_says_where_it_runs(layouts):
    said = [(layouts[4, 1] / f"log.{process}").read_text() for process in range(4)]
    assert "4 processes, 4 cpu devices, mesh data 2 x fsdp 2; batch motion 8 (2 a dev" in said[0]
    assert not any("parameters" in text or "step" in text for text in said[1:])


# --- stopping and dying -----------------------------------------------------------------------


def end_of(workdir, steps=40):
    meta, arrays = checkpoint.read(workdir, items=("params", "opt_state"))
    assert meta["step"] == steps
    return jax.tree.leaves(arrays)


def steps_of(workdir):
    return sorted(int(p.name) for p in workdir.glob("checkpoints/[0-9]*") if p.name.isdigit())


def logged(workdir, step):
    return lambda: any(row["step"] >= step for row in read_metrics(workdir))


def writing(workdir):
    """Whether a checkpoint is half written, besides those that a killed run left so."""

    def half():
        return {path.name for path in workdir.glob("checkpoints/*") if "tmp" in path.name}

    left = half()
    return lambda: bool(half() - left)


def send(process, number):
    os.kill(process.pid, number)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    run = Run(2, 1, small_run, folder / "run", 40, 0.0, log=folder / "log")
    assert run.wait() == [0, 0], run.text()
    return folder / "run"


@pytest.mark.slow
def test_signals_and_kills_of_one_process_lose_nothing(uninterrupted, tmp_path):
    """One run of two processes, told to stop, killed in a step, killed while it saves."""
    workdir = tmp_path / "run"

    def start(number, processes=2, devices=1):
        return Run(processes, devices, small_run, workdir, log=tmp_path / f"log{number}")

    run = start(1)
    run.until(logged(workdir, 2))
    send(run.processes[1], signal.SIGTERM)
    assert run.wait() == [EXIT_START_AGAIN] * 2, run.text()
    (stopped,) = {line for line in run.text().splitlines() if line.startswith("stopped at step")}
    newest = steps_of(workdir)[-1]
    assert f"step {newest}, saved" in stopped and newest < 40
    shutil.copytree(workdir, tmp_path / "elastic")

    run = start(2)
    run.until(logged(workdir, newest + 2))
    begun = time.monotonic()
    send(run.processes[1], signal.SIGKILL)
    statuses = run.wait()
    assert statuses == [EXIT_START_AGAIN, -signal.SIGKILL] and time.monotonic() - begun < 20
    assert "lost another one" in run.text()

    run = start(3)
    run.until(writing(workdir))
    send(run.processes[0], signal.SIGKILL)
    statuses = run.wait()
    assert statuses[0] == -signal.SIGKILL and statuses[1] not in (0, None)

    # And the newest checkpoint is damaged: all fall back to the one before.
    damaged, before = steps_of(workdir)[-1], steps_of(workdir)[-2]
    for path in (workdir / "checkpoints" / str(damaged) / "params").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    run = start(4)
    assert run.wait() == [0, 0], run.text()
    assert f"checkpoints/{damaged} cannot be read" in run.text()
    assert f"continuing at step {before}" in run.text()
    for a, b in zip(end_of(workdir), end_of(uninterrupted), strict=True):
        np.testing.assert_array_equal(a, b)
    steps = [row["step"] for row in read_metrics(workdir) if row["kind"] == "train"]
    assert steps == sorted(set(steps)), "the log has no step twice"

    # The same from the first stop on, in one process with two devices.
    workdir = tmp_path / "elastic"
    run = start(5, 1, 2)
    assert run.wait() == [0], run.text()
    for a, b in zip(end_of(workdir), end_of(uninterrupted), strict=True):
        # Sums over devices in another order.
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_a_signal_to_all_stops_all_at_one_step(tmp_path):
    run = Run(2, 1, small_run, tmp_path / "run", log=tmp_path / "log")
    run.until(logged(tmp_path / "run", 2))
    for process in run.processes:
        send(process, signal.SIGTERM)
    assert run.wait() == [EXIT_START_AGAIN] * 2, run.text()
    assert len({line for line in run.text().splitlines() if line.startswith("stopped at")}) == 1


@pytest.mark.slow
def test_kills_lose_no_checkpoint_leave_every_folder_readable_and_end_the_same(tmp_path):
    """One process, a checkpoint every step, SIGKILL at a moment drawn anew each time."""
    workdir, steps = tmp_path / "run", 100 * KILLS
    newest = cut = 0
    for kill in range(KILLS):
        run = Run(1, 1, small_run, workdir, steps, 0.0, 1, log=tmp_path / "log")
        run.until(lambda newest=newest: steps_of(workdir)[-1:] > [newest])
        time.sleep(random.SystemRandom().uniform(0, 0.2))
        before = steps_of(workdir)[-1]
        cut += bool(list(workdir.glob("checkpoints/*tmp*")))
        run.processes[0].kill()
        assert run.wait() == [-signal.SIGKILL], run.text()
        assert steps_of(workdir)[-1] >= before > newest, f"kill {kill}"
        newest = steps_of(workdir)[-1]
        for step in steps_of(workdir):
            meta, arrays = checkpoint.read(workdir / "checkpoints" / str(step))
            assert meta["step"] == step and np.isfinite(arrays["params"]["layer"]["kernel"]).all()
    assert "cannot be read" not in run.text()
    print(f"\n{KILLS} kills, {cut} while a checkpoint was being written, step {newest} of {steps}")

    # The rest without a stop, beside a run that was never stopped; both save once, at the end.
    alone = tmp_path / "alone"
    for folder, log in ((workdir, "last"), (alone, "alone")):
        run = Run(1, 1, small_run, folder, steps, 0.0, steps, log=tmp_path / log)
        assert run.wait() == [0], run.text()
    last = (tmp_path / "last.0").read_text()
    assert f"continuing at step {newest:,}" in last, last[-3000:]
    for a, b in zip(end_of(workdir, steps), end_of(alone, steps), strict=True):
        np.testing.assert_array_equal(a, b)
    logged = [row["step"] for row in read_metrics(workdir) if row["kind"] == "train"]
    assert logged == sorted(set(logged)), "the log has no step twice"


@pytest.mark.slow
def test_the_host_needs_little_of_a_step(tmp_path):
    """Dispatch, feed and log of the loop around a step that is next to nothing on the device.

    The state has as many arrays as the Full model's. Printed with -s. A step of 50 ms on the device
    hides it, the host being ahead; the bound is wide since other tests share the machine.
    """
    arguments = (tmp_path / "run", 600, 0.0, 1000, "50 steps", ARRAYS_OF_FULL)
    run = Run(1, 1, small_run, *arguments, log=tmp_path / "log")
    assert run.wait() == [0], run.text()
    rows = [row for row in read_metrics(tmp_path / "run") if row["kind"] == "train"]
    rates = [row["clips_per_second"] for row in rows]
    per_step_ms = 1000 * 8 / np.median(rates[2:])
    print(f"host overhead: {per_step_ms:.2f} ms a step")
    assert per_step_ms < 25
