"""The persons of a motion in one world: y up, the floor at y = 0, metres, one skeleton each.

Shapes in names: T frames, J joints (17), 2 sides (left, right). The world's axes are the camera's
turned over: x right, y up, z towards the camera. What files for other programs show is made here;
`Motion` itself stays as it was lifted.
"""

import dataclasses

import numpy as np

from mbjax.motion import feet, filters, foot_lock, one_skeleton, path
from mbjax.motion.motion import Motion, PersonMotion, stature
from mbjax.motion.rig import shortest_turn
from mbjax.pose.skeleton import INDEX, root_relative

ASSUMED_HEIGHT = 1.70
# Files that cannot be without a frame rate get this one, and the user is told.
DEFAULT_FPS = 30.0
# A camera is taken to be level but for this many radians, and not to be tilted more than that.
_USUAL_TILT, _LARGEST_TILT = 0.03, np.radians(15)
# What contacts may be off a floor that a tilt is found from, in m.
_CONTACT_ERROR = 0.03
_ANKLES = [INDEX["lankle"], INDEX["rankle"]]


@dataclasses.dataclass(frozen=True, eq=False)
class PersonInWorld:
    """One person at every frame from the first to the last.

    joints: as lifted, moved to where the person is. body: with one skeleton, of bones of
    `lengths` (J,), and planted feet held. feet: rotations, see mbjax.motion.feet; planted: whether
    the left and the right foot stand.
    """

    person: int
    frames_T: np.ndarray
    joints_TxJx3: np.ndarray
    body_TxJx3: np.ndarray
    lengths_J: np.ndarray
    feet_Tx2x3x3: np.ndarray
    planted_Tx2: np.ndarray
    height: float


@dataclasses.dataclass(frozen=True, eq=False)
class World:
    """fps: of the video, or DEFAULT_FPS. notes: what was assumed, one line each."""

    persons: tuple[PersonInWorld, ...]
    fps: float
    notes: tuple[str, ...]


def of_motion(motion: Motion, smooth_hz: float | None = None, lock_feet: bool = True) -> World:
    """Everybody in one world; `motion` in any unit.

    Persons that a camera has placed keep their places across and before it. Else x and y come from
    the picture, each person at the metres that a pixel has where they are, and z from the planted
    feet alone: x = z = 0 is where the first person is first seen. Each one's floor is the lowest
    that their feet stand on. smooth_hz: cut-off of a low-pass without delay, of joints and path.
    """
    fps, notes = motion.fps or DEFAULT_FPS, []
    if motion.unit != "m":
        notes.append(
            f"height not given: {ASSUMED_HEIGHT:.2f} m assumed, which all metres in the files go by"
        )
    centre_2 = _middle(motion)
    starts = [_start(motion, _every_frame(one), centre_2, fps, smooth_hz) for one in motion]
    # Without a camera, levelling made the sample of the tests no better (mbjax/motion/README.md).
    turn_3x3 = _level([start.standing() for start in starts]) if motion.placed else np.eye(3)
    persons = [start.finish(turn_3x3, fps, lock_feet, not motion.placed) for start in starts]
    if not motion.placed:
        origin_3 = persons[0].body_TxJx3[0, 0] * [1, 0, 1]
        persons = [
            dataclasses.replace(
                one, joints_TxJx3=one.joints_TxJx3 - origin_3, body_TxJx3=one.body_TxJx3 - origin_3
            )
            for one in persons
        ]
    return World(tuple(persons), fps, tuple(notes))


@dataclasses.dataclass(frozen=True, eq=False)
class _Start:
    """A person whose path is known and whose floor is not."""

    one: PersonMotion
    joints_TxJx3: np.ndarray  # root-relative
    body_TxJx3: np.ndarray  # root-relative
    lengths_J: np.ndarray
    feet_Tx2x3x3: np.ndarray
    root_Tx3: np.ndarray
    planted_Tx2: np.ndarray
    height: float

    def standing(self):
        """Where ankles of planted feet are (N, 3), about their mean."""
        ankles_Tx2x3 = (self.body_TxJx3 + self.root_Tx3[:, None])[:, _ANKLES]
        places_Nx3 = ankles_Tx2x3[self.planted_Tx2]
        return places_Nx3 - places_Nx3.mean(0) if len(places_Nx3) else places_Nx3

    def finish(self, turn_3x3, fps, lock_feet, level_walk) -> PersonInWorld:
        """level_walk: whether feet that stand higher and higher are on one floor after all."""
        root_Tx3 = self.root_Tx3 @ turn_3x3.T
        body_TxJx3 = self.body_TxJx3 @ turn_3x3.T + root_Tx3[:, None]
        joints_TxJx3 = self.joints_TxJx3 @ turn_3x3.T + root_Tx3[:, None]
        if level_walk:
            heights_Tx2 = body_TxJx3[:, _ANKLES, 1]
            drift_T = feet.floor_drift(heights_Tx2, self.planted_Tx2, fps)
            body_TxJx3[..., 1] -= drift_T[:, None]
            joints_TxJx3[..., 1] -= drift_T[:, None]
        ankle = feet.ANKLE_HEIGHT * self.height
        floor = feet.floor_height(body_TxJx3[:, _ANKLES, 1], self.planted_Tx2) - ankle
        body_TxJx3 = body_TxJx3 - [0, floor, 0]
        if lock_feet:
            body_TxJx3 = foot_lock.lock(body_TxJx3, self.planted_Tx2, fps, self.height)
        feet_Tx2x3x3 = feet.settled(
            turn_3x3 @ self.feet_Tx2x3x3, body_TxJx3[:, _ANKLES], self.planted_Tx2, fps, self.height
        )
        return PersonInWorld(
            self.one.person, self.one.frames_T, joints_TxJx3 - [0, floor, 0], body_TxJx3,
            self.lengths_J, feet_Tx2x3x3, self.planted_Tx2, self.height,
        )  # fmt: skip


