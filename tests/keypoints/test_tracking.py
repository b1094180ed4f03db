"""Who is who from frame to frame, with ids and without; what was missed is filled."""

import numpy as np
import pytest

from mbjax.keypoints import read as keypoint_files
from mbjax.keypoints import tracking
from tests.recipes.keypoints import CONFIDENCE, keypoints, results, write


@pytest.mark.parametrize("ids", [False, True])
def test_dropped_frames_are_known_as_such(tmp_path, ids):
    kept = [0, 1, 2, 5, 6, 9, 11]
    more = {"idx": 4} if ids else {}
    found = keypoint_files.read(write(tmp_path, results(keypoints("halpe26"), kept, **more)))
    (track,) = found.tracks
    assert list(track.frames_N) == kept and track.person == (4 if ids else 0)
    assert any("one person" in note for note in found.notes) != ids
    frames, filled, missed = tracking.fill(track.frames_N, track.keypoints_NxKx3)
    assert list(frames[missed]) == [3, 4, 7, 8, 10]
    assert (filled[missed][..., 2] == 0).all() and (filled[~missed][..., 2] == CONFIDENCE).all()
    # x moves at a constant speed, so linear interpolation is exact but for rounding.
    whole = keypoints("halpe26")
    np.testing.assert_allclose(filled[..., :17, 0], whole[..., :17, 0], atol=1e-9)


def test_a_keypoint_missed_in_some_frames_or_in_all():
    points = keypoints("coco17")
    points[2:4, 9] = 0  # as detectors write what they did not see
    points[:, 10] = 0
    _, filled, _ = tracking.fill(np.arange(12), points)
    np.testing.assert_allclose(filled[2:4, 9, 0], keypoints("coco17")[2:4, 9, 0], atol=1e-9)
    assert (filled[2:4, 9, 2] == 0).all() and np.isnan(filled[:, 10, :2]).all()


def mixed(seed, *persons, **more):
    """Results of several persons in an order that changes from frame to frame."""
    rng = np.random.default_rng(seed)
    entries = []
    for t in range(len(persons[0])):
        here = [results(p, [t], **more)[0] for p in persons if p[t].any()]
        entries += [here[i] for i in rng.permutation(len(here))]
    return entries


def test_persons_without_ids_are_linked_when_they_cross_and_when_missed(tmp_path):
    right = keypoints("halpe26", frames=60, x=100, speed=6.0)
    left = keypoints("halpe26", frames=60, x=450, speed=-5.0)  # they meet at frame 32
    left[..., 1] += 12
    left[10:14] = 0
    for more in ({}, {"idx": 0}):  # no id, or the same for all
        found = keypoint_files.read(write(tmp_path, mixed(1, right, left, **more)))
        assert "2 found" in found.notes[0] and len(found.tracks) == 2
        by_length = sorted(found.tracks, key=lambda track: len(track.frames_N))
        np.testing.assert_allclose(by_length[1].keypoints_NxKx3, right)
        seen = [t for t in range(60) if not 10 <= t < 14]
        assert list(by_length[0].frames_N) == seen
        np.testing.assert_allclose(by_length[0].keypoints_NxKx3, left[seen])


def test_ids_of_the_tracker_are_kept_and_the_better_of_two_scores(tmp_path):
    one, two = keypoints("halpe26"), keypoints("halpe26", x=600)
    entries = results(one, idx=7) + results(two, idx=3)
    entries += [{**results(two, [5], idx=7)[0], "score": 0.1}]
    found = keypoint_files.read(write(tmp_path, entries))
    assert [track.person for track in found.tracks] == [3, 7]
    np.testing.assert_allclose(found.tracks[1].keypoints_NxKx3, one)
    assert "1 observations" in found.notes[0]


def test_somebody_new_after_a_long_absence():
    frames = [tracking.Observation(t, None, p) for t, p in enumerate(keypoints("coco17"))]
    later = [tracking.Observation(t + 100, None, o.keypoints_Kx3) for t, o in enumerate(frames)]
    assert tracking.link(frames + later) == [1] * 12 + [2] * 12
