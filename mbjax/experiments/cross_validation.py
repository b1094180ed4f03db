"""`mbjax cross-validate`: each subject is tested by a network that has not seen them."""

import json
import os
import re
from collections.abc import Callable

import numpy as np

from mbjax.atomic_files import written_beside
from mbjax.devices import sharding
from mbjax.pictures import classes as draw_classes
from mbjax.storage.places import on_disk
from mbjax.tasks.action import files as action_files
from mbjax.tasks.action import metrics as classification
from mbjax.tasks.action import splits
from mbjax.tasks.action import task as action
from mbjax.tasks.action.evaluation import Forward, scores
from mbjax.tasks.action.splits import Labelled
from mbjax.training import loop


def run(config, workdir: str | os.PathLike, subjects, say: Callable[[str], None]) -> str:
    """Leave-one-subject-out training and evaluation of the task action; returns the summary.

    One work folder per subject below `workdir`, so that a run that was stopped continues. Each
    network is evaluated as it is at the end, never chosen by the subject it is tested on.
    subjects: only these folds, () for all. Writes folds.csv, confusion.csv and .png, summary.json.
    ValueError, FileNotFoundError: one line.
    """
    workdir = on_disk(workdir, "work folder")
    if splits.listed(config.test_subjects):
        raise ValueError("cross-validation tests every subject in turn; leave test_subjects out")
    data = splits.load(config)
    everyone = sorted(set(data.train.recordings.subjects_N))
    if len(everyone) < 2:
        raise ValueError(
            f"{data.train.recordings.where} has recordings of "
            + (f"{everyone[0]} alone" if everyone[0] else "nobody by name")
            + "; folds take two subjects at least: name them by folders or by the column 'subject'"
        )
    unknown = [subject for subject in subjects if subject not in everyone]
    if unknown:
        raise ValueError(f"no subject {', '.join(unknown)}; there are: {', '.join(everyone)}")
    forward, folds = Forward(config), []
    for number, subject in enumerate(subjects or everyone, 1):
        say(f"fold {number} of {len(subjects or everyone)}: {subject} is tested")
        folds.append((subject, *_fold(config, data.classes, workdir, subject, forward)))
    return _sum_up(folds, data.classes, workdir)


def _fold(config, classes, workdir, subject, forward) -> tuple[np.ndarray, Labelled]:
    """(logits, what was tested) of the network trained without a subject."""
    config = config.copy_and_resolve_references()
    # The classes are those of everybody: a fold may train without one of them.
    config.classes, config.test_subjects, config.evaluate_every = classes, (subject,), ""
    result = loop.run(config, action.make_task, workdir / f"fold-{_as_file_name(subject)}")
    test = splits.load(config, training=False).test
    assert test is not None, "one subject is held out"
    devices = sharding.make_mesh(config.fsdp)
    return forward(result.graphdef, result.state, devices, test.recordings), test


def _as_file_name(subject):
    return re.sub(r"[^\w.-]", "_", subject)


def _sum_up(folds, classes, workdir):
    rows, total = [], np.zeros((len(classes), len(classes)), np.int64)
    for subject, logits_NxK, test in folds:
        found = scores(logits_NxK, test.labels_N)
        rows.append({"subject": subject, "recordings": len(test), **found})
        predicted_N = logits_NxK.argmax(axis=1)
        total += classification.confusion_matrix(test.labels_N, predicted_N, len(classes))
    weighted = np.array([row["weighted_f1"] for row in rows])
    accuracy = np.array([row["top_1"] for row in rows])
    pooled = classification.summary(total)
    summary = {
        "folds": rows,
        "weighted_f1_mean": float(weighted.mean()),
        "weighted_f1_std": float(weighted.std(ddof=1)) if len(rows) > 1 else 0.0,
        "top_1_mean": float(accuracy.mean()),
        "top_1_std": float(accuracy.std(ddof=1)) if len(rows) > 1 else 0.0,
        **{f"pooled_{name}": value for name, value in pooled.items()},
    }
    action_files.write_table(workdir / "folds.csv", list(rows[0]), [row.values() for row in rows])
    action_files.write_confusion(workdir, classes, total)
    draw_classes.confusion(total, classes, workdir / "confusion.png")
    with written_beside(workdir / "summary.json") as beside:
        beside.write_text(json.dumps(summary, indent=1), encoding="utf-8")
    width = max(7, *(len(row["subject"]) for row in rows))
    lines = [f"  {'subject':{width}s}  recordings  top-1  weighted F1"]
    lines += [
        f"  {row['subject']:{width}s}  {row['recordings']:10d}  {100 * row['top_1']:5.1f}  "
        f"{100 * row['weighted_f1']:11.1f}"
        for row in rows
    ]
    lines += [
        f"weighted F1 over {len(rows)} subjects: {100 * summary['weighted_f1_mean']:.1f} +- "
        f"{100 * summary['weighted_f1_std']:.1f} % (mean, standard deviation); "
        f"of all recordings together {100 * pooled['weighted_f1']:.1f} %",
        f"top-1: {100 * summary['top_1_mean']:.1f} +- {100 * summary['top_1_std']:.1f} %; "
        f"together {100 * pooled['accuracy']:.1f} %",
        classification.table(total, classes),
        f"wrote {workdir}/folds.csv, confusion.csv, confusion.png, summary.json",
    ]
    return "\n".join(lines)
