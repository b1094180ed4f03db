"""Timings beside the twin: same network, turns, and a report that can be read."""

import pathlib

import numpy as np
import pytest

from mbjax import cli
from mbjax.models.dstformer import DSTformerConfig
from mbjax.speed import against

torch = pytest.importorskip("torch")
SMALL = DSTformerConfig(dim_feat=16, dim_rep=8, depth=1, num_heads=2, maxlen=9)
EAGER = ("eager float32",)


@pytest.mark.slow
def test_forward_and_step_are_timed_on_both_sides(tmp_path):
    said = []
    report = against.run(SMALL, 9, 2, 2, said.append, EAGER, profile=str(tmp_path / "trace"))
    found = report["modes"]["eager float32"]
    assert set(found) == {"forward", "step"}
    for row in found.values():
        assert row["turns"] == 2 and row["ms"] > 0 and row["twin_ms"] > 0
        assert 0 < row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
    assert any("step against eager float32" in line for line in said)
    assert list(pathlib.Path(tmp_path / "trace").rglob("*.xplane.pb"))


def test_another_network_is_not_timed(monkeypatch):
    whole = against.params.to_torch

    def spoiled(*args):
        state = whole(*args)
        return {name: array + (name == "head.bias") for name, array in state.items()}

    monkeypatch.setattr(against.params, "to_torch", spoiled)
    with pytest.raises(ValueError, match="not the same network"):
        against.run(SMALL, 9, 2, 1, print, EAGER)


def test_a_mode_that_does_not_run_is_reported(monkeypatch):
    def broken(*args):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr("mbjax.convert.twin_timing.TimedTwin", broken)
    report = against.run(SMALL, 9, 2, 1, lambda text: None, EAGER)
    assert report["modes"]["eager float32"] == {"error": "no compiler at all"}


def test_configs_of_other_tasks_are_refused(capsys):
    assert cli.main(["bench", "--against", "torch", "--config", "action:custom"]) == 1
    assert "--against is for pretraining" in capsys.readouterr().err


def test_each_has_its_turn():
    calls = []
    turns = against.timed(lambda: calls.append("ours"), lambda: calls.append("twin"), 3)
    assert calls == ["ours", "twin"] * 4 and len(turns.ours) == len(turns.twin) == 3


def test_the_ratio_is_the_median_over_turns():
    report = against.Turns(ours=(1.0, 2.0, 4.0), twin=(3.0, 4.0, 4.0)).report()
    assert report["ratio"] == 2 and report["best_ratio"] == 3
    np.testing.assert_allclose((report["ratio_low"], report["ratio_high"]), (1.5, 2.5))
