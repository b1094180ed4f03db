"""From 2D keypoints to 3D motion: windows and their joins, gaps, persons, the reference's way."""

import json
import re

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import mbjax
from mbjax.cli import main
from mbjax.convert import write as target
from mbjax.lifting import lift as infer
from mbjax.lifting import windows
from mbjax.models.dstformer import DSTformer, DSTformerConfig
from mbjax.motion.motion import stature
from mbjax.pose.normalise import crop_scale
from mbjax.pose.skeleton import INDEX, MIRROR, ROOT
from tests.recipes import weights as weight_recipes

MAXLEN = 9
_REST = np.array([
    (0, 0), (-15, 0), (-20, 44), (-25, 88), (15, 0), (18, 45), (17, 90), (0, -30), (0, -60),
    (3, -78), (0, -92), (20, -60), (35, -35), (40, -5), (-20, -60), (-40, -30), (-45, 2),
], float)  # fmt: skip


def smooth_keypoints(frames, seed=0, x=300.0):
    """(T, 17, 3) in pixels: every joint sways at a period of its own, 40 frames and more."""
    rng = np.random.default_rng(seed)
    phase = np.arange(frames)[:, None, None] * 2 * np.pi / rng.uniform(40, 90, (1, 17, 2))
    xy = _REST + 8 * np.sin(phase + rng.uniform(0, 6, (1, 17, 2))) + [x, 200]
    xy = xy + 30 * np.sin(np.arange(frames) / 25)[:, None, None]
    return np.concatenate([xy, np.full((frames, 17, 1), 0.9)], axis=-1)


def make_model(maxlen=MAXLEN, seed=0):
    """A tiny random network whose output depends on its input and, slowly, on the frame's place."""
    config = DSTformerConfig(dim_feat=16, dim_rep=16, depth=1, num_heads=2, maxlen=maxlen)
    model = DSTformer(config, rngs=nnx.Rngs(0))
    state = nnx.state(model, nnx.Param)
    rng = np.random.default_rng(seed)
    for path, leaf in nnx.to_flat_state(state):
        if path[-1] == "kernel":
            leaf[...] = jnp.asarray(rng.normal(0, 0.3, leaf.shape), jnp.float32)
        if path[-1] == "temp_embed":
            t = np.linspace(0, 1, maxlen).reshape(1, -1, 1, 1)
            wave = 0.5 * np.sin(t * 2 + 6 * rng.uniform(size=leaf.shape[-1]))
            leaf[...] = jnp.asarray(wave, jnp.float32)
    nnx.update(model, state)
    return model


@pytest.fixture(scope="module")
def model():
    return make_model()


def lift(model, keypoints, **options):
    options.setdefault("layout", "h36m17")
    return mbjax.lift(model, keypoints, **options)


# --- joins ----------------------------------------------------------------------------------------


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


# --- lift -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 5, MAXLEN + 1, 2 * MAXLEN + 1])
def test_any_length_gives_a_pose_for_every_frame(model, frames):
    motion = lift(model, smooth_keypoints(frames))
    (one,) = motion
    assert one.pose_TxJx3.shape == (frames, 17, 3) and np.isfinite(one.pose_TxJx3).all()
    assert list(one.frames_T) == list(range(frames)) and motion.unit == "normalised"
    if frames <= MAXLEN:  # nothing to join: the model's own answer, mirrored and averaged
        x = crop_scale(smooth_keypoints(frames)).astype(np.float32)[None]
        plain = flip_average(model, x)[0]
        if motion.root_relative:
            plain = plain - plain[:, :1]
        plain[..., 2] -= plain[0, 0, 2]
        # float32 of order 1; compiled together with its mirror image the last bits differ.
        np.testing.assert_allclose(one.pose_TxJx3, plain, atol=2e-5)


def flip_average(model, x):
    sign = np.array([-1, 1, 1], np.float32)
    other = np.asarray(_compiled(model, x[..., MIRROR, :] * sign))
    return (np.asarray(_compiled(model, x)) + other[..., MIRROR, :] * sign) / 2


@nnx.jit
def _compiled(model, x):
    return model(x)


