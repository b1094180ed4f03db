"""Poses while frames come in: the same as of the whole, in time, without jolts, compiled once."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import mbjax
from mbjax.keypoints.layouts import LAYOUTS
from mbjax.lifting import stream as streaming
from mbjax.models.dstformer import DSTformerConfig
from mbjax.models.trained_on import TrainedOn
from mbjax.pose.skeleton import ROOT, root_relative
from tests.recipes.keypoints import keypoints
from tests.recipes.lifting import make_model, smooth_keypoints

WINDOW = 9


@pytest.fixture(scope="module")
def model():
    return make_model(WINDOW)


def run(stream, frames):
    """Poses in the order of the frames, None where there is none, and how many came on flushing."""
    poses = [stream.push(frame) for frame in frames]
    for early in poses[: stream.lookahead]:
        assert early is None
    rest = stream.flush()
    return poses[stream.lookahead :] + rest, len(rest)


@pytest.mark.parametrize("lookahead", [0, 4, WINDOW - 1])
@pytest.mark.parametrize("root", [True, False])
def test_windows_are_those_of_lift(model, lookahead, root):
    """Each pose is what mbjax.lift says of that frame in the window it came from."""
    points, frames = smooth_keypoints(2 * WINDOW), 2 * WINDOW
    stream = mbjax.Stream(model, WINDOW, lookahead, flip=True, root_relative=not root)
    poses, rest = run(stream, points)
    assert len(poses) == frames and rest == lookahead
    for newest in (WINDOW - 1, WINDOW + 4, frames - 1):
        window = points[newest - WINDOW + 1 : newest + 1]
        (one,) = mbjax.lift(model, window, layout="h36m17", root_relative=not root)
        expected = one.pose_TxJx3 / one.units_per_pixel + [*one.centre_2 * root, 0]
        streamed, expected = poses[newest - lookahead], expected[WINDOW - 1 - lookahead]
        if root:  # depth is counted from other frames
            streamed, expected = (p - p[0] * [0, 0, 1] for p in (streamed, expected))
        # float32 of hundreds of pixels, two programs.
        np.testing.assert_allclose(streamed, expected, atol=5e-3)


@pytest.mark.parametrize("fill", [None, 0.75])
def test_one_window_with_all_lookahead_is_lift_of_the_whole(fill):
    model, points = make_model(WINDOW), smooth_keypoints(WINDOW)
    model.trained_on = TrainedOn(WINDOW, fill=fill)
    (one,) = mbjax.lift(model, points, layout="h36m17", root_relative=True)
    stream = mbjax.Stream(model, WINDOW, WINDOW - 1, flip=True, root_relative=True)
    poses, _ = run(stream, points)
    # float32 of hundreds of pixels, two programs.
    np.testing.assert_allclose(np.stack(poses), one.pose_TxJx3 / one.units_per_pixel, atol=5e-3)


class Follows(nnx.Module):
    """Predicts x, y as they are (or about the root), depth from x and the frame's place."""

    def __init__(self, follows=True):
        self.config, self.follows = DSTformerConfig(maxlen=27), follows

    def __call__(self, x):
        place = jnp.linspace(0, 1, x.shape[1])[None, :, None, None]
        pose = jnp.concatenate([x[..., :2], x[..., :1] + 3 * place], axis=-1)
        pose = pose.at[..., 2].add(-pose[:, :1, :1, 2])
        return pose if self.follows else root_relative(pose)


class _Wobbles(Follows):
    """And is a little off, by the frame's place in the window."""

    def __call__(self, x):
        place = jnp.linspace(-1, 1, x.shape[1])[None, :, None, None]
        return super().__call__(x) + 0.02 * place**2


