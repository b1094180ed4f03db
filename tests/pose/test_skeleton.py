import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mbjax.pose import skeleton

motions = arrays(np.float32, (2, 17, 3), elements=st.floats(-10, 10, width=32, allow_nan=False))


@given(motions)
def test_mirror_twice_is_identity(motion):
    np.testing.assert_array_equal(skeleton.mirror(skeleton.mirror(motion)), motion)


def test_mirror_agrees_with_reference(golden):
    values = golden("data_utils.npz")
    np.testing.assert_array_equal(skeleton.mirror(values["motion"]), values["flip"])
    on_device = skeleton.mirror(jnp.asarray(values["motion"]))
    np.testing.assert_array_equal(np.asarray(on_device), values["flip"])


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match="expected 17 joints"):
        skeleton.mirror(np.zeros((5, 18, 3)))


def test_limbs_form_a_tree_over_all_joints():
    assert sorted(child for _, child in skeleton.LIMBS) == list(range(1, 17))
    assert (skeleton.MIRROR[skeleton.MIRROR] == np.arange(17)).all()
