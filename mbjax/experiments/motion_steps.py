"""What each step from a lifted pose to a motion file is worth, against a truth in 3D.

Shapes in names: C cameras, T frames, J joints (17), K keypoints of a layout, P = 4 points of feet.
Truth is the package's held-out recording before cameras of known place, or what several calibrated
views of a recording triangulate to, one of which is lifted.
"""

import dataclasses
import os
import pathlib

import numpy as np
from flax import nnx

from mbjax.data.records import RecordReader
from mbjax.keypoints.layouts import from_layout, with_head
from mbjax.lifting.lift import lift
from mbjax.motion import feet, filters, one_skeleton, path, rig, world
from mbjax.motion.motion import stature
from mbjax.pose.rotations import similarity_transform
from mbjax.pose.skeleton import INDEX, root_relative

_ANKLES = [INDEX["lankle"], INDEX["rankle"]]
# A foot of the truth stands: m/s, and m above where it is lowest.
_STILL, _NEAR_FLOOR = 0.3, 0.1
# The cameras that see the sample: focal length and middle in pixels, m, degrees.
_FOCAL, _MIDDLE, _AWAY, _HIGH, _PITCH, _YAWS = 1400.0, (960.0, 540.0), 6.0, 1.2, 8.0, (0, 90, 215)
_KEYPOINT_NOISE = 2.0  # pixels, of a person some 400 high

