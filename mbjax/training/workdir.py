"""The work folder of a run: which run owns it, and that all processes see the same one."""

import json
import os
import pathlib

import jax
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from mbjax.atomic_files import written_beside
from mbjax.training.checkpoint import FOLDER

# Settings that may change between two starts of one run without making it another.
_FREE_SETTINGS = (
    "log_every", "save_every", "evaluate_every", "keep_checkpoints", "feed_threads",
    # Where, how, and in how many pieces the same batch is computed.
    "fsdp", "accumulate", "model.attention", "model.remat", "model.remat_keep",
)  # fmt: skip


def folder(workdir: str | os.PathLike) -> pathlib.Path:
    """The path of a work folder; ValueError for a URL."""
    if "://" in os.fspath(workdir):
        raise ValueError(
            f"work folder {workdir} is a URL; mount it (NFS, gcsfuse) and give the folder"
        )
    return pathlib.Path(workdir).expanduser()


def claim_workdir(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Makes a new work folder and writes the config into it.

    A folder without a checkpoint is new: its run failed before there was anything to continue.
    ValueError where the folder has another config, cannot be made, or is not the same folder on
    all hosts.
    """
    path = workdir / "config.json"
    mine = json.loads(config.to_json_best_effort())
    if path.exists() and (workdir / FOLDER).is_dir() and any((workdir / FOLDER).iterdir()):
        _compare(workdir, json.loads(path.read_text()), mine)
    elif jax.process_index() == 0:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"work folder {workdir} cannot be made: {error.strerror}") from None
        with written_beside(path) as beside:
            beside.write_text(json.dumps(mine, indent=1))
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("work folder claimed")
        if not path.exists():
            raise ValueError(
                f"process {jax.process_index()} does not see {path}, which process 0 has; the "
                "work folder must be on storage that all hosts share"
            )


def _compare(workdir, theirs, mine):
    if "task" in mine:  # which a pretraining run begun by an older version does not state
        theirs = {"task": "pretrain", **theirs}
    changes = _differences(theirs, mine)
    if changes:
        raise ValueError(
            f"work folder {workdir} belongs to another config: "
            + "; ".join(changes)
            + "; use another --workdir, or the settings it was begun with"
        )


def _differences(old, new, where="") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted(set(old) | set(new))
        return [
            line
            for name in names
            for line in _differences(old.get(name), new.get(name), f"{where}.{name}".lstrip("."))
        ]
    if where in _FREE_SETTINGS:
        return []
    return [] if old == new else [f"{where} was {old!r}, now {new!r}"]
