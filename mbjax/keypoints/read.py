"""2D keypoints of many detectors' files, as one track per person.

N frames in which a person was seen, K keypoints of the file's layout, T frames, M persons.

What is read (found out by structure and by the number of keypoints, see
mbjax.keypoints.layouts.LAYOUTS):
- AlphaPose results and COCO results: a list of {image_id, keypoints (flat), score, idx};
- MMPose predictions: {meta_info, instance_info: [{frame_id, instances: [...]}]}, and the lists
  that its inferencer writes;
- OpenPose: a folder of *_keypoints.json, one per frame, or one such file; so write Pose2Sim and
  others what rtmlib finds, and AlphaPose in its formats 'open' and 'cmu', which may be one file;
- MediaPipe, which has no file format of its own: a list with one entry per frame, each a list of 33
  {x, y, visibility}, or {"pose_landmarks": that list, or a list of persons}, or null; also inside
  {"frames": list, "fps", "width", "height"};
- rtmlib's keypoints (M, K, 2) and scores (M, K), and Detectron2's pred_keypoints (M, K, 3), under
  these names: a list with an entry {keypoints, scores} or {pred_keypoints} per frame, one dict of
  the whole, or an .npz; also the .npz that VideoPose3D's scripts write of Detectron's;
- .npy or .npz: (T, K, 3), (T, M, K, 3) or (T, K, 2); an .npz may also hold `fps` and `layout`.
"""

import dataclasses
import os

import numpy as np

from mbjax.keypoints import layouts, tracking
from mbjax.keypoints.arrays import from_array
from mbjax.keypoints.formats import json_values
from mbjax.keypoints.formats.choose import open_source
from mbjax.keypoints.layouts import LAYOUTS, WHOLE_BODY
from mbjax.keypoints.tracking import Observation

# No image has so many pixels, no detector such scores.
_LARGEST = 1e9


@dataclasses.dataclass(frozen=True, eq=False)
class Track:
    """One person. frames: ascending, of the video; keypoints: x, y (pixels), confidence >= 0.

    All keypoints of the layout are here, by the names in `layouts.LAYOUTS[layout].names`: toes and
    heels too, `layouts.feet_of(track.keypoints_NxKx3, layout)`, which none of the 17 joints is.
    """

    person: int
    frames_N: np.ndarray
    keypoints_NxKx3: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Keypoints:
    """All persons of a file.

    layout: a name in mbjax.keypoints.layouts.LAYOUTS. fps: None if not known. notes: what a user
    should know, one line each.
    """

    tracks: tuple[Track, ...]
    layout: str
    fps: float | None
    source: str
    notes: tuple[str, ...] = ()


def read(
    source: str | os.PathLike | np.ndarray | list,
    layout: str | None = None,
    image_size: tuple[float, float] | None = None,
) -> Keypoints:
    """Every person's 2D keypoints in a file, a folder or an array (or lists, or a tensor).

    layout: instead of what the file says or its number of keypoints implies. image_size: (width,
    height) in pixels, needed for MediaPipe's coordinates, which are shares of the image.
    FileNotFoundError, or ValueError in one line: no keypoints, nobody in them, a layout that cannot
    be told apart or is not known, NaN, a negative confidence.
    """
    path = source if isinstance(source, str | os.PathLike) else None
    where = "the array" if path is None else str(path)
    layout = None if layout is None else layouts.named(layout)
    if image_size is not None:
        image_size = json_values.image_size(image_size, "image_size")
    try:
        if path is None:
            found = from_array(json_values.numbers(source, type(source).__name__))
        else:
            found = open_source(path)
        return settled(found, layout, image_size, where)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def settled(found, layout, image_size, where):
    observations, notes = found.observations, []
    if not observations:
        raise ValueError("nobody in it: no frame has a person; did the detector find anybody?")
    counts = {len(o.keypoints_Kx3) for o in observations}
    if len(counts) > 1:
        raise ValueError(f"persons of {sorted(counts)} keypoints side by side; one layout a file")
    count = counts.pop()
    layout = layout or found.layout
    if count in WHOLE_BODY:
        whole = WHOLE_BODY[count]
        # Who says only what the layout begins with means the same file.
        layout = whole if layout in (None, "coco17") else layout
        count = LAYOUTS[whole].count
        for o in observations:
            o.keypoints_Kx3 = o.keypoints_Kx3[:count]
    layout = _layout(count, layout)
    # Some write a person who is missed as NaN throughout; a single NaN is a mistake.
    observations = [o for o in observations if not np.isnan(o.keypoints_Kx3[:, :2]).all()]
    for o in observations:
        _check(o)
    if not observations:
        raise ValueError("nobody in it: every keypoint is NaN; did the detector find anybody?")
    if found.unit_square:
        _to_pixels(observations, found.image_size or image_size)
    elif image_size is not None and _in_shares(observations):
        notes.append("no coordinate is above 1: taken as shares of the image")
        _to_pixels(observations, image_size)
    # A person without one visible keypoint is a person missed.
    observations = [o for o in observations if (o.keypoints_Kx3[:, 2] > 0).any()]
    if not observations:
        raise ValueError("nobody in it: every confidence is 0; did the detector find anybody?")
    tracks = _tracks(observations, notes)
    return Keypoints(tracks, layout, found.fps, where, tuple(notes))


