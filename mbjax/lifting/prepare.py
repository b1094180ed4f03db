"""From tracks of 2D keypoints to clips as a model takes them.

Shapes in names: T frames of a person, N frames with a detection, J joints (17), K keypoints.
"""

import dataclasses

import numpy as np

from mbjax.keypoints import layouts, outliers
from mbjax.keypoints.read import Keypoints, Track
from mbjax.motion.motion import PersonMotion
from mbjax.pose.normalise import MIN_VISIBLE, crop_scale, square


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """A track as the model takes it, and what is needed to turn poses back into pixels.

    input: normalised x, y and confidence, float32. keypoints: the same in pixels; NaN where a joint
    was in no frame. filled: frames without a detection. feet: see PersonMotion. A normalised x, y
    is (pixel - centre) * units_per_pixel.
    """

    person: int
    frames_T: np.ndarray
    filled_T: np.ndarray
    keypoints_TxJx3: np.ndarray
    input_TxJx3: np.ndarray
    centre_2: np.ndarray
    units_per_pixel: float
    feet_TxPx3: np.ndarray | None

    def with_pose(self, pose_TxJx3: np.ndarray) -> PersonMotion:
        return PersonMotion(
            self.person, self.frames_T, pose_TxJx3, self.keypoints_TxJx3,
            self.keypoints_TxJx3[..., 2], self.filled_T, self.centre_2, self.units_per_pixel,
            self.feet_TxPx3,
        )  # fmt: skip


def clips_of(
    source: Keypoints,
    person: int | None = None,
    pixel: tuple[float, float] | None = None,
    image_size: tuple[float, float] | None = None,
    reference_compat: bool = False,
) -> tuple[list[Clip], list[str]]:
    """Every person (or one) as a model takes them, and notes for the user; see `mbjax.lift`."""
    notes = list(source.notes)
    tracks = _chosen(source, person)
    largest = max(track.keypoints_NxKx3[..., 2].max() for track in tracks)
    if largest > 1 and not reference_compat:
        notes.append(f"confidences of up to {largest:.3g}; what passes 1 counts as 1")
    if not (reference_compat or layouts.has_head(source.layout)):
        notes.append(f"{source.layout} has no top of the head: derived from ears and shoulders")
    clips = []
    for track in tracks:
        if image_size and not pixel:
            _check_inside(track.keypoints_NxKx3, image_size, track.person)
        clip, wild = _prepare(track, source.layout, pixel, reference_compat)
        if wild:
            notes.append(_of_person(track, tracks) + wild)
        if np.any(clip.input_TxJx3[..., 2] > 0):
            clips.append(clip)
        else:
            few = np.count_nonzero(clip.keypoints_TxJx3[..., 2]) < MIN_VISIBLE
            why = f"under {MIN_VISIBLE} visible joints" if few else "all joints at one point"
            notes.append(f"person {track.person}: {why}, left out")
    if not clips:
        why = "; ".join(note for note in notes if note.endswith("left out"))
        raise ValueError(
            f"{source.source}: nobody with at least {MIN_VISIBLE} visible joints apart ({why})"
        )
    return clips, notes


def _chosen(keypoints, person):
    if person is None:
        return keypoints.tracks
    chosen = [track for track in keypoints.tracks if track.person == person]
    if not chosen:
        there = ", ".join(f"{t.person} ({len(t.frames_N)} frames)" for t in keypoints.tracks)
        raise ValueError(f"{keypoints.source}: no person {person}; there are {there}")
    return chosen


def _of_person(track, tracks):
    return f"person {track.person}: " if len(tracks) > 1 else ""


def _prepare(track: Track, layout, pixel, reference_compat):
    """(clip, what was taken as not seen, '' for nothing)."""
    feet_TxPx3, wild = None, ""
    if reference_compat:
        frames_T, points_TxKx3 = track.frames_N, track.keypoints_NxKx3
        filled_T = np.zeros(len(frames_T), bool)
        keypoints_TxJx3 = layouts.from_layout(points_TxKx3, layout)
    else:
        frames_T, points_TxKx3, filled_T, wild = outliers.fill_without(
            track.frames_N, track.keypoints_NxKx3, layouts.LAYOUTS[layout].names
        )
        # Some detectors' scores pass 1; the model has never seen that.
        points_TxKx3[..., 2] = np.minimum(points_TxKx3[..., 2], 1)
        keypoints_TxJx3 = layouts.from_layout(points_TxKx3, layout)
        keypoints_TxJx3 = layouts.with_head(keypoints_TxJx3, points_TxKx3, layout)
        keypoints_TxJx3 = layouts.known(keypoints_TxJx3)
        feet_TxPx3 = layouts.feet_of(points_TxKx3, layout)
    if pixel:
        _check_inside(keypoints_TxJx3, pixel, track.person)
        centre_2, scale = np.array(pixel) / 2, 2 / min(pixel)
        xy = (keypoints_TxJx3[..., :2] - centre_2) * scale
        normalised = np.concatenate([xy, keypoints_TxJx3[..., 2:]], axis=-1)
    else:
        centre_2, side = square(keypoints_TxJx3)
        scale = 2 / max(side, 1e-9)
        normalised = crop_scale(keypoints_TxJx3)
    # A joint that no frame has: what training shows for one that is masked.
    unknown = np.isnan(normalised).any(-1, keepdims=True)
    x_TxJx3 = np.where(unknown, 0, normalised).astype(np.float32)
    clip = Clip(
        track.person, frames_T, filled_T, keypoints_TxJx3, x_TxJx3, centre_2, scale, feet_TxPx3
    )
    return clip, wild


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
