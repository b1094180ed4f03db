"""Runs and files in buckets and on the hub, for what reads them from disk."""

import os

from mbjax.configuration import RUN_FILE
from mbjax.storage import hub, local_copy, objects
from mbjax.storage.places import in_bucket, place
from mbjax.training.checkpoint import COMMITTED, FOLDER, steps_in

ALL = "all"


def fetch(path: str | os.PathLike, which: str = "latest") -> str:
    """A path on disk that holds what a URL names; other paths as they are.

    path: of a run, whose newest checkpoint (or step `which`, or ALL) is copied with its config and
    log; of one of its checkpoints; or of a file. FileNotFoundError where there is nothing.
    """
    if hub.is_hub(path):
        return os.fspath(hub.pull(os.fspath(path)).path)
    if not in_bucket(path):
        return os.fspath(path)
    url = place(path)
    names = objects.names(url)
    if not names:
        return os.fspath(local_copy.file(url))
    if FOLDER not in names:  # a checkpoint
        return os.fspath(local_copy.folder(url, lambda name: True))
    steps = committed_steps(url / FOLDER)
    if which == "latest":
        steps = steps[-1:]
    elif which != ALL:
        if str(which) not in map(str, steps):
            there = ", ".join(map(str, steps)) or "none"
            raise FileNotFoundError(f"{url} has no checkpoint of step {which}; it has: {there}")
        steps = [int(which)]
    if not steps and RUN_FILE not in names:
        raise FileNotFoundError(f"{url} is not the work folder of a run: no {RUN_FILE} there")
    return os.fspath(local_copy.folder(url, lambda name: _wanted(name, steps)))


def committed_steps(folder: str | os.PathLike) -> list[int]:
    """Of the checkpoints in a bucket's folder those that were written to their end."""
    folder = place(folder)
    return [step for step in steps_in(folder) if objects.exists(folder / str(step) / COMMITTED)]


def _wanted(name, steps):
    top, _, below = name.partition("/")
    if not below:
        return top.endswith((".json", ".jsonl"))
    return top == FOLDER and below.partition("/")[0] in map(str, steps)
