"""People of another build than those a network learnt from."""

import numpy as np
import pytest

import mbjax
from mbjax.data.records import RecordReader
from mbjax.models.trained_on import TrainedOn
from mbjax.pose import metrics, proportions, skeleton
from tests.recipes.lifting import Bends, Follows, lift, smooth_keypoints


def _seen(pose_TxJx3):
    """Keypoints of a far camera, in pixels."""
    xy = 300 + 0.2 * pose_TxJx3[..., :2]
    return np.concatenate([xy, np.ones((*xy.shape[:-1], 1))], axis=-1)


@pytest.fixture(scope="module")
def held_out():
    """Six clips of the sample's recording that trained nothing, (27, 17, 3) mm at 30 a second."""
    reader = RecordReader("sample:motion3d", "test")
    records = [reader[number] for number in np.linspace(0, len(reader) - 1, 6).astype(int)]
    return [one["pose"][:54:2] * one["metres_per_unit"] * 1000 for one in records]


@pytest.mark.slow
@pytest.mark.parametrize("by", [0.6, 1.0, 1.4, 1.6])
def test_tiny_errs_less_on_another_build_and_the_same_on_its_own(held_out, by):
    model = mbjax.load("tiny", verbose=False)
    errors = {True: [], False: []}
    told = 0
    for clip_TxJx3 in held_out:
        truth = proportions.scale_trunk(clip_TxJx3, by)
        for keep in errors:
            motion = lift(model, _seen(truth), fps=30, keep_proportions=keep)
            pose = motion.persons[0].pose_TxJx3.astype(np.float64)
            errors[keep].append(metrics.p_mpjpe(pose, truth).mean())
            told += any("trunk and head" in note for note in motion.notes)
    assert told == (0 if by == 1 else 6)
    kept, scaled = np.mean(errors[True]), np.mean(errors[False])
    print(f"trunk {by}: {kept:.1f} mm as they are, {scaled:.1f} mm")
    assert scaled == kept if by == 1 else scaled < 0.8 * kept


def test_only_what_is_told_of_a_checkpoint_s_people_changes_anything():
    points, model = smooth_keypoints(30), Bends(True)
    plain = lift(model, points).persons[0].pose_TxJx3
    measured = proportions.trunk_per_leg(plain), proportions.trunk_per_leg_seen(points[..., :2])
    found = np.sqrt(np.prod(measured))
    model.trained_on = TrainedOn(9)
    np.testing.assert_array_equal(lift(model, points).persons[0].pose_TxJx3, plain)
    model.trained_on = TrainedOn(9, None, found / 1.05)  # too little off
    np.testing.assert_array_equal(lift(model, points).persons[0].pose_TxJx3, plain)
    model.trained_on = TrainedOn(9, None, found / 1.5)
    other = lift(model, points)
    assert np.abs(other.persons[0].pose_TxJx3 - plain).max() > 1e-3
    (note,) = [note for note in other.notes if "trunk and head" in note]
    assert note.startswith("person 0: trunk and head beside the legs 1.50 times as long")
    for options in ({"keep_proportions": True}, {"reference_compat": True}):
        kept = lift(model, points, **options)
        assert not [note for note in kept.notes if "trunk and head" in note]


def test_one_of_two_persons_is_scaled_and_comes_back_where_the_keypoints_are():
    """A network that gives x and y back: so does lifting, whatever the build."""
    both = np.stack([smooth_keypoints(20), smooth_keypoints(20, seed=1, x=900.0)], axis=1)
    both[:, 1, :, :2] = 300 + proportions.scale_trunk(both[:, 1, :, :2] - 300, 1.6)
    model = Follows(True)
    plain = lift(model, both)
    model.trained_on = TrainedOn(9, None, proportions.trunk_per_leg(plain.persons[0].pose_TxJx3))
    again = lift(model, both)
    told = [note for note in again.notes if "trunk and head" in note]
    assert len(told) == 1 and told[0].startswith(f"person {plain.persons[1].person}:")
    for one, other in zip(plain, again, strict=True):
        # float32 of order 1, through squares of other sizes.
        np.testing.assert_allclose(other.pose_TxJx3, one.pose_TxJx3, atol=5e-6)
    assert skeleton.limb_lengths(again.persons[1].pose_TxJx3).min() > 0
