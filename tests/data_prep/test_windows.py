"""Clips hold the frames they should: against the release's windows, and for any length."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep import windows
from tests.recipes.settings import GOLDEN

# What windows.stretch(7, 16, "clip one") has given from the first day.
FIXED = [0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 5, 5, 5, 5, 6, 6]

names = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(1, 40)), min_size=1, max_size=8
).map(lambda runs: [name for name, length in runs for _ in range(length)])


def test_windows_of_the_release():
    golden = json.loads((GOLDEN / "split_clips.json").read_text())
    sources = [str(video) for video in golden["vid_list"]]
    for reference in (False, True):
        clips = list(
            windows.cut(sources, golden["n_frames"], golden["stride"], reference=reference)
        )
        plain = [clip.rows_T.tolist() for clip in clips if not clip.stretched]
        assert plain == golden["full_clips"]
        assert sum(clip.stretched for clip in clips) == golden["n_resampled"]


def test_a_short_last_recording_is_kept_unless_the_release_is_followed():
    sources = ["a"] * 9 + ["b"] * 3
    assert [c.source for c in windows.cut(sources, 8, 8)] == ["a", "b"]
    assert [c.source for c in windows.cut(sources, 8, 8, reference=True)] == ["a"]
    # A name that comes back counts its frames on and is stretched once in the release.
    sources = ["a"] * 9 + ["b"] * 3 + ["a"] * 4 + ["c"] * 8
    clips = list(windows.cut(sources, 8, 8))
    assert [(c.source, c.first_frame) for c in clips] == [("a", 0), ("b", 0), ("a", 9), ("c", 0)]
    assert [c.source for c in windows.cut(sources, 8, 8, reference=True)] == ["a", "b", "c"]


@given(names, st.integers(1, 20), st.integers(1, 20))
def test_clips_stay_inside_one_recording(sources, frames, stride):
    for clip in windows.cut(sources, frames, stride):
        rows = clip.rows_T
        assert rows.shape == (frames,) and rows.dtype == np.int64
        assert {sources[row] for row in rows} == {clip.source}
        steps = np.diff(rows)
        assert (steps == 1).all() if not clip.stretched else ((steps >= 0) & (steps <= 2)).all()
        # first_frame counts the rows of this name before the clip's first row.
        assert clip.first_frame == sources[: rows[0]].count(clip.source)


@given(names, st.integers(1, 20), st.data())
def test_evaluation_covers_every_frame(sources, frames, data):
    stride = data.draw(st.integers(1, frames))
    clips = list(windows.cut(sources, frames, stride, cover=True))
    assert {int(row) for clip in clips for row in clip.rows_T} == set(range(len(sources)))
    assert windows.count_left_out(clips, len(sources)) == 0


@given(st.integers(0, 200), st.integers(1, 30), st.integers(1, 30))
def test_training_leaves_out_less_than_a_window_and_a_stride(length, frames, stride):
    clips = windows.cut_source("a", length, frames, stride)
    if length >= frames:
        assert [c.first_frame for c in clips] == [
            start for start in range(length) if start % stride == 0 and start + frames <= length
        ]
        tail = length - (clips[-1].rows_T[-1] + 1)
        assert 0 <= tail < stride
    else:
        assert len(clips) == (length > 0)


@given(st.integers(1, 50), st.integers(0, 50), st.text(max_size=9))
def test_stretching(length, more, source):
    frames = length + more
    even, drawn = windows.stretch(length, frames), windows.stretch(length, frames, source)
    assert set(even.tolist()) == set(range(length))
    np.testing.assert_array_equal(drawn, windows.stretch(length, frames, source))
    for places in (even, drawn):
        assert (np.diff(places) >= 0).all() and places[0] == 0 and places.max() < length
    if not more:
        np.testing.assert_array_equal(drawn, np.arange(length))
    # Sorting moves no place by more than the rounding did: one frame.
    assert (abs(drawn - np.arange(frames) * length / frames) <= 1).all()


def test_stretching_depends_on_the_name_alone():
    # Fixed for good: datasets made on different machines and days must be the same.
    assert windows.stretch(7, 16, "clip one").tolist() == FIXED
    assert windows.stretch(7, 16, "clip two").tolist() != FIXED


@pytest.mark.parametrize(
    ("frames", "stride", "cover", "words"),
    [(0, 1, False, "at least 1"), (3, 0, False, "at least 1"), (3, 4, True, "cannot cover")],
)
def test_impossible_windows(frames, stride, cover, words):
    with pytest.raises(ValueError, match=words):
        windows.cut_source("a", 9, frames, stride, cover=cover)
