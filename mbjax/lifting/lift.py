"""`mbjax.lift`: 3D motion of every person in a file of 2D keypoints.

read -> clips (prepare.py) -> poses (predict.py) -> motion. Shapes in names: T frames of a person,
J joints (17).
"""

import dataclasses
import functools
import os

import numpy as np
from flax import nnx

from mbjax.detect import frames, video
from mbjax.keypoints.layouts import LAYOUTS
from mbjax.keypoints.read import Keypoints, read
from mbjax.lifting import camera, predict
from mbjax.lifting.prepare import clips_of
from mbjax.models.trained_on import trained_on, trunk_per_leg_of
from mbjax.motion.motion import Motion, stature
from mbjax.motion.one_skeleton import of_steady_size
from mbjax.motion.world import ASSUMED_HEIGHT, DEFAULT_FPS
from mbjax.pose import proportions
from mbjax.pose.skeleton import JOINTS


def lift(
    model: nnx.Module,
    source: str | os.PathLike | np.ndarray | list | Keypoints,
    *,
    layout: str | None = None,
    person: int | None = None,
    fps: float | None = None,
    height: float | None = None,
    intrinsics: tuple[float, float, float, float] | None = None,
    pixel: tuple[float, float] | None = None,
    image_size: tuple[float, float] | None = None,
    frame_step: int | None = None,
    window: int | None = None,
    root_relative: bool | None = None,
    reference_compat: bool = False,
    keep_proportions: bool = False,
    batch_size: int = 8,
) -> Motion:
    """3D motion of every person in `source`, at every frame between their first and last.

    model: what mbjax.load gives. source, layout, image_size: see mbjax.keypoints.read.read;
    a video is detected in first (mbjax.detect.video.detect).
    person: only the one of this number. fps: of the video, where the file does not say it.
    height: of the person (all persons) in metres, their stature in every layout; the result is then
    in metres.
    intrinsics: the camera's fx, fy, cx, cy in pixels; the result is then in metres in the camera's
    space, each pose where it projects onto its keypoints. No picture tells a small person from one
    who is far: without `height`, 1.70 m is assumed, and all distances are as wrong as that is.
    pixel: (width, height) of the image: normalise by it (centre, half its shorter side) instead of
    by the square round the person in each window, and give pixels back.
    frame_step: frames between those the model is shown together, for one trained at a lower rate
    than the video's; every frame still gets a pose. window: frames seen together, at most the
    model's maxlen. Both are by default what the checkpoint was trained on, where it records that
    (`model.trained_on`); else every frame, and maxlen.
    root_relative: whether the model was trained so (its root means nothing; poses then have it at
    the origin). By default found out: whether the root it predicts follows the person in the image.
    reference_compat: as the release's in-the-wild script: frames without a detection are left
    out, windows do not overlap and the last is shorter, all are normalised by the square round the
    person's whole track, the first root of each has depth 0, and root_relative is False unless
    given.
    keep_proportions: whether people are lifted as they are whose trunk beside their legs is over a
    tenth longer or shorter than that of those the model learnt from. Else, where the checkpoint
    records what that is, they are lifted as if of that build and get theirs back
    (mbjax/pose/proportions.py); not with reference_compat.
    batch_size: windows computed at once.

    Missed frames and joints are interpolated in time, with confidence 0. Predictions are means of
    the input and its mirror image. A window has one shape for all persons, so one compilation does;
    a person seen for fewer frames is played there and back. Raises what mbjax.keypoints.read.read
    raises, and ValueError for options that make no sense.

    >>> import mbjax, numpy
    >>> model = mbjax.load("tiny", verbose=False)
    >>> keypoints = numpy.random.default_rng(0).uniform(100, 400, (30, 17, 3))
    >>> keypoints[..., 2] = 1  # confidence
    >>> mbjax.lift(model, keypoints, layout="h36m17", fps=30, height=1.75)
    Motion(1 person, frames 0 to 29, unit m, 30 fps)
    """
    predict.check_model(model, "lift")
    view = _Camera(intrinsics, pixel, image_size)
    _check_options(model, fps, height, frame_step, window, batch_size, reference_compat)
    if intrinsics is not None and (pixel or reference_compat):
        raise ValueError("intrinsics give metres; pixel and reference_compat do not go with them")
    if frames.is_video(source):
        source = video.detect(source).keypoints
    if not isinstance(source, Keypoints):
        source = read(source, layout, image_size or pixel)
    fps = fps or source.fps
    trained = None if reference_compat else trained_on(model)
    windowing = predict.Windowing.of(model, trained, fps, window, frame_step, batch_size)
    clips, notes = clips_of(source, person, pixel, image_size, reference_compat)
    if trained and None in (window, frame_step):
        notes.append(windowing.describe(trained, fps))
    notes += filter(None, map(_guessed, clips))
    inputs = [clip.input_TxJx3 for clip in clips]
    if reference_compat:
        root_relative = bool(root_relative)
        poses = [predict.as_reference(model, x, windowing, root_relative) for x in inputs]
    else:
        lifted = functools.partial(
            predict.smooth, model, windowing=windowing, own_squares=not pixel
        )
        poses, root_relative = lifted(inputs, root_relative=root_relative)
        learnt = trunk_per_leg_of(trained)
        if learnt and not keep_proportions:
            poses = _as_if_learnt(lifted, clips, poses, root_relative, learnt, notes)
    if intrinsics:
        if not height:
            height = ASSUMED_HEIGHT
            notes.append(f"height not given: {height:.2f} m assumed, which all distances go by")
        if not fps:
            notes.append(f"frame rate not given: {DEFAULT_FPS:g} assumed to smooth the path")
    # Else the head is at the top of the head, derived where the layout has none.
    head_height = LAYOUTS[source.layout].head_height if reference_compat else 1.0
    persons = []
    for clip, pose_TxJx3 in zip(clips, poses, strict=True):
        pose_TxJx3 = _in_unit(clip, pose_TxJx3, view, height, head_height, fps, root_relative)
        persons.append(clip.with_pose(pose_TxJx3.astype(np.float32)))
    unit = "m" if height else "pixels" if pixel else "normalised"
    placed = intrinsics is not None
    return Motion(
        tuple(persons), unit, fps, source.layout, source.source, root_relative and not placed,
        placed, tuple(notes), head_height,
    )  # fmt: skip


