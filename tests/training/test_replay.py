"""Steps of a run trained again, and what is found when something is not as it was."""

import json
import shutil

import jax
import numpy as np
import pytest

from mbjax.devices import sharding
from mbjax.training import checkpoint, loop, replay
from mbjax.training.fingerprint import json_checksum
from tests.recipes.processes import small_config, small_task


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("done")
    config = small_config(20, log_every="3 steps")
    loop.run(config, small_task(), folder, say=lambda text: None)
    return folder


def again(folder, start=None, steps=None):
    config = replay.config_of(folder)
    return replay.replay(folder, small_task(), config, start, steps, lambda text: None)


def test_a_clean_run_agrees_bit_for_bit_and_nothing_is_written(done):
    files = {path: path.read_bytes() for path in done.rglob("*") if path.is_file()}
    found = again(done)
    # The log's lines of steps 14, 17 and 20, and the checkpoints of 16 and 20.
    assert found.exact and not found.parted and found.compared == 5, found
    assert (found.first, found.last) == (13, 20) and "bit for bit" in str(found)
    assert again(done, 16, 2).compared == 1
    assert {path: path.read_bytes() for path in done.rglob("*") if path.is_file()} == files


def rewritten(folder, step, change):
    """A checkpoint as it would be had a chip computed something else: all checksums fit."""
    checkpoints = checkpoint.Checkpoints(folder)
    meta, _ = checkpoint.read(folder / "checkpoints" / str(step))
    abstract = jax.eval_shape(lambda: _fresh())
    shardings = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=jax.sharding.SingleDeviceSharding(jax.devices()[0])
        ),
        abstract,
    )
    state, _ = checkpoints.restore_step(step, shardings)
    checkpoints.close()
    shutil.rmtree(folder / "checkpoints" / str(step))
    checkpoints = checkpoint.Checkpoints(folder)
    checkpoints.save(change(jax.tree.map(np.array, state)), meta)
    checkpoints.wait()
    checkpoints.close()


def _fresh():
    from mbjax.training.step import make_plan, make_state

    config = small_config(20)
    task = small_task()(config)
    return make_state(task, task.optimizer(make_plan(task, config))[0], 0)[1]()


def test_one_flipped_bit_of_a_parameter_is_found(done, tmp_path):
    shutil.copytree(done, tmp_path / "run")

    def flip(state):
        state["params"]["layer"]["kernel"].view(np.uint32)[2, 1] ^= 1  # the last bit
        return state

    rewritten(tmp_path / "run", 12, flip)
    found = again(tmp_path / "run", 12)
    assert found.parted and found.parted[0].startswith("step 14: "), found
    assert "they part: step 14" in str(found)
    assert not again(tmp_path / "run", 16).parted


def test_another_layout_agrees_within_the_tolerance(done, tmp_path, monkeypatch):
    """Two devices instead of eight; what differs by more than rounding is found there, too."""
    layout = sharding.make_mesh
    monkeypatch.setattr(sharding, "make_mesh", lambda fsdp: layout(fsdp, jax.devices()[:2]))
    found = again(done)
    assert not found.exact and not found.parted and found.compared == 3, found
    # Rounding of float32, 6e-8, grown over eight steps.
    assert found.largest < 1e-5 and "within 0.001 on another layout" in str(found)

    shutil.copytree(done, tmp_path / "run")
    log = tmp_path / "run" / "metrics.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    for row in rows:
        if row["kind"] == "train" and row["step"] == 17:
            row["numbers/loss"] *= 1.002
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert again(tmp_path / "run").parted[0].startswith("step 17: numbers/loss was ")


def test_steps_and_folders_that_are_not_there(done, tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint of step 7; it has: 12, 16, 20"):
        again(done, 7)
    with pytest.raises(FileNotFoundError, match="not the work folder of a run"):
        replay.config_of(tmp_path)


def test_meta_is_signed(done):
    meta = checkpoint.read_meta(checkpoint.find(done))
    rest = {name: value for name, value in meta.items() if name != "checksum"}
    assert meta["checksum"] == json_checksum(rest)


def test_the_command_says_what_agrees_and_where_it_parts(done, monkeypatch, capsys):
    import types

    from mbjax import cli, tasks

    module = types.SimpleNamespace(make_task=small_task())
    monkeypatch.setattr(tasks, "find", lambda name: module)
    assert cli.main(["replay", str(done), "--from", "16", "--json"]) == 0
    assert '"parted": []' in capsys.readouterr().out
    assert cli.main(["replay", str(done), "--from", "15"]) == 1
    assert "no checkpoint of step 15; it has: 12, 16, 20" in capsys.readouterr().err
