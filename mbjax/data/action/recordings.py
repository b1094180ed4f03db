"""Labelled recordings of persons: which there are, and the rows that training reads of them.

Shapes in names: N recordings, M persons, T frames, J joints. Datasets are those whose records
data_prep.features.action describes.
"""

import json
from collections.abc import Sequence

import numpy as np

from mbjax.data.action.clips import even_frames, jittered_frames, to_persons
from mbjax.data.records import RecordReader, find_dataset


class Recordings:
    """Some records of a dataset, with what is known of them besides their keypoints.

    labels_N: numbers, or names of classes as the records have them. subjects_N: '' where the
    dataset does not say. `recordings[i]` is the record, read when asked for.
    """

    def __init__(self, reader_of_N, place_N, labels_N, subjects_N, sources_N, where: str):
        self._reader_of_N, self._place_N = reader_of_N, place_N
        self.labels_N, self.subjects_N, self.sources_N = labels_N, subjects_N, sources_N
        self.where = where

    @classmethod
    def open(cls, directory, splits: str) -> "Recordings":
        """All of a split, or of several ('xset_train+xset_val').

        Reads every record once, for its label. ValueError, FileNotFoundError: one line.
        """
        readers, places, labels, subjects, sources = [], [], [], [], []
        for split in splits.split("+"):
            reader = RecordReader(directory, split.strip())
            for place in range(len(reader)):
                record = reader[place]
                if "keypoints" not in record or not {"label", "class_name"} & set(record):
                    raise ValueError(
                        f"{reader.directory} has no labelled recordings (its records hold "
                        f"{', '.join(record)}); mbjax prepare ntu60, ntu120 or actions makes them"
                    )
                readers.append(reader)
                places.append(place)
                labels.append(record.get("class_name", record.get("label")))
                subjects.append(record.get("subject", ""))
                sources.append(record["source"])
        if not readers:
            raise ValueError(f"{directory}, split {splits}: no recordings in it")
        return cls(readers, places, labels, subjects, sources, f"{directory} ({splits})")

    def __len__(self):
        return len(self._place_N)

    def data_index(self) -> dict:
        """{split: what its shards hold} of the splits that these recordings are from."""
        readers = {reader.split: reader for reader in self._reader_of_N}
        return {split: reader.index() for split, reader in sorted(readers.items())}

    def __getitem__(self, number: int) -> dict:
        return self._reader_of_N[number][self._place_N[number]]

    def chosen(self, numbers: Sequence[int]) -> "Recordings":
        """Only those, in this order."""
        lists = (
            self._reader_of_N, self._place_N, self.labels_N, self.subjects_N, self.sources_N,
        )  # fmt: skip
        return Recordings(*([one[n] for n in numbers] for one in lists), self.where)

    def label_numbers(self, classes: Sequence[str]) -> np.ndarray:
        """Each recording's class as its place among `classes`, (N,); ValueError if it has none."""
        number_of = {name: number for number, name in enumerate(classes)}
        numbers = np.empty(len(self), np.int64)
        for i, (label, source) in enumerate(zip(self.labels_N, self.sources_N, strict=True)):
            if isinstance(label, str):
                if label not in number_of:
                    raise ValueError(
                        f"{self.where}: {source} is of class {label!r}; the classes are: "
                        + ", ".join(classes)
                    )
                numbers[i] = number_of[label]
            elif not 0 <= label < len(classes):
                raise ValueError(
                    f"{self.where}: {source} has label {label}, out of range for {len(classes)} "
                    "classes; set num_classes"
                )
            else:
                numbers[i] = label
        return numbers


def score_order(directory) -> str:
    """How the scores of a dataset are ordered: what its card says, 'joints' without one."""
    card = find_dataset(directory) / "card.json"
    if not card.exists():
        return "joints"
    return json.loads(card.read_text())["options"].get("score_order", "joints")


def few_of_each(labels_N: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Numbers of `count` recordings of each class (all, where it has fewer), by the seed.

    A smaller count takes a part of what a larger one takes.
    """
    kept = []
    for label in np.unique(labels_N):
        own = np.flatnonzero(labels_N == label)
        order = np.random.Philox(key=[seed, int(label)]).random_raw(len(own))
        kept.append(own[np.argsort(order, kind="stable")[:count]])
    return np.sort(np.concatenate(kept))


class ActionLoader:
    """Rows for the training step: `keypoints` (rows, M, T, J, 3) over the image's longer side, and
    `label`.

    frames: to which each recording is resampled, with a random place inside each even step, drawn
    from (seed, step) for each row of the global batch.
    """

    def __init__(self, recordings: Recordings, labels_N: np.ndarray, frames: int, persons: int):
        self._recordings, self._labels_N = recordings, labels_N
        self._frames, self._persons = frames, persons

    def data_index(self) -> dict:
        return self._recordings.data_index()

    def __len__(self):
        return len(self._recordings)

    def __call__(self, records: np.ndarray, rows: np.ndarray, random: np.random.Generator) -> dict:
        """records: numbers for the whole global batch; rows: which of them are wanted."""
        seeds = random.integers(2**63, size=len(records))
        clips = []
        for row in rows:
            record = self._recordings[records[row]]
            length = record["keypoints"].shape[1]
            frames = jittered_frames(length, self._frames, np.random.default_rng(seeds[row]))
            clips.append(as_persons(record, frames, self._persons))
        labels = self._labels_N[records[rows]].astype(np.int32)
        return {"keypoints": np.stack(clips), "label": labels}


def as_persons(record: dict, frames: np.ndarray, persons: int) -> np.ndarray:
    return to_persons(record["keypoints"], record["width"], record["height"], frames, persons)


def evenly(record: dict, frames: int, persons: int) -> np.ndarray:
    """A recording as it is evaluated: evenly resampled, (M, frames, J, 3)."""
    return as_persons(record, even_frames(record["keypoints"].shape[1], frames), persons)
