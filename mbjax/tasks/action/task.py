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
from mbjax.models.action import ActionHeadConfig
from mbjax.models.dstformer import DSTformerConfig
from mbjax.models.networks import Network
from mbjax.tasks import initial_weights
from mbjax.tasks.action import metrics as classification
from mbjax.tasks.action import splits
from mbjax.tasks.action.evaluation import Evaluation
from mbjax.tasks.checks import check_config
from mbjax.training.task import Task, TrainSource


def make_task(config) -> Task:
    """The task that configs/action.py describes. ValueError or FileNotFoundError, one line.

    The task's config has the names of the classes in the data, so that checkpoints know them.
    """
    check_config(config, "action")
    splits.check_clips(config)
    initial_weights.check_initial(config)
    data = splits.load(config)
    config = splits.completed(config, classes=data.classes)
    weights_K = class_weights(config, data.train.labels_N, len(data.classes))
    loader = ActionLoader(data.train.recordings, data.train.labels_N, config.frames, config.persons)
    rows = Source(
        "train", len(loader), config.batch_size, own_steps_per_epoch=config.steps_per_epoch
    )
    source = TrainSource(rows, loader, functools.partial(loss, config, weights_K))
    evaluation = Evaluation(config, data.test) if data.test else None
    return bare_task(config, {"train": source}, len(data.classes), evaluation)


def bare_task(config, sources, classes: int, evaluation=None) -> Task:
    """The task on sources that are made already."""
    head = ActionHeadConfig(classes, config.head.hidden, config.head.dropout)
    network = Network(DSTformerConfig(**config.model), "action", head)
    return Task(
        name="action",
        make_model=network.make,
        sources=sources,
        optimizer=functools.partial(initial_weights.optimizer_for_net_with_head, config),
        describe=network.meta(),
        evaluate=evaluation,
        best="top_1" if evaluation else None,
        best_mode="max",
        initial=initial_weights.initial_weights(config, ("backbone",)),
        trainable=initial_weights.named_subtrees(config.partial_train),
        config=config,
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
