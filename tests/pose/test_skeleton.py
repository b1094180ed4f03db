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


@pytest.mark.parametrize(
    "name, layout", [("coco", "coco17"), ("halpe", "halpe26"), ("posetrack", "posetrack17")]
)
def test_layouts_agree_with_reference(golden, name, layout):
    values = golden("data_utils.npz")
    ours = skeleton.from_layout(values[name].astype(np.float64), layout)
    # Pixels up to 700: 1e-4 is one unit in the last place of the float32 golden values.
    np.testing.assert_allclose(ours, values[f"{name}_h36m"], atol=1e-4)


@pytest.mark.parametrize("layout", skeleton.LAYOUTS)
def test_a_mirrored_layout_gives_the_mirrored_skeleton(layout):
    """Left and right are told apart in every layout: renaming sides mirrors the result."""
    names, _ = skeleton.LAYOUTS[layout]
    points = np.random.default_rng(0).normal(size=(len(names), 3)).astype(np.float32)
    points[:, 2] = np.abs(points[:, 2])
    other = {"l": "r", "r": "l"}
    place = {name: i for i, name in enumerate(names)}

    def partner(name):
        swapped = other.get(name[0], "") + name[1:]
        return place.get(swapped, place[name])

    mirrored = points[[partner(name) for name in names]] * [-1, 1, 1]
    np.testing.assert_allclose(
        skeleton.from_layout(mirrored, layout),
        skeleton.mirror(skeleton.from_layout(points, layout)),
        atol=1e-6,  # means of float32 taken in another order
    )


def test_posetrack_root_and_belly_take_the_smaller_confidence():
    names, _ = skeleton.LAYOUTS["posetrack17"]
    points = np.ones((17, 3), np.float32)
    points[names.index("lhip"), 2] = 0.25
    points[names.index("neck"), 2] = 0.125
    joints = skeleton.from_layout(points, "posetrack17")
    assert joints[skeleton.INDEX["root"], 2] == 0.25
    assert joints[skeleton.INDEX["belly"], 2] == 0.125


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match="unknown layout 'coco19'; known: .*halpe26"):
        skeleton.from_layout(np.zeros((18, 3)), "coco19")
    with pytest.raises(ValueError, match=r"coco17 has 17 keypoints .* \(18, 3\)"):
        skeleton.from_layout(np.zeros((18, 3)), "coco17")
    with pytest.raises(ValueError, match="expected 17 joints"):
        skeleton.mirror(np.zeros((5, 18, 3)))


def test_limbs_form_a_tree_over_all_joints():
    assert sorted(child for _, child in skeleton.LIMBS) == list(range(1, 17))
    assert (skeleton.MIRROR[skeleton.MIRROR] == np.arange(17)).all()
