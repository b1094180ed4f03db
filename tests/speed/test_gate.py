"""The benchmark gate: what passes, and that a planted slowdown does not."""

import importlib.util

import jax
import pytest

from mbjax import cli, configuration
from mbjax.speed import gate, suites
from mbjax.speed.gate import Figure
from tests.recipes.settings import TINY_SETTINGS


@pytest.mark.parametrize(
    "value, better, outcome",
    [
        (104.0, "lower", "same"), (106.0, "lower", "WORSE"), (90.0, "lower", "better"),
        (96.0, "higher", "same"), (94.0, "higher", "WORSE"), (110.0, "higher", "better"),
        (float("nan"), "lower", "WORSE"), (float("nan"), "higher", "WORSE"),
    ],
)  # fmt: skip
def test_outcomes(value, better, outcome):
    baseline = {"x": {"value": 100.0, "unit": "ms", "better": better, "tolerance": 0.05}}
    (verdict,) = gate.compare([Figure("x", value, "ms")], baseline)
    assert verdict.outcome == outcome and outcome in verdict.line()


def test_a_figure_without_a_baseline_is_new_and_passes():
    verdicts = gate.compare([Figure("x", 1.0, "ms")], {})
    assert verdicts[0].outcome == "new" and gate.passes(verdicts)


def test_zero_tolerance_and_zero_baseline():
    baseline = {"x": {"value": 0.0, "unit": "", "better": "lower", "tolerance": 0.0}}
    assert gate.passes(gate.compare([Figure("x", 0.0, "")], baseline))
    assert not gate.passes(gate.compare([Figure("x", 1.0, "")], baseline))


def test_the_tolerance_is_the_baselines():
    """A change that makes things slower cannot make itself pass."""
    baseline = {"x": {"value": 100.0, "unit": "ms", "better": "lower", "tolerance": 0.05}}
    assert not gate.passes(gate.compare([Figure("x", 120.0, "ms", tolerance=0.5)], baseline))


def test_an_update_leaves_other_suites_figures(tmp_path):
    path = tmp_path / "baseline.json"
    gate.update([Figure("a", 1.0, "ms"), Figure("b", 2.0, "x", "higher", 0.1)], path)
    gate.update([Figure("a", 3.0, "ms")], path)
    assert {name: row["value"] for name, row in gate.read(path).items()} == {"a": 3.0, "b": 2.0}
    path.write_text("[1]")
    with pytest.raises(ValueError, match="not a table of figures"):
        gate.read(path)


@pytest.mark.slow
def test_a_planted_slowdown_fails_the_gate(tmp_path, monkeypatch, capsys):
    """A step that does twice the work, through the command."""
    depth = 1

    def measured():
        settings = [*TINY_SETTINGS, f"--config.model.depth={depth}"]
        config = configuration.load("configs/pretrain.py:tiny", settings)
        return [Figure("memory", suites.step_memory(config), "B", "lower", 0.1)]

    monkeypatch.setitem(suites.SUITES, "cpu", measured)
    monkeypatch.setattr(gate, "BASELINE", tmp_path / "baseline.json")
    assert cli.main(["bench", "--suite", "cpu", "--update-baseline"]) == 0
    assert cli.main(["bench", "--suite", "cpu", "--gate"]) == 0
    depth = 2
    assert cli.main(["bench", "--suite", "cpu", "--gate"]) == 1
    assert "WORSE" in capsys.readouterr().out
    assert cli.main(["bench", "--suite", "cpu"]) == 0  # a look is no gate


@pytest.mark.slow
def test_a_step_that_compiles_again_is_counted():
    assert suites.compilations() == 1

    def spoiled(batch, number):
        return jax.tree.map(lambda a: a.astype("bfloat16") if number == 2 else a, batch)

    assert suites.compilations(spoiled) == 2


def test_the_committed_baseline_can_be_read():
    table = gate.read()
    assert table
    for name, row in table.items():
        assert row.pop("made_with")
        Figure(name, **row)


def test_a_baseline_of_another_compiler_is_told(tmp_path):
    figure, path = Figure("a", 1.0, "ms"), tmp_path / "baseline.json"
    gate.update([figure], path)
    assert not gate.other_compilers([figure], gate.read(path))
    path.write_text(path.read_text().replace("jax ", "jax 0.0."))
    (line,) = gate.other_compilers([figure], gate.read(path))
    assert line.startswith("the baseline was made with jax 0.0.")


@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="needs the TPU compiler")
@pytest.mark.slow
def test_the_tpu_suite_sees_a_step_of_twice_the_work():
    found = [suites.tpu(overrides)[0].value for overrides in ((), ("--config.model.depth=2",))]
    assert found[1] > 1.5 * found[0]


def test_gate_needs_a_suite(capsys):
    assert cli.main(["bench", "--gate"]) == 1
    assert "--suite" in capsys.readouterr().err
