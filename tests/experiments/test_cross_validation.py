import csv
import json

import numpy as np
import pytest

from data_prep.prepare import load_corpus, prepare
from mbjax.cli import main
from tests.recipes.action import TINY, coco_file

FAST = [setting for setting in TINY if "steps_per_epoch" not in setting]


@pytest.fixture(scope="module")
def gait(tmp_path_factory):
    """Two classes of two people: waving slowly and fast."""
    raw = tmp_path_factory.mktemp("gait")
    for subject in ("anna", "ben"):
        for label, speed in (("slow", 0.2), ("fast", 1.5)):
            for take in range(4):
                coco_file(raw / "raw" / label / subject / f"{take}.json", seed=take, speed=speed)
    options = {"layout": "coco17", "fps": 30.0}
    prepare(load_corpus("actions"), raw / "raw", raw / "data", options, progress=False)
    return raw / "data"


def arguments(gait, workdir, *more):
    return [
        "cross-validate", "--config", "configs/action.py:custom", *FAST,
        "--config.model.mlp_ratio=1", f"--config.data.dir={gait}", "--workdir", str(workdir),
        "--config.steps_per_epoch=1", *more,
    ]  # fmt: skip


@pytest.mark.slow
def test_every_subject_is_tested_by_a_network_without_them(gait, tmp_path, capsys):
    assert main(arguments(gait, tmp_path / "w")) == 0
    out = capsys.readouterr().out
    assert "fold 1 of 2: anna is tested" in out and "weighted F1 over 2 subjects:" in out
    with (tmp_path / "w" / "folds.csv").open() as file:
        folds = list(csv.DictReader(file))
    assert [(row["subject"], row["recordings"]) for row in folds] == [("anna", "8"), ("ben", "8")]
    summary = json.loads((tmp_path / "w" / "summary.json").read_text())
    weighted = [float(row["weighted_f1"]) for row in folds]
    assert summary["weighted_f1_mean"] == pytest.approx(np.mean(weighted))
    assert summary["weighted_f1_std"] == pytest.approx(np.std(weighted, ddof=1))
    assert 0 <= summary["pooled_weighted_f1"] <= 1
    for subject in ("anna", "ben"):
        config = json.loads((tmp_path / "w" / f"fold-{subject}" / "config.json").read_text())
        assert config["test_subjects"] == [subject] and config["classes"] == ["fast", "slow"]
    # Again: nothing is trained twice, and the result is the same.
    assert main(arguments(gait, tmp_path / "w", "--json")) == 0
    assert json.loads(capsys.readouterr().out) == summary


@pytest.mark.parametrize(
    "more, message",
    [
        (["--subjects", "carl"], "no subject carl; there are: anna, ben"),
        (["--config.test_subjects=anna"], "leave test_subjects out"),
        (["--config.classes=slow,medium"], "is of class 'fast'; the classes are: slow, medium"),
        (["--config.data.split=test"], "has no split 'test'; it has: train"),
    ],
)
def test_mistakes_are_one_line(gait, tmp_path, capsys, more, message):
    assert main(arguments(gait, tmp_path / "w", *more)) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error, error


def test_a_dataset_without_subjects(gestures, tmp_path, capsys):
    more = ["--config.data.split=xsub_val", "--config.num_classes=20"]
    assert main(arguments(gestures, tmp_path / "w", *more)) == 1
    assert "has recordings of nobody by name" in capsys.readouterr().err
