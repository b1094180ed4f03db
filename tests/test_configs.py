"""The configs: against the release's values, and against the sizes that the models know."""

import dataclasses
import json

import pytest

from configs import ablation, action, common, mesh, oneshot, pose3d, pretrain
from mbjax import configuration
from mbjax.models.dstformer import DSTformerConfig
from mbjax.tasks import TASKS
from mbjax.tasks.checks import check_config
from tests.recipes.settings import GOLDEN

RELEASE = json.loads((GOLDEN / "release_configs.json").read_text())
MODULES = (ablation, action, mesh, oneshot, pose3d, pretrain)


@pytest.mark.parametrize("config", RELEASE)
def test_values_of_the_release(config):
    """Values that the release's own config files state; they decide what people reproduce."""
    ours = configuration.load(config, [])
    for name, value in RELEASE[config].items():
        found = ours
        for part in name.split("."):
            found = found[part]
        assert found == (tuple(value) if isinstance(value, list) else value), name


def test_sizes_are_those_that_the_model_knows():
    for size, known in (("mb", DSTformerConfig.mb()), ("mb_lite", DSTformerConfig.mb_lite())):
        assert common.encoder(size).to_dict() == dataclasses.asdict(known)


def test_every_variant_names_its_task_and_passes_its_own_checks():
    for module in MODULES:
        for variant in module.VARIANTS:
            config = module.get_config(variant)
            assert config.task in TASKS
            check_config(config, config.task)


def test_an_unknown_variant_is_an_error_that_lists_them():
    for module in MODULES:
        with pytest.raises(ValueError, match=f"has no variant 'none'.*{module.VARIANTS[0]}"):
            module.get_config("none")
