"""Episodes of one-shot recognition: the nearest of one exemplar of each class.

Shapes in names: D channels of the embedding, N recordings, K classes.
"""

import numpy as np

from mbjax.atomic_files import make_folder
from mbjax.devices import sharding
from mbjax.tasks.action import files as action_files
from mbjax.tasks.action import metrics as classification
from mbjax.tasks.action import splits
from mbjax.tasks.action.evaluation import Forward, load_net
from mbjax.tasks.action.splits import Labelled
from mbjax.tasks.checks import check_config
from mbjax.tasks.evaluation import as_state, config_for
from mbjax.training.task import Report


class Episodes:
    """Each recording is of the class of the exemplar whose embedding is nearest by cosine.

    forward: a function of its type instead of the network's `Forward`. exemplars: one recording
    for each class, the protocol of NTU-120. None: config.evaluation
    .episodes draws, by the config's seed, of one recording of each class from the test recordings
    themselves, the others being tested; the scores are means over the draws.
    config.evaluation.dropout leaves dropout on, as the release does; its masks are then those of
    the recordings' numbers. Every call on the same weights gives the same scores.
    """

    def __init__(self, config, test: Labelled, exemplars: Labelled | None, classes, forward=None):
        self.test, self.classes = test, classes
        self._exemplars = exemplars
        self._seed, self._episodes = config.seed, config.evaluation.episodes
        self._forward = forward or Forward(config, config.evaluation.dropout)
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

    def data_index(self) -> dict:
        parts = (self.test, self._exemplars) if self._exemplars else (self.test,)
        return {k: v for part in parts for k, v in part.recordings.data_index().items()}

    def similarities(self, graphdef, state, devices) -> list:
        """(cosines (N, K) with the exemplars, labels (N,), numbers (N,) of what was tested) of each
        episode."""
        test_NxD = _unit(self._forward(graphdef, state, devices, self.test.recordings))
        labels_N = self.test.labels_N
        if self._exemplars:
            exemplars = self._exemplars.recordings
            exemplar_KxD = _unit(self._forward(graphdef, state, devices, exemplars))
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

    def __call__(self, graphdef, state, devices) -> dict[str, float]:
        return _scores(self.similarities(graphdef, state, devices))


def _unit(embedding_NxD):
    length = np.linalg.norm(embedding_NxD, axis=1, keepdims=True)
    return embedding_NxD / np.maximum(length, 1e-12)


def _scores(episodes):
    top_1 = [classification.top_k(cosines, labels, 1) for cosines, labels, _ in episodes]
    found = {"top_1": float(np.mean(top_1))}
    if len(episodes) > 1:
        found["top_1_std"] = float(np.std(top_1))
    return found


def check_dataset(config) -> None:
    """ValueError where a config names no dataset."""
    if not config.data.dir:
        raise ValueError(
            "the config has no dataset; give --config.data.dir=DIR, made by 'mbjax prepare ntu120 "
            "--raw FOLDER --out DIR' or 'mbjax prepare actions'"
        )


def open_episodes(config) -> Episodes | None:
    """The evaluation that a config names, None without a split; ValueError if it cannot be."""
    check_dataset(config)
    evaluation = config.evaluation
    if not evaluation.split:
        return None
    where = evaluation.dir or config.data.dir
    parts = [splits.opened(config, where, evaluation.split)]
    if evaluation.exemplars:
        parts.append(splits.opened(config, where, evaluation.exemplars))
    classes = held_out_classes(config, parts)
    query, *exemplars = (of_classes(part, classes) for part in parts)
    return Episodes(config, query, exemplars[0] if exemplars else None, classes)


def held_out_classes(config, parts) -> tuple[str, ...]:
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


def of_classes(recordings, classes) -> Labelled:
    """The recordings of these classes, numbered in their order."""
    number_of = {name: number for number, name in enumerate(classes)}
    kept = [n for n, label in enumerate(recordings.labels_N) if str(label) in number_of]
    chosen = recordings.chosen(kept)
    return Labelled(chosen, np.array([number_of[str(label)] for label in chosen.labels_N], int))


def evaluate_checkpoint(config, path, out=None) -> Report:
    """One-shot scores of a checkpoint; tables and a picture into `out`."""
    check_config(config, "oneshot")
    folder = make_folder(out)
    model, _ = load_net(path, "embed")
    config = config_for(config, model)
    splits.check_clips(config)
    episodes = open_episodes(config)
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
