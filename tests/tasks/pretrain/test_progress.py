"""The progress line: errors in mm, whatever scale and camera the clips are augmented with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbjax.data import detector_noise
from mbjax.data.plan import row_keys
from mbjax.pose import skeleton
from mbjax.tasks.pretrain import task as pretrain


@pytest.mark.slow
@pytest.mark.parametrize("scale_high", [0.0, 2.0])
def test_the_training_error_in_mm_does_not_depend_on_augmentation(tiny_config, scale_high):
    tiny_config.augment.update(bone_std=0.0, scale_low=0.3, scale_high=scale_high)
    metres_per_unit = 0.5
    pose = jax.random.normal(jax.random.key(1), (1, 9, 17, 3))
    _, terms = pretrain.loss_3d(
        tiny_config, tiny_config.sources.motion, detector_noise.DetectionNoise.load(),
        lambda x: jnp.zeros((*x.shape[:3], 3)), {"pose": pose}, row_keys(jax.random.key(0), 0, 1),
        0.5, metres_per_unit,
    )  # fmt: skip
    # A prediction of zeros is as far off as the joints are from the root.
    expected = 1000 * metres_per_unit * np.linalg.norm(skeleton.root_relative(pose), axis=-1).mean()
    np.testing.assert_allclose(terms["joint_mm"], expected, rtol=1e-4)  # rotations in float32


def test_the_line_has_what_is_known():
    means = {"motion/joint_mm": 60.0, "motion_30fps/joint_mm": 40.0, "motion/loss": 0.5}
    assert pretrain.progress_text(means, {"error_mm": 70.04}) == (
        "held-out 70.0 mm, training joints 50.0 mm"
    )
    assert pretrain.progress_text(means, {}) == "training joints 50.0 mm"
    assert pretrain.progress_text({"annotated/loss": 0.5}, {}) == "loss 0.5000"


def test_the_sample_corpus_knows_its_unit(tiny_config):
    tiny_config.evaluation.dir = ""
    source = pretrain.make_task(tiny_config).sources["motion"]
    assert 1 < source.loss.keywords["metres_per_unit"] < 10
