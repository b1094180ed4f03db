import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbjax.pose import losses


@pytest.mark.parametrize(
    "golden_name, compute",
    [
        ("mpjpe", lambda p, g, c: losses.joint_error(p, g)),
        ("n_mpjpe", lambda p, g, c: losses.scale_normalised_error(p, g)),
        ("velocity", lambda p, g, c: losses.velocity_error(p, g)),
        ("limb_var", lambda p, g, c: losses.limb_variance(p)),
        ("limb_gt", lambda p, g, c: losses.limb_length_error(p, g)),
        ("angle", lambda p, g, c: losses.angle_error(p, g)),
        ("angle_velocity", lambda p, g, c: losses.angle_velocity_error(p, g)),
        ("weighted_2d", lambda p, g, c: losses.weighted_2d_error(p, g, c)),
    ],
)
def test_losses_agree_with_reference(golden, golden_name, compute):
    values = golden("losses.npz")
    ours = compute(*(jnp.asarray(values[name]) for name in ("pred", "gt", "conf")))
    # float32 means over a thousand terms, summed in another order.
    np.testing.assert_allclose(float(ours), values[golden_name], rtol=2e-6)


ALL_TERMS = dict.fromkeys(losses.LOSS_TERMS, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("pose", ["perfect", "zero", "single_frame"])
def test_gradients_are_finite_where_distances_vanish(pose):
    target = jax.random.normal(jax.random.key(0), (2, 5, 17, 3))
    prediction = {"perfect": target, "zero": jnp.zeros_like(target), "single_frame": target[:, :1]}
    prediction, target = prediction[pose], target[:, : prediction[pose].shape[1]]

    def total(p):
        return losses.pose_loss(p, target, ALL_TERMS)[0]

    value, gradient = jax.value_and_grad(total)(prediction)
    assert np.isfinite(value) and np.isfinite(gradient).all()


def test_weighted_sum_and_terms():
    target = jax.random.normal(jax.random.key(0), (2, 5, 17, 3))
    pose = target + 0.1
    total, terms = losses.pose_loss(pose, target, {"joint": 1.0, "velocity": 20.0, "angle": 0.0})
    assert set(terms) == {"joint", "velocity"}, "a term of weight 0 is not computed"
    np.testing.assert_allclose(total, terms["joint"] + 20 * terms["velocity"], rtol=1e-6)
    # A constant shift of 0.1 on every axis.
    np.testing.assert_allclose(terms["joint"], 0.1 * 3**0.5, rtol=1e-5)


def test_scale_is_fitted_per_frame():
    target = jax.random.normal(jax.random.key(0), (1, 4, 17, 3))
    factors = jnp.array([0.5, 1.0, 2.0, 3.0]).reshape(1, 4, 1, 1)
    # 1e-6: what is left of a float32 division and product.
    assert float(losses.scale_normalised_error(target * factors, target)) < 1e-6