def _check(observation):
    keypoints = observation.keypoints_Kx3
    at = f"frame {observation.frame}"
    bad = np.argwhere(~np.isfinite(keypoints))
    if len(bad):
        raise ValueError(
            f"{at}, keypoint {bad[0][0]}: {keypoints[tuple(bad[0])]} is not a number; mark what "
            "was not seen by confidence 0"
        )
    huge = np.argwhere(np.abs(keypoints) > _LARGEST)
    if len(huge):
        raise ValueError(
            f"{at}, keypoint {huge[0][0]}: {keypoints[tuple(huge[0])]:g} is neither a pixel nor a "
            "confidence"
        )
    if keypoints[:, 2].min() < 0:
        k = int(keypoints[:, 2].argmin())
        raise ValueError(
            f"{at}, keypoint {k}: confidence {keypoints[k, 2]:g} is negative; 0 is 'not seen'"
        )


def _layout(count, layout):
    if layout:
        expected = LAYOUTS[layout].count
        if count != expected:
            raise ValueError(f"layout {layout} has {expected} keypoints, here are {count}")
        return layout
    names = layouts.of_count(count)
    if len(names) == 1:
        return names[0]
    if names:
        raise ValueError(
            f"{count} keypoints could be {' or '.join(names)}; say which by layout= (--layout)"
        )
    if count == LAYOUTS["coco18"].count:
        raise ValueError(
            "18 keypoints, and it is not OpenPose that wrote them; if they are those of its COCO "
            "model all the same, say so by layout='coco18' (--layout coco18)"
        )
    known = ", ".join(f"{name} ({one.count})" for name, one in LAYOUTS.items())
    raise ValueError(f"{count} keypoints are no layout known here; known: {known}")


def _in_shares(observations):
    """Whether everything seen lies in [0, 1], where no person in pixels does."""
    points = np.concatenate([o.keypoints_Kx3[o.keypoints_Kx3[:, 2] > 0] for o in observations])
    return len(points) > 0 and points[:, :2].min() >= 0 and points[:, :2].max() <= 1


def _to_pixels(observations, image_size):
    usual = np.median([np.median(o.keypoints_Kx3[:, :2]) for o in observations])
    if usual > 10:  # shares of an image are about [0, 1]; somebody has made pixels of them
        return
    if image_size is None:
        raise ValueError(
            "coordinates are shares of the image, whose width and height are not known; give "
            "image_size= (--image-size W H), or width and height in the file"
        )
    for o in observations:
        o.keypoints_Kx3 = o.keypoints_Kx3 * np.array([*image_size, 1.0])


def _missing_ids(ids):
    if ids == {None}:
        return "no tracking ids"
    if None in ids:
        return "some persons without a tracking id"
    return f"one tracking id, {next(iter(ids))}, for several persons of a frame"


def _tracks(observations, notes):
    observations = sorted(observations, key=lambda o: o.frame)
    per_frame = np.unique([o.frame for o in observations], return_counts=True)[1]
    ids = {o.person for o in observations}
    # Detectors without tracking write no id at all, or the same one for everybody.
    if None in ids or (len(ids) == 1 and per_frame.max() > 1):
        if per_frame.max() == 1:
            numbers = [0] * len(observations)
            notes.append(f"{_missing_ids(ids)}, one person a frame: taken as one person")
        else:
            numbers = tracking.link(observations)
            notes.append(
                f"{_missing_ids(ids)}: persons linked by position, {len(set(numbers))} found"
            )
    else:
        numbers = [o.person for o in observations]
    people: dict[int, dict[int, Observation]] = {}
    twice = 0
    for number, o in zip(numbers, observations, strict=True):
        person = people.setdefault(number, {})
        twice += o.frame in person
        if o.frame not in person or o.score > person[o.frame].score:
            person[o.frame] = o
    if twice:
        notes.append(f"{twice} observations of a person already in that frame: best score kept")
    tracks = []
    for number in sorted(people):
        frames = sorted(people[number])
        if frames[-1] - frames[0] > 100 * len(frames) + 1000:
            raise ValueError(
                f"person {number}: {len(frames)} frames spread from {frames[0]} to {frames[-1]}; "
                "several videos in one file? Give them one by one"
            )
        keypoints = np.stack([people[number][frame].keypoints_Kx3 for frame in frames])
        tracks.append(Track(int(number), np.array(frames, np.int64), keypoints))
    return tuple(tracks)
