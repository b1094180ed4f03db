"""Two persons as one clip: against the release's values, and what must hold for any clip."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbjax.data.action import clips as action_clips
from mbjax.pose.normalise import by_longer_side
from tests.recipes.settings import GOLDEN


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "data_utils.npz")


def test_tracking(golden):
    ours = action_clips.track_two(golden["two_person"])
    np.testing.assert_array_equal(ours, golden["tracked"])  # only a choice of rows


def test_resampling(golden):
    # 50 frames to 20.
    np.testing.assert_array_equal(action_clips.even_frames(50, 20), golden["resample_even"])


def test_camera(golden):
    ours = by_longer_side(golden["cam_in"], width=1920, height=1080)
    np.testing.assert_allclose(ours, golden["make_cam_1080_1920"], rtol=0, atol=1e-6)  # float32


@given(st.integers(0, 2**32), st.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_tracking_undoes_any_exchange(seed, frames):
    rng = np.random.default_rng(seed)
    # Two persons far apart, each moving less than that.
    truth = rng.uniform(0, 10, (2, frames, 17, 2)) + np.array([0, 1000]).reshape(2, 1, 1, 1)
    order = rng.integers(2, size=frames)
    order[0] = 0
    listed = np.stack([truth[order, np.arange(frames)], truth[1 - order, np.arange(frames)]])
    scores = rng.random((2, frames, 17))
    tracked, moved = action_clips.track_two(listed, scores)
    np.testing.assert_array_equal(tracked, truth)
    # Scores made the same journey.
    np.testing.assert_array_equal(moved[order, np.arange(frames)], scores[0])
    again = action_clips.track_two(tracked)
    np.testing.assert_array_equal(again, tracked)


def test_one_person_is_left_alone_and_three_are_refused():
    one = np.random.default_rng(0).random((1, 5, 17, 2))
    np.testing.assert_array_equal(action_clips.track_two(one), one)
    with pytest.raises(ValueError, match="3 persons"):
        action_clips.track_two(np.zeros((3, 5, 17, 2)))


def test_the_most_confident_persons_are_kept_in_their_order():
    confidence = np.array([0.4, 0.0, 0.9, 0.3, 0.5])[:, None, None] * np.ones((5, 6, 17))
    np.testing.assert_array_equal(action_clips.most_confident(confidence), [2, 4])
    np.testing.assert_array_equal(action_clips.most_confident(confidence[:2]), [0])
    assert not len(action_clips.most_confident(np.zeros((2, 6, 17))))
    pixels = np.random.default_rng(0).uniform(0, 1000, (5, 6, 17, 3))
    pixels[..., 2] = confidence
    frames = np.arange(6)
    clip = action_clips.to_clip(pixels, 1920, 1080, frames)
    np.testing.assert_array_equal(clip, action_clips.to_clip(pixels[[2, 4]], 1920, 1080, frames))
    alone = action_clips.to_clip(pixels, 1920, 1080, frames, persons=1)
    np.testing.assert_array_equal(
        alone, action_clips.to_clip(pixels[[2]], 1920, 1080, frames, 2.0, 1)
    )


@given(st.integers(1, 400), st.integers(1, 400), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_frames_are_in_range_and_in_order(length, frames, seed):
    rng = np.random.default_rng(seed)
    even = action_clips.even_frames(length, frames)
    jittered = action_clips.jittered_frames(length, frames, rng)
    for ids in (even, jittered):
        assert ids.shape == (frames,)
        assert ids.min() >= 0
        assert ids.max() < length
        assert (np.diff(ids) >= 0).all()
    # Jitter stays within a step, or within a frame where steps are shorter.
    assert np.abs(jittered - even).max() <= max(length / frames, 1) + 1


def test_no_frames_is_an_error():
    with pytest.raises(ValueError, match="cannot take 10 frames of a recording of 0"):
        action_clips.even_frames(0, 10)


def test_clip_fills_half_and_pads_the_second_person():
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 1000, (1, 40, 17, 3))
    pixels[..., 2] = rng.uniform(0.1, 1, (1, 40, 17))
    clip = action_clips.to_clip(pixels, 1920, 1080, action_clips.even_frames(40, 60))
    assert clip.shape == (2, 60, 17, 3)
    assert clip.dtype == np.float32
    # At ratio 2 the longer side spans half of [-1, 1]; float32.
    span = np.ptp(clip[0, ..., :2], axis=(0, 1))
    assert span.max() == pytest.approx(1, abs=1e-6)
    # The absent person has confidence 0 everywhere; its x, y are those of a point at the origin of
    # the image's normalised axes, as in the release.
    assert not clip[1, ..., 2].any()
