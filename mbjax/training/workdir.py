"""The work folder of a run: which run owns it, and that all processes see the same one."""

import contextlib
import json
from collections.abc import Mapping

import jax
from etils import epath
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from mbjax.atomic_files import written_beside
from mbjax.configuration import RUN_FILE
from mbjax.safe_files import json_files
from mbjax.storage import objects
from mbjax.storage.places import Place, in_bucket
from mbjax.training.checkpoint import FOLDER, read_meta, steps_in

CONFIG, DATA = RUN_FILE, "data.json"

# Settings that may change between two starts of one run without making it another.
_FREE_SETTINGS = (
    "log_every", "save_every", "evaluate_every", "keep_checkpoints", "feed_threads",
    # Where, how, and in how many pieces the same batch is computed.
    "fsdp", "accumulate", "model.attention", "model.remat", "model.remat_keep",
    "model.scan_levels",
)  # fmt: skip


def make_folder(workdir: Place) -> None:
    """Makes a new work folder, on process 0; ValueError where it cannot be made or written to."""
    if jax.process_index() == 0:
        try:
            if in_bucket(workdir):  # where folders are parts of names
                return objects.check_writable(workdir)
            workdir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"work folder {workdir} cannot be made: {reason}") from None


def claim_workdir(workdir: Place, config: ConfigDict, data: Mapping | None = None) -> None:
    """Makes a new work folder and writes the config into it, and what the data are.

    A folder without a checkpoint is new: its run failed before there was anything to continue.
    data: {source: {split: index}}, see `data.records.RecordReader.index`.
    ValueError where the folder has another config, was trained on other data, cannot be made, or is
    not the same folder on all hosts.
    """
    make_folder(workdir)
    settings = json.loads(config.to_json_best_effort())
    begun = bool(objects.names(workdir / FOLDER))
    for name, mine, compare in (
        (CONFIG, settings, _compare), (DATA, data and dict(data), _compare_data),
    ):  # fmt: skip
        if mine is None:
            continue
        kept = _read(workdir / name) if begun else None
        theirs = _config_of_checkpoints(workdir) if begun and not kept and name == CONFIG else kept
        if theirs:
            compare(workdir, theirs, mine)
        if not kept and jax.process_index() == 0:
            with written_beside(workdir / name) as beside:
                beside.write_text(json.dumps(mine, indent=1))
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("work folder claimed")
        if not objects.exists(workdir / CONFIG):
            raise ValueError(
                f"process {jax.process_index()} does not see {workdir / CONFIG}, which process 0 "
                "has; the work folder must be on storage that all hosts share"
            )


def check_data(workdir: Place, data: Mapping) -> None:
    """ValueError where a run was trained on other data than these."""
    theirs = _read(workdir / DATA)
    if theirs:
        _compare_data(workdir, theirs, data)


def _read(path) -> dict | None:
    """What the run that began here has written; None where that is lost or damaged."""
    try:
        return json_files.read_object(path)
    except (OSError, ValueError):
        return None


def _config_of_checkpoints(workdir) -> dict | None:
    for step in reversed(steps_in(workdir / FOLDER)):
        with contextlib.suppress(Exception):  # whatever a damaged one makes Orbax raise
            return read_meta(epath.Path(workdir / FOLDER / str(step))).get("config") or None
    return None


def _compare_data(workdir, theirs, mine):
    changes = [
        f"{source}, split {split}: {change}"
        for source in sorted(set(theirs) & set(mine))
        for split in sorted(set(theirs[source]) | set(mine[source]))
        for change in _data_changes(theirs[source].get(split), mine[source].get(split))
    ]
    if changes:
        raise ValueError(
            f"work folder {workdir} was trained on other data: "
            + "; ".join(changes)
            + "; use another --workdir, or the data it was begun with"
        )


def _data_changes(old, new) -> list[str]:
    if old == new:
        return []
    if old is None or new is None:
        return ["was not there" if old is None else "is not there any more"]
    if old["records"] != new["records"]:
        return [f"had {old['records']} records, now {new['records']}"]
    names = sorted(set(old["shards"]) | set(new["shards"]))
    differ = [name for name in names if old["shards"].get(name) != new["shards"].get(name)]
    more = f" and {len(differ) - 1} more" if len(differ) > 1 else ""
    return [f"{differ[0]}{more} holds other records, or in another order"]


def _compare(workdir, theirs, mine):
    # What runs of pretraining that an older version began do not state.
    for name, value in (("task", "pretrain"), ("optimizer", "adamw")):
        if name in mine:
            theirs = {name: value, **theirs}
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
    if where in _FREE_SETTINGS or (old is None and _is_off(new)):
        return []
    return [] if old == new else [f"{where} was {old!r}, now {new!r}"]


def _is_off(value) -> bool:
    """Whether a setting does nothing: one that an older version's config does not have yet."""
    if isinstance(value, dict):
        return all(map(_is_off, value.values()))
    return not value
