import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mbjax.pose import normalise


def test_crop_scale_agrees_with_reference(golden):
    values = golden("data_utils.npz")
    # Sums and divisions of float32 in another order: a few units in the last place of 1.
    np.testing.assert_allclose(
        normalise.crop_scale(values["motion"]), values["crop_scale"], atol=1e-6
    )
    on_device = normalise.crop_scale(jnp.asarray(values["motion"]))
    np.testing.assert_allclose(on_device, values["crop_scale"], atol=1e-6)
    motion, _ = normalise.crop_scale_3d(values["motion_3d"])
    np.testing.assert_allclose(motion, values["crop_scale_3d"], atol=1e-6)


def test_image_normalisation_agrees_with_reference(golden):
    values = golden("data_utils.npz")
    ours = normalise.by_longer_side(values["cam_in"], 1920, 1080)
    np.testing.assert_allclose(ours, values["make_cam_1080_1920"], atol=1e-6)


def test_by_image_size_centres_both_axes():
    corners = np.array([[0.0, 0.0], [1000.0, 1002.0]])
    np.testing.assert_allclose(
        normalise.by_image_size(corners, 1000, 1002), [[-1, -1.002], [1, 1.002]], atol=1e-12
    )


@given(st.floats(0.1, 100), st.floats(-500, 500), st.floats(-500, 500))
def test_crop_scale_does_not_see_where_or_how_large(scale, x, y):
    rng = np.random.default_rng(0)
    clip = np.concatenate([rng.normal(size=(5, 17, 2)), np.ones((5, 17, 1))], axis=-1)
    moved = clip * [scale, scale, 1] + [x, y, 0]
    # float64, but x and y up to 5,000 times the extent cancel.
    np.testing.assert_allclose(normalise.crop_scale(moved), normalise.crop_scale(clip), atol=1e-9)


def test_crop_scale_without_a_person_is_zero():
    few = np.zeros((4, 17, 3))
    few[0, :3] = [[1, 2, 1], [3, 4, 1], [5, 6, 1]]
    one_point = np.ones((4, 17, 3))
    for clip in (few, one_point, np.zeros((4, 17, 3))):
        result = normalise.crop_scale(clip)
        assert not result.any() and np.isfinite(result).all()


def test_crop_scale_3d_tells_the_way_back():
    motion = np.random.default_rng(1).normal(size=(6, 17, 3))
    scaled, factor = normalise.crop_scale_3d(motion, 0.5)
    lengths = np.linalg.norm(np.diff(motion, axis=1), axis=-1)
    np.testing.assert_allclose(
        np.linalg.norm(np.diff(scaled, axis=1), axis=-1) / factor, lengths, rtol=1e-10
    )
    extent = np.ptp(scaled[..., :2].reshape(-1, 2), axis=0).max()
    np.testing.assert_allclose(extent, 1.0, rtol=1e-12)  # half of [-1, 1]
