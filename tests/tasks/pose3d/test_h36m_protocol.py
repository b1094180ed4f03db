import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbjax.pose import metrics
from mbjax.tasks.pose3d import h36m_protocol as protocol


def pair(seed, frames=5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(frames, 17, 3)) * 100, rng.normal(size=(frames, 17, 3)) * 100


def relative(pose):
    return pose - pose[:, :1]


def test_a_frame_in_several_clips_has_the_mean_of_its_errors():
    recording = protocol.Recording("s", "Eating")
    first, second = pair(0, 4), pair(1, 4)
    recording.add(np.arange(10, 14), *first)
    recording.add(np.arange(12, 16), *second)
    rows, scores = recording.scores()
    assert rows.tolist() == list(range(10, 16))
    a, b = (metrics.mpjpe(relative(p), relative(t)) for p, t in (first, second))
    expected = [a[0], a[1], (a[2] + b[0]) / 2, (a[3] + b[1]) / 2, b[2], b[3]]
    np.testing.assert_allclose(scores[:, 0], expected, rtol=1e-12)


def test_of_a_frame_that_a_clip_repeats_the_last_counts():
    """The release adds errors with numpy's indexing, which takes the last of equal indices."""
    recording = protocol.Recording("s", "Eating")
    pose, target = pair(0, 4)
    recording.add(np.array([7, 7, 8, 8]), pose, target)
    rows, scores = recording.scores()
    errors = metrics.mpjpe(relative(pose), relative(target))
    assert rows.tolist() == [7, 8]
    np.testing.assert_allclose(scores[:, 0], errors[[1, 3]], rtol=1e-12)


def test_velocity_sees_a_jump_between_clips_and_no_gap():
    target = np.zeros((6, 17, 3))
    pose = target.copy()
    pose[3:, 1:, 0] = 17.0  # sixteen of seventeen joints jump by 17 mm
    recording = protocol.Recording("s", "Eating")
    recording.add(np.arange(3), pose[:3], target[:3])
    recording.add(np.arange(3, 6), pose[3:], target[3:])
    velocity = recording.scores()[1][:, protocol.QUANTITIES.index("mpjve_mm")]
    np.testing.assert_allclose(velocity, [np.nan, 0, 0, 16, 0, 0])
    recording.add(np.arange(8, 10), pose[3:5], target[3:5])
    velocity = recording.scores()[1][:, protocol.QUANTITIES.index("mpjve_mm")]
    assert np.isnan(velocity[[0, 6]]).all() and velocity[7] == 0, "frames 6 and 7 are not there"


def test_means_are_over_actions_and_printed_in_the_order_of_the_paper():
    scores = protocol.Scores()
    for action, value, frames in (("Walking", 30.0, 1), ("Directions", 10.0, 9), ("juggle", 20, 2)):
        scores.add(action, np.full((frames, len(protocol.QUANTITIES)), value))
    assert scores.means()["mpjpe_mm"] == pytest.approx(20) and scores.frames == 12
    head, p1, *_ = scores.rows()
    assert head == ["", "Dire.", "Walk", "juggle", "Avg", "All frames"]
    assert p1 == ["P1  MPJPE", "10.0", "30.0", "20.0", "20.0", "13.3"]


def test_the_three_recordings_are_left_out_with_all_their_cameras():
    assert protocol.is_left_out("s_09_act_05_subact_02_ca_03")
    assert not protocol.is_left_out("s_09_act_05_subact_01_ca_03")


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_scale_is_found_and_turning_is_not(seed, scale):
    _, target = pair(seed)
    target = relative(target)
    assert metrics.n_mpjpe(target / scale, target).max() < 1e-9  # float64 of numbers of 100
    assert metrics.n_mpjpe(target[..., ::-1], target).min() > 1


def test_pck_and_auc_by_hand():
    target = np.zeros((1, 17, 3))
    pose = target.copy()
    pose[0, :4, 0] = [10, 74, 150, 151]
    pck, auc = metrics.pck_auc(pose, target)
    # Less than a threshold, so 150 mm is too far, and of 0 mm nothing is less.
    assert pck[0] == pytest.approx(15 / 17)
    # Thresholds 0, 5 ... 150: 0 mm is within 30 of 31, 10 within 28, 74 within 16.
    assert auc[0] == pytest.approx((13 * 30 + 28 + 16) / (17 * 31))
    # The script of MPI-INF-3DHP leaves root, belly and nose out: joints 0, 7 and 9 here.
    pck, auc = metrics.pck_auc(pose, target, metrics.DHP_JOINTS)
    assert len(metrics.DHP_JOINTS) == 14
    assert pck[0] == pytest.approx(12 / 14)
    assert auc[0] == pytest.approx((11 * 30 + 16) / (14 * 31))
