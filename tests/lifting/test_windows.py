"""Windows and their joins."""

import numpy as np
import pytest

from mbjax.lifting import windows
from mbjax.pose.skeleton import ROOT
from tests.recipes.lifting import lift, make_model, smooth_keypoints


@pytest.mark.parametrize("window", [1, 2, 3, 9, 10, 81])
@pytest.mark.parametrize("more", [0, 1, 2, 5, 40, 333])
def test_windows_cover_every_frame_and_overlap(window, more):
    length = window + more
    starts = windows.window_starts(length, window)
    assert starts[0] == 0 and starts[-1] == length - window
    assert (np.diff(starts) <= max(1, window - window // 2)).all() and (np.diff(starts) > 0).all()
    # Windows that agree are joined into what they agree on; float64 rounding.
    truth = np.random.default_rng(0).normal(size=(length, 17, 3))
    cut = np.stack([truth[s : s + window] for s in starts])
    np.testing.assert_allclose(windows.join(starts, cut, global_depth=False), truth, atol=1e-12)


def test_joins_find_the_depth_that_windows_do_not_know():
    truth = np.cumsum(np.random.default_rng(0).normal(size=(100, 17, 3)), axis=0)
    starts = windows.window_starts(100, 12)
    cut = np.stack([truth[s : s + 12] for s in starts])
    cut[..., 2] -= cut[:, :1, ROOT : ROOT + 1, 2]  # each window begins at root depth 0
    joined = windows.join(starts, cut, global_depth=True)
    truth[..., 2] -= truth[0, ROOT, 2]
    np.testing.assert_allclose(joined, truth, atol=1e-10)  # float64, sums over 15 windows


def accelerations(pose_TxJx3, joins_):
    """Largest joint acceleration of each frame, units per frame squared: at joins, elsewhere.

    joins_: first frames after each; an acceleration reaches across one in two places.
    """
    largest = np.linalg.norm(np.diff(pose_TxJx3, n=2, axis=0), axis=-1).max(-1)
    near = np.zeros(len(largest), bool)
    near[joins_ - 2] = near[joins_ - 1] = True
    return largest[near], largest[~near]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_joins_of_a_long_smooth_motion_are_as_smooth_as_the_rest(seed):
    """Cut into plain windows the same motion jumps: so the test can fail."""
    model, frames, window = make_model(27, seed), 400, 27
    keypoints = smooth_keypoints(frames)
    pose = lift(model, keypoints, root_relative=False).persons[0].pose_TxJx3
    starts = windows.window_starts(frames, window)
    at_joins, elsewhere = accelerations(pose, np.concatenate([starts[1:], starts[:-1] + window]))
    plain = lift(model, keypoints, reference_compat=True).persons[0].pose_TxJx3
    at_cuts, within = accelerations(plain, np.arange(window, frames, window))
    print(
        f"mean and peak: at joins {at_joins.mean():.4f} {at_joins.max():.4f}, elsewhere "
        f"{elsewhere.mean():.4f} {elsewhere.max():.4f}; plain windows: at cuts "
        f"{at_cuts.mean():.4f} {at_cuts.max():.4f}, within {within.mean():.4f} {within.max():.4f}"
    )
    assert at_joins.mean() <= elsewhere.mean() and at_joins.max() <= elsewhere.max()
    # Nor does fading from one window to the next bend the motion more than the network does.
    assert elsewhere.max() <= within.max()
    assert at_cuts.mean() > 5 * at_joins.mean() and at_cuts.mean() > 5 * within.mean()


def test_there_and_back_keeps_neighbours():
    assert windows.there_and_back(3, 8).tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert windows.there_and_back(2, 5).tolist() == [0, 1, 0, 1, 0]
    assert windows.there_and_back(1, 3).tolist() == [0, 0, 0]
