"""Scores of a classifier on labelled recordings; the outputs of a net for every recording.

Shapes in names: B rows of a batch, N recordings, K classes, M persons, T frames, J joints.
"""

import jax
import numpy as np
from flax import nnx

from mbjax.atomic_files import make_folder
from mbjax.convert import params as conversion
from mbjax.convert import read as weights
from mbjax.data.action.recordings import Recordings, evenly
from mbjax.devices import sharding
from mbjax.pose.normalise import crop_scale
from mbjax.tasks.action import files as action_files
from mbjax.tasks.action import metrics as classification
from mbjax.tasks.action import splits
from mbjax.tasks.action.splits import Labelled
from mbjax.tasks.checks import check_config
from mbjax.tasks.evaluation import Compiled, as_state, config_for, walk
from mbjax.training.task import Report


class Forward:
    """(graphdef, state, devices, recordings) -> the net's outputs (N, ...), the same on every host.

    Recordings are resampled evenly to config.frames and crop-scaled to config.test_ratio. Compiled
    once per device mesh. dropout: leave it on, its keys being those of the recordings' numbers.
    """

    def __init__(self, config, dropout: bool = False):
        self._config, self._dropout = config, dropout
        self._compiled = Compiled(self._predict)

    def _predict(self, model, batch):
        config = self._config
        clips = jax.vmap(lambda clip: crop_scale(clip, config.test_ratio))(batch["keypoints"])
        keys_B = None
        if self._dropout:
            keys_B = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), batch["number"])
        return model(clips[..., : config.model.dim_in], keys_B)

    def __call__(self, graphdef, state, devices, recordings: Recordings) -> np.ndarray:
        config = self._config

        def make_batch(numbers):
            clips = [evenly(recordings[n], config.frames, config.persons) for n in numbers]
            return {"keypoints": np.stack(clips), "number": numbers.astype(np.int32)}

        predict = self._compiled.on(graphdef, state, devices)
        everything, batch_size = range(len(recordings)), config.evaluation.batch_size
        outputs = [
            output.astype(np.float32)
            for _, output in walk(everything, make_batch, predict, batch_size, devices)
        ]
        return np.concatenate(outputs)


def load_net(path, kind: str) -> tuple[nnx.Module, dict]:
    """(net in evaluation mode, config it was trained with, {} if unknown) of a checkpoint.

    ValueError where it is not a net of this kind ('action', 'embed').
    """
    source = weights.read(path)
    if source.network.kind != kind:
        what = {"action": "an action classifier", "embed": "a one-shot net"}[kind]
        raise ValueError(f"{path} is not {what}, but a network of kind {source.network.kind!r}")
    model = conversion.build(source.network, source.params, source.other)
    return model, dict(source.meta.get("config") or {})


class Evaluation:
    """top_1, top_5, macro_f1 and weighted_f1 over all recordings of a set, as shares of 1."""

    def __init__(self, config, test: Labelled):
        self._forward, self._test = Forward(config), test

    def data_index(self) -> dict:
        return self._test.recordings.data_index()

    def logits(self, graphdef, state, devices) -> np.ndarray:
        """(N, K) for the recordings of the set, in its order."""
        return self._forward(graphdef, state, devices, self._test.recordings)

    def __call__(self, graphdef, state, devices) -> dict[str, float]:
        return scores(self.logits(graphdef, state, devices), self._test.labels_N)


def scores(logits_NxK, labels_N) -> dict[str, float]:
    predicted_N = logits_NxK.argmax(axis=1)
    confusion = classification.confusion_matrix(labels_N, predicted_N, logits_NxK.shape[1])
    summary = classification.summary(confusion)
    return {
        "top_1": classification.top_k(logits_NxK, labels_N, 1),
        "top_5": classification.top_k(logits_NxK, labels_N, 5),
        "macro_f1": summary["macro_f1"],
        "weighted_f1": summary["weighted_f1"],
    }


def evaluate_checkpoint(config, path, out=None) -> Report:
    """Scores of a checkpoint on the config's test recordings; tables and a picture into `out`."""
    check_config(config, "action")
    folder = make_folder(out)
    model, trained = load_net(path, "action")
    config = config_for(config, model)
    if trained.get("classes") and not splits.listed(config.classes):
        config.classes = tuple(trained["classes"])
    config.num_classes = model.head_config.classes
    splits.check_clips(config)
    data = splits.load(config, training=False)
    if data.test is None:
        raise ValueError("the config has no test recordings; set evaluation.split or test_subjects")
    if len(data.classes) != model.head_config.classes:
        raise ValueError(
            f"{path} distinguishes {model.head_config.classes} classes, the data have "
            f"{len(data.classes)}: {', '.join(data.classes)}"
        )
    devices = sharding.make_mesh(config.fsdp)
    logits_NxK = Evaluation(config, data.test).logits(*as_state(model), devices)
    return report(logits_NxK, data.test, data.classes, folder)


def report(logits_NxK, test: Labelled, classes, folder=None) -> Report:
    """The scores as text and numbers; into `folder`: confusion.png, confusion.csv, classes.csv and
    predictions.csv."""
    found = scores(logits_NxK, test.labels_N)
    predicted_N = logits_NxK.argmax(axis=1)
    confusion = classification.confusion_matrix(test.labels_N, predicted_N, len(classes))
    lines = [
        f"{test.recordings.where}: {len(test)} recordings, {len(classes)} classes",
        "  " + classification.percentages(found),
        classification.table(confusion, classes),
    ]
    if folder:
        shares_NxK = action_files.softmax(logits_NxK)
        paths = action_files.write(folder, "probability", shares_NxK, test, classes, confusion)
        lines += [f"wrote {path}" for path in paths]
    per_class = classification.per_class(confusion)
    by_name = {
        name: {score: float(values[k]) for score, values in per_class.items()}
        for k, name in enumerate(classes)
    }
    return Report("\n".join(lines), {**found, "recordings": len(test), "classes": by_name})
