"""From 2D keypoints to 3D motion: lengths, gaps, persons, units, the release's way."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

import mbjax
from mbjax.keypoints.layouts import LAYOUTS
from mbjax.lifting import predict
from mbjax.models.trained_on import TrainedOn, trained_on
from mbjax.motion.motion import stature
from mbjax.pose.normalise import crop_scale
from mbjax.pose.skeleton import INDEX
from tests.recipes.keypoints import expected, keypoints
from tests.recipes.lifting import (
    MAXLEN,
    Bends,
    Follows,
    flip_average,
    lift,
    make_model,
    smooth_keypoints,
)


@pytest.fixture(scope="module")
def model():
    return make_model()


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
    before = predict._forward._cache_size()
    motion = lift(model, both, batch_size=3)
    assert predict._forward._cache_size() - before <= 1
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
        motion.person(9)


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


@pytest.mark.parametrize("confidence", [0.05, 1.0])
@pytest.mark.parametrize("x", [5000.0, 1e7])
def test_one_wild_keypoint_harms_nobody_and_is_told(model, confidence, x):
    points = smooth_keypoints(40)
    wild = points.copy()
    wild[20, INDEX["rhip"]] = [x, 200, confidence]
    clean, harmed = (lift(Follows(True), p, fps=25) for p in (points, wild))
    (one,), (other,) = clean, harmed
    assert other.units_per_pixel == one.units_per_pixel
    # The hip of that frame is interpolated, 0.2 px off in a square of 250, and the root with it.
    np.testing.assert_allclose(other.pose_TxJx3, one.pose_TxJx3, atol=2e-3)
    assert other.confidence_TxJ[20, INDEX["rhip"]] == 0
    told = [note for note in harmed.notes if "frame 20: rhip" in note]
    assert len(told) == 1 and told[0].endswith("px from the body: taken as not seen")
    assert not [note for note in clean.notes if "not seen" in note]
    # What reproduces the release leaves it as it is.
    compat = lift(model, wild, reference_compat=True)
    assert compat.persons[0].units_per_pixel < 0.1 * one.units_per_pixel
    assert not [note for note in compat.notes if "not seen" in note]


def test_the_head_is_derived_where_a_layout_has_only_eyes_and_feet_are_kept():
    points = smooth_keypoints(20)
    one = lift(Follows(True), points).persons[0]
    assert one.feet_TxPx3 is None
    coco = keypoints("coco17")
    names = LAYOUTS["coco17"].names
    coco[:, [names.index("lear"), names.index("rear")]] = coco[:, [names.index("leye")]]
    motion = mbjax.lift(Follows(True), coco, layout="coco17")
    head_2 = motion.persons[0].keypoints_TxJx3[0, INDEX["head"], :2]
    ears_2, neck_2 = coco[0, names.index("lear"), :2], expected()[0, INDEX["neck"], :2]
    np.testing.assert_allclose(head_2, ears_2 + 0.75 * (ears_2 - neck_2))
    assert any("has no top of the head" in note for note in motion.notes)
    compat = mbjax.lift(Follows(True), coco, layout="coco17", reference_compat=True)
    np.testing.assert_allclose(
        compat.persons[0].keypoints_TxJx3[0, INDEX["head"], 1], ears_2[1], atol=1e-9
    )
    halpe = keypoints("halpe26")
    halpe[:, 20:] = [310, 295, 0.5]
    feet = mbjax.lift(Follows(True), halpe).persons[0].feet_TxPx3
    np.testing.assert_allclose(feet, np.broadcast_to([310, 295, 0.5], (12, 4, 3)))


def test_joints_never_seen_are_masked(model):
    points = smooth_keypoints(12)
    points[:, INDEX["lwrist"]] = 0
    motion = lift(model, points)
    assert [note for note in motion.notes if "person 0: lwrist seen in no frame" in note]
    (one,) = motion
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


def test_windows_and_rate_are_those_that_the_checkpoint_was_trained_on():
    model, points = make_model(), smooth_keypoints(30)
    assert trained_on(model) is None
    plain = lift(model, points, fps=50)
    model.trained_on = TrainedOn(5, 25.0)
    by_itself = lift(model, points, fps=50)
    given = lift(model, points, fps=50, window=5, frame_step=2)
    np.testing.assert_array_equal(by_itself.persons[0].pose_TxJx3, given.persons[0].pose_TxJx3)
    assert np.abs(by_itself.persons[0].pose_TxJx3 - plain.persons[0].pose_TxJx3).max() > 1e-3
    (note,) = [note for note in by_itself.notes if "trained on" in note]
    assert note == (
        "windows of 5 frames, every 2nd of the video: the checkpoint was trained on 5 frames at 25 "
        "a second"
    )
    assert not [note for note in given.notes if "trained on" in note]
    told = lift(model, points, fps=50, window=MAXLEN, frame_step=1)
    np.testing.assert_array_equal(told.persons[0].pose_TxJx3, plain.persons[0].pose_TxJx3)
    lift(model, points, reference_compat=True)  # has windows of its own
    model.trained_on = TrainedOn(81, None)  # more than this model takes
    assert lift(model, points).persons[0].pose_TxJx3.shape == (30, 17, 3)
    assert mbjax.Stream(model).window == MAXLEN


def test_people_are_shown_as_large_as_the_checkpoint_saw_them():
    """Of a network whose depth goes by the square of height in its input."""
    model, points = Bends(True), smooth_keypoints(2 * MAXLEN)
    whole = lift(model, points).persons[0].pose_TxJx3
    for fill, shown in ((0.75, 0.75), (1.0, 1.0), (3.0, 1.0), (None, 1.0)):
        model.trained_on = TrainedOn(MAXLEN, fill=fill)
        pose_TxJx3 = lift(model, points).persons[0].pose_TxJx3
        # float32 of order 1.
        np.testing.assert_allclose(pose_TxJx3, whole * [1, 1, shown], atol=2e-6)
    model.trained_on = TrainedOn(MAXLEN, fill=0.75)
    for options in ({"pixel": (640, 480)}, {"reference_compat": True}):
        told = lift(model, points, **options).persons[0].pose_TxJx3
        np.testing.assert_array_equal(
            told, lift(Bends(True), points, **options).persons[0].pose_TxJx3
        )


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
    follows = lift(Follows(True), walks).persons[0]
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


@pytest.mark.parametrize("follows", [True, False])
def test_what_the_root_means_is_found_out(follows):
    points = smooth_keypoints(40)
    motion = lift(Follows(follows), points)
    assert motion.root_relative != follows
    (one,) = motion
    if not follows:
        assert not one.pose_TxJx3[:, 0].any()
    xy = (points[..., :2] - one.centre_2) * one.units_per_pixel
    xy = xy if follows else xy - xy[:, :1]
    # float32 of order 1; flipping adds no error for a model that mirrors.
    np.testing.assert_allclose(one.pose_TxJx3[..., :2], xy, atol=1e-6)
    pixels = lift(Follows(True), points, pixel=(640, 480)).persons[0].pose_TxJx3
    np.testing.assert_allclose(pixels[..., :2], points[..., :2], atol=1e-3)  # float32 of 400


@pytest.mark.parametrize("follows", [True, False])
def test_what_the_root_means_is_found_out_where_no_frame_has_it(follows):
    points = smooth_keypoints(40)
    points[:, 0, 2] = 0
    assert lift(Follows(follows), points).root_relative != follows


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
    with pytest.raises(ValueError, match="at least 4 visible joints apart .person 0: under 4"):
        lift(model, points)
    both = np.stack([points, smooth_keypoints(1)], axis=1)
    motion = lift(model, both)
    assert len(motion) == 1 and "person 0: under 4 visible" in motion.notes[0]


def test_a_net_with_another_head_gives_no_pose():
    class Net(nnx.Module):
        backbone = None

    for call in (lambda: lift(Net(), smooth_keypoints(3)), lambda: mbjax.Stream(Net())):
        with pytest.raises(ValueError, match="Net gives no pose; .*takes a DSTformer"):
            call()
    for call in (lift, lambda model, _: mbjax.Stream(model)):
        with pytest.raises(ValueError, match="model is a str; .* takes .*mbjax.load.'tiny'."):
            call("tiny", smooth_keypoints(3))
        with pytest.raises(ValueError, match="model is a NoneType"):
            call(None, smooth_keypoints(3))


def test_lists_and_tensors_are_arrays(model):
    points = smooth_keypoints(5)
    expected = lift(model, points).persons[0].pose_TxJx3
    for same in (points.tolist(), jnp.asarray(points), torch.from_numpy(points)):
        pose = lift(model, same).persons[0].pose_TxJx3
        np.testing.assert_allclose(pose, expected, atol=1e-5)  # JAX keeps float32
    with pytest.raises(ValueError, match="the array: list: not a list of numbers"):
        lift(model, [[1, 2], [3]])


def test_all_joints_at_one_point(model):
    points = np.ones((5, 17, 3))
    with pytest.raises(ValueError, match="visible joints apart .person 0: all joints at one point"):
        lift(model, points)
    with pytest.raises(ValueError, match="image_size: .0, 0. is not the width and height"):
        lift(model, smooth_keypoints(5), image_size=(0, 0))


def test_toes_and_heels_come_along(model):
    """Of a layout that has them, in every frame, filled as the rest; of others none."""
    points = np.concatenate([smooth_keypoints(20), smooth_keypoints(20, seed=1)[:, :9]], axis=1)
    points[5] = 0
    names = LAYOUTS["halpe26"].names
    one = lift(model, points, layout="halpe26")[0]
    assert one.feet_TxPx3.shape == (20, 4, 3)
    toes = [points[:, names.index(f"l{toe}")] for toe in ("bigtoe", "smalltoe")]
    seen = np.arange(20) != 5
    np.testing.assert_allclose(one.feet_TxPx3[seen, 0], (sum(toes) / 2)[seen])
    np.testing.assert_allclose(one.feet_TxPx3[seen, 3], points[seen, names.index("rheel")])
    assert one.feet_TxPx3[5, :, 2].max() == 0 and np.isfinite(one.feet_TxPx3).all()
    assert lift(model, smooth_keypoints(9))[0].feet_TxPx3 is None


def test_height_is_stature_where_the_head_point_is_at_the_eyes(model):
    points = smooth_keypoints(20)
    names = LAYOUTS["coco17"].names
    coco = np.stack([points[:, INDEX.get(name, INDEX["nose"])] for name in names], axis=1)
    for compat in (False, True):  # which leaves the head at the eyes
        motion = lift(model, coco, layout="coco17", height=1.8, reference_compat=compat)
        share = LAYOUTS["coco17"].head_height if compat else 1.0
        assert motion.head_height == share
        assert stature(motion[0].pose_TxJx3, share) == pytest.approx(1.8, rel=1e-5)  # float32
    assert LAYOUTS["halpe26"].head_height == 1
