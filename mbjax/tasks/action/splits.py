"""What a config of the tasks action and oneshot says about data, as recordings and labels."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from mbjax.data.action.recordings import Recordings, few_of_each, score_order


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Recordings with their classes' numbers."""

    recordings: Recordings
    labels_N: np.ndarray

    def __len__(self):
        return len(self.recordings)

    def chosen(self, numbers) -> "Labelled":
        numbers = np.asarray(numbers)
        return Labelled(self.recordings.chosen(numbers), self.labels_N[numbers])


@dataclasses.dataclass(frozen=True)
class ActionData:
    """train: None if only evaluation was asked for; test: None if the config has none."""

    train: Labelled | None
    test: Labelled | None
    classes: tuple[str, ...]


def listed(values: Sequence) -> tuple[str, ...]:
    """A setting's values, however they were written: ('a', 'b'), 'a,b', or numbers."""
    parts = [part.strip() for value in values for part in str(value).split(",")]
    return tuple(part for part in parts if part)


def load(config, training: bool = True) -> ActionData:
    """The recordings of config.data and config.evaluation; ValueError or FileNotFoundError.

    With test_subjects these are tested, and the others of config.data train.
    """
    data, evaluation = config.data, config.evaluation
    if not data.dir and not (evaluation.dir and not training):
        raise ValueError(
            "the config has no dataset; give --config.data.dir=DIR, made by 'mbjax prepare ntu60 "
            "--raw FOLDER --out DIR' (or ntu120, or actions for your own recordings)"
        )
    subjects = listed(config.test_subjects)
    train = test = None
    if training or subjects:
        train = opened(config, data.dir, data.split)
    if subjects:
        train, test = _by_subject(train, subjects)
    elif evaluation.split:
        test = opened(config, evaluation.dir or data.dir, evaluation.split)
    classes = class_names(config, [part for part in (train, test) if part is not None])
    train, test = (part and Labelled(part, part.label_numbers(classes)) for part in (train, test))
    if train and config.examples_per_class:
        train = train.chosen(few_of_each(train.labels_N, config.examples_per_class, config.seed))
    return ActionData(train if training else None, test, classes)


def opened(config, directory, splits) -> Recordings:
    """The recordings of a dataset, if its scores have the order that the config asks for."""
    recordings = Recordings.open(directory, splits)
    order = score_order(directory)
    if order != config.score_order:
        raise ValueError(
            f"{directory} was prepared with --score-order {order}, the config has score_order "
            f"{config.score_order!r}; prepare it again, or set --config.score_order={order} if the "
            "network was trained so (released action checkpoints: coco)"
        )
    return recordings


def class_names(config, parts: Sequence[Recordings]) -> tuple[str, ...]:
    """config.classes, or the names that the recordings have, or numbers as NTU writes them."""
    named = listed(config.classes)
    if named:
        return named
    labels = {label for part in parts for label in part.labels_N}
    if all(isinstance(label, str) for label in labels):
        return tuple(sorted(labels))
    if config.num_classes < 2:
        raise ValueError("the dataset numbers its classes; set num_classes, or name them: classes")
    return tuple(f"A{number + 1:03d}" for number in range(config.num_classes))


def _by_subject(recordings, subjects):
    there = sorted(set(recordings.subjects_N))
    if there == [""]:
        raise ValueError(
            f"{recordings.where} does not say whose recordings these are; prepare it with a column "
            "'subject' (mbjax prepare actions), or leave test_subjects out"
        )
    unknown = [subject for subject in subjects if subject not in there]
    if unknown:
        raise ValueError(
            f"test_subjects: no {', '.join(unknown)} in {recordings.where}; there are: "
            + ", ".join(there)
        )
    is_test = np.array([subject in subjects for subject in recordings.subjects_N])
    if is_test.all():
        raise ValueError(f"test_subjects are all of {recordings.where}; nobody is left to train")
    return (recordings.chosen(np.flatnonzero(chosen)) for chosen in (~is_test, is_test))


def check_clips(config) -> None:
    """ValueError where a network cannot take the clips that a config makes of recordings."""
    if not 1 <= config.frames <= config.model.maxlen:
        raise ValueError(f"frames is {config.frames}; the model takes 1 to {config.model.maxlen}")
    if config.persons not in (1, 2):
        raise ValueError(f"persons is {config.persons}; it must be 1 or 2")
    if not 1 <= config.train_ratio_low <= config.train_ratio_high or config.test_ratio < 1:
        raise ValueError(
            f"crop-scale ratios {config.train_ratio_low}, {config.train_ratio_high} and "
            f"{config.test_ratio}: all are at least 1, the low one not above the high one"
        )


def completed(config: ConfigDict, **changes) -> ConfigDict:
    """A copy of the config with partial_train as a list of names, and with changes."""
    config = config.copy_and_resolve_references()
    config.update(partial_train=listed(config.partial_train), **changes)
    return config
