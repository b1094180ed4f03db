"""`mbjax.lift`: 3D motion of every person in a file of 2D keypoints.

Shapes in names: T frames of a person, J joints (17), N windows, L frames of a window, K keypoints.
"""

import functools
import os

import jax
import numpy as np
from flax import nnx

from mbjax.keypoints import read as keypoint_files
from mbjax.keypoints import tracking
from mbjax.keypoints.layouts import from_layout
from mbjax.keypoints.read import Keypoints
from mbjax.lifting import camera, windows
from mbjax.motion.motion import Motion, PersonMotion, stature
from mbjax.pose.normalise import crop_scale
from mbjax.pose.skeleton import ROOT, mirror

# What is taken where intrinsics are given and these are not.
ASSUMED_HEIGHT = 1.70
ASSUMED_FPS = 30.0
# Fewer visible joints than this in a whole track and mbjax.pose.normalise.crop_scale says nothing.
_MIN_VISIBLE = 4


def lift(
    model: nnx.Module,
    source: str | os.PathLike | np.ndarray | Keypoints,
    *,
    layout: str | None = None,
    person: int | None = None,
    fps: float | None = None,
    height: float | None = None,
    intrinsics: tuple[float, float, float, float] | None = None,
    pixel: tuple[float, float] | None = None,
    image_size: tuple[float, float] | None = None,
    frame_step: int = 1,
    window: int | None = None,
    root_relative: bool | None = None,
    reference_compat: bool = False,
    batch_size: int = 8,
) -> Motion:
    """3D motion of every person in `source`, at every frame between their first and last.

    model: what mbjax.load gives. source, layout, image_size: see mbjax.keypoints.read.read.
    person: only the one of this number. fps: of the video, where the file does not say it.
    height: of the person (all persons) in metres; the result is then in metres.
    intrinsics: the camera's fx, fy, cx, cy in pixels; the result is then in metres in the camera's
    space, each pose where it projects onto its keypoints. No picture tells a small person from one
    who is far: without `height`, 1.70 m is assumed, and all distances are as wrong as that is.
    pixel: (width, height) of the image: normalise by it (centre, half its shorter side) instead of
    by the square round the person in each window, and give pixels back.
    frame_step: frames between those the model is shown together, for one trained at a lower rate
    than the video's; every frame still gets a pose. window: frames seen together, at most and by
    default the model's maxlen.
    root_relative: whether the model was trained so (its root means nothing; poses then have it at
    the origin). By default found out: whether the root it predicts follows the person in the image.
    reference_compat: as the reference's in-the-wild script: frames without a detection are left
    out, windows do not overlap and the last is shorter, all are normalised by the square round the
    person's whole track, the first root of each has depth 0, and root_relative is False unless
    given.
    batch_size: windows computed at once.

    Missed frames and joints are interpolated in time, with confidence 0. Predictions are means of
    the input and its mirror image. A window has one shape for all persons, so one compilation does;
    a person seen for fewer frames is played there and back. Raises what keypoint_files.read raises,
    and ValueError for options that make no sense.
    """
    if hasattr(model, "backbone"):
        raise ValueError(f"{type(model).__name__} gives no pose; lift takes a DSTformer")
    _check_options(model, fps, height, pixel, frame_step, window, batch_size, reference_compat)
    _check_intrinsics(intrinsics, pixel, reference_compat)
    if not isinstance(source, Keypoints):
        source = keypoint_files.read(source, layout, image_size or pixel)
    clips, notes = prepared(source, person, pixel, image_size, reference_compat)
    inputs = [clip.input_TxJx3 for clip in clips]
    window = window or model.config.maxlen
    predict = functools.partial(_predict, model, batch_size=batch_size)
    if reference_compat:
        root_relative = bool(root_relative)
        poses = [_as_reference(predict, x_TxJx3, window, root_relative) for x_TxJx3 in inputs]
    else:
        poses, root_relative = _smooth(
            predict, inputs, window, frame_step, root_relative, own_squares=not pixel
        )
    fps = fps or source.fps
    if intrinsics:
        if not height:
            height = ASSUMED_HEIGHT
            notes.append(f"height not given: {height:.2f} m assumed, which all distances go by")
        if not fps:
            notes.append(f"frame rate not given: {ASSUMED_FPS:g} assumed to smooth the path")
    persons, unit = [], "m" if height else "pixels" if pixel else "normalised"
    for clip, pose_TxJx3 in zip(clips, poses, strict=True):
        if height:
            pose_TxJx3 = pose_TxJx3 * (height / stature(pose_TxJx3))
            if intrinsics:
                pose_TxJx3 = _place(clip, pose_TxJx3, intrinsics, fps or ASSUMED_FPS)
        elif pixel:
            pose_TxJx3 = pose_TxJx3 / clip.units_per_pixel
            if not root_relative:
                pose_TxJx3 = pose_TxJx3 + [*clip.centre_2, 0]
        persons.append(clip.with_pose(pose_TxJx3.astype(np.float32)))
    placed = intrinsics is not None
    return Motion(
        tuple(persons), unit, fps, source.layout, source.source, root_relative and not placed,
        placed, tuple(notes),
    )  # fmt: skip


