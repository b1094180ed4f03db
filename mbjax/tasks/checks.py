"""What the tasks check of a config before anything is read: one line for each mistake."""

import dataclasses
import math
from collections.abc import Iterable

from ml_collections import ConfigDict

from mbjax.models.dstformer import DSTformerConfig
from mbjax.training.every import Every

# Lowest and highest value of settings, wherever they stand. Whole numbers are so by their type.
_INFINITE = math.inf
RANGES = {
    "seed": (0, 2**32 - 1),
    "epochs": (1, _INFINITE),
    "batch_size": (1, _INFINITE),
    "evaluation.batch_size": (1, _INFINITE),
    "accumulate": (1, _INFINITE),
    "feed_threads": (0, _INFINITE),
    "keep_checkpoints": (1, _INFINITE),
    "steps_per_epoch": (0, _INFINITE),
    "examples_per_class": (0, _INFINITE),
    "warmup_steps": (0, _INFINITE),
    "learning_rate": (0, _INFINITE),
    "learning_rate_backbone": (0, _INFINITE),
    "learning_rate_head": (0, _INFINITE),
    "rate_decay_per_epoch": (0, _INFINITE),
    "weight_decay": (0, _INFINITE),
    "clip_norm": (0, _INFINITE),
    "mask_joints": (0, 1),
    "mask_frames": (0, 1),
    **{
        f"{of}mistakes.{kind}": (0, 1)
        for of in ("", "evaluation.")
        for kind in ("swap_sides", "hide_limbs", "hide_spans")
    },
    "ramp_begin": (0, 1),
    "ramp_end": (0, 1),
    "augment.bone_std": (0, _INFINITE),
    "augment.part_std": (0, _INFINITE),
    "augment.limb_swap": (0, 1),
    "augment.yaw": (0, 180),
    "augment.pitch": (0, 180),
    "augment.scale_low": (0, _INFINITE),
    "augment.scale_high": (0, _INFINITE),
    "augment.near": (0, _INFINITE),
    "augment.far": (0, _INFINITE),
    "evaluation.distance": (0, _INFINITE),
    "evaluation.fill": (0, 1),
    "head.hidden": (1, _INFINITE),
    "head.dropout": (0, 1),
    **{
        f"model.{size}": (1, _INFINITE)
        for size in (
            "dim_in", "dim_out", "dim_feat", "dim_rep", "depth", "num_heads", "mlp_ratio",
            "num_joints", "maxlen",
        )
    },
}  # fmt: skip
_DURATIONS = ("log_every", "save_every", "evaluate_every")
_MISSING = object()


def check_config(config: ConfigDict, task: str) -> None:
    """ValueError for a config of another task, and for a setting that is out of its range."""
    theirs = config.get("task", task)
    if theirs != task:
        raise ValueError(
            f"this is a config of the task {theirs!r}, not of {task!r}; its command is "
            + ("'mbjax pretrain'" if theirs == "pretrain" else f"'mbjax finetune {theirs}'")
        )
    for name, (low, high) in RANGES.items():
        value = _get(config, name)
        # NaN is in no range; a setting that the task does not have is not looked at.
        if value is _MISSING or (math.isfinite(value) and low <= value <= high):
            continue
        to = f"from {low} to {high}" if high < _INFINITE else f"at least {low}, and finite"
        raise ValueError(f"{name} is {value}; it must be {to}")
    near, far = (config.get("augment", {}).get(end, 0) for end in ("near", "far"))
    if far and not 0 < near <= far:
        raise ValueError(f"augment.near is {near}; it must be above 0 and at most far, {far}")
    for term, weight in config.get("loss", {}).items():
        if not math.isfinite(weight):
            raise ValueError(f"loss.{term} is {weight}; it must be finite")
    for name in _DURATIONS:
        if name in config:
            Every(config[name], 1, (0,))


def _get(config, dotted):
    for part in dotted.split("."):
        if part not in config:
            return _MISSING
        config = config[part]
    return config


def check_length(frames: int, maxlen: int, of: str, settings: str = "") -> None:
    """ValueError where clips have more frames than a network takes.

    of: whose clips; settings: what to change, if there is something.
    """
    if frames > maxlen:
        hint = f"; set {settings}" if settings else ""
        raise ValueError(f"{of} clips of {frames} frames, the model takes {maxlen}{hint}")


def check_encoder(
    checkpoint: str, theirs: DSTformerConfig, ours: DSTformerConfig, free: Iterable[str]
) -> None:
    """ValueError where a pretrained encoder has other sizes than the config's.

    free: fields that may differ.
    """
    found, wanted = dataclasses.asdict(theirs), dataclasses.asdict(ours)
    wrong = [
        f"{name} {found[name]} (config: {value})"
        for name, value in wanted.items()
        if name not in free and found[name] != value
    ]
    if not wrong:
        return
    heads = (
        " (a file that does not say its number of heads is taken to have 8; 'mbjax import "
        "--num-heads' says it)"
    )
    raise ValueError(
        f"{checkpoint} is an encoder of other sizes: {', '.join(wrong)}; set them to the "
        "checkpoint's by --config.model.NAME=VALUE" + ("" if "num_heads" in free else heads)
    )
