import os
import shutil
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mbjax import configuration
from mbjax.devices import sharding
from mbjax.speed.one_source import OneSource
from mbjax.training import checkpoint, signed_meta
from mbjax.training.checkpoint import Checkpoints
from mbjax.training.fingerprint import Fingerprints
from mbjax.training.step import prepared


def make(step, seed=0, wide=64):
    params = {
        "blocks": {
            i: {"w": jax.random.normal(jax.random.key(seed + i), (wide, 32))} for i in (0, 1)
        }
    }
    state = {
        "params": params,
        "other": {"bn": {"mean": jnp.arange(4.0)}},
        "opt_state": optax.adam(1e-3).init(params),
    }
    return state, {"step": step, "task": "test"}


def abstract(state, sharding_of):
    return jax.tree.map(
        lambda leaf, leaf_sharding: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=leaf_sharding
        ),
        state,
        sharding_of(state),
    )


def test_restores_bit_for_bit_onto_another_mesh(tmp_path):
    """Written whole on one device, read split over four pairs."""
    state, meta = make(5)
    first = Checkpoints(tmp_path)
    first.save(state, meta)
    first.close()
    mesh = sharding.make_mesh(fsdp=2)
    target = abstract(state, lambda s: sharding.state_sharding(s, mesh))
    found, found_meta = Checkpoints(tmp_path).restore(target)
    assert found_meta == meta
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(a, b)
    kernel = found["params"]["blocks"][0]["w"]
    assert len({str(shard.index) for shard in kernel.addressable_shards}) == 2