def test_reference_compat_is_a_plain_recomputation(model):
    """Windows of maxlen without overlap, one frame in the last; a gap closes up."""
    frames = 2 * MAXLEN + 1
    points = smooth_keypoints(frames + 3)
    points[4:7] = 0
    kept = np.delete(points, [4, 5, 6], axis=0)
    x = crop_scale(kept).astype(np.float32)
    for root_relative in (False, True):
        expected = []
        for start in range(0, frames, MAXLEN):
            pose = flip_average(model, x[None, start : start + MAXLEN])[0]
            if root_relative:
                pose[:, 0] = 0
            else:
                pose[0, 0, 2] = 0
            expected.append(pose)
        motion = lift(model, points, reference_compat=True, root_relative=root_relative)
        one = motion.persons[0]
        assert list(one.frames_T) == [t for t in range(frames + 3) if t not in (4, 5, 6)]
        # float32 of order 1, compiled together with its mirror image or apart.
        np.testing.assert_allclose(one.pose_TxJx3, np.concatenate(expected), atol=2e-5)


def test_reference_pixel_rule(model):
    points = smooth_keypoints(MAXLEN)
    x = points.copy()
    x[..., :2] = (x[..., :2] - [320, 240]) / 240
    pose = flip_average(model, x[None].astype(np.float32))[0]
    pose[0, 0, 2] = 0
    expected = pose * 240 + [320, 240, 0]
    motion = lift(model, points, reference_compat=True, pixel=(640, 480))
    assert motion.unit == "pixels"
    # The tolerance above, in pixels.
    np.testing.assert_allclose(motion.persons[0].pose_TxJx3, expected, atol=2e-5 * 240)


def test_two_persons_at_once_are_as_one_by_one_and_compile_once(model):
    a, b = smooth_keypoints(30), smooth_keypoints(22, seed=1, x=500)
    both = np.zeros((30, 2, 17, 3))
    both[:, 0], both[5:27, 1] = a, b
    before = infer._forward._cache_size()
    motion = lift(model, both, batch_size=3)
    assert infer._forward._cache_size() - before <= 1
    assert len(motion) == 2 and list(motion[1].frames_T) == list(range(5, 27))
    for one, points in zip(motion, (a, b), strict=True):
        alone = lift(model, points, root_relative=motion.root_relative).persons[0]
        # The same windows in other batches: float32 rounding.
        np.testing.assert_allclose(one.pose_TxJx3, alone.pose_TxJx3, atol=2e-5)
    only = lift(model, both, person=1)
    assert [one.person for one in only] == [1]
    with pytest.raises(ValueError, match=r"no person 9; there are 0 \(30 frames\), 1 \(22"):
        lift(model, both, person=9)
    with pytest.raises(KeyError, match="no person 9"):
        motion[9]


def test_missed_frames_are_filled_and_marked(model):
    points = smooth_keypoints(30)
    gaps = [3, 4, 11, 20, 21, 22]
    holed = points.copy()
    holed[gaps] = 0
    motion = lift(model, holed, fps=25)
    (one,) = motion
    assert list(one.frames_T) == list(range(30))
    assert list(np.flatnonzero(one.interpolated_T)) == gaps
    assert (one.confidence_TxJ[gaps] == 0).all()
    assert (np.delete(one.confidence_TxJ, gaps, axis=0) > 0).all()
    np.testing.assert_allclose(motion.times(one), np.arange(30) / 25)
    # Interpolation over at most three frames of sways of 8 px and 40 frames: (pi/40 * 4)^2 / 8 * 8,
    # and as much again for the common sway.
    assert np.abs(one.keypoints_TxJx3[..., :2] - points[..., :2]).max() < 0.4


def test_joints_never_seen_are_masked(model):
    points = smooth_keypoints(12)
    points[:, INDEX["lwrist"]] = 0
    (one,) = lift(model, points)
    assert np.isnan(one.keypoints_TxJx3[:, INDEX["lwrist"], :2]).all()
    assert np.isfinite(one.pose_TxJx3).all()


def test_scores_past_one_are_one_to_the_model(model):
    points = smooth_keypoints(12)
    points[..., 2] = 1
    (one,) = lift(model, points)
    points[:, 4:9, 2] = 1.7  # as detectors that do not normalise write
    (other,) = lift(model, points)
    np.testing.assert_array_equal(one.pose_TxJx3, other.pose_TxJx3)


