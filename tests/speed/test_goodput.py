"""What saves and failures cost, on paper: the formula against a simulation, and its limits."""

import json

import numpy as np
import pytest

import mbjax.cli
from mbjax.speed import goodput
from mbjax.speed.goodput import Costs

COSTS = Costs(save_s=4.0, written_s=0.0, restart_s=60.0, hours_between=100.0)


def simulated(interval_s, chips, costs, seconds=4_000_000.0):
    """Failures drawn one after the other: training that counted over all of the time."""
    random = np.random.default_rng(0)
    between, now, trained = costs.between_s(chips), 0.0, 0.0
    while now < seconds:
        failure = random.exponential(between)
        whole = int(failure // (interval_s + costs.save_s))
        trained += whole * interval_s
        now += failure
        # A failure in the middle of the restart begins it again.
        while (again := random.exponential(between)) < costs.restart_s:
            now += again
        now += costs.restart_s
    return trained / now


@pytest.mark.parametrize("interval_s", [30.0, 200.0, 900.0])
def test_the_share_is_what_a_simulation_finds(interval_s):
    expected = simulated(interval_s, 256, COSTS)
    # Some 3,000 failures: the mean of exponential times is known to 2 %.
    assert goodput.share(interval_s, 256, COSTS) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("chips", [8, 256, 1024])
def test_the_best_interval_loses_the_least(chips):
    best = goodput.best_interval(chips, COSTS)
    share = goodput.share(best, chips, COSTS)
    for other in (0.8 * best, 1.25 * best):
        assert goodput.share(other, chips, COSTS) < share
    grid = [goodput.share(t, chips, COSTS) for t in np.geomspace(best / 10, best * 10, 400)]
    assert share > max(grid) - 1e-4  # the series leaves out terms of a third order


def test_where_failures_outrun_the_restart_nothing_trains():
    hopeless = Costs(save_s=1.0, written_s=0.0, restart_s=3600.0, hours_between=0.01)
    assert goodput.share(10.0, 1024, hopeless) == 0.0


def test_the_command_needs_no_compiler_where_a_step_is_given(capsys):
    command = ["compile", "--config", "pretrain:mb", "--goodput", "--step-seconds", "0.1"]
    assert mbjax.cli.main([*command, "--save-every", "1000", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["goodput"]
    assert [row["chips"] for row in rows][0] == 8 and rows[-1]["chips"] == 1024
    assert all(0.9 < row["every_share"] <= row["best_share"] < 1 for row in rows)
    assert mbjax.cli.main(command) == 0
    assert "| 1,024 |" in capsys.readouterr().out
    assert mbjax.cli.main(["compile", "--config", "pretrain:mb"]) == 1
    assert "--topology says which chips" in capsys.readouterr().err
