"""A stream's person of another build than those a network learnt from."""

import numpy as np
import pytest

import mbjax
from mbjax.data.records import RecordReader
from mbjax.lifting.stream_build import Build
from mbjax.models.trained_on import TrainedOn
from mbjax.pose import metrics, proportions
from tests.recipes.lifting import Follows, smooth_keypoints


def _poses(model, points, **options):
    stream = mbjax.Stream(model, lookahead=4, **options)
    poses = [stream.push(frame) for frame in points]
    return np.stack([pose for pose in poses if pose is not None] + stream.flush())


def test_a_build_is_measured_early_and_gone_over_to_by_a_hundredth_a_frame():
    points = smooth_keypoints(400)
    pose = np.concatenate([points[..., :2], np.zeros((400, 17, 1))], axis=-1)
    true = proportions.trunk_per_leg(pose)
    build, factors, measured = Build(true / 1.5), [], 0
    for frame in range(400):
        factors.append(build.factor(frame))
        if build.wants(frame):
            build.measure(frame, lambda frame=frame: pose[frame], points[frame])
            measured += 1
    steps = np.array(factors[1:]) / factors[:-1]
    assert steps.max() == pytest.approx(1.01) and steps.min() > 0.98
    assert factors[28] == 1 and factors[80] > 1.4  # two seconds of 30 frames
    assert factors[-1] == pytest.approx(1.5, rel=0.05)  # medians of 64 frames, not of all
    assert measured == 64 and len(set(factors[300:])) == 1
    build.reset()
    assert build.factor(0) == 1 and build.wants(0)


def test_whoever_sits_at_a_desk_first_is_measured_when_they_stand_up():
    points = smooth_keypoints(900)
    pose = np.concatenate([points[..., :2], np.zeros((900, 17, 1))], axis=-1)
    points[:600, 1:7, 2] = 0  # twenty seconds without legs
    build = Build(proportions.trunk_per_leg(pose) / 1.5)
    for frame in range(900):
        factor = build.factor(frame)
        assert frame > 600 or factor == 1
        if build.wants(frame):
            build.measure(frame, lambda frame=frame: pose[frame], points[frame])
    assert factor == pytest.approx(1.5, rel=0.05)


def test_poses_lie_where_the_keypoints_are_whatever_the_build():
    """Of a network that gives x and y back."""
    points, model = smooth_keypoints(200), Follows(True)
    plain = _poses(model, points)
    model.trained_on = TrainedOn(9, None, proportions.trunk_per_leg(plain) / 1.4)
    stream = mbjax.Stream(model, lookahead=4)
    other = np.stack([pose for pose in map(stream.push, points) if pose is not None])
    assert stream._build.factor(200) > 1.3
    # Pixels of hundreds in float32, through squares of other sizes.
    np.testing.assert_allclose(other, plain[: len(other)], atol=2e-3)


def test_nothing_changes_without_a_record_or_where_it_is_not_wanted():
    points, model = smooth_keypoints(120), Follows(True)
    plain = _poses(model, points)
    model.trained_on = TrainedOn(9)
    np.testing.assert_array_equal(_poses(model, points), plain)
    model.trained_on = TrainedOn(9, None, proportions.trunk_per_leg(plain) / 1.4)
    np.testing.assert_array_equal(_poses(model, points, keep_proportions=True), plain)


@pytest.mark.slow
@pytest.mark.parametrize("by", [1.0, 1.5])
def test_tiny_errs_less_on_another_build_and_the_same_on_its_own(by):
    """The sample's recording that trained nothing, from where the build is known."""
    reader = RecordReader("sample:motion3d", "test")
    records = [reader[number] for number in range(3)]
    truth = np.concatenate([one["pose"][::2] * one["metres_per_unit"] * 1000 for one in records])
    truth = proportions.scale_trunk(truth, by)
    points = np.concatenate([300 + 0.2 * truth[..., :2], np.ones((*truth.shape[:2], 1))], axis=-1)
    model = mbjax.load("tiny", verbose=False)
    kept, known = (
        metrics.p_mpjpe(_poses(model, points, keep_proportions=keep), truth)[120:].mean()
        for keep in (True, False)
    )
    print(f"{len(truth)} frames, trunk {by}: {kept:.1f} mm as they are, {known:.1f} mm")
    assert known == kept if by == 1 else known < 0.8 * kept
