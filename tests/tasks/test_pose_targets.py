import jax
import numpy as np

from mbjax.tasks import pose_targets


def test_global_target_keeps_the_path_and_starts_depth_at_the_root():
    pose = jax.random.normal(jax.random.key(1), (2, 9, 17, 3))
    target = pose_targets.target(pose, root_relative=False)
    np.testing.assert_array_equal(target[..., :2], pose[..., :2])
    np.testing.assert_array_equal(target[:, 0, 0, 2], 0)
    np.testing.assert_allclose(target[:, 5, 3, 2], pose[:, 5, 3, 2] - pose[:, 0, 0, 2], rtol=1e-6)
