"""Action recognition: one class for a recording of up to two persons (paper, section 3.4).

Shapes in names: B batch, K classes, N recordings; clips are (B, persons, T, J, 3).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mbjax.data.action import augment as augment_2d
from mbjax.data.action.recordings import ActionLoader
from mbjax.data.plan import Source
from mbjax.devices import sharding
from mbjax.models.action import ActionHeadConfig
from mbjax.models.dstformer import DSTformerConfig
from mbjax.models.networks import Network
from mbjax.tasks import as_state, initial_weights, writable
from mbjax.tasks.action import files as action_files
from mbjax.tasks.action import metrics as classification
from mbjax.tasks.action import splits
from mbjax.tasks.action.network import Forward, load_net
from mbjax.tasks.action.splits import Labelled
from mbjax.training.task import Report, Task, TrainSource


def make_task(config) -> Task:
    """The task that configs/action.py describes. ValueError or FileNotFoundError, one line.

    config.classes becomes the names of the classes in the data, so that checkpoints know them.
    """
    check_sizes(config)
    initial_weights.check_initial(config)
    data = splits.load(config)
    config.classes = data.classes
    weights_K = class_weights(config, data.train.labels_N, len(data.classes))
    loader = ActionLoader(data.train.recordings, data.train.labels_N, config.frames, config.persons)
    rows = Source(
        "train", len(loader), config.batch_size, own_steps_per_epoch=config.steps_per_epoch
    )
    source = TrainSource(rows, loader, functools.partial(loss, config, weights_K))
    head = ActionHeadConfig(len(data.classes), config.head.hidden, config.head.dropout)
    network = Network(DSTformerConfig(**config.model), "action", head)
    return Task(
        name="action",
        make_model=network.make,
        sources={"train": source},
        optimizer=functools.partial(initial_weights.optimizer_for_net_with_head, config),
        describe=network.meta(),
        evaluate=Evaluation(config, data.test) if data.test else None,
        best="top_1" if data.test else None,
        best_mode="max",
        initial=initial_weights.initial_weights(config, ("backbone",)),
        trainable=initial_weights.named_subtrees(config.partial_train),
    )


def check_sizes(config):
    config.partial_train = splits.listed(config.partial_train)
    if not 1 <= config.frames <= config.model.maxlen:
        raise ValueError(f"frames is {config.frames}; the model takes 1 to {config.model.maxlen}")
    if config.persons not in (1, 2):
        raise ValueError(f"persons is {config.persons}; it must be 1 or 2")
    if not 1 <= config.train_ratio_low <= config.train_ratio_high or config.test_ratio < 1:
        raise ValueError(
            f"crop-scale ratios {config.train_ratio_low}, {config.train_ratio_high} and "
            f"{config.test_ratio}: all are at least 1, the low one not above the high one"
        )


def class_weights(config, labels_N, classes: int) -> np.ndarray:
    if config.class_weights == "none":
        return np.ones(classes, np.float32)
    if config.class_weights == "balanced":
        return classification.balanced_weights(labels_N, classes)
    raise ValueError(f"class_weights is {config.class_weights!r}; it must be none or balanced")


def augmented(config, keys_B, clips):
    """Moved at random and crop-scaled to a random ratio, as the config says."""
    keys_Bx2 = jax.vmap(jax.random.split)(keys_B)
    if config.random_move:
        clips = augment_2d.random_move(keys_Bx2[:, 0], clips)
    clips = augment_2d.random_crop_scale(
        keys_Bx2[:, 1], clips, config.train_ratio_low, config.train_ratio_high
    )
    return clips[..., : config.model.dim_in]


def loss(config, weights_K, model, batch, keys_B, progress):
    """Cross-entropy; with class weights their weighted mean."""
    keys_Bx2 = jax.vmap(jax.random.split)(keys_B)
    logits_BxK = model(augmented(config, keys_Bx2[:, 0], batch["keypoints"]), keys_Bx2[:, 1])
    label_B = batch["label"]
    loss_B = optax.softmax_cross_entropy_with_integer_labels(logits_BxK, label_B)
    weight_B = jnp.asarray(weights_K)[label_B]
    total = (loss_B * weight_B).sum() / weight_B.sum()
    return total, {"top_1": (logits_BxK.argmax(axis=-1) == label_B).mean()}


# --- evaluation -------------------------------------------------------------------------------


class Evaluation:
    """top_1, top_5, macro_f1 and weighted_f1 over all recordings of a set, as shares of 1."""

    def __init__(self, config, test: Labelled):
        self._forward, self._test = Forward(config), test

    def logits(self, graphdef, state, mesh) -> np.ndarray:
        """(N, K) for the recordings of the set, in its order."""
        return self._forward(graphdef, state, mesh, self._test.recordings)

    def __call__(self, graphdef, state, mesh) -> dict[str, float]:
        return scores(self.logits(graphdef, state, mesh), self._test.labels_N)


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
    folder = writable(out)
    model, trained = load_net(path, "action")
    if trained.get("classes") and not splits.listed(config.classes):
        config.classes = tuple(trained["classes"])
    config.num_classes = model.head_config.classes
    config.model.update(dim_in=model.config.dim_in, maxlen=model.config.maxlen)
    check_sizes(config)
    data = splits.load(config, training=False)
    if data.test is None:
        raise ValueError("the config has no test recordings; set evaluation.split or test_subjects")
    if len(data.classes) != model.head_config.classes:
        raise ValueError(
            f"{path} tells {model.head_config.classes} classes apart, the data have "
            f"{len(data.classes)}: {', '.join(data.classes)}"
        )
    mesh = sharding.make_mesh(config.fsdp)
    logits_NxK = Evaluation(config, data.test).logits(*as_state(model), mesh)
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
