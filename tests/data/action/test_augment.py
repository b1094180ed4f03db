import jax
import jax.numpy as jnp
import numpy as np

from mbjax.data.action import augment as augment_2d
from mbjax.data.plan import row_keys
from mbjax.pose.normalise import crop_scale

CLIPS = jax.random.uniform(jax.random.key(1), (6, 2, 9, 17, 3), minval=-1.0, maxval=1.0)
CLIPS = CLIPS.at[..., 2].set(jnp.abs(CLIPS[..., 2]))


def keys(rows, first=0):
    return row_keys(jax.random.key(0), first, rows)


def test_random_move_is_a_similarity_that_changes_linearly_in_time():
    moved = np.asarray(augment_2d.random_move(keys(6), CLIPS), np.float64)
    np.testing.assert_array_equal(moved[..., 2], CLIPS[..., 2])
    for before, after in zip(np.asarray(CLIPS, np.float64), moved, strict=True):
        turns, scales, shifts = [], [], []
        for t in range(9):  # both persons' points of one frame, as complex numbers
            z, w = (a[:, t, :, 0].ravel() + 1j * a[:, t, :, 1].ravel() for a in (before, after))
            factor, shift = np.linalg.lstsq(np.stack([z, np.ones(34)], 1), w, rcond=None)[0]
            # One turn, scale and shift explains every joint; float32.
            np.testing.assert_allclose(factor * z + shift, w, atol=1e-5)
            turns.append(np.degrees(np.angle(factor)))
            scales.append(abs(factor))
            shifts.append([shift.real, shift.imag])
        for series, limit in ((turns, 10), (np.subtract(scales, 1), 0.1), (shifts, 0.1)):
            assert np.abs(series).max() <= limit * 1.001
            # Linear: second differences vanish, up to float32 (degrees are 57 times as large).
            np.testing.assert_allclose(np.diff(series, n=2, axis=0), 0, atol=1e-4)
        assert np.ptp(turns) > 0


def test_random_crop_scale_is_crop_scale_of_a_ratio_in_range():
    scaled = augment_2d.random_crop_scale(keys(6), CLIPS, 1.0, 3.0)
    ratios = []
    for clip, result in zip(CLIPS, scaled, strict=True):
        ratio = 2 / float(jnp.ptp(result[..., :2], axis=(0, 1, 2)).max())
        ratios.append(ratio)
        np.testing.assert_allclose(result, crop_scale(clip, ratio), atol=1e-5)  # float32
    assert 1 <= min(ratios) and max(ratios) <= 3.001 and np.ptp(ratios) > 0.2
    fixed = augment_2d.random_crop_scale(keys(6), CLIPS, 2.0, 2.0)
    np.testing.assert_allclose(fixed, jax.vmap(lambda c: crop_scale(c, 2.0))(CLIPS), atol=1e-6)


def test_a_row_is_changed_by_its_own_key_alone():
    for change in (
        augment_2d.random_move,
        lambda k, x: augment_2d.random_crop_scale(k, x, 1.0, 3.0),
    ):
        whole = change(keys(6), CLIPS)
        np.testing.assert_array_equal(change(keys(2, first=3), CLIPS[3:5]), whole[3:5])
