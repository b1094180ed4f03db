"""One-shot recognition: classes never trained on, each known by one example (paper, section 4.4).

Shapes in names: B batch, D channels of the embedding, N recordings, K classes; clips are
(B, persons, T, J, 3).
"""

import functools

import jax
import numpy as np

from mbjax.data.action.recordings import ActionLoader
from mbjax.data.plan import Source
from mbjax.models.action import EmbedHeadConfig
from mbjax.models.dstformer import DSTformerConfig
from mbjax.models.networks import Network
from mbjax.tasks import initial_weights
from mbjax.tasks.action import splits
from mbjax.tasks.action.splits import Labelled
from mbjax.tasks.action.task import augmented
from mbjax.tasks.checks import check_config
from mbjax.tasks.oneshot.evaluation import check_dataset, open_episodes
from mbjax.tasks.oneshot.losses import supervised_contrastive
from mbjax.training.task import Task, TrainSource


def make_task(config) -> Task:
    """The task that configs/oneshot.py describes. ValueError or FileNotFoundError, one line."""
    check_config(config, "oneshot")
    splits.check_clips(config)
    initial_weights.check_initial(config)
    if config.accumulate != 1:
        raise ValueError(
            "the contrastive loss compares all rows of a batch with each other: accumulate must "
            "be 1; use a smaller batch_size or model.remat"
        )
    config = splits.completed(config)
    train, episodes = _training_data(config), open_episodes(config)
    labels_N = train.labels_N
    single = [name for name, label in _names(train) if (labels_N == label).sum() < 2]
    if single:
        raise ValueError(
            f"{train.recordings.where}: class {', '.join(single)} has a single recording; pairs of "
            "a class need two: add some, or leave the class out by held_out"
        )
    loader = ActionLoader(train.recordings, labels_N, config.frames, config.persons)
    rows = Source(
        "train",
        len(loader),
        config.batch_size,
        own_steps_per_epoch=config.steps_per_epoch,
        labels=tuple(labels_N.tolist()),
        per_class=config.per_class,
    )
    source = TrainSource(rows, loader, functools.partial(loss, config))
    return bare_task(config, {"train": source}, episodes)


def bare_task(config, sources, episodes=None) -> Task:
    """The task on sources that are made already."""
    head = EmbedHeadConfig(config.head.hidden, config.head.dropout)
    network = Network(DSTformerConfig(**config.model), "embed", head)
    return Task(
        name="oneshot",
        make_model=network.make,
        sources=sources,
        optimizer=functools.partial(initial_weights.optimizer_for_net_with_head, config),
        describe=network.meta(),
        evaluate=episodes,
        best="top_1" if episodes else None,
        best_mode="max",
        initial=initial_weights.initial_weights(config, ("backbone",)),
        trainable=initial_weights.named_subtrees(config.partial_train),
        config=config,
    )


def _names(labelled: Labelled):
    """(name as the data have it, number) of each class that occurs."""
    named = dict(zip(labelled.labels_N.tolist(), labelled.recordings.labels_N, strict=True))
    return [(str(name), number) for number, name in sorted(named.items())]


def _training_data(config) -> Labelled:
    """The recordings of the classes that are not held out."""
    check_dataset(config)
    recordings = splits.opened(config, config.data.dir, config.data.split)
    held_out = set(splits.listed(config.held_out))
    kept = [n for n, label in enumerate(recordings.labels_N) if str(label) not in held_out]
    if not kept:
        raise ValueError(f"{recordings.where}: every class is held out; nothing is left to train")
    names = sorted({recordings.labels_N[n] for n in kept})
    recordings = recordings.chosen(kept)
    numbers = {name: number for number, name in enumerate(names)}
    return Labelled(recordings, np.array([numbers[label] for label in recordings.labels_N]))


def loss(config, model, batch, keys_B, progress):
    """Supervised contrastive, over all rows of the global batch."""
    keys_Bx2 = jax.vmap(jax.random.split)(keys_B)
    clips = augmented(config, keys_Bx2[:, 0], batch["keypoints"])
    embedding_BxD = model(clips, keys_Bx2[:, 1])
    total = supervised_contrastive(embedding_BxD[:, None], batch["label"], config.temperature)
    return total, {}