def prepared(
    source: Keypoints,
    person: int | None = None,
    pixel: tuple[float, float] | None = None,
    image_size: tuple[float, float] | None = None,
    reference_compat: bool = False,
) -> tuple[list["Clip"], list[str]]:
    """Every person (or one) as a model takes them, and what a user should know; see `lift`."""
    notes = list(source.notes)
    tracks = _chosen(source, person)
    largest = max(track.keypoints_NxKx3[..., 2].max() for track in tracks)
    if largest > 1 and not reference_compat:
        notes.append(f"confidences of up to {largest:.3g}; what passes 1 counts as 1")
    clips = []
    for track in tracks:
        if image_size and not pixel:
            _check_inside(track.keypoints_NxKx3, image_size, track.person)
        clip = _prepare(track, source.layout, pixel, reference_compat)
        if np.any(clip.input_TxJx3[..., 2] > 0):
            clips.append(clip)
        else:
            notes.append(f"person {track.person}: under {_MIN_VISIBLE} visible joints, left out")
    if not clips:
        raise ValueError(f"{source.source}: nobody with at least {_MIN_VISIBLE} visible joints")
    return clips, notes


def _check_options(model, fps, height, pixel, frame_step, window, batch_size, reference_compat):
    for name, value in (("fps", fps), ("height", height)):
        if value is not None and not 0 < value < 1e5:
            raise ValueError(f"{name} is {value}; it must be a positive number")
    if height is not None and not 0.3 < height < 3:
        raise ValueError(f"height is {height}; it is a person's, in metres")
    if pixel is not None and not (len(pixel) == 2 and min(pixel) >= 1):
        raise ValueError(f"pixel is {pixel}; it is (width, height) of the image")
    if frame_step < 1 or batch_size < 1:
        raise ValueError(f"frame_step {frame_step}, batch_size {batch_size}: both are at least 1")
    if window is not None and not 1 <= window <= model.config.maxlen:
        raise ValueError(f"window is {window}; this model takes 1 to {model.config.maxlen} frames")
    if reference_compat and (frame_step, window) != (1, None):
        raise ValueError("reference_compat has windows of its own; leave out frame_step and window")


def _place(clip, pose_TxJx3, intrinsics, fps):
    try:
        return camera.place(pose_TxJx3, clip.keypoints_TxJx3, intrinsics, fps)
    except ValueError as error:
        raise ValueError(f"person {clip.person}: {error}") from None


def _check_intrinsics(intrinsics, pixel, reference_compat):
    if intrinsics is None:
        return
    if len(intrinsics) != 4 or not np.isfinite(intrinsics).all() or min(intrinsics[:2]) <= 0:
        raise ValueError(f"intrinsics are {intrinsics}; they are fx, fy, cx, cy in pixels")
    if pixel or reference_compat:
        raise ValueError("intrinsics give metres; pixel and reference_compat do not go with them")


def _chosen(keypoints, person):
    if person is None:
        return keypoints.tracks
    chosen = [track for track in keypoints.tracks if track.person == person]
    if not chosen:
        there = ", ".join(f"{t.person} ({len(t.frames_N)} frames)" for t in keypoints.tracks)
        raise ValueError(f"{keypoints.source}: no person {person}; there are {there}")
    return chosen


# --- from a track to what the model takes -------------------------------------------------------