@pytest.mark.parametrize(("wide", "cuts"), [(64, 0), (4096, 6 * 8)])
def test_small_arrays_are_not_cut_among_devices(wide, cuts, tmp_path, monkeypatch):
    """Each cut is a program to compile; 64 x 32 of float32 are 8 kB, 4,096 x 32 are 8 x 64."""
    state, meta = make(5, wide=wide)
    whole = sharding.state_sharding(state, sharding.make_mesh())
    original, made = jax.lax.slice_in_dim, []

    def slice_in_dim(*arguments, **options):
        made.append(arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(jax.lax, "slice_in_dim", slice_in_dim)
    manager = Checkpoints(tmp_path)
    manager.save(jax.device_put(state, whole), meta)
    manager.close()
    assert len(made) == cuts, "parameters and Adam's two moments, two arrays of each"
    found, _ = Checkpoints(tmp_path).restore(abstract(state, lambda _: whole))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_keeps_the_newest_and_the_best(tmp_path):
    manager = Checkpoints(tmp_path, keep=2, best="error_mm")
    for step, error in ((1, 50.0), (2, 20.0), (3, None), (4, 30.0), (5, 40.0)):
        state, meta = make(step)
        manager.save(state, meta, {"error_mm": error} if error else None)
        manager.wait()
    assert manager.steps() == [2, 4, 5]
    manager.close()


def test_reads_without_knowing_the_network(tmp_path):
    state, meta = make(7)
    manager = Checkpoints(tmp_path)
    manager.save(state, meta)
    manager.close()
    found, arrays = checkpoint.read(tmp_path)
    assert found == meta and set(arrays) == {"params", "other"}
    np.testing.assert_array_equal(
        arrays["params"]["blocks"][1]["w"], state["params"]["blocks"][1]["w"]
    )
    assert checkpoint.find(tmp_path).name == "7" == checkpoint.find(tmp_path, "7").name


def test_a_save_does_not_wait_for_fingerprints(tmp_path, monkeypatch):
    """They are fetched by the thread that writes; what is not finite leaves no checkpoint.

    meta is what it was when the save began.
    """
    fetch, may_go_on, late = Fingerprints.fetch, threading.Event(), []

    def slow(prints):
        late.append(not may_go_on.wait(20))
        return fetch(prints)

    monkeypatch.setattr(Fingerprints, "fetch", slow)
    manager = Checkpoints(tmp_path)
    state, meta = make(3)
    sums = {"loss": [1.0, 1]}
    manager.save(state, {**meta, "unlogged": sums})
    sums["loss"][0] = 2.0
    may_go_on.set()
    manager.wait()
    assert late and not any(late), "the save waited"
    found = checkpoint.read_meta(checkpoint.find(tmp_path, "3"))
    assert signed_meta.is_signed(found) and found["unlogged"] == {"loss": [1.0, 1]}

    state["opt_state"] = jax.tree.map(lambda leaf: leaf * jnp.nan, state["opt_state"])
    manager.save(state, {**meta, "step": 4})
    with pytest.raises(
        signed_meta.NotFinite, match="opt_state/0/count .* at step 4; it is not saved"
    ):
        manager.wait()
    assert [path.name for path in manager.directory.glob("[0-9]")] == ["3"]


def test_a_folder_that_was_deleted_is_not_made_anew(tmp_path):
    state, meta = make(3)
    manager = Checkpoints(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="was there when the run began, and is gone"):
        manager.save(state, meta)
    assert not (tmp_path / "run").exists()


def test_nothing_there_is_one_clear_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at .*expected a work folder"):
        checkpoint.find(tmp_path)
    with pytest.raises(FileNotFoundError):
        checkpoint.find(tmp_path / "not-there")


def test_all_damaged_is_an_error_and_not_a_fresh_start(tmp_path):
    state, meta = make(1)
    manager = Checkpoints(tmp_path)
    manager.save(state, meta)
    manager.close()
    for path in (tmp_path / "checkpoints" / "1" / "params").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    said = []
    mesh = sharding.make_mesh()
    target = abstract(state, lambda s: sharding.state_sharding(s, mesh))
    with pytest.raises(ValueError, match="no checkpoint in .* can be read; move it away"):
        Checkpoints(tmp_path).restore(target, said.append)
    assert len(said) == 1 and "cannot be read" in said[0]


def test_a_stopped_write_is_not_a_checkpoint(tmp_path):
    """What a killed process leaves: a folder that Orbax has not renamed yet."""
    state, meta = make(1)
    manager = Checkpoints(tmp_path)
    manager.save(state, meta)
    manager.close()
    half = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    (half / "params").mkdir(parents=True)
    assert Checkpoints(tmp_path).steps() == [1]
    assert checkpoint.find(tmp_path).name == "1"


@pytest.mark.skipif("MBJAX_SAVE_COST" not in os.environ, reason="writes 0.5 GB; MBJAX_SAVE_COST=1")
def test_what_a_save_of_full_costs_the_loop(tmp_path, monkeypatch):
    """With fingerprints and without, in turn; printed with -s."""
    config = configuration.load("configs/pretrain.py:mb", [])
    source = OneSource(config, made_up=True, frames=27)
    run = prepared(source.task(2), source.settings(), sharding.make_mesh(1, jax.devices()[:1]))
    state = jax.block_until_ready(run.new_state())
    manager = Checkpoints(tmp_path, keep=1)
    waits = {False: [], True: []}
    for number in range(12):
        signing = bool(number % 2)
        with monkeypatch.context() as without:
            if not signing:
                without.setattr(signed_meta, "Fingerprints", lambda tree: Fingerprints({}))
            begun = time.monotonic()
            manager.save(state, {"step": number, "task": "pretrain"})
            waits[signing].append(time.monotonic() - begun)
            manager.wait()
        print(f"\nfingerprints {signing}: the loop waits {waits[signing][-1]:.2f} s, on disk after "
              f"{time.monotonic() - begun:.2f} s", end="")  # fmt: skip
    manager.close()
    # The first of each compiles.
    median = {signing: sorted(each[1:])[2] for signing, each in waits.items()}
    print(f"\nmedian wait {median[True]:.2f} s, {median[False]:.2f} s without fingerprints")
    # Copying 0.5 GB takes as long again on a busy machine; waiting for fingerprints took 1.1 s.
    assert median[True] < 2 * median[False] + 0.3
