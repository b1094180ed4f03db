"""`mbjax compile`: what it says of pods, and the real compiler for one where it is installed."""

import importlib.util
import types

import pytest

from mbjax import cli, configuration
from mbjax.commands import compile as compile_command
from mbjax.devices import chips
from mbjax.speed import pod_step, scaling
from mbjax.speed.pod_step import describe, largest_batch
from tests.recipes.settings import TINY_STEP

COMPILER = importlib.util.find_spec("libtpu")


def test_unknown_topologies_are_answered_with_the_known_ones(capsys):
    for name in ("v9:4x4", "v5e", "4x4", "v5e:16"):
        arguments = ["compile", "--config", "configs/pretrain.py:tiny", "--topology", name]
        assert cli.main(arguments) == 1
        error = capsys.readouterr().err
        assert "v5e:{2x4,4x4" in error and "v5p:{" in error and "v6e:{" in error
        assert error.count("\n") == 1


def test_without_the_compiler_one_line_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    arguments = ["compile", "--config", "configs/pretrain.py:tiny", "--topology", "v5e:4x4"]
    assert cli.main(arguments) == 1
    assert "pip install 'mbjax[tpu]'" in capsys.readouterr().err


@pytest.mark.parametrize("first", [1, 4, 7, 8, 30])
@pytest.mark.parametrize("bend", [0.0, 0.01])
def test_the_largest_batch_is_found_in_few_compiles(first, bend):
    """16 units of memory, 0.7 taken, 1.95 for each unit of batch, a little more for large ones."""
    chip = types.SimpleNamespace(memory=16.0)

    class Step:
        smallest_batch = 16

        def __init__(self):
            self.compiled = []

        def report(self, batch_size, chip):
            units = batch_size // 16
            self.compiled.append(units)
            needed = 0.7 + 1.95 * units + bend * units**2
            found = {"batch_size": batch_size, "memory_needed": needed, "fits": needed <= 16}
            return {**found, "memory_fixed": 0.7} if found["fits"] else found

    step = Step()
    report = step.report(16 * first, chip)
    found = largest_batch(step, report, chip)
    assert found["batch_size"] == 7 * 16
    assert len(step.compiled) <= 6


def test_a_compiler_that_recomputes_is_followed_to_its_end():
    """As found for the Full model: memory grows to the limit and then stays just below it."""
    chip = types.SimpleNamespace(memory=16.0)
    compiled = []

    def report(batch_size, chip):
        compiled.append(batch_size)
        fits = batch_size <= 13
        needed = min(0.7 + 1.95 * batch_size, 14.6) if fits else 17.0
        found = {"batch_size": batch_size, "memory_needed": needed, "fits": fits}
        return {**found, "memory_fixed": 0.7} if fits else found

    step = types.SimpleNamespace(smallest_batch=1, report=report)
    assert largest_batch(step, report(4, chip), chip)["batch_size"] == 13
    assert len(compiled) <= 9 and max(compiled) < 40


def test_what_the_compiler_says_it_lacks_is_read():
    say = pod_step.memory_needed
    assert say("... Used 17.25G of 15.75G hbm. Exceeded ...") == 17.25 * 2**30
    message = (
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
        "temporaries (30.62G) exceeds available HBM (15.75G)."
    )
    assert say(message) == 30.62 * 2**30
    assert say("INTERNAL: something else") is None


def test_largest_is_zero_where_nothing_fits():
    step = types.SimpleNamespace(smallest_batch=16, report=None)
    report = {"batch_size": 16, "memory_needed": 99.0, "fits": False}
    assert largest_batch(step, report, chips.CHIPS["v5e"])["batch_size"] == 0


def test_scaling_adds_up():
    """Numbers small enough to check by hand."""
    chip = chips.Chip("x", 1, 100, 1000, 400, 2, 256, ())
    report = {"flops": 1e12, "bytes_accessed": 1e9, "batch_per_chip": 2,
              "collectives": {"all-reduce": {"count": 1, "bytes": 100e6}}}  # fmt: skip
    assert scaling.work_seconds(report, chip) == (0.01, 0.001)
    # 2 * 7/8 * 0.1 GB at 200 GB/s.
    assert scaling.sum_seconds(100e6, 8, chip) == pytest.approx(0.875e-3)
    # Four slices of 256: within each, and 2 * 3/4 of its 256th at 2 GB/s.
    within = 2 * 255 / 256 * 0.1 / 200
    assert scaling.sum_seconds(100e6, 1024, chip) == pytest.approx(within + 1.5 * 0.1 / 256 / 2)
    table = scaling.rows(report, chip)
    assert [row["chips"] for row in table] == [8, 16, 32, 64, 128, 256, 512, 1024]
    assert table[0]["efficiency"] == pytest.approx(10 / 10.875)
    assert table[0]["clips_per_s"] == table[0]["host_clips_per_s"] == pytest.approx(16 / 0.010875)
    assert "| 1,024 | 2,048 |" in scaling.describe(report, chip)


@pytest.mark.slow
def test_options_reach_the_compiler(monkeypatch):
    """Here the CPU's, which takes names and refuses others in the same words."""
    import jax

    config = configuration.load("configs/pretrain.py:tiny", list(TINY_STEP))
    devices = jax.devices()[:1]
    known = dict([compile_command._option("--xla_cpu_enable_fast_math=true")])
    assert pod_step.PodStep(config, devices, options=known).compile(4)
    assert known == {"xla_cpu_enable_fast_math": True}
    unknown = pod_step.PodStep(config, devices, options={"xla_nonsense": "1"})
    with pytest.raises(ValueError, match="--option: .*No such compile option: 'xla_nonsense'"):
        unknown.compile(4)


@pytest.mark.slow
@pytest.mark.skipif(not COMPILER, reason="libtpu (213 MB) is not installed: pip install '.[tpu]'")
def test_the_real_compiler_for_sixteen_chips(monkeypatch):
    config = configuration.load(
        "configs/pretrain.py:tiny", [*TINY_STEP, "--config.accumulate=2", "--config.fsdp=1"]
    )
    step = pod_step.PodStep(config, pod_step.topology_devices("v5e:4x4"))
    report = step.report(64, chips.CHIPS["v5e"])
    assert report["fits"] and report["chips"] == 16 and report["batch_per_chip"] == 4
    memory = report["memory"]
    assert memory["donated"] > 0.9 * memory["outputs"] > 0 and report["flops"] > 0
    (kind,) = report["collectives"]
    assert kind == "all-reduce"
    # The gradients once, although there are two slices: the sum is behind the loop.
    from mbjax.devices import sharding
    from mbjax.tasks.pretrain import task as pretrain
    from mbjax.training.step import make_plan, make_state

    task = pretrain.make_task(config)
    optimizer, _ = task.optimizer(make_plan(task, config))
    _, fresh = make_state(task, optimizer, 0)
    import jax

    parameters = sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(fresh)["params"]))
    assert report["collectives"][kind]["bytes"] < 1.05 * 4 * parameters
    assert "16 TPU v5 lite chips, mesh data 16 x fsdp 1" in describe(
        "v5e:4x4", report, chips.CHIPS["v5e"]
    )
    assert sharding.make_mesh(1, step.mesh.devices.ravel()).size == 16
