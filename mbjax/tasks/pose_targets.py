"""What the tasks that lift 2D to 3D share: input, target, loss weights, the optimizer.

Shapes in names: B batch, T frames, J joints.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from mbjax.models.trained_on import TrainedOn
from mbjax.pose import proportions, skeleton
from mbjax.training import optimizer
from mbjax.training.task import TrainSource

_CLIPS_MEASURED = 64  # of each source, for the proportions of its people


def described(config, sources: Mapping[str, TrainSource]) -> dict:
    """`Task.describe` of an encoder: its sizes, and what clips and people it is trained on."""
    loaders = [source.load for source in sources.values()]
    scales = config.get("augment", {})
    high = scales.get("scale_high", 0.0)  # 0: clips keep their own scale
    fill = (scales.scale_low + high) / 2 if high else None
    trained = TrainedOn.longest(loaders, trunk_per_leg=_trunk_per_leg(loaders), fill=fill)
    own = {"kind": "dstformer", "dstformer": dict(config.model)}
    return own if trained is None else {**own, **trained.meta()}


def _trunk_per_leg(loaders):
    """The mean over some clips of each source of 3D motion, None without one."""
    of_clips = [
        proportions.trunk_per_leg(load.reader[number]["pose"])
        for load in loaders
        if "pose" in getattr(load, "fields", ())
        for number in np.unique(np.linspace(0, len(load) - 1, _CLIPS_MEASURED).astype(int))
    ]
    return round(float(np.mean(of_clips)), 4) if of_clips else None


def clean_input(xy_BxTxJx2):
    """True 2D as a network's input: x, y, confidence 1. numpy or JAX."""
    xp = skeleton.namespace(xy_BxTxJx2)
    return xp.concat([xy_BxTxJx2, xp.ones_like(xy_BxTxJx2[..., :1])], axis=-1)


def target(pose_BxTxJx3, root_relative: bool):
    """Root-relative per frame, or with depth relative to the root of the first frame."""
    if root_relative:
        return skeleton.root_relative(pose_BxTxJx3)
    return pose_BxTxJx3.at[..., 2].add(-pose_BxTxJx3[:, :1, :1, 2])


def ramp(config, progress):
    """0 before ramp_begin of the run, 1 from ramp_end on; without a ramp, 1 throughout."""
    begin, end = config.ramp_begin, config.ramp_end
    if end <= 0:
        return 1.0
    return jnp.clip((progress - begin) / max(end - begin, 1e-9), 0.0, 1.0)


def loss_weights(config, progress) -> dict:
    """The weights of losses.pose_loss at this share of the run."""
    weights = dict(config.loss)
    if config.ramp_end > 0:
        # A small pose has a large gradient of the scale loss, which at the start would drown the
        # others and leave it small; a heavy velocity loss would hold depth at zero.
        for term, first in config.ramp_from.items():
            weights[term] = first + (weights[term] - first) * ramp(config, progress)
    return weights


def release_optimizer(config, plan, trainable=None):
    """AdamW or Muon as the config says: (transformation, schedule).

    trainable: as in `Task`; the other parameters are neither updated nor decayed.
    """
    schedule = optimizer.learning_rate(
        config.learning_rate,
        config.rate_decay_per_epoch,
        plan.epoch_starts(),
        config.warmup_steps,
        plan.total_steps if config.cosine else 0,
    )
    name = config.get("optimizer", "adamw")
    if name not in ("adamw", "muon") or name == "muon" and trainable is not None:
        raise ValueError(f"optimizer is {name!r}; it must be adamw, or muon where all train")
    if name == "muon":
        return optimizer.muon(schedule, config.weight_decay, config.clip_norm), schedule
    if trainable is None:
        return optimizer.adamw(schedule, config.weight_decay, config.clip_norm), schedule

    def group_of(path):
        return "trained" if trainable(path) else optimizer.FROZEN

    groups = {"trained": schedule}
    return (
        optimizer.adamw_in_groups(groups, group_of, config.weight_decay, config.clip_norm),
        schedule,
    )
