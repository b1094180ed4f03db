import csv
import json
import re

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from mbjax import configuration
from mbjax.cli import main
from mbjax.convert import load as loading
from mbjax.data.action.clips import even_frames, to_clip
from mbjax.devices import sharding
from mbjax.tasks.action import evaluation, splits
from mbjax.tasks.action import task as action
from mbjax.tasks.evaluation import as_state
from tests.recipes import weights as weight_recipes
from tests.recipes.action import TINY


def config_of(gestures, *settings, file="configs/action.py:sample"):
    return configuration.load(file, [*TINY, f"--config.data.dir={gestures}", *settings])


def test_a_config_is_completed_in_a_copy(gestures):
    config = config_of(gestures, "--config.partial_train=('head,backbone.norm',)")
    before = config.to_json_best_effort()
    task = action.make_task(config)
    assert config.to_json_best_effort() == before
    assert len(task.config.classes) == 20
    assert task.config.partial_train == ("head", "backbone.norm")


def test_class_weights_make_a_weighted_mean():
    """Against cross-entropy by hand, of a net that says the same of every clip."""
    logits = np.array([2.0, 0.0, -1.0], np.float32)
    config = configuration.load("configs/action.py:sample", ["--config.random_move=False"])
    label_B = np.array([0, 1, 1, 2])
    batch = {"keypoints": np.ones((4, 1, 9, 17, 3), np.float32), "label": label_B}
    weights_K = np.array([1.0, 0.5, 3.0], np.float32)
    keys_B = jax.random.split(jax.random.key(0), 4)

    def model(clips, keys_B):
        return np.tile(logits, (4, 1))

    total, terms = action.loss(config, weights_K, model, batch, keys_B, 0.0)
    ce_K = np.log(np.exp(logits).sum()) - logits
    weight_B = weights_K[label_B]
    np.testing.assert_allclose(total, (ce_K[label_B] * weight_B).sum() / weight_B.sum(), rtol=1e-5)
    assert terms["top_1"] == 0.25


@pytest.fixture(scope="module")
def trained(gestures, tmp_path_factory):
    """A work folder of three steps of training."""
    folder = tmp_path_factory.mktemp("action")
    arguments = ["finetune", "action", "--config", "configs/action.py:sample", *TINY]
    arguments += [f"--config.data.dir={gestures}", "--config.evaluate_every=1 epoch"]
    assert main([*arguments, "--workdir", str(folder / "run")]) == 0
    return folder / "run"


@pytest.mark.slow
def test_training_leaves_a_checkpoint_that_knows_its_classes(trained, gestures):
    meta = json.loads((trained / "config.json").read_text())
    assert meta["classes"][:2] == ["A001", "A002"] and len(meta["classes"]) == 20
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").open()]
    scores = [row for row in rows if row["kind"] == "evaluate"][-1]
    assert 0 <= scores["top_1"] <= scores["top_5"] <= 1 and "weighted_f1" in scores


def test_evaluation_of_a_checkpoint_is_that_of_its_run_and_writes_tables(
    trained, gestures, tmp_path, capsys
):
    arguments = ["evaluate", "action", "--config", "configs/action.py:sample", *TINY]
    arguments += [f"--config.data.dir={gestures}", "--checkpoint", str(trained)]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").open()]
    of_run = [row for row in rows if row["kind"] == "evaluate"][-1]
    for name in ("top_1", "top_5", "weighted_f1"):
        assert found[name] == pytest.approx(of_run[name])
    assert found["recordings"] == 40
    # A run knows its own settings.
    assert main(["evaluate", "--checkpoint", str(trained), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    with (tmp_path / "out" / "confusion.csv").open() as file:
        table = list(csv.reader(file))
    counts = np.array([[int(n) for n in row[1:]] for row in table[1:]])
    assert counts.sum() == 40 and (counts.sum(axis=1) == 2).all()
    assert np.trace(counts) / 40 == pytest.approx(found["top_1"])
    with (tmp_path / "out" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = np.mean([row["class"] == row["guess_1"] for row in rows])
    assert right == pytest.approx(found["top_1"])
    assert sum(float(rows[0][f"probability_{i}"]) for i in range(1, 6)) <= 1.001
    with Image.open(tmp_path / "out" / "confusion.png") as picture:
        assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 5, "not blank"


@pytest.mark.slow
def test_evaluation_is_that_of_every_clip_alone_on_any_devices(trained, gestures):
    model = loading.load(trained, verbose=False)
    config = config_of(gestures)
    test = splits.load(config, training=False).test
    logits = [
        evaluation.Evaluation(config, test).logits(
            *as_state(model), sharding.make_mesh(devices=jax.devices()[:devices])
        )
        for devices in (8, 1)
    ]
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-5)  # float32
    for number in (0, 17):
        record = test.recordings[number]
        frames = even_frames(record["keypoints"].shape[1], 9)
        size = record["width"], record["height"]
        clip = to_clip(record["keypoints"], *size, frames, config.test_ratio, 1)
        np.testing.assert_allclose(model(clip[None])[0], logits[0][number], atol=1e-5)


def test_the_encoder_s_pose_head_is_left_alone_by_training(trained, gestures):
    """It gets no gradient; with weight decay alone it would shrink."""
    task = action.make_task(config_of(gestures))
    assert set(task.data_index()["evaluation"]) == {"xsub_val"}
    begun = nnx.to_pure_dict(nnx.state(task.make_model(nnx.Rngs(0)), nnx.Param))["backbone"]
    ended = weight_recipes.params_of(loading.load(trained, verbose=False))["backbone"]
    # 1e-7: initial values drawn by another compiled program.
    np.testing.assert_allclose(ended["head"]["kernel"], begun["head"]["kernel"], atol=1e-7)
    assert not np.allclose(ended["temp_embed"], begun["temp_embed"], atol=1e-6)


@pytest.mark.parametrize(
    "settings, message",
    [
        (["--config.num_classes=10"], r"has label 1\d, out of range for 10 classes; set num_cl"),
        (["--config.data.split=train"], r"has no split 'train'; it has:"),
        (["--config.test_subjects=P1"], r"does not say whose recordings these are"),
        (["--config.frames=10"], r"frames is 10; the model takes 1 to 9"),
        (["--config.persons=3"], r"persons is 3"),
        (["--config.init=tiny"], r"tiny is .* of other sizes: .*dim_feat 96 \(config: 16\)"),
        (["--config.init=nowhere"], r"no checkpoint at nowhere"),
        (["--config.score_order=coco"], r"was prepared with --score-order joints, the config"),
        (["--config.class_weights=some"], r"class_weights is 'some'; it must be none or balanced"),
        (["--config.train_ratio_low=4.0"], r"crop-scale ratios"),
        (["--config.data.dir="], r"the config has no dataset; give --config.data.dir=DIR"),
        (["--config.data.dir=sample:motion3d", "--config.data.split=train"], r"no labelled rec"),
    ],
)
def test_mistakes_are_one_line(gestures, tmp_path, capsys, settings, message):
    arguments = ["finetune", "action", "--config", "configs/action.py:sample", *TINY]
    arguments += [f"--config.data.dir={gestures}", *settings, "--workdir", str(tmp_path / "w")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(message, error), error
    assert not (tmp_path / "w").exists()


def test_an_encoder_alone_cannot_be_evaluated(gestures, capsys):
    arguments = ["evaluate", "action", "--config", "configs/action.py:sample"]
    arguments += [f"--config.data.dir={gestures}", "--checkpoint", "tiny"]
    assert main(arguments) == 1
    assert "tiny is not an action classifier, but a network of kind 'dstformer'" in (
        capsys.readouterr().err
    )
