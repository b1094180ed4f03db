"""What stands beside the tensors of a file, checked: others' fields, this package's record."""

import math
from collections.abc import Mapping

import numpy as np

from mbjax.remarks import one_line

# Numbers of a run's config that exporting uses.
_CONFIG_NUMBERS = (
    "weight_decay", "rate_decay_per_epoch", "learning_rate_backbone", "learning_rate_head",
    "clip_norm",
)  # fmt: skip


def check_meta(meta: Mapping) -> None:
    """ValueError, in one line, where a record of this package holds what it never writes."""
    for name in ("step", "epoch"):
        if type(meta.get(name)) is not int or not 0 <= meta[name] < 2**53:
            raise ValueError(
                f"its record is damaged: {name} is {one_line(repr(meta.get(name)), 60)}"
            )
    if meta.get("learning_rate") is not None:
        _need_number(meta, "learning_rate")
    for name in ("config", "metrics", "torch"):
        if not isinstance(meta.get(name) or {}, Mapping):
            raise ValueError(f"its record is damaged: {name} is {one_line(repr(meta[name]), 60)}")
    config = meta.get("config") or {}
    for name in _CONFIG_NUMBERS:
        if config.get(name) is not None:
            _need_number(config, name)
    kept = meta.get("torch") or {}
    groups = kept.get("param_groups") or []
    if not isinstance(kept.get("fields", {}), Mapping) or not _are_groups(groups, ("betas",)):
        raise ValueError("its record is damaged: torch is not what this package writes")


def check_optimizer(state) -> None:
    """ValueError, in one line, where it is not the form of torch's optimizer.state_dict()."""
    form = (
        isinstance(state, Mapping)
        and isinstance(state.get("state"), Mapping)
        and all(isinstance(entry, Mapping) for entry in state["state"].values())
        and isinstance(state.get("param_groups"), list | tuple)
        and len(state["param_groups"]) > 0
        and _are_groups(state["param_groups"], ("params",))
        and all(type(n) is int for group in state["param_groups"] for n in group["params"])
    )
    if not form:
        raise ValueError(
            "the optimizer state has no 'state' and 'param_groups' of torch's form; "
            "--no-optimizer leaves it out"
        )
    for entry in state["state"].values():
        if entry and number(entry.get("step")) is None:
            raise ValueError(
                f"the optimizer state has a step of {one_line(repr(entry.get('step')), 60)}; "
                "--no-optimizer leaves it out"
            )


def number(value) -> float | None:
    """A finite number, None for anything else."""
    if isinstance(value, str | bytes | list | tuple) or value is None:
        return None
    try:
        array = np.asarray(value)
        if array.size != 1 or array.dtype.kind not in "fiub":
            return None
        found = float(array.reshape(()))
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def plain(value):
    """Numbers, text and lists of them as JSON has them; None for anything else."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, int) and abs(value) < 2**53:
        return value
    return number(value)


def _need_number(values, name):
    if isinstance(values[name], bool) or number(values[name]) is None:
        raise ValueError(f"its record is damaged: {name} is {one_line(repr(values[name]), 60)}")


def _are_groups(groups, lists):
    return isinstance(groups, list | tuple) and all(
        isinstance(group, Mapping)
        and all(isinstance(group.get(name), list | tuple) for name in lists)
        for group in groups
    )