def test_frame_step_shows_the_model_every_other_frame(model):
    points = smooth_keypoints(MAXLEN * 2)
    (one,) = lift(model, points, frame_step=2, root_relative=True)

    def own(part):  # each window in its own square, and back to the clip's unit
        pose = flip_average(model, crop_scale(part).astype(np.float32)[None])[0]
        side = max(np.ptp(part[..., axis]) for axis in (0, 1))
        return (pose - pose[:, :1]) * side / 2 * one.units_per_pixel

    even, odd = own(points[::2]), own(points[1::2])
    # Frame 4 is the third of the even ones, and half way between the odd ones 3 and 5.
    expected = (even[2] + (odd[1] + odd[2]) / 2) / 2
    np.testing.assert_allclose(one.pose_TxJx3[4], expected, atol=2e-5)  # float32
    (short,) = lift(model, points[:3], frame_step=5)
    assert short.pose_TxJx3.shape == (3, 17, 3)


def test_somebody_who_walks_off_is_shown_as_large_as_who_stays(model):
    """Windows have squares of their own: a pose does not depend on how far the person goes."""
    points = smooth_keypoints(5 * MAXLEN)
    walks = points.copy()
    walks[3 * MAXLEN :, :, 0] += 40 * np.arange(2 * MAXLEN)[:, None]
    stays, goes = (lift(model, p, root_relative=True).persons[0] for p in (points, walks))
    assert goes.units_per_pixel < 0.5 * stays.units_per_pixel
    for one in (stays, goes):
        one.pose_TxJx3[:] /= one.units_per_pixel
    # The same windows, float32 of hundreds of pixels; later ones differ, so the test can fail.
    first = slice(0, 2 * MAXLEN)
    np.testing.assert_allclose(goes.pose_TxJx3[first], stays.pose_TxJx3[first], atol=1e-2)
    assert np.abs(goes.pose_TxJx3 - stays.pose_TxJx3).max() > 1
    follows = lift(_Follows(True), walks).persons[0]
    xy = (walks[..., :2] - follows.centre_2) * follows.units_per_pixel
    np.testing.assert_allclose(follows.pose_TxJx3[..., :2], xy, atol=2e-6)  # float32 of order 1


def test_height_gives_metres(model):
    motion = lift(model, smooth_keypoints(30), height=1.8)
    assert motion.unit == "m"
    assert stature(motion.persons[0].pose_TxJx3) == pytest.approx(1.8, rel=1e-5)  # float32


def test_stature_of_a_standing_person():
    """Heights of a person of 1.8 m by the same table: hip 0.530, knee 0.285, ankle 0.039."""
    pose = np.zeros((1, 17, 3))
    for name, share in (("hip", 0.530), ("knee", 0.285), ("ankle", 0.039)):
        pose[0, [INDEX["l" + name], INDEX["r" + name]], 1] = -share * 1.8
    for name, share in (("root", 0.53), ("belly", 0.67), ("neck", 0.818), ("head", 1.0)):
        pose[0, INDEX[name], 1] = -share * 1.8
    assert stature(pose) == pytest.approx(1.8)


class _Follows(nnx.Module):
    """Predicts the root where the input has it, or at the origin."""

    def __init__(self, follows):
        self.config, self.follows = DSTformerConfig(maxlen=MAXLEN), follows

    def __call__(self, x):
        pose = jnp.concatenate([x[..., :2], 0 * x[..., 2:]], axis=-1)
        return pose if self.follows else pose - pose[:, :, :1]


@pytest.mark.parametrize("follows", [True, False])
def test_what_the_root_means_is_found_out(follows):
    points = smooth_keypoints(40)
    motion = lift(_Follows(follows), points)
    assert motion.root_relative != follows
    (one,) = motion
    if not follows:
        assert not one.pose_TxJx3[:, 0].any()
    xy = (points[..., :2] - one.centre_2) * one.units_per_pixel
    xy = xy if follows else xy - xy[:, :1]
    # float32 of order 1; flipping adds no error for a model that mirrors.
    np.testing.assert_allclose(one.pose_TxJx3[..., :2], xy, atol=1e-6)
    pixels = lift(_Follows(True), points, pixel=(640, 480)).persons[0].pose_TxJx3
    np.testing.assert_allclose(pixels[..., :2], points[..., :2], atol=1e-3)  # float32 of 400


