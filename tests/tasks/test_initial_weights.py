import dataclasses

import jax
import numpy as np
import pytest

from mbjax import configuration, tasks
from mbjax.data import plan as plans
from mbjax.tasks import initial_weights
from mbjax.tasks.pretrain import task as pretrain
from mbjax.training import loop, optimizer
from tests.recipes.settings import TINY_SETTINGS


def test_named_subtrees_are_beginnings_of_paths():
    trainable = initial_weights.named_subtrees(["head", "blocks_st.1"])
    assert trainable(("head", "kernel")) and trainable(("blocks_st", 1, "norm1_s", "scale"))
    assert not trainable(("blocks_st", 0, "norm1_s", "scale")) and not trainable(("header",))
    assert initial_weights.named_subtrees(()) is None


@pytest.mark.slow
def test_a_run_starts_from_what_is_given_and_trains_only_what_it_should(tmp_path):
    settings = [s for s in TINY_SETTINGS if "epochs" not in s] + ["--config.epochs=2"]
    config = configuration.load("configs/pretrain.py:tiny", settings)
    given = {}

    def initial(params):
        given.update(jax.tree.map(lambda a: a + 0.01, params))
        return given

    def group_of(path):
        return "all" if path[0] == "head" else optimizer.FROZEN

    def make_task(config):
        task = pretrain.make_task(config)
        return dataclasses.replace(
            task,
            initial=initial,
            trainable=initial_weights.named_subtrees(["head"]),
            optimizer=lambda plan: (
                optimizer.adamw_in_groups({"all": lambda _: 1e-3}, group_of, 0.01),
                lambda _: 1e-3,
            ),
        )

    params = loop.run(config, make_task, tmp_path, say=lambda _: None).state["params"]
    moved = jax.tree.map(lambda a, b: not np.array_equal(a, b), given, dict(params))
    assert all(jax.tree.leaves(moved.pop("head"))), "the head has been trained"
    assert not any(jax.tree.leaves(moved)), "all else is as given, to the bit"


def test_an_unknown_task_lists_the_known_ones():
    with pytest.raises(ValueError, match="no task named 'pose'; there are: pretrain, "):
        tasks.find("pose")


@pytest.mark.parametrize("partial_train, trained", [((), 0.1), (("head",), 0.0)])
def test_a_net_with_a_head_has_two_rates_and_its_pose_head_none(partial_train, trained):
    config = configuration.load("configs/action.py:ntu60_xsub", [])
    config.partial_train, config.weight_decay = partial_train, 0.1
    params = {"backbone": {"norm": {"scale": np.ones(2)}, "head": {"kernel": np.ones(2)}}}
    params["head"] = {"fc1": {"kernel": np.ones(2)}}
    plan = plans.Plan([plans.Source("train", 8, 4)], 0, 3)
    transformation, schedule = initial_weights.optimizer_for_net_with_head(config, plan)
    gradients = jax.tree.map(np.ones_like, params)
    updates, _ = transformation.update(gradients, transformation.init(params), params)
    # The first step of AdamW: the rate times (1 + weight decay), all gradients being 1. 2e-5: its
    # correction of the moments, 1 - 0.999 in float32, loses digits.
    head = -1e-3 * 1.1
    np.testing.assert_allclose(updates["head"]["fc1"]["kernel"], head, rtol=2e-5)
    np.testing.assert_allclose(updates["backbone"]["norm"]["scale"], head * trained, rtol=2e-5)
    assert not np.any(updates["backbone"]["head"]["kernel"])
    assert float(schedule(5)) == pytest.approx(1e-3 * 0.99**2)