@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize("lookahead, hop", [(0, 1), (3, 1), (3, 4), (5, 3)])
def test_what_goes_in_comes_out_whatever_the_crop(follows, lookahead, hop):
    points = smooth_keypoints(60)
    stream = mbjax.Stream(Follows(follows), 9, lookahead, hop=hop)
    poses, _ = run(stream, points)
    poses = np.stack(poses)
    expected = points[..., :2] - (0 if follows else points[:, :1, :2])
    np.testing.assert_allclose(poses[..., :2], expected, atol=1e-3)  # float32 of hundreds
    assert poses.dtype == np.float32
    if follows:  # windows know depth from their first frame on; joined, it has no jump
        depth = poses[:, ROOT, 2]
        steps = np.diff(depth)
        assert depth[0] == 0 and np.ptp(steps[12:]) < 0.2 * np.abs(steps).max() + 8


@pytest.mark.parametrize("lookahead, hop", [(0, 1), (6, 4), (8, 5)])
def test_no_jolts_where_windows_and_their_squares_change(lookahead, hop):
    """Somebody walks off, an arm out at times: accelerations are no larger than what went in."""
    points = smooth_keypoints(80)
    points[..., 0] += 4 * np.arange(80)[:, None]
    reach = np.clip(np.sin(np.arange(80) / 9), 0, 1) ** 3
    points[:, 13, 0] += 150 * reach
    poses = np.stack(run(mbjax.Stream(_Wobbles(), 9, lookahead, hop=hop), points)[0])[9:]
    bend, went_in = (np.abs(np.diff(p[..., :2], n=2, axis=0)) for p in (poses, points))
    # _Wobbles adds 1 % of the square's side at most, in a wave through the window.
    assert bend.max() < went_in.max() + 4
    # Without fading, a wave begins anew at each change: the test can fail.
    if hop > 1:
        stream = mbjax.Stream(_Wobbles(), 9, hop - 1, hop=hop)
        plain = np.stack(run(stream, points)[0])[9:]
        assert np.abs(np.diff(plain[..., :2], n=2, axis=0)).max() > bend.max()


def test_compiled_once_for_any_number_of_frames(model):
    before = streaming._forward._cache_size()
    stream = mbjax.Stream(model, WINDOW, 2, hop=2)
    for frame in smooth_keypoints(20):
        stream.push(frame)
    stream.flush()
    mbjax.Stream(model, WINDOW, 3).push(smooth_keypoints(1)[0])
    assert streaming._forward._cache_size() - before <= 1


def test_missed_frames_and_before_anybody_comes(model):
    points = list(smooth_keypoints(20))
    plain, _ = run(mbjax.Stream(model, WINDOW, 2), points)
    points[10] = None
    frames = [None, np.zeros((17, 3)), *points]
    stream = mbjax.Stream(model, WINDOW, 2)
    pushed = [stream.push(frame) for frame in frames]
    assert all(pose is None for pose in pushed[:4]) and all(p is not None for p in pushed[4:])
    for t in range(8):  # until the window ends before the gap, nothing is different
        np.testing.assert_array_equal(pushed[4 + t], plain[t])
    gap = pushed[4 + 10]  # two frames after it: interpolated
    assert np.isfinite(gap).all() and np.abs(gap - plain[10]).max() < np.abs(plain[10]).max()
    assert [len(stream.flush()), stream.flush()] == [2, []]
    # Away for longer than the window, then back.
    for _ in range(WINDOW + 2):
        last = stream.push(None)
    assert last is None
    stream.reset()
    stream.push(points[0])
    for _ in range(WINDOW + 3):
        last = stream.push(None)
    assert last is None and stream.push(points[1]) is not None


@pytest.mark.parametrize("lookahead", [0, 4])
def test_one_wild_keypoint_harms_nobody(lookahead):
    points = smooth_keypoints(40)
    wild = points.copy()
    wild[20, 1] = [5000, 200, 0.05]
    clean, harmed = (
        np.stack(run(mbjax.Stream(Follows(), WINDOW, lookahead), p)[0]) for p in (points, wild)
    )
    # A hip held instead of seen: 3 px in one frame at most, nothing elsewhere.
    np.testing.assert_allclose(harmed, clean, atol=3)
    stream = mbjax.Stream(Follows(), WINDOW, lookahead)
    for frame in wild[:25]:
        stream.push(frame)
    ((one),) = stream.outliers
    assert one.keypoint == 1 and 4000 < one.away < 5000


