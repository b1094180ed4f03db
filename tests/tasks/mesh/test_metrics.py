import numpy as np

from mbjax.tasks.mesh import metrics as mesh_metrics


def test_golden_metrics(golden):
    arrays = golden("mesh_metrics.npz")
    found = mesh_metrics.joint_errors(arrays["kp_3d"], arrays["kp_3d_gt"])
    names = {"mpjpe_17": "mpjpe_17j", "pa_mpjpe_17": "pa_mpjpe_17j"}
    for ours, values in found.items():
        # Golden means are float32; ours float64 of the same input.
        np.testing.assert_allclose(values.mean(), arrays[names.get(ours, ours)], rtol=1e-6)


def test_acceleration_is_that_of_14_root_relative_joints():
    rng = np.random.default_rng(0)
    pose, target = rng.normal(size=(2, 6, 17, 3))
    pose[:, 9] += 1000 * rng.normal(size=(6, 3))  # the nose is not among the 14
    wanted = []
    for t in range(4):
        apart = [
            np.linalg.norm(
                sum(s * ((pose - target)[t + i, j] - (pose - target)[t + i, 0])
                    for i, s in enumerate((1, -2, 1)))
            )
            for j in mesh_metrics.FOURTEEN
        ]  # fmt: skip
        wanted.append(np.mean(apart))
    got = mesh_metrics.acceleration_error(pose, target)
    np.testing.assert_allclose(got, wanted, rtol=1e-12)  # float64 rounding
    drifting = target + np.linspace(0, 9, 6)[:, None, None]
    np.testing.assert_allclose(mesh_metrics.acceleration_error(drifting, target), 0, atol=1e-12)
    assert len(mesh_metrics.acceleration_error(pose[:2], target[:2])) == 0