# The columns of the table; mm, but for legs.
MEASURES = {
    "mpjpe": "root-relative error, axes of the camera",
    "turned": "the same after the one rotation of the clip that is best",
    "legs": "left and right leg apart, % of their length",
    "across": "root off across the picture", "depth": "root off into the picture",
    "slide": "planted ankles, mm a frame", "floor": "planted ankles above or below the floor",
    "acceleration": "mean change of velocity, mm/frame^2",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """A recording seen by one camera. truth: (T, 17, 3) in metres in the camera's axes turned over
    (x right, y up, z towards it). planted: (T, 2), by the truth. intrinsics: fx, fy, cx, cy.
    """

    name: str
    keypoints_TxKx3: np.ndarray
    layout: str
    fps: float
    truth_TxJx3: np.ndarray
    planted_Tx2: np.ndarray
    intrinsics: tuple[float, float, float, float]


def views_of_sample() -> list[View]:
    """The sample corpus's held-out clips, 30 frames/s, before three pitched cameras each."""
    reader = RecordReader("sample:motion3d", "test")
    rng = np.random.default_rng(0)
    views = []
    for number in range(len(reader)):
        record = reader[number]
        pose_TxJx3 = record["pose"][::2].astype(float) * record["metres_per_unit"] * [1, -1, -1]
        planted_Tx2 = _standing(pose_TxJx3, np.array([0, 1.0, 0]), 30.0)
        low = pose_TxJx3[..., 1].min()
        centred_TxJx3 = pose_TxJx3 - pose_TxJx3[:, 0].mean(0) * [1, 0, 1] - [0, low + _HIGH, 0]
        for yaw in _YAWS:
            turn_3x3 = _about(0, np.radians(_PITCH)) @ _about(1, np.radians(yaw))
            truth_TxJx3 = centred_TxJx3 @ turn_3x3.T
            truth_TxJx3 -= [0, 0, _AWAY]
            xy = truth_TxJx3[..., :2] * [1, -1] / -truth_TxJx3[..., 2:] * _FOCAL + _MIDDLE
            xy = xy + rng.normal(0, _KEYPOINT_NOISE, xy.shape)
            keypoints = np.concatenate([xy, np.full((*xy.shape[:2], 1), 0.9)], axis=-1)
            views.append(
                View(
                    f"clip {number}, {yaw} degrees", keypoints, "h36m17", 30.0, truth_TxJx3,
                    planted_Tx2, (_FOCAL, _FOCAL, *_MIDDLE),
                )
            )  # fmt: skip
    return views


def views_of_file(file: str | os.PathLike) -> list[View]:
    """Every view of an .npz of calibrated views, against what all of them triangulate to.

    keypoints (C, T, K, 3): pixels and confidence; layout, fps; intrinsics (C, 3, 3), rotation
    (C, 3, 3), translation (C, 3): x_camera = rotation @ x + translation, in metres; up (3,): in the
    world's axes. ValueError where something is missing.
    """
    names = ("keypoints", "layout", "fps", "intrinsics", "rotation", "translation", "up")
    with np.load(pathlib.Path(file).expanduser(), allow_pickle=False) as data:
        missing = sorted(set(names) - set(data))
        if missing:
            raise ValueError(f"{file}: no {', '.join(missing)} in it")
        data = {name: data[name] for name in names}
    layout, fps = str(data["layout"]), float(data["fps"])
    points_CxTxKx3 = data["keypoints"].astype(float)
    projections_Cx3x4 = data["intrinsics"] @ np.concatenate(
        [data["rotation"], data["translation"][..., None]], axis=-1
    )
    there_TxKx3 = triangulate(points_CxTxKx3, projections_Cx3x4)
    there_TxKx3 = filters.butterworth(there_TxKx3, fps, 6.0)
    joints_TxJx3 = from_layout(there_TxKx3, layout)
    # The top of the head, as lift has it, one plane after the other: it is linear in each axis.
    for axes in ([0, 1, 2], [2, 1, 0]):
        joints_TxJx3 = with_head(joints_TxJx3[..., axes], there_TxKx3[..., axes], layout)
        joints_TxJx3 = joints_TxJx3[..., axes]
    planted_Tx2 = _standing(joints_TxJx3, data["up"], fps)
    views = []
    for c, points_TxKx3 in enumerate(points_CxTxKx3):
        truth_TxJx3 = joints_TxJx3 @ data["rotation"][c].T + data["translation"][c]
        lens = data["intrinsics"][c]
        views.append(
            View(
                f"view {c + 1}", points_TxKx3, layout, fps, truth_TxJx3 * [1, -1, -1], planted_Tx2,
                (lens[0, 0], lens[1, 1], lens[0, 2], lens[1, 2]),
            )
        )  # fmt: skip
    return views


def triangulate(points_CxTxKx3: np.ndarray, projections_Cx3x4: np.ndarray) -> np.ndarray:
    """(T, K, 3): least squares of the projection equations, weighted by confidence.

    Views that are off by more than some 10 pixels count less, in five rounds.
    """
    P, xy = projections_Cx3x4[:, None, None], points_CxTxKx3[..., :2, None]
    equations = xy * P[..., 2:3, :] - P[..., :2, :]  # (C, T, K, 2, 4)
    weight_CxTxK = np.maximum(points_CxTxKx3[..., 2], 0.01)
    for _ in range(5):
        weighted = np.moveaxis(equations * weight_CxTxK[..., None, None], 0, 2)
        rows = weighted.reshape(*weighted.shape[:2], -1, 4)
        homogeneous = np.linalg.svd(rows)[2][..., -1, :]
        there_TxKx4 = homogeneous / homogeneous[..., 3:]
        seen = np.einsum("cij,tkj->ctki", projections_Cx3x4, there_TxKx4)
        off = np.linalg.norm(seen[..., :2] / seen[..., 2:] - points_CxTxKx3[..., :2], axis=-1)
        weight_CxTxK = np.maximum(points_CxTxKx3[..., 2], 0.01) / (1 + (off / 10) ** 2)
    return there_TxKx4[..., :3]


def steps(model: nnx.Module, view: View, window: int | None, smooth_hz: float) -> dict[str, dict]:
    """{step: {measure: value}} of one view, steps in the order in which they are taken."""
    height = stature(view.truth_TxJx3)
    options = {
        "layout": view.layout, "fps": view.fps, "height": height, "window": window,
        "frame_step": max(1, round(view.fps / 30)),
    }  # fmt: skip
    motion = lift(model, view.keypoints_TxKx3, **options)
    lifted_TxJx3 = motion[0].pose_TxJx3.astype(float) * [1, -1, -1]
    body_TxJx3, _ = one_skeleton.fit(root_relative(lifted_TxJx3), height)
    placed = lift(model, view.keypoints_TxKx3, intrinsics=view.intrinsics, **options)
    found = {
        "as lifted, root at the origin": root_relative(lifted_TxJx3),
        "+ path from the picture, floor": _on_floor(root_relative(lifted_TxJx3), motion, height),
        "+ one skeleton": _on_floor(body_TxJx3, motion, height),
        "+ path held by planted feet": world.of_motion(motion, lock_feet=False),
        "+ feet locked (the default)": world.of_motion(motion),
        f"+ --smooth {smooth_hz:g}": world.of_motion(motion, smooth_hz),
        "the default as BVH and GLB have it": _rigged(world.of_motion(motion).persons[0]),
        "the default with --intrinsics": world.of_motion(placed),
    }
    return {
        step: measures(
            pose.persons[0].body_TxJx3 if isinstance(pose, world.World) else pose, view, height
        )
        for step, pose in found.items()
    }


def measures(pose_TxJx3: np.ndarray, view: View, height: float) -> dict[str, float]:
    """Of MEASURES, of a pose (T, 17, 3) in metres, y up, against a view's truth."""
    truth_TxJx3, planted_Tx2 = view.truth_TxJx3, view.planted_Tx2
    apart = root_relative(pose_TxJx3) - root_relative(truth_TxJx3)
    rotation = similarity_transform(
        root_relative(pose_TxJx3).reshape(-1, 3), root_relative(truth_TxJx3).reshape(-1, 3)
    )[1]
    turned = root_relative(pose_TxJx3) @ rotation.T
    left, right = one_skeleton.leg_lengths(pose_TxJx3)
    root_Tx3 = pose_TxJx3[:, 0] - truth_TxJx3[:, 0]
    root_Tx3 = np.abs(root_Tx3 - root_Tx3.mean(0))
    both = planted_Tx2[1:] & planted_Tx2[:-1]
    ankles_Tx2x3 = pose_TxJx3[:, _ANKLES]
    moved = np.linalg.norm(np.diff(ankles_Tx2x3, axis=0), axis=-1)[both]
    above = ankles_Tx2x3[..., 1][planted_Tx2] - feet.ANKLE_HEIGHT * height
    bent = np.linalg.norm(np.diff(pose_TxJx3, 2, axis=0), axis=-1)
    return {
        "mpjpe": 1000 * np.linalg.norm(apart, axis=-1).mean(),
        "turned": 1000 * np.linalg.norm(turned - root_relative(truth_TxJx3), axis=-1).mean(),
        "legs": 200 * abs(left - right) / (left + right),
        "across": 1000 * root_Tx3[:, 0].mean(),
        "depth": 1000 * root_Tx3[:, 2].mean(),
        "slide": 1000 * moved.mean() if len(moved) else np.nan,
        "floor": 1000 * abs(np.median(above)) if len(above) else np.nan,
        "acceleration": 1000 * bent.mean(),
    }


def _on_floor(body_TxJx3, motion, height):
    one, fps = motion[0], motion.fps
    scale_T = path.metres_per_pixel(body_TxJx3, one.keypoints_TxJx3, fps)
    root_Tx3 = path.in_the_picture(body_TxJx3, one.keypoints_TxJx3, scale_T, one.centre_2)
    pose_TxJx3 = body_TxJx3 + root_Tx3[:, None]
    planted_Tx2 = feet.planted(pose_TxJx3[:, _ANKLES], fps, height)
    floor = feet.floor_height(pose_TxJx3[:, _ANKLES, 1], planted_Tx2)
    return pose_TxJx3 - [0, floor - feet.ANKLE_HEIGHT * height, 0]


def _rigged(one):
    """The joints of the rig, with those of the body where a rig has none."""
    animation = rig.animate(one.body_TxJx3, one.feet_Tx2x3x3, one.lengths_J, one.height)
    pose_TxJx3, starts = np.array(one.body_TxJx3), animation.positions()
    for bone, joint in rig.JOINT_OF_BONE.items():
        pose_TxJx3[:, INDEX[joint]] = starts[:, rig.BONE[bone]]
    return pose_TxJx3


def _standing(pose_TxJx3, up_3, fps):
    """(T, 2): feet of a truth that are slow and near the lowest."""
    ankles_Tx2x3 = pose_TxJx3[:, _ANKLES]
    speed_Tx2 = np.linalg.norm(np.gradient(ankles_Tx2x3, axis=0), axis=-1) * fps
    height_Tx2 = ankles_Tx2x3 @ up_3
    return (speed_Tx2 < _STILL) & (height_Tx2 < height_Tx2.min() + _NEAR_FLOOR)


def _about(axis, angle):
    turn, a, b = np.eye(3), (axis + 1) % 3, (axis + 2) % 3
    turn[a, a] = turn[b, b] = np.cos(angle)
    turn[b, a], turn[a, b] = np.sin(angle), -np.sin(angle)
    return turn
