"""`mbjax recipes`: the release's recipe, and one change at a time."""

import json

import pytest

from mbjax import cli, configuration
from mbjax.experiments import recipes
from mbjax.experiments.ablation_suites import RECIPES
from mbjax.training import loop


def flat(config):
    return json.loads(config.to_json_best_effort())


def test_an_arm_differs_from_the_release_by_its_changes_alone():
    base = recipes.config_of("release", "here", 600, 0)
    release = configuration.load("configs/pretrain.py:mb", [])
    for name in ("augment", "learning_rate", "clip_norm", "mask_frames", "noise", "optimizer"):
        assert base[name] == release[name]
    for arm, changes in RECIPES.items():
        other = recipes.config_of(arm, "here", 600, 0)
        for name, value in changes.items():
            section, _, key = name.rpartition(".")
            assert (other[section] if section else other)[key] == value
            (base[section] if section else base)[key] = value
        assert flat(other) == flat(base), arm
        base = recipes.config_of("release", "here", 600, 0)


def test_arms_are_run_once_and_tabled(tmp_path, monkeypatch):
    trained = []

    def trains(config, make_task, folder):
        trained.append((folder.name, config.seed))
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(config.to_json_best_effort())
        names = (*recipes.QUANTITIES, "flat_mm")
        metrics = {name: 50.0 + config.seed for name in names}
        return loop.Result({}, None, 20, metrics, 1.0)

    monkeypatch.setattr(recipes.loop, "run", trains)
    for _ in range(2):
        rows = recipes.run("here", 20, tmp_path, 2, ("release", "modern, muon"))
        assert trained == [("release-seed0", 0), ("release-seed1", 1),
                           ("modern-muon-seed0", 0), ("modern-muon-seed1", 1)]  # fmt: skip
    assert [row["error_mm"] for row in rows] == [50.5, 50.5]
    table = (tmp_path / "table.md").read_text()
    # The standard deviation of 50 and 51.
    assert table.count("50.5 ± 0.7") == 2 * len(recipes.QUANTITIES) and "2 seed(s)" in table


def test_the_modern_config_is_what_was_measured():
    modern = configuration.load("pretrain:modern", [])
    release = configuration.load("pretrain:mb", [])
    for name, value in {**RECIPES["modern, muon"], "warmup_steps": 2000}.items():
        section, _, key = name.rpartition(".")
        (release[section] if section else release)[key] = value
    assert flat(modern) == flat(release)


@pytest.mark.slow
def test_the_command_trains_for_real(tmp_path, capsys, monkeypatch):
    def smaller(*arguments):
        config = config_of(*arguments)
        config.evaluation.update(yaws=(0.0,), flip=False)
        config.model.update(dim_feat=16, dim_rep=16, depth=1)
        return config

    config_of = recipes.config_of
    monkeypatch.setattr(recipes, "config_of", smaller)
    words = ["--motion", "sample:motion3d", "--budget", "20", "--workdir", str(tmp_path)]
    assert cli.main(["recipes", *words, "--arms", "muon"]) == 0
    assert "| muon |" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert 0 < row["p_mpjpe_mm"] < row["error_mm"] < 1000
    assert row["error_mistakes_mm"] != row["error_corrupted_mm"]


def test_mistakes_are_one_line(tmp_path, capsys):
    for words, message in (
        (["--budget", "600", "--arms", "mdoern"], "no arm 'mdoern'"),
        (["--budget", "5"], "at least 20 steps"),
    ):
        assert cli.main(["recipes", "--motion", "x", "--workdir", str(tmp_path), *words]) == 1
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