def test_other_layouts():
    stream = mbjax.Stream(Follows(), 9, layout="halpe26")
    points = keypoints("halpe26")
    poses = np.stack([stream.push(frame) for frame in points])
    np.testing.assert_allclose(poses[..., :2], keypoints("h36m17")[..., :2], atol=1e-3)


def test_one_hip_that_is_never_seen(model):
    """The root, between the hips, is then not known; the rest is."""
    points = keypoints("coco17")
    points[:, LAYOUTS["coco17"].names.index("lhip"), 2] = 0
    stream = mbjax.Stream(model, layout="coco17")
    assert all(np.isfinite(stream.push(frame)).all() for frame in points)
    (lifted,) = mbjax.lift(model, points, layout="coco17", fps=30)
    assert np.isfinite(lifted.pose_TxJx3).all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"window": 10}, "window is 10; this model takes 1 to 9"),
        ({"lookahead": 9}, "lookahead is 9; it is 0 to window - 1, 8"),
        ({"lookahead": 2, "hop": 4}, "hop is 4; it is 1 to lookahead . 1, 3"),
        ({"layout": "coco19"}, "unknown layout 'coco19'; known"),
    ],
)
def test_mistakes_are_told(model, options, message):
    with pytest.raises(ValueError, match=message):
        mbjax.Stream(model, **{"window": WINDOW, **options})


def test_bad_frames_are_told(model):
    stream = mbjax.Stream(model, WINDOW)
    with pytest.raises(ValueError, match=r"takes \(17, 2 or 3\), got \(18, 3\)"):
        stream.push(np.ones((18, 3)))
    for value, column in ((np.nan, 0), (np.inf, 1), (-1, 2)):
        bad = smooth_keypoints(1)[0]
        bad[3, column] = value
        with pytest.raises(ValueError, match="not finite, or a negative confidence"):
            stream.push(bad)


def test_table_of_accuracy_and_speed(monkeypatch, capsys):
    """Two cameras' views of half a clip; the README's figures are of all."""
    from mbjax.cli import main
    from mbjax.speed import streaming as stream_table

    clips = [clip[:40] for clip in stream_table.held_out()[:2]]
    monkeypatch.setattr(stream_table, "held_out", lambda: clips)
    monkeypatch.setattr(stream_table, "SETTINGS", ((0, 1), (6, 4), (13, 1)))
    assert main(["stream-table", "--checkpoint", "tiny", "--window", "9"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [["0", "1"], ["6", "4"]]  # 13 does not fit
    # With depth 0 a joint is off by its depth.
    flat = 1000 * np.mean([np.abs(root_relative(clip)[..., 2]).mean() for clip in clips])
    assert all(5 < float(row[2]) < 0.75 * flat and float(row[4]) > 0 for row in rows)


def test_smooth_fps_steadies_and_begins_anew():
    model = make_model()
    points = smooth_keypoints(40)
    points[..., :2] += np.random.default_rng(0).normal(0, 2, points[..., :2].shape)

    def run(stream):
        poses = [stream.push(frame) for frame in points]
        return np.stack([*poses[3:], *stream.flush()])

    plain = run(mbjax.Stream(model, 9, 3, root_relative=True))
    stream = mbjax.Stream(model, 9, 3, root_relative=True, smooth_fps=30)
    steady = run(stream)
    tremble = [np.linalg.norm(np.diff(pose, 2, axis=0)) for pose in (plain, steady)]
    assert tremble[1] < 0.85 * tremble[0] and steady.dtype == np.float32
    np.testing.assert_array_equal(steady[0], plain[0])  # nothing before it to be steadied by
    np.testing.assert_array_equal(run(stream), steady)  # flush forgets
    # A picture of twice the size gives poses of twice the size.
    larger = points * [2, 2, 1]
    twice = mbjax.Stream(model, 9, 3, root_relative=True, smooth_fps=30)
    poses = [twice.push(frame) for frame in larger]
    np.testing.assert_allclose(np.stack(poses[3:]), 2 * steady[: 40 - 3], rtol=0, atol=0.05)
