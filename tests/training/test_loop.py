"""The loop: resuming, stopping, compiling once, what it refuses."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbjax.devices import sharding
from mbjax.tasks.pretrain import task as pretrain
from mbjax.training import checkpoint, loop, preemption, session, step
from mbjax.training.run_log import keep_until, read_metrics
from mbjax.training.workdir import claim_workdir
from tests.recipes.settings import QUICK_TO_COMPILE, ROOT, TINY_SETTINGS


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The final parameters of a run of 16 steps, in a process of its own like those below."""
    workdir = tmp_path_factory.mktemp("uninterrupted")
    subprocess.run(command(workdir), check=True, env=ENVIRONMENT, capture_output=True)
    return workdir


# One device, as in the processes that are killed.
ENVIRONMENT = {
    **os.environ,
    "XLA_FLAGS": QUICK_TO_COMPILE,
    "JAX_PLATFORMS": "cpu",
}


def command(workdir):
    return [
        sys.executable, "-m", "mbjax", "pretrain", "--config", "configs/pretrain.py:tiny",
        "--workdir", str(workdir), *TINY_SETTINGS,
    ]  # fmt: skip


def final_arrays(workdir):
    meta, arrays = checkpoint.read(workdir, items=("params", "opt_state"))
    assert meta["step"] == 16
    return jax.tree.leaves(arrays)


def losses_of(workdir):
    rows = [row for row in read_metrics(workdir) if row["kind"] == "train"]
    return [row[name] for row in rows for name in sorted(row) if name.endswith("/loss")]


def assert_same_end(first, second):
    for a, b in zip(final_arrays(first), final_arrays(second), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_killed_at_a_random_moment_and_started_again_ends_the_same(uninterrupted, tmp_path):
    """SIGKILL somewhere between the first checkpoint and the end, bit for bit the same after."""
    process = subprocess.Popen(
        command(tmp_path), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("checkpoints/*/params")) and process.poll() is None:
        assert time.monotonic() < deadline, "no checkpoint after two minutes"
        time.sleep(0.02)
    time.sleep(random.SystemRandom().uniform(0, 0.5))
    process.kill()
    process.wait()
    subprocess.run(command(tmp_path), check=True, env=ENVIRONMENT, capture_output=True)
    assert_same_end(uninterrupted, tmp_path)
    steps = [row["step"] for row in read_metrics(tmp_path) if row["kind"] == "train"]
    assert steps == sorted(set(steps)), "the log has no step twice"


@pytest.mark.slow
def test_sigterm_saves_and_asks_to_be_started_again(uninterrupted, tmp_path):
    process = subprocess.Popen(
        command(tmp_path),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "metrics.jsonl").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=120)
    if process.returncode == 0:
        pytest.fail("the run ended before the signal came; make it longer")
    assert process.returncode == preemption.EXIT_START_AGAIN
    assert "saved; start it again to continue" in error and "Traceback" not in error
    subprocess.run(command(tmp_path), check=True, env=ENVIRONMENT, capture_output=True)
    assert_same_end(uninterrupted, tmp_path)


