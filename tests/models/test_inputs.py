"""What a model may be called with."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from tests.recipes.lifting import make_model, smooth_keypoints


@pytest.fixture(scope="module")
def model():
    return make_model()


def test_lists_and_other_libraries_arrays(model):
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 17, 3)).astype(np.float32)
    expected = model(x)
    for same in (x.tolist(), torch.from_numpy(x), jnp.asarray(x)):
        # Two paths of the same float32 numbers.
        np.testing.assert_allclose(model(same), expected, atol=1e-6)
        assert model.represent(same).shape == (1, 3, 17, 16)


@pytest.mark.parametrize(
    "given, message",
    [
        ("x.json", "an array of numbers, got str"),
        ([[1, 2], [3]], "an array of numbers, got a ragged list"),
        (None, "an array of numbers, got NoneType"),
        (np.zeros((3, 17, 3)), r"takes \(batch, frames, 17 joints, 3 channels\), got \(3, 17, 3\)"),
    ],
)
def test_other_things_are_named(model, given, message):
    with pytest.raises(ValueError, match=message):
        model(given)


def test_pixels_warn_and_normalised_keypoints_do_not(model):
    pixels = smooth_keypoints(3)[None].astype(np.float32)
    with pytest.warns(UserWarning, match="keypoints reach 3..*: pixels. .*mbjax.lift"):
        model(pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(pixels / 300)
        # Of arrays on the device nothing is fetched to look at it.
        jax.jit(lambda x: model(x))(pixels)
