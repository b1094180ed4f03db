"""A run's own config, from its work folder."""

import pytest

from mbjax import configuration
from mbjax.configuration import ConfigError


@pytest.fixture
def run(tmp_path):
    config = configuration.load("pretrain:tiny", ["--config.model.depth=1"])
    (tmp_path / "run/checkpoints/20").mkdir(parents=True)
    (tmp_path / "run/config.json").write_text(config.to_json_best_effort())
    return tmp_path / "run", config


@pytest.mark.parametrize("below", ["", "checkpoints", "checkpoints/20"])
def test_it_is_the_config_that_was_run(run, below):
    folder, config = run
    assert configuration.of_run(str(folder / below), []).to_dict() == config.to_dict()


def test_overrides_apply_with_their_types(run):
    folder, _ = run
    settings = ["--config.evaluation.yaws=(0.0,90.0)", "--config.batch_size=7"]
    config = configuration.of_run(str(folder), settings)
    assert config.evaluation.yaws == (0.0, 90.0) and config.batch_size == 7
    with pytest.raises(ConfigError, match="no batchsize; did you mean: batch_size"):
        configuration.of_run(str(folder), ["--config.batchsize=7"])


def test_without_one_a_line_says_so(tmp_path):
    for place in ("tiny", str(tmp_path), str(tmp_path / "x.bin")):
        with pytest.raises(ConfigError, match="not the work folder of a run: give --config"):
            configuration.of_run(place, [])
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(ConfigError, match="is not the config of a run"):
        configuration.of_run(str(tmp_path), [])
