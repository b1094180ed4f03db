"""One-shot recognition: classes never trained on, each known by one example (paper, section 4.4).

Shapes in names: B batch, D channels of the embedding, N recordings, K classes; clips are
(B, persons, T, J, 3).
"""

import functools

import jax
import numpy as np

from mbjax.data.action.recordings import ActionLoader
from mbjax.data.plan import Source
from mbjax.devices import sharding
from mbjax.models.action import EmbedHeadConfig
from mbjax.models.dstformer import DSTformerConfig
from mbjax.models.networks import Network
from mbjax.tasks import as_state, initial_weights, writable
from mbjax.tasks.action import files as action_files
from mbjax.tasks.action import metrics as classification
from mbjax.tasks.action import splits
from mbjax.tasks.action.network import Forward, load_net
from mbjax.tasks.action.splits import Labelled
from mbjax.tasks.action.task import augmented, check_sizes
from mbjax.tasks.oneshot.losses import supervised_contrastive
from mbjax.training.task import Report, Task, TrainSource


def make_task(config) -> Task:
    """The task that configs/oneshot.py describes. ValueError or FileNotFoundError, one line."""
    check_sizes(config)
    initial_weights.check_initial(config)
    if config.accumulate != 1:
        raise ValueError(
            "the contrastive loss compares all rows of a batch with each other: accumulate must "
            "be 1; use a smaller batch_size or model.remat"
        )
    train, episodes = _load(config)
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
    head = EmbedHeadConfig(config.head.hidden, config.head.dropout)
    network = Network(DSTformerConfig(**config.model), "embed", head)
    return Task(
        name="oneshot",
        make_model=network.make,
        sources={"train": source},
        optimizer=functools.partial(initial_weights.optimizer_for_net_with_head, config),
        describe=network.meta(),
        evaluate=episodes,
        best="top_1" if episodes else None,
        best_mode="max",
        initial=initial_weights.initial_weights(config, ("backbone",)),
        trainable=initial_weights.named_subtrees(config.partial_train),
    )


def _names(labelled: Labelled):
    """(name as the data have it, number) of each class that occurs."""
    named = dict(zip(labelled.labels_N.tolist(), labelled.recordings.labels_N, strict=True))
    return [(str(name), number) for number, name in sorted(named.items())]


def _load(config, training=True):
    """(training recordings of the classes that are not held out, evaluation or None)."""
    data, evaluation = config.data, config.evaluation
    if not data.dir:
        raise ValueError(
            "the config has no dataset; give --config.data.dir=DIR, made by 'mbjax prepare ntu120 "
            "--raw FOLDER --out DIR' or 'mbjax prepare actions'"
        )
    train = splits.opened(config, data.dir, data.split) if training else None
    episodes = None
    if evaluation.split:
        where = evaluation.dir or data.dir
        parts = [splits.opened(config, where, evaluation.split)]
        if evaluation.exemplars:
            parts.append(splits.opened(config, where, evaluation.exemplars))
        classes = _held_out(config, parts)
        query, *exemplars = (_only(part, classes) for part in parts)
        episodes = Episodes(config, query, exemplars[0] if exemplars else None, classes)
    if training:
        held_out = set(splits.listed(config.held_out))
        kept = [n for n, label in enumerate(train.labels_N) if str(label) not in held_out]
        if not kept:
            raise ValueError(f"{train.where}: every class is held out; nothing is left to train")
        names = sorted({train.labels_N[n] for n in kept})
        train = train.chosen(kept)
        numbers = {name: number for number, name in enumerate(names)}
        train = Labelled(train, np.array([numbers[label] for label in train.labels_N]))
    return train, episodes


def _held_out(config, parts):
    """The classes of an episode: those held out that the recordings have."""
    held_out = splits.listed(config.held_out)
    there = {str(label) for part in parts for label in part.labels_N}
    classes = tuple(name for name in held_out if name in there)
    if len(classes) < 2:
        raise ValueError(
            f"{parts[0].where} has recordings of {len(classes)} of the classes in held_out "
            f"({', '.join(held_out)}); an episode needs two at least. There are: "
            + ", ".join(sorted(there))
        )
    return classes


def _only(recordings, classes) -> Labelled:
    number_of = {name: number for number, name in enumerate(classes)}
    kept = [n for n, label in enumerate(recordings.labels_N) if str(label) in number_of]
    chosen = recordings.chosen(kept)
    return Labelled(chosen, np.array([number_of[str(label)] for label in chosen.labels_N], int))


def loss(config, model, batch, keys_B, progress):
    """Supervised contrastive, over all rows of the global batch."""
    keys_Bx2 = jax.vmap(jax.random.split)(keys_B)
    clips = augmented(config, keys_Bx2[:, 0], batch["keypoints"])
    embedding_BxD = model(clips, keys_Bx2[:, 1])
    total = supervised_contrastive(embedding_BxD[:, None], batch["label"], config.temperature)
    return total, {}