class Clip:
    """A track as the model takes it (normalised float32), and what is needed to turn it back."""

    def __init__(self, track, frames_T, filled_T, keypoints_TxJx3):
        self.person, self.frames_T, self.filled_T = track.person, frames_T, filled_T
        self.keypoints_TxJx3 = keypoints_TxJx3

    def with_pose(self, pose_TxJx3):
        return PersonMotion(
            self.person, self.frames_T, pose_TxJx3, self.keypoints_TxJx3,
            self.keypoints_TxJx3[..., 2], self.filled_T, self.centre_2, self.units_per_pixel,
        )  # fmt: skip


def _prepare(track, layout, pixel, reference_compat):
    if reference_compat:
        frames_T, points_TxKx3 = track.frames_N, track.keypoints_NxKx3
        filled_T = np.zeros(len(frames_T), bool)
    else:
        frames_T, points_TxKx3, filled_T = tracking.fill(track.frames_N, track.keypoints_NxKx3)
        # Some detectors' scores pass 1; the model has never seen that.
        points_TxKx3[..., 2] = np.minimum(points_TxKx3[..., 2], 1)
    keypoints_TxJx3 = from_layout(points_TxKx3, layout)
    clip = Clip(track, frames_T, filled_T, keypoints_TxJx3)
    seen_xy = keypoints_TxJx3[..., :2][keypoints_TxJx3[..., 2] > 0]
    if pixel:
        _check_inside(keypoints_TxJx3, pixel, track.person)
        clip.centre_2, clip.units_per_pixel = np.array(pixel) / 2, 2 / min(pixel)
        xy = (keypoints_TxJx3[..., :2] - clip.centre_2) * clip.units_per_pixel
        normalised = np.concatenate([xy, keypoints_TxJx3[..., 2:]], axis=-1)
    else:
        low, high = (seen_xy.min(0), seen_xy.max(0)) if len(seen_xy) else np.zeros((2, 2))
        clip.centre_2 = (low + high) / 2
        clip.units_per_pixel = 2 / max((high - low).max(), 1e-9)
        normalised = crop_scale(keypoints_TxJx3)
    # A joint that no frame has: what training shows for one that is masked.
    unknown = np.isnan(normalised).any(-1, keepdims=True)
    clip.input_TxJx3 = np.where(unknown, 0, normalised).astype(np.float32)
    return clip


def _check_inside(keypoints_NxKx3, size, person):
    outside = share_outside(keypoints_NxKx3, size)
    if outside > 0.5:
        raise ValueError(
            f"person {person}: {outside:.0%} of the keypoints are outside an image of "
            f"{size[0]:g} x {size[1]:g}; is this the size of the video that was detected on?"
        )


def share_outside(keypoints_NxKx3: np.ndarray, size: tuple[float, float]) -> float:
    """Of the visible keypoints, how many lie outside an image of (width, height): 0 to 1.

    Detectors place a few past the border; where it is half of them, it is another image.
    """
    xy_Nx2 = keypoints_NxKx3[..., :2][keypoints_NxKx3[..., 2] > 0]
    return float(((xy_Nx2 < 0) | (xy_Nx2 > np.array(size))).any(-1).mean()) if len(xy_Nx2) else 0.0


# --- the model on windows ------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnums=0)
def _forward(graphdef, state, x_NxLxJx3):
    """Mean of the prediction and of that for the mirrored input, mirrored back."""
    model = nnx.merge(graphdef, state)
    return (model(x_NxLxJx3) + mirror(model(mirror(x_NxLxJx3)))) / 2


def _predict(model, x_NxLxJx3, batch_size):
    """The poses (N, L, J, 3) of windows of one length, in batches of one size."""
    graphdef, state = nnx.split(model)
    batch_size = min(batch_size, len(x_NxLxJx3))
    poses = []
    for first in range(0, len(x_NxLxJx3), batch_size):
        batch = x_NxLxJx3[first : first + batch_size]
        padding = [(0, batch_size - len(batch)), *[(0, 0)] * 3]
        poses.append(np.asarray(_forward(graphdef, state, np.pad(batch, padding)))[: len(batch)])
    return np.concatenate(poses)


