"""AdamW as the release trains it (all decay, the rate times 0.99 per epoch), and Muon."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

FROZEN = "frozen"


def learning_rate(
    base: float,
    decay_per_epoch: float,
    epoch_starts: np.ndarray,
    warmup_steps: int = 0,
    cosine_steps: int = 0,
) -> optax.Schedule:
    """step -> rate: base * decay ** epoch, the epoch being that of the plan.

    warmup_steps: rises linearly from 0 first. cosine_steps: falls on a cosine to 2 % over so many
    steps besides (0: not).
    """
    starts = jnp.asarray(epoch_starts)

    def schedule(step):
        epoch = jnp.searchsorted(starts, step, side="right") - 1
        rate = base * decay_per_epoch ** epoch.astype(jnp.float32)
        if warmup_steps:
            rate *= jnp.minimum(1.0, (step + 1) / warmup_steps)
        if cosine_steps:
            rate *= optax.cosine_decay_schedule(1.0, cosine_steps, alpha=0.02)(step)
        return rate

    return schedule


def adamw(
    schedule: optax.Schedule, weight_decay: float, clip_norm: float = 0.0, decay_mask=None
) -> optax.GradientTransformation:
    """torch's AdamW: betas (0.9, 0.999), eps 1e-8, decay coupled to the rate.

    clip_norm: bound on the global norm of the gradient, 0 for none. decay_mask: a tree of bools;
    parameters that get no gradient are not to be decayed (the release's backbone head downstream).
    """
    chain = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
    chain += [
        optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8),
        optax.add_decayed_weights(weight_decay, mask=decay_mask),
        optax.scale_by_learning_rate(schedule),
    ]
    return optax.chain(*chain)


def muon(
    schedule: optax.Schedule, weight_decay: float, clip_norm: float = 0.0
) -> optax.GradientTransformation:
    """Muon (Jordan et al., 2024) for matrices, NAdamW for the other parameters, by one rate.

    Updates of matrices are scaled to a root mean square of 0.2, that of AdamW's usual ones, so that
    rates and decay mean the same for both (Liu et al., Muon is scalable for LLM training, 2025).
    """
    both = optax.contrib.muon(
        schedule, weight_decay=weight_decay, adam_weight_decay=weight_decay, consistent_rms=0.2
    )
    return optax.chain(optax.clip_by_global_norm(clip_norm), both) if clip_norm else both


def adamw_in_groups(
    schedules: Mapping[str, optax.Schedule],
    group_of: Callable[[tuple], str],
    weight_decay: float,
    clip_norm: float = 0.0,
) -> optax.GradientTransformation:
    """`adamw` with a rate for each group of parameters.

    group_of: path of a parameter -> its group's name, or FROZEN: neither updated nor decayed.
    clip_norm bounds the norm over all groups.
    """
    groups = {name: adamw(schedule, weight_decay) for name, schedule in schedules.items()}

    def labels(params):
        return jax.tree.map_with_path(lambda path, _: group_of(names_of(path)), params)

    partition = optax.partition({**groups, FROZEN: optax.set_to_zero()}, labels)
    return optax.chain(optax.clip_by_global_norm(clip_norm), partition) if clip_norm else partition


def encoder_and_head(trainable: Callable[[tuple], bool] | None = None) -> Callable[[tuple], str]:
    """`group_of` for a net with a head: 'backbone' and 'head', and FROZEN for what does not train.

    The encoder's own pose head gets no gradient there and is left alone.
    """

    def group_of(path):
        unused = path[:2] == ("backbone", "head")
        return FROZEN if unused or (trainable and not trainable(path)) else path[0]

    return group_of


def names_of(path: tuple) -> tuple:
    """The names along a path of a nested dict, as jax's tree functions give it."""
    return tuple(entry.key for entry in path)
