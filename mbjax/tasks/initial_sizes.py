"""A config's model takes the sizes of the checkpoint that training starts from."""

import dataclasses
from collections.abc import Sequence

from ml_collections import ConfigDict

from mbjax.convert import read as sources
from mbjax.models.dstformer import RUN_SETTINGS

# What a checkpoint does not fix: how it is computed.
_FREE = ("dtype", *RUN_SETTINGS)


def take(config: ConfigDict, settings: Sequence[str]) -> list[str]:
    """Sets config.model, and config.frames where it is longer, to those of config.init's encoder.

    settings: the overrides of the command line, '--config.model.depth=2': what they set stays, and
    must agree. Returns what was changed, 'model.depth 2', in the config's order. ValueError where
    a setting contradicts the file; heads count where the file states them.
    """
    source = sources.read(config.init, backbone_only=True)
    given = {setting.removeprefix("--config.").partition("=")[0] for setting in settings}
    theirs = dataclasses.asdict(source.config)
    changed, wrong = [], []
    for name, value in config.model.items():
        if name in _FREE or name not in theirs or theirs[name] == value:
            continue
        if name == "num_heads" and not source.states_heads:
            continue
        if f"model.{name}" in given:
            wrong.append(f"{name} {theirs[name]}, not {value}")
        else:
            config.model[name] = theirs[name]
            changed.append(f"model.{name} {theirs[name]}")
    if wrong:
        raise ValueError(f"{config.init} has {', '.join(wrong)}; leave such settings out")
    longest = theirs["maxlen"]
    if "frames" in config and "frames" not in given and config.frames > longest:
        config.frames = longest
        changed.append(f"frames {longest}")
    return changed
