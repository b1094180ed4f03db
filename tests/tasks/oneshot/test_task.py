import dataclasses
import json
import re

import jax
import numpy as np
import pytest

from mbjax import configuration
from mbjax.cli import main
from mbjax.data.action.recordings import Recordings
from mbjax.devices import sharding
from mbjax.tasks.action.splits import Labelled
from mbjax.tasks.oneshot import evaluation
from mbjax.tasks.oneshot import task as oneshot
from mbjax.training import step
from tests.recipes.action import TINY


def config_of(gestures, *settings):
    settings = [*TINY, f"--config.data.dir={gestures}", *settings]
    return configuration.load("configs/oneshot.py:sample", settings)


def test_training_leaves_the_held_out_classes_alone(gestures):
    task = oneshot.make_task(config_of(gestures))
    assert set(task.data_index()["evaluation"]) == {"oneshot_train", "oneshot_val"}
    source = task.sources["train"]
    assert len(source.load) == 48 and set(source.rows.labels) == set(range(16))
    plan = step.make_plan(task, config_of(gestures))
    rows = plan.rows(0)
    assert (np.bincount(np.array(source.rows.labels)[rows], minlength=16) % 2 == 0).all()
    batch = source.load(rows, np.arange(8), np.random.default_rng(0))
    np.testing.assert_array_equal(batch["label"], np.array(source.rows.labels)[rows])


@pytest.fixture(scope="module")
def trained(gestures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("oneshot") / "run"
    arguments = ["finetune", "oneshot", "--config", "configs/oneshot.py:sample", *TINY]
    arguments += [f"--config.data.dir={gestures}", "--config.evaluate_every=1 epoch"]
    assert main([*arguments, "--workdir", str(folder)]) == 0
    return folder


def evaluated(capsys, trained, gestures, *settings):
    arguments = ["evaluate", "oneshot", "--config", "configs/oneshot.py:sample", *TINY, "--json"]
    arguments += [f"--config.data.dir={gestures}", "--checkpoint", str(trained), *settings]
    capsys.readouterr()
    assert main(arguments) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_evaluation_is_deterministic_and_that_of_the_run(trained, gestures, capsys):
    found = evaluated(capsys, trained, gestures)
    assert found == evaluated(capsys, trained, gestures)
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").open()]
    assert found["top_1"] == pytest.approx(
        [r for r in rows if r["kind"] == "evaluate"][-1]["top_1"]
    )
    assert found["recordings"] == 4 and found["episodes"] == 1


def test_the_release_s_dropout_is_there_by_name_and_deterministic_too(trained, gestures):
    from mbjax.tasks.action.evaluation import Forward, load_net
    from mbjax.tasks.evaluation import as_state

    model, _ = load_net(trained, "embed")
    recordings = Recordings.open(gestures, "oneshot_val")
    mesh = sharding.make_mesh(devices=jax.devices()[:1])
    outputs = {}
    for dropout in (False, True):
        config = config_of(gestures)
        outputs[dropout] = [
            Forward(config, dropout)(*as_state(model), mesh, recordings) for _ in range(2)
        ]
        np.testing.assert_array_equal(*outputs[dropout])
    assert not np.allclose(outputs[False][0], outputs[True][0], atol=1e-3)


class Known:
    """Stands for the forward pass: an embedding for each recording, by its source's name."""

    def __init__(self, by_source):
        self.by_source = by_source

    def __call__(self, graphdef, state, mesh, recordings):
        return np.stack([self.by_source[source] for source in recordings.sources_N])


def labelled(names, labels):
    recordings = Recordings(
        [None] * len(names), list(range(len(names))), labels, [""] * 9, names, ""
    )
    return Labelled(recordings, np.array(labels))


def test_the_nearest_exemplar_by_cosine_names_the_class(gestures):
    config = config_of(gestures)
    test = labelled(["a", "b", "c"], [0, 1, 1])
    exemplars = labelled(["y", "x"], [1, 0])  # in another order than the classes
    known = Known(
        {
            "x": np.array([1.0, 0.0]), "y": np.array([0.0, 5.0]),
            "a": np.array([9.0, 1.0]), "b": np.array([0.2, 0.3]), "c": np.array([0.3, 0.2]),
        }
    )  # fmt: skip
    episodes = evaluation.Episodes(config, test, exemplars, ("0", "1"), known)
    ((cosines, labels, numbers),) = episodes.similarities(None, None, None)
    np.testing.assert_array_equal(cosines.argmax(axis=1), [0, 1, 0])
    np.testing.assert_allclose(cosines[1], np.array([0.2, 0.3]) / np.hypot(0.2, 0.3))
    assert episodes(None, None, None) == {"top_1": pytest.approx(2 / 3)}


def test_drawn_episodes_leave_their_exemplars_out(gestures):
    config = config_of(gestures, "--config.evaluation.episodes=6")
    names = [f"r{i}" for i in range(10)]
    test = labelled(names, [0] * 5 + [1] * 5)
    known = Known({name: np.eye(10)[i] + 1 for i, name in enumerate(names)})
    episodes = evaluation.Episodes(config, test, None, ("0", "1"), known)
    found = episodes.similarities(None, None, None)
    assert len(found) == 6
    for cosines, labels, numbers in found:
        left_out = set(range(10)) - set(numbers.tolist())
        assert sorted(test.labels_N[list(left_out)]) == [0, 1] and len(labels) == 8
        assert cosines.max() < 1 - 1e-6, "no recording is compared with itself"
    assert len({tuple(numbers) for _, _, numbers in found}) > 1
    assert set(episodes(None, None, None)) == {"top_1", "top_1_std"}


@pytest.mark.parametrize(
    "settings, message",
    [
        (["--config.data.split=oneshot_train", "--config.held_out=6,12"], "class 0, 18 has a sing"),
        (["--config.accumulate=2"], "compares all rows of a batch"),
        (["--config.held_out=77"], "0 of the classes in held_out \\(77\\); an episode needs two"),
        (["--config.batch_size=64"], "takes 32 classes, there are 16; batch_size may be 4 to 32"),
        (["--config.evaluation.exemplars=xsub_val"], "has 2 exemplars of class 0; it takes one"),
        (["--config.evaluation.exemplars="], "an exemplar and one to test are needed of each"),
    ],
)
def test_mistakes_are_one_line(gestures, tmp_path, capsys, settings, message):
    arguments = ["finetune", "oneshot", "--config", "configs/oneshot.py:sample", *TINY]
    arguments += [f"--config.data.dir={gestures}", *settings, "--workdir", str(tmp_path / "w")]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(message, error), error
    assert not (tmp_path / "w").exists()


def test_held_out_by_name():
    """Own classes are held out by their names."""
    part = dataclasses.replace(labelled(["a", "b", "c"], [0, 1, 2]))
    part.recordings.labels_N[:] = ["sit", "run", "jump"]
    config = configuration.load("configs/oneshot.py:sample", ["--config.held_out=run,sit"])
    assert evaluation.held_out_classes(config, [part.recordings]) == ("run", "sit")
    kept = evaluation.of_classes(part.recordings, ("run", "sit"))
    np.testing.assert_array_equal(kept.labels_N, [1, 0])