@pytest.mark.slow
def test_a_full_disk_stops_training_and_with_room_it_goes_on(uninterrupted, tmp_path):
    """A disk of 0.8 MB has room for the first checkpoint alone, with which 0.5 to 0.6 are full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root alone")
    try:
        full = subprocess.run(
            command(disk / "run"), env=ENVIRONMENT, capture_output=True, text=True
        )
        lines = [line for line in full.stderr.splitlines() if not line.startswith("pretrain: step")]
        assert full.returncode == 1 and len(lines) == 1, full.stderr
        assert lines[0].endswith("No space left on device") and str(disk) in lines[0]
        steps = [path for path in (disk / "run/checkpoints").iterdir() if path.name.isdigit()]
        assert steps
        for path in steps:
            checkpoint.read(path, checkpoint.ARRAYS)  # verified, too
        subprocess.run(["mount", "-o", "remount,size=60m", str(disk)], check=True)
        subprocess.run(command(disk / "run"), env=ENVIRONMENT, check=True, capture_output=True)
        assert_same_end(uninterrupted, disk / "run")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.slow
def test_a_run_that_is_done_stays_done(uninterrupted):
    before = (uninterrupted / "metrics.jsonl").read_text()
    done = subprocess.run(
        command(uninterrupted), check=True, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert "continuing at step 16" in done.stdout
    assert (uninterrupted / "metrics.jsonl").read_text() == before


def test_a_folder_of_another_config_is_refused(uninterrupted, tiny_config):
    tiny_config.learning_rate = 0.5
    tiny_config.log_every = "7 steps"  # may change
    with pytest.raises(ValueError, match=r"another config: learning_rate was 0.001, now 0.5;") as e:
        claim_workdir(uninterrupted, tiny_config)
    assert "log_every" not in str(e.value)


@pytest.mark.slow
def test_damaged_newest_checkpoint_falls_back_to_the_one_before(uninterrupted, tmp_path):
    import shutil

    shutil.copytree(uninterrupted, tmp_path / "run")
    folders = sorted((tmp_path / "run" / "checkpoints").glob("[0-9]*"), key=lambda p: int(p.name))
    for path in (folders[-1] / "params").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    done = subprocess.run(
        command(tmp_path / "run"), env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert f"checkpoints/{folders[-1].name} cannot be read" in done.stdout
    assert f"continuing at step {folders[-2].name}" in done.stdout
    assert_same_end(uninterrupted, tmp_path / "run")


@pytest.mark.slow
def test_each_step_compiles_once_and_devices_do_not_matter(tiny_config, tmp_path, uninterrupted):
    """Eight devices, in this process: one compilation a source, the losses of one device."""
    counts = {}
    original = step.compiled_step

    def counting(step, mesh, abstract):
        name = len(counts)
        counts[name] = 0

        def traced(state, batch):
            counts[name] += 1
            return step(state, batch)

        return original(traced, mesh, abstract)

    step.compiled_step = counting
    try:
        result = loop.run(tiny_config, pretrain.make_task, tmp_path, say=lambda text: None)
    finally:
        step.compiled_step = original
    assert result.step == 16 and counts == {0: 1, 1: 1}

    # Sums over the batch are split over devices: float32 rounding, grown over 16 steps.
    np.testing.assert_allclose(losses_of(tmp_path), losses_of(uninterrupted), rtol=1e-4)


@pytest.mark.slow
def test_split_parameters_train_as_whole_ones(tiny_config, tmp_path, uninterrupted, monkeypatch):
    """Pairs of devices that share one copy of parameters and optimizer state."""
    monkeypatch.setattr(sharding, "SMALLEST_SPLIT", 64)
    tiny_config.fsdp = 2
    result = loop.run(tiny_config, pretrain.make_task, tmp_path, say=lambda text: None)
    split = [
        leaf
        for leaf in jax.tree.leaves(result.state["opt_state"])
        if leaf.addressable_shards[0].data.size * 2 == leaf.size
    ]
    assert split, "moments are split"
    # As above: sums over the batch in another order, grown over 16 steps.
    np.testing.assert_allclose(losses_of(tmp_path), losses_of(uninterrupted), rtol=1e-4)


@pytest.mark.slow
def test_nan_stops_with_the_last_good_checkpoint_kept(tiny_config, tmp_path):
    task = pretrain.make_task(tiny_config)

    def poisoned(config):
        source = task.sources["motion"]

        def loss(model, batch, keys_B, progress):
            total, terms = source.loss(model, batch, keys_B, progress)
            return jnp.where(progress > 4.5 / 16, jnp.nan, total), terms

        import dataclasses

        sources = {**task.sources, "motion": dataclasses.replace(source, loss=loss)}
        return dataclasses.replace(task, sources=sources)

    with pytest.raises(session.TrainingDiverged, match="nan at step 6 .*last good checkpoint is 3"):
        loop.run(tiny_config, poisoned, tmp_path, say=lambda text: None)
    meta, arrays = checkpoint.read(tmp_path)
    assert meta["step"] == 3
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(arrays))


@pytest.mark.slow
def test_accumulated_gradients_are_those_of_the_whole_batch(tiny_config):
    """Without corruption and augmentation, slices of the batch and the batch itself agree."""
    tiny_config.noise = False
    tiny_config.mask_joints = tiny_config.mask_frames = 0.0
    tiny_config.augment.update(mirror=False, bone_std=0.0, yaw=0.0, pitch=0.0, scale_high=0.0)
    task = pretrain.make_task(tiny_config)
    plan = step.make_plan(task, tiny_config)
    optimizer, _ = task.optimizer(plan)
    graphdef, fresh = step.make_state(task, optimizer, 0)
    batch = {"pose": jax.random.normal(jax.random.key(0), (8, 9, 17, 3))}
    ends = []
    for accumulate in (1, 4):
        one = step.make_step(task, task.sources["motion"], graphdef, optimizer, plan, accumulate)
        state, metrics = jax.jit(one)(fresh(), batch)
        ends.append((metrics["loss"], metrics["gradient_norm"]))
    # The scale loss is fitted per frame, all others are means over rows: equal but for rounding.
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5)


def test_half_written_log_lines_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [json.dumps({"kind": "train", "step": step}) for step in (2, 4, 6)]
    path.write_text("\n".join(rows) + '\n{"kind": "tr')
    keep_until(path, 4)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [2, 4]


@pytest.mark.slow
def test_training_process_never_loads_tensorflow(tmp_path):
    """A whole run, and then a look at what it has imported; TensorFlow is installed here."""
    code = (
        "import sys\n"
        "from mbjax.cli import main\n"
        f"status = main({['pretrain', *command(tmp_path)[4:]]!r})\n"
        "loaded = [m for m in sys.modules if m.split('.')[0] == 'tensorflow']\n"
        "assert status == 0 and not loaded, (status, loaded)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True,
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_url_of_another_kind_is_no_work_folder(tiny_config):
    with pytest.raises(ValueError, match="ftp://host/run: places of the kind ftp://"):
        loop.run(tiny_config, pretrain.make_task, "ftp://host/run")