# --- evaluation -------------------------------------------------------------------------------


class Episodes:
    """Each recording is of the class of the exemplar whose embedding is nearest by cosine.

    exemplars: one recording for each class, the protocol of NTU-120. None: config.evaluation
    .episodes draws, by the config's seed, of one recording of each class from the test recordings
    themselves, the others being tested; the scores are means over the draws.
    config.evaluation.dropout leaves dropout on, as the release does; its masks are then those of
    the recordings' numbers. Every call on the same weights gives the same scores.
    """

    def __init__(self, config, test: Labelled, exemplars: Labelled | None, classes):
        self.test, self.classes = test, classes
        self._exemplars = exemplars
        self._seed, self._episodes = config.seed, config.evaluation.episodes
        self._forward = Forward(config, config.evaluation.dropout)
        counts = np.bincount((exemplars or test).labels_N, minlength=len(classes))
        if exemplars and (counts != 1).any():
            wrong = int(np.flatnonzero(counts != 1)[0])
            raise ValueError(
                f"{exemplars.recordings.where} has {counts[wrong]} exemplars of class "
                f"{classes[wrong]}; it takes one of each class"
            )
        if not exemplars and ((counts < 2).any() or self._episodes < 1):
            raise ValueError(
                f"{test.recordings.where}: an exemplar and one to test are needed of each class, "
                "and evaluation.episodes of 1 at least where there is no split of exemplars"
            )

    def similarities(self, graphdef, state, mesh) -> list:
        """(cosines (N, K) with the exemplars, labels (N,), numbers (N,) of what was tested) of each
        episode."""
        test_NxD = _unit(self._forward(graphdef, state, mesh, self.test.recordings))
        labels_N = self.test.labels_N
        if self._exemplars:
            exemplar_KxD = _unit(self._forward(graphdef, state, mesh, self._exemplars.recordings))
            exemplar_KxD = exemplar_KxD[np.argsort(self._exemplars.labels_N)]
            return [(test_NxD @ exemplar_KxD.T, labels_N, np.arange(len(labels_N)))]
        episodes = []
        for number in range(self._episodes):
            random = np.random.Philox(key=[self._seed, number])
            order = np.argsort(random.random_raw(len(labels_N)), kind="stable")
            drawn_K = np.array([order[labels_N[order] == k][0] for k in range(len(self.classes))])
            rest = np.setdiff1d(np.arange(len(labels_N)), drawn_K)
            episodes.append((test_NxD[rest] @ test_NxD[drawn_K].T, labels_N[rest], rest))
        return episodes

    def __call__(self, graphdef, state, mesh) -> dict[str, float]:
        return _scores(self.similarities(graphdef, state, mesh))


def _unit(embedding_NxD):
    length = np.linalg.norm(embedding_NxD, axis=1, keepdims=True)
    return embedding_NxD / np.maximum(length, 1e-12)


def _scores(episodes):
    top_1 = [classification.top_k(cosines, labels, 1) for cosines, labels, _ in episodes]
    found = {"top_1": float(np.mean(top_1))}
    if len(episodes) > 1:
        found["top_1_std"] = float(np.std(top_1))
    return found


def evaluate_checkpoint(config, path, out=None) -> Report:
    """One-shot scores of a checkpoint; tables and a picture into `out`."""
    folder = writable(out)
    model, _ = load_net(path, "embed")
    config.model.update(dim_in=model.config.dim_in, maxlen=model.config.maxlen)
    check_sizes(config)
    _, episodes = _load(config, training=False)
    if episodes is None:
        raise ValueError("the config has no test recordings; set evaluation.split")
    found = episodes.similarities(*as_state(model), sharding.make_mesh(config.fsdp))
    scores = _scores(found)
    classes, test = episodes.classes, episodes.test
    confusion = sum(
        classification.confusion_matrix(labels, cosines.argmax(axis=1), len(classes))
        for cosines, labels, _ in found
    )
    episode = f"mean of {len(found)} episodes" if len(found) > 1 else "one exemplar of each class"
    dropout = ", dropout on (the release's way)" if config.evaluation.dropout else ""
    lines = [
        f"{test.recordings.where}: {len(test)} recordings of {len(classes)} classes not trained on",
        f"  cosine 1-nearest neighbour, {episode}{dropout}; chance {100 / len(classes):.1f} %",
        "  " + classification.percentages(scores),
        classification.table(confusion, classes),
    ]
    if folder:
        cosines, labels, numbers = found[0]
        tested = Labelled(test.recordings.chosen(numbers), labels)
        paths = action_files.write(folder, "cosine", cosines, tested, classes, confusion)
        lines += [f"wrote {path}" for path in paths]
    return Report("\n".join(lines), {**scores, "recordings": len(test), "episodes": len(found)})
