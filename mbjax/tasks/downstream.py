"""What the tasks that start from a pretrained encoder share."""

from collections.abc import Callable, Sequence


def initial_weights(config, under: tuple = ()) -> Callable[[dict], dict] | None:
    """`Task.initial` for config.init, any kind of checkpoint; None where it is empty.

    under: where the encoder sits, ('backbone',) in a net with a head.
    """
    if not config.init:
        return None

    def initial(params):
        from mbjax import loading  # here, so that training from scratch needs no converters

        return loading.load_into(params, config.init, under)[0]

    return initial


def named_subtrees(names: Sequence[str]) -> Callable[[tuple], bool] | None:
    """`Task.trainable` for dotted beginnings of names ('blocks_st.4', 'head'); None: all train."""
    if not names:
        return None
    prefixes = [tuple(name.split(".")) for name in names]

    def trainable(path):
        path = tuple(map(str, path))
        return any(path[: len(prefix)] == prefix for prefix in prefixes)

    return trainable
