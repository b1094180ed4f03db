"""What the tasks that start from a pretrained encoder share."""

from collections.abc import Callable, Sequence

from mbjax.convert import load as loading
from mbjax.convert import read as weights
from mbjax.models.dstformer import RUN_SETTINGS, DSTformerConfig
from mbjax.tasks.checks import check_encoder
from mbjax.training import optimizer


def initial_weights(config, under: tuple = ()) -> Callable[[dict], dict] | None:
    """`Task.initial` for config.init, any kind of checkpoint; None where it is empty.

    under: where the encoder sits, ('backbone',) in a net with a head.
    """
    if not config.init:
        return None

    def initial(params):
        return loading.load_into(params, config.init, under)[0]

    return initial


def check_initial(config) -> None:
    """ValueError where config.init is an encoder of other sizes than config.model's.

    To be called before anything is written.
    """
    if config.init:
        source = weights.read(config.init, backbone_only=True)
        # How it is computed; and the heads, which no tensor's size gives, where the file does not.
        free = ("dtype", *RUN_SETTINGS, *(() if source.states_heads else ("num_heads",)))
        check_encoder(config.init, source.config, DSTformerConfig(**config.model), free)


def named_subtrees(names: Sequence[str]) -> Callable[[tuple], bool] | None:
    """`Task.trainable` for dotted beginnings of names ('blocks_st.4', 'head'); None: all train."""
    if not names:
        return None
    prefixes = [tuple(name.split(".")) for name in names]

    def trainable(path):
        path = tuple(map(str, path))
        return any(path[: len(prefix)] == prefix for prefix in prefixes)

    return trainable


def optimizer_for_net_with_head(config, plan):
    """AdamW with a rate for the encoder and one for the head; (transformation, schedule of the
    head's rate, for the log).

    The encoder's own pose head gets no gradient and is left alone, as are parameters that
    config.partial_train does not name.
    """
    schedules = {
        group: optimizer.learning_rate(
            rate,
            config.rate_decay_per_epoch,
            plan.epoch_starts(),
            config.warmup_steps,
            plan.total_steps if config.cosine else 0,
        )
        for group, rate in (
            ("backbone", config.learning_rate_backbone),
            ("head", config.learning_rate_head),
        )
    }
    group_of = optimizer.encoder_and_head(named_subtrees(config.partial_train))
    transformation = optimizer.adamw_in_groups(
        schedules, group_of, config.weight_decay, config.clip_norm
    )
    return transformation, schedules["head"]
