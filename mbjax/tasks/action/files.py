"""Tables and pictures of a classifier's evaluation."""

import csv
import pathlib

import numpy as np

from mbjax.atomic_files import written_beside
from mbjax.pictures import classes as draw_classes
from mbjax.tasks.action import metrics as classification

_BEST = 5


def write(
    folder: pathlib.Path, score: str, scores_NxK, test, classes, confusion_KxK
) -> list[pathlib.Path]:
    """confusion.csv, confusion.png, classes.csv and predictions.csv; their paths.

    test: tasks.action.splits.Labelled. score: what the scores are, 'probability' or 'cosine'.
    """
    paths = [write_confusion(folder, classes, confusion_KxK)]
    scores = classification.per_class(confusion_KxK)
    columns = ["precision", "recall", "f1", "support"]
    paths.append(
        write_table(
            folder / "classes.csv",
            ["class", *columns],
            ([name, *(f"{scores[c][k]:.6g}" for c in columns)] for k, name in enumerate(classes)),
        )
    )
    best_Nx5 = np.argsort(-scores_NxK, axis=1, kind="stable")[:, :_BEST]
    count = best_Nx5.shape[1]
    header = ["recording", "subject", "class"]
    header += [name for i in range(1, count + 1) for name in (f"guess_{i}", f"{score}_{i}")]
    recordings = test.recordings
    rows = (
        [
            recordings.sources_N[n], recordings.subjects_N[n], classes[test.labels_N[n]],
            *(x for k in best_Nx5[n] for x in (classes[k], f"{scores_NxK[n, k]:.4f}")),
        ]
        for n in range(len(test))
    )  # fmt: skip
    paths.append(write_table(folder / "predictions.csv", header, rows))
    picture = folder / "confusion.png"
    draw_classes.confusion(confusion_KxK, classes, picture)
    return [*paths, picture]


def write_confusion(folder, classes, confusion_KxK) -> pathlib.Path:
    """confusion.csv: a row for each true class, a column for each that was predicted."""
    rows = ([name, *confusion_KxK[k]] for k, name in enumerate(classes))
    return write_table(folder / "confusion.csv", ["true \\ predicted", *classes], rows)


def softmax(logits_NxK):
    shifted = np.exp(logits_NxK - logits_NxK.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def write_table(path: pathlib.Path, header, rows) -> pathlib.Path:
    with written_beside(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path
