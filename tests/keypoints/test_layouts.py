"""Layouts: they become the 17 joints as the release has them, and are found by name and count."""

import numpy as np
import pytest

from mbjax.keypoints import layouts
from mbjax.pose import skeleton


@pytest.mark.parametrize(
    "name, layout", [("coco", "coco17"), ("halpe", "halpe26"), ("posetrack", "posetrack17")]
)
def test_layouts_agree_with_reference(golden, name, layout):
    values = golden("data_utils.npz")
    ours = layouts.from_layout(values[name].astype(np.float64), layout)
    # Pixels up to 700: 1e-4 is one unit in the last place of the float32 golden values.
    np.testing.assert_allclose(ours, values[f"{name}_h36m"], atol=1e-4)


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_a_mirrored_layout_gives_the_mirrored_skeleton(layout):
    """Left and right are told apart in every layout: renaming sides mirrors the result."""
    names = layouts.LAYOUTS[layout].names
    points = np.random.default_rng(0).normal(size=(len(names), 3)).astype(np.float32)
    points[:, 2] = np.abs(points[:, 2])
    other = {"l": "r", "r": "l"}
    place = {name: i for i, name in enumerate(names)}

    def partner(name):
        swapped = other.get(name[0], "") + name[1:]
        return place.get(swapped, place[name])

    mirrored = points[[partner(name) for name in names]] * [-1, 1, 1]
    np.testing.assert_allclose(
        layouts.from_layout(mirrored, layout),
        skeleton.mirror(layouts.from_layout(points, layout)),
        atol=1e-6,  # means of float32 taken in another order
    )


def test_posetrack_root_and_belly_take_the_smaller_confidence():
    names = layouts.LAYOUTS["posetrack17"].names
    points = np.ones((17, 3), np.float32)
    points[names.index("lhip"), 2] = 0.25
    points[names.index("neck"), 2] = 0.125
    joints = layouts.from_layout(points, "posetrack17")
    assert joints[skeleton.INDEX["root"], 2] == 0.25
    assert joints[skeleton.INDEX["belly"], 2] == 0.125


def test_wrong_inputs_are_named():
    with pytest.raises(ValueError, match="unknown layout 'coco19'; known: .*halpe26"):
        layouts.from_layout(np.zeros((18, 3)), "coco19")
    with pytest.raises(ValueError, match=r"coco17 has 17 keypoints .* \(18, 3\)"):
        layouts.from_layout(np.zeros((18, 3)), "coco17")


def test_aliases_and_counts():
    assert layouts.named("COCO") == "coco17" and layouts.named("h36m") == "h36m17"
    assert layouts.named("openpose") == "body25"
    assert all(layouts.named(name) == name for name in layouts.LAYOUTS)
    assert set(layouts.ALIASES.values()) <= set(layouts.LAYOUTS)
    assert layouts.of_count(17) == ("h36m17", "coco17", "posetrack17")
    assert layouts.of_count(26) == ("halpe26",)
    assert layouts.of_count(18) == ()  # anybody's, unless the format says whose


def test_feet_of_layouts_that_have_them():
    for layout in layouts.LAYOUTS:
        own = layouts.LAYOUTS[layout]
        points = np.array([[i, "heel" in name] for i, name in enumerate(own.names)], float)
        feet = layouts.feet_of(points, layout)
        if layout not in ("coco23", "halpe26", "body25", "mediapipe33"):
            assert feet is None
            continue
        np.testing.assert_array_equal(feet[:, 1], [0, 1, 0, 1])
        assert feet[1, 0] == own.names.index("lheel") and feet[3, 0] == own.names.index("rheel")