def _smooth(predict, inputs, window, frame_step, root_relative, own_squares):
    """Poses of every clip, from overlapping windows of one length; and whether root-relative.

    own_squares: each window is shown as large as the model is trained on, however far the person
    goes in the whole clip; its poses come back in the clip's unit.
    """
    phases = [[x[p::frame_step] for p in range(min(frame_step, len(x)))] for x in inputs]
    window = min(window, max(len(x) for own in phases for x in own))
    plans, windows_NxLxJx3 = [], []
    for own in phases:
        for x_TxJx3 in own:
            if len(x_TxJx3) < window:
                starts = np.zeros(1, int)
                windows_NxLxJx3.append(x_TxJx3[windows.there_and_back(len(x_TxJx3), window)])
            else:
                starts = windows.window_starts(len(x_TxJx3), window)
                windows_NxLxJx3 += [x_TxJx3[start : start + window] for start in starts]
            plans.append(starts)
    squares = [_square(x_LxJx3) if own_squares else (0.0, 1.0) for x_LxJx3 in windows_NxLxJx3]
    windows_NxLxJx3 = np.stack(
        [_into(x, *square) for x, square in zip(windows_NxLxJx3, squares, strict=True)]
    )
    pose_NxLxJx3 = predict(windows_NxLxJx3)
    if root_relative is None:
        root_relative = _root_stays(windows_NxLxJx3[:, :, ROOT], pose_NxLxJx3[:, :, ROOT])
    if root_relative:
        pose_NxLxJx3 = pose_NxLxJx3 - pose_NxLxJx3[:, :, ROOT : ROOT + 1]
    pose_NxLxJx3 = pose_NxLxJx3.astype(np.float64)
    for pose_LxJx3, (centre, scale) in zip(pose_NxLxJx3, squares, strict=True):
        pose_LxJx3 /= scale
        if not root_relative:
            pose_LxJx3[..., :2] += centre
    results, next_window, plans = [], 0, iter(plans)
    for x_TxJx3, own in zip(inputs, phases, strict=True):
        joined = []
        for part in own:
            starts = next(plans)
            part_WxLxJx3 = pose_NxLxJx3[next_window : next_window + len(starts)]
            next_window += len(starts)
            joined.append(windows.join(starts, part_WxLxJx3, not root_relative)[: len(part)])
        pose_TxJx3 = windows.merge_phases(joined, len(x_TxJx3), not root_relative)
        results.append(pose_TxJx3 - [0, 0, pose_TxJx3[0, ROOT, 2]])
    return results, root_relative


def _square(x_LxJx3):
    """Middle (2,) and scale that make the square round all visible joints of a window [-1, 1]."""
    seen_Nx2 = x_LxJx3[x_LxJx3[..., 2] > 0][:, :2]
    if len(seen_Nx2) < _MIN_VISIBLE:
        return 0.0, 1.0
    low_2, high_2 = seen_Nx2.min(0), seen_Nx2.max(0)
    side = float((high_2 - low_2).max())
    return ((low_2 + high_2) / 2, 2 / side) if side > 0 else (0.0, 1.0)


def _into(x_LxJx3, centre, scale):
    moved_LxJx2 = (x_LxJx3[..., :2] - centre) * scale
    # Masked, as of a joint that no frame has, is 0 wherever the square is.
    masked_LxJx1 = ~x_LxJx3.any(-1, keepdims=True)
    xy_LxJx2 = np.where(masked_LxJx1, 0, moved_LxJx2)
    return np.concatenate([xy_LxJx2, x_LxJx3[..., 2:]], axis=-1).astype(np.float32)


def _root_stays(input_NxLx3, root_NxLx3):
    """Whether predicted roots are nearer to the origin than to where the input has them."""
    seen = input_NxLx3[..., 2] > 0
    apart = np.linalg.norm(root_NxLx3[..., :2] - input_NxLx3[..., :2], axis=-1)
    from_origin = np.linalg.norm(root_NxLx3[..., :2], axis=-1)
    return bool((from_origin * seen).sum() < (apart * seen).sum())


def _as_reference(predict, x_TxJx3, window, root_relative):
    """What the reference's in-the-wild script computes for one person's detections."""
    poses = []
    for start in range(0, len(x_TxJx3), window):
        pose_LxJx3 = predict(x_TxJx3[None, start : start + window])[0]
        if root_relative:
            pose_LxJx3[:, ROOT] = 0
        else:
            pose_LxJx3[0, ROOT, 2] = 0  # the root's alone: its other joints stay
        poses.append(pose_LxJx3)
    return np.concatenate(poses)
