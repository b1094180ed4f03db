"""Metrics in trackers: what they get, and that they are never a reason to stop."""

import importlib.util
import shutil
import sys
import types

import pytest

import mbjax.cli
from mbjax.training import loop
from mbjax.training.run_log import read_metrics
from mbjax.training.watching import Watching
from tests.recipes import processes


class StandIn(types.ModuleType):
    """In the place of wandb. fails_at: the call of log that raises."""

    def __init__(self, fails_at=10**9):
        super().__init__("wandb")
        self.started, self.lines, self.finished, self.fails_at = [], [], 0, fails_at

    def init(self, **settings):
        self.started.append(settings)
        return types.SimpleNamespace(log=self.log, finish=self.finish)

    def log(self, values, step):
        if len(self.lines) == self.fails_at:
            raise ConnectionError("the network is away")
        self.lines.append((step, values))

    def finish(self):
        self.finished += 1


def run(folder, steps=20):
    said = []
    config = processes.small_config(steps=steps, log_every="5 steps")
    loop.run(config, processes.small_task(), folder, said.append, Watching(track="wandb"))
    return said


def test_it_gets_the_lines_of_the_log(tmp_path, monkeypatch):
    wandb = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    run(tmp_path / "run")
    assert [step for step, _ in wandb.lines] == [
        row["step"] for row in read_metrics(tmp_path / "run")
    ]
    row = read_metrics(tmp_path / "run")[0]
    assert wandb.lines[0][1]["train/numbers/loss"] == row["numbers/loss"]
    assert wandb.started[0]["name"] == "run" and wandb.started[0]["config"]["steps"] == 20
    assert wandb.finished == 1
    run(tmp_path / "run")  # which has nothing to do
    assert len(wandb.started) == 1


def test_another_start_goes_on_with_the_same_one(tmp_path, monkeypatch):
    wandb = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    for folder in ("a", "b"):
        run(tmp_path / folder)
    shutil.rmtree(tmp_path / "a" / "checkpoints")
    run(f"{tmp_path}/a/")
    ids = [settings["id"] for settings in wandb.started]
    assert ids[0] == ids[2] != ids[1] and wandb.started[2]["resume"] == "allow"
    assert [settings["name"] for settings in wandb.started] == ["a", "b", "a"]


@pytest.mark.parametrize("fails_at", [0, 2])
def test_one_that_fails_is_told_once_and_left_alone(fails_at, tmp_path, monkeypatch):
    wandb = StandIn(fails_at)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    said = run(tmp_path)
    assert read_metrics(tmp_path)[-1]["step"] == 20 and len(wandb.lines) == fails_at
    line = "wandb failed (ConnectionError: the network is away); the run goes on without it"
    assert said.count(line) == 1


def test_one_that_is_not_installed_is_one_line_before_the_start(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as if it were not
    arguments = ["pretrain", "--config", "pretrain:tiny", "--workdir", str(tmp_path / "run")]
    assert mbjax.cli.main([*arguments, "--track", "mlflow"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("--track mlflow needs the package mlflow: pip install 'mbjax[mlflow]'")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not importlib.util.find_spec("mlflow"), reason="pip install 'mbjax[mlflow]'")
def test_mlflow_itself_keeps_the_run_over_starts(tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    config = processes.small_config(steps=20, log_every="5 steps")
    for _ in range(2):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        watching = Watching(track="mlflow")
        loop.run(config, processes.small_task(), tmp_path / "run", None, watching)
    runs = mlflow.search_runs(experiment_names=["mbjax"], output_format="list")
    assert len(runs) == 1 and "train/numbers/loss" in runs[0].data.metrics
