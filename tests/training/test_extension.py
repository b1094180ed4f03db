"""More epochs on a run that is done."""

import json

import jax
import numpy as np
import pytest

from mbjax import configuration
from mbjax.tasks.pretrain import task as pretrain
from mbjax.training import extension, loop
from tests.recipes.settings import TINY_SETTINGS

# A rate that does not depend on how long the run is.
STEADY = ("--config.cosine=False", "--config.ramp_end=0.0", "--config.model.structure=st")


def config_of(epochs, *settings):
    settings = [*TINY_SETTINGS, *STEADY, f"--config.epochs={epochs}", *settings]
    return configuration.load("pretrain:tiny", settings)


def run(config, folder):
    return loop.run(config, pretrain.make_task, folder, say=lambda text: None)


@pytest.mark.slow
def test_an_extended_run_is_the_longer_one(tmp_path):
    straight = run(config_of(3), tmp_path / "straight")
    first = run(config_of(2), tmp_path / "extended")
    with pytest.raises(ValueError, match="epochs was 2, now 3"):
        run(config_of(3), tmp_path / "extended")
    extension.extend(tmp_path / "extended", config_of(3))
    longer = run(config_of(3), tmp_path / "extended")
    assert longer.step == straight.step > first.step
    pairs = zip(
        jax.tree.leaves(longer.state["params"]), jax.tree.leaves(straight.state["params"]),
        strict=True,
    )  # fmt: skip
    assert all(np.array_equal(a, b) for a, b in pairs), "bit for bit"


def test_what_cannot_be_extended_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no run in"):
        extension.extend(tmp_path, config_of(3))
    (tmp_path / "config.json").write_text(config_of(3).to_json_best_effort())
    with pytest.raises(ValueError, match="has 3 epochs; to extend it, give more: .*epochs=4"):
        extension.extend(tmp_path, config_of(3))
    extension.extend(tmp_path, config_of(5, "--config.batch_size=16"))
    kept = json.loads((tmp_path / "config.json").read_text())
    assert (kept["epochs"], kept["batch_size"]) == (5, 8)