def _guessed(clip) -> str:
    """A line on the joints that no frame of a clip has; '' where each is seen."""
    never_J = (clip.input_TxJx3[..., 2] <= 0).all(axis=0)
    names = [name for name, never in zip(JOINTS, never_J, strict=True) if never]
    if not names:
        return ""
    return (
        f"person {clip.person}: {', '.join(names)} seen in no frame: where they are is a guess, "
        "and so is what follows from it (size, floor, angles)"
    )


def _as_if_learnt(lifted, clips, poses, root_relative, trunk_per_leg, notes):
    """Poses, those of people of other proportions than the model learnt lifted again with these."""
    factors = [
        proportions.factor(pose_TxJx3, clip.input_TxJx3, trunk_per_leg)
        for clip, pose_TxJx3 in zip(clips, poses, strict=True)
    ]
    other = [number for number, factor in enumerate(factors) if factor != 1]
    if not other:
        return poses
    scaled = [proportions.scale_trunk_seen(clips[n].input_TxJx3, 1 / factors[n]) for n in other]
    again, _ = lifted(scaled, root_relative=root_relative)
    poses = list(poses)
    for number, pose_TxJx3 in zip(other, again, strict=True):
        poses[number] = proportions.scale_trunk(pose_TxJx3, factors[number])
        notes.append(
            f"person {clips[number].person}: trunk and head beside the legs {factors[number]:.2f} "
            "times as long as of the people the model learnt from: lifted as if of theirs"
        )
    return poses


@dataclasses.dataclass(frozen=True)
class _Camera:
    """intrinsics: fx, fy, cx, cy in pixels. pixel, image_size: (width, height)."""

    intrinsics: tuple[float, float, float, float] | None
    pixel: tuple[float, float] | None
    image_size: tuple[float, float] | None

    def __post_init__(self):
        given = self.intrinsics
        if self.pixel is not None and not (len(self.pixel) == 2 and min(self.pixel) >= 1):
            raise ValueError(f"pixel is {self.pixel}; it is (width, height) of the image")
        if given is None:
            return
        if len(given) != 4 or not np.isfinite(given).all() or min(given[:2]) <= 0:
            raise ValueError(f"intrinsics are {given}; they are fx, fy, cx, cy in pixels")


def _check_options(model, fps, height, frame_step, window, batch_size, reference_compat):
    for name, value in (("fps", fps), ("height", height)):
        if value is not None and not 0 < value < 1e5:
            raise ValueError(f"{name} is {value}; it must be a positive number")
    if height is not None and not 0.3 < height < 3:
        raise ValueError(f"height is {height}; it is a person's, in metres")
    if window is not None and not 1 <= window <= model.config.maxlen:
        raise ValueError(f"window is {window}; this model takes 1 to {model.config.maxlen} frames")
    if frame_step is not None and frame_step < 1 or batch_size < 1:
        raise ValueError(f"frame_step {frame_step}, batch_size {batch_size}: both are at least 1")
    if reference_compat and (frame_step not in (None, 1) or window is not None):
        raise ValueError("reference_compat has windows of its own; leave out frame_step and window")


def _in_unit(clip, pose_TxJx3, view, height, head_height, fps, root_relative):
    """A clip's pose in metres where a height is known, else in pixels or as it is."""
    if height:
        if view.intrinsics:
            # How near the person is, is to show in where they stand and not in how large they are.
            pose_TxJx3 = of_steady_size(pose_TxJx3, fps or DEFAULT_FPS)
        pose_TxJx3 = pose_TxJx3 * (height / stature(pose_TxJx3, head_height))
        if view.intrinsics:
            pose_TxJx3 = _place(clip, pose_TxJx3, view.intrinsics, fps or DEFAULT_FPS)
    elif view.pixel:
        pose_TxJx3 = pose_TxJx3 / clip.units_per_pixel
        if not root_relative:
            pose_TxJx3 = pose_TxJx3 + [*clip.centre_2, 0]
    return pose_TxJx3


def _place(clip, pose_TxJx3, intrinsics, fps):
    try:
        return camera.place(pose_TxJx3, clip.keypoints_TxJx3, intrinsics, fps)
    except ValueError as error:
        raise ValueError(f"person {clip.person}: {error}") from None