def _start(motion, one, centre_2, fps, smooth_hz):
    up_TxJx3 = one.pose_TxJx3.astype(np.float64) * [1, -1, -1]
    relative_TxJx3 = root_relative(up_TxJx3)
    if smooth_hz:
        relative_TxJx3 = filters.butterworth(relative_TxJx3, fps, smooth_hz)
    head = motion.head_height
    size = stature(relative_TxJx3, head)
    height = size if motion.unit == "m" else ASSUMED_HEIGHT
    joints_TxJx3 = relative_TxJx3 * (height / max(size, 1e-9))
    body_TxJx3, lengths_J = one_skeleton.fit(joints_TxJx3, height, ~one.interpolated_T, head)
    try:
        scale_T = path.metres_per_pixel(body_TxJx3, one.keypoints_TxJx3, fps)
    except ValueError:
        scale_T = None  # too little is seen in every frame: the root stays where it is
    if motion.placed:
        root_Tx3 = up_TxJx3[:, 0]
    elif scale_T is None:
        root_Tx3 = np.zeros((len(up_TxJx3), 3))
    else:
        root_Tx3 = path.in_the_picture(body_TxJx3, one.keypoints_TxJx3, scale_T, centre_2)
    if smooth_hz:
        root_Tx3 = filters.butterworth(root_Tx3, fps, smooth_hz)
    planted_Tx2 = feet.planted((body_TxJx3 + root_Tx3[:, None])[:, _ANKLES], fps, height)
    root_Tx3 = path.held_by_feet(root_Tx3, body_TxJx3[:, _ANKLES], planted_Tx2, fps, motion.placed)
    feet_Tx2x3x3 = feet.directions(body_TxJx3)
    if one.feet_TxPx3 is not None and scale_T is not None:
        feet_Tx2x3x3 = feet.seen_directions(feet_Tx2x3x3, one.feet_TxPx3, scale_T, height)
    return _Start(
        one, joints_TxJx3, body_TxJx3, lengths_J, feet_Tx2x3x3, root_Tx3, planted_Tx2, height
    )


def _level(standing):
    """The rotation (3, 3) that makes the floor level: the identity, or a few degrees.

    A plane through all contacts of all persons, each about their own mean, held near level by what
    cameras usually are; none where the contacts are on no plane, or it is too steep for a camera.
    """
    places_Nx3 = np.concatenate([*standing, np.zeros((0, 3))])
    if len(places_Nx3) < 10:
        return np.eye(3)
    across_Nx2, y_N = places_Nx3[:, [0, 2]], places_Nx3[:, 1]
    # Frames of one contact say the same: all together count as twenty.
    share = min(len(y_N), 20) / len(y_N)
    prior = np.eye(2) * (_CONTACT_ERROR / _USUAL_TILT) ** 2
    slope_2 = np.linalg.solve(share * across_Nx2.T @ across_Nx2 + prior, share * across_Nx2.T @ y_N)
    off = np.std(y_N - across_Nx2 @ slope_2)
    if off > 2 * _CONTACT_ERROR or np.arctan(np.linalg.norm(slope_2)) > _LARGEST_TILT:
        return np.eye(3)
    up_3 = feet.unit(np.array([-slope_2[0], 1, -slope_2[1]]))
    return shortest_turn(np.array([0.0, 1.0, 0.0]), up_3[None])[0].T


def _middle(motion):
    """Of all keypoints ever seen, (2,) in pixels: taken for the middle of the picture."""
    seen = [
        one.keypoints_TxJx3[..., :2][(one.keypoints_TxJx3[..., 2] > 0)].reshape(-1, 2)
        for one in motion
    ]
    seen_Nx2 = np.concatenate(seen)
    return (seen_Nx2.min(0) + seen_Nx2.max(0)) / 2


def _every_frame(one: PersonMotion) -> PersonMotion:
    """The person with frames that were left out interpolated, as seen with no confidence."""
    frames_F = np.arange(one.frames_T[0], one.frames_T[-1] + 1)
    if len(frames_F) == len(one.frames_T):
        return one
    found_F = np.isin(frames_F, one.frames_T)

    def filled(values):
        flat = values.reshape(len(values), -1)
        columns = [np.interp(frames_F, one.frames_T, column) for column in flat.T]
        return np.stack(columns, axis=1).reshape(len(frames_F), *values.shape[1:])

    def unseen(points):
        points = filled(points)
        points[~found_F, :, 2] = 0
        return points

    keypoints = unseen(one.keypoints_TxJx3)
    interpolated_F = ~found_F
    interpolated_F[found_F] = one.interpolated_T
    return dataclasses.replace(
        one, frames_T=frames_F, pose_TxJx3=filled(one.pose_TxJx3), keypoints_TxJx3=keypoints,
        confidence_TxJ=keypoints[..., 2], interpolated_T=interpolated_F,
        feet_TxPx3=None if one.feet_TxPx3 is None else unseen(one.feet_TxPx3),
    )  # fmt: skip
