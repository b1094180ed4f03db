"""Sizes come from the checkpoint that a run starts from; what contradicts it is refused."""

import pytest

from mbjax import configuration
from mbjax.convert import read as sources
from mbjax.tasks import initial_sizes, initial_weights


def custom(*settings):
    settings = ["--config.init=tiny", *settings]
    return configuration.load("action:custom", settings), settings


def test_the_model_is_the_checkpoints():
    config, settings = custom()
    with pytest.raises(ValueError, match="num_heads 4 "):
        initial_weights.check_initial(config)
    changed = initial_sizes.take(config, settings)
    assert (config.model.dim_feat, config.model.depth, config.model.num_heads) == (96, 2, 4)
    assert config.frames == config.model.maxlen == 81
    assert "model.num_heads 4" in changed and "frames 81" in changed
    initial_weights.check_initial(config)


def test_what_was_set_stays_and_must_agree():
    config, settings = custom("--config.frames=40", "--config.model.depth=2")
    initial_sizes.take(config, settings)
    assert config.frames == 40
    config, settings = custom("--config.model.num_heads=8", "--config.model.depth=3")
    with pytest.raises(ValueError, match="tiny has depth 2, not 3, num_heads 4, not 8; leave"):
        initial_sizes.take(config, settings)


def test_heads_that_are_assumed_decide_nothing(monkeypatch):
    config, settings = custom("--config.model.num_heads=2")
    usual = sources.read

    def without_heads(*arguments, **options):
        found = usual(*arguments, **options)
        found.notes.append("heads are not in the file, 8 assumed")
        return found

    monkeypatch.setattr(sources, "read", without_heads)
    initial_sizes.take(config, settings)
    assert config.model.num_heads == 2
    initial_weights.check_initial(config)