@pytest.mark.parametrize(
    "options, message",
    [
        ({"fps": -1}, "fps is -1"),
        ({"height": 180}, "height is 180; it is a person's, in metres"),
        ({"pixel": (0, 5)}, r"pixel is \(0, 5\)"),
        ({"pixel": (64, 48)}, "100% of the keypoints are outside an image of 64 x 48"),
        ({"frame_step": 0}, "frame_step 0"),
        ({"window": 10}, "this model takes 1 to 9 frames"),
        ({"window": 5, "reference_compat": True}, "windows of its own"),
        ({"layout": None}, "could be h36m17 or coco17"),
    ],
)
def test_mistakes_are_told(model, options, message):
    with pytest.raises(ValueError, match=message):
        lift(model, smooth_keypoints(5), **options)


def test_nobody_with_enough_joints(model):
    points = smooth_keypoints(1)
    points[:, 3:] = 0
    with pytest.raises(ValueError, match="nobody with at least 4 visible joints"):
        lift(model, points)
    both = np.stack([points, smooth_keypoints(1)], axis=1)
    motion = lift(model, both)
    assert len(motion) == 1 and "person 0: under 4 visible" in motion.notes[0]


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    target.to_file(weight_recipes.source(optimizer=False), str(path))
    return str(path)


def test_command_writes_everything(tmp_path, capsys, checkpoint):
    points = smooth_keypoints(20)
    points[5:8] = 0
    source = tmp_path / "points.npz"
    np.savez(source, keypoints=points, fps=25, layout="h36m17")
    out = tmp_path / "out"
    arguments = ["infer", "--checkpoint", checkpoint, "--keypoints", str(source), "--out", str(out)]
    assert main([*arguments, "--height", "1.8", "--picture", "png"]) == 0
    printed = capsys.readouterr().out
    assert "20 frames, 0 to 19, 3 interpolated" in printed and "unit m" in printed
    names = {"X3D.npy", "motion.npz", "motion.csv", "motion.trc", "motion.bvh"}
    names |= {"motion.png", "motion.html"}
    assert {path.name for path in out.iterdir()} == names
    expected = mbjax.lift(mbjax.load(checkpoint, verbose=False), source, height=1.8)
    # The same computation in the same process: compiled once, so no rounding between them.
    np.testing.assert_array_equal(np.load(out / "X3D.npy"), expected.persons[0].pose_TxJx3)
    compat = tmp_path / "compat"
    arguments[-1] = str(compat)
    arguments += ["--reference-compat", "--pixel", "640", "480", "--picture", "gif"]
    assert main(arguments) == 0
    assert "unit pixels" in capsys.readouterr().out
    assert np.load(compat / "X3D.npy").shape == (17, 17, 3)
    assert (compat / "motion.gif").read_bytes()[:3] == b"GIF"


def _halpe(change=None):
    """AlphaPose results of a few frames; change: (number in a frame's list, what it is instead)."""
    entries = [
        {"image_id": f"{t}.jpg", "keypoints": [100.0 + t, 50.0, 0.9] * 26, "score": 1.0}
        for t in range(3)
    ]
    if change:
        entries[1]["keypoints"][change[0]] = change[1]
    return entries


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "no such file"),
        ([], "empty: no keypoints in it"),
        ({"weather": "fine"}, "JSON, but no 2D keypoints that are known here"),
        ([{"image_id": 0, "keypoints": [1.0] * 54}], "18 keypoints"),
        (_halpe((7, float("nan"))), "frame 1, keypoint 2: nan is no number"),
        (_halpe((8, -0.5)), "frame 1, keypoint 2: confidence -0.5 is negative"),
        ({"version": 1.3, "people": []}, "nobody in it"),
        ([{"image_id": 0, "keypoints": [0.0] * 78}], "nobody in it: every confidence is 0"),
    ],
)
def test_command_mistakes_are_one_line_and_write_nothing(tmp_path, capsys, content, message):
    bad, out = tmp_path / "bad.json", tmp_path / "out"
    if content is not None:
        bad.write_text(json.dumps(content))
    # Told before the model is looked for: there is none.
    arguments = ["infer", "--checkpoint", "none", "--keypoints", str(bad), "--out", str(out)]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(message, error) and not out.exists()


def test_a_net_with_another_head_gives_no_pose():
    class Net:
        backbone = None

    for call in (lambda: lift(Net(), smooth_keypoints(3)), lambda: mbjax.Stream(Net())):
        with pytest.raises(ValueError, match="Net gives no pose; .*takes a DSTformer"):
            call()
