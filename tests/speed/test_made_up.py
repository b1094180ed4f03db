"""Steps of all tasks on made-up rows: of the same shapes and types as those of real data."""

import jax
import pytest

from mbjax import configuration
from mbjax.devices import sharding
from mbjax.speed import one_source
from mbjax.training.step import prepared

SMALL = (
    "model.dim_feat=16", "model.dim_rep=16", "model.depth=1", "model.num_heads=2",
)  # fmt: skip
# The published recipes, and the sample's variant of each whose data come with the package.
RECIPES = {
    "pretrain": ("pretrain:mb_lite", "pretrain:tiny"),
    "pose3d": ("pose3d:scratch", "pose3d:sample_scratch"),
    "action": ("action:ntu60_xsub", "action:sample"),
    "oneshot": ("oneshot:ntu120", "oneshot:sample"),
    "mesh": ("mesh:pw3d", None),
    "mesh_refine": ("mesh:refine_hybrik", None),
}


def config_of(name, *settings):
    return configuration.load(name, [f"--config.{one}" for one in (*SMALL, *settings)])


@pytest.mark.parametrize("task", RECIPES)
def test_the_step_of_a_published_recipe_without_its_data(task):
    config = config_of(RECIPES[task][0])
    source = one_source.OneSource(config, frames=9, made_up=True)
    devices = jax.devices()[:2]
    run = prepared(source.task(4), source.settings(), sharding.make_mesh(1, devices))
    lowered = run.steps[source.name].lower(run.abstract, source.batch_shapes(4))
    _, metrics = lowered.out_info
    assert {"loss", "gradient_norm"} <= set(metrics)


@pytest.mark.parametrize("task", [task for task, (_, sample) in RECIPES.items() if sample])
def test_rows_are_as_the_data_would_give_them(task, request):
    settings = []
    if task in ("action", "oneshot"):
        settings = [f"data.dir={request.getfixturevalue('gestures')}"]
    config = config_of(RECIPES[task][1], *settings)
    real = one_source.OneSource(config)
    _, frames = one_source.clips_and_frames(real.batch_shapes(1))
    made = one_source.OneSource(config_of(RECIPES[task][1]), frames=frames, made_up=True)
    assert made.batch_shapes(3) == real.batch_shapes(3)


def test_a_source_that_is_not_there():
    with pytest.raises(ValueError, match="no source 'valid'; there are: train"):
        one_source.OneSource(config_of("action:ntu60_xsub"), "valid", made_up=True)
