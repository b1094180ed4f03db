"""Bodies in motion to files: AMASS's .npz, a sequence of OBJ, an animated glTF.

Shapes in names: T frames, V vertices, F faces, K = 24 rotations. In the camera's axes y points
down; AMASS has z up, OBJ and glTF have y up.
"""

import os
import pathlib

import numpy as np

from mbjax.atomic_files import written_beside
from mbjax.body.smpl import Smpl
from mbjax.motion import gltf
from mbjax.motion.body_motion import BodyMotion
from mbjax.pose.rotations import axis_angle_to_matrix, matmul, matrix_to_axis_angle

Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
_Y_UP = np.diag([1.0, -1.0, -1.0])
_SMPLH_POSE = 156
_SKIN_COLOUR = (0.77, 0.67, 0.59)
# SMPL's 24 joints by the names that its own tools use.
JOINT_NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle",
    "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar",
    "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
    "right_wrist", "left_hand", "right_hand",
)  # fmt: skip


def turned(motion: BodyMotion, body: Smpl, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(pose (T, 72), trans (T, 3)) of the motion in axes turned by `turn` (3, 3), float64.

    A body turns about its pelvis, which is not the origin of its own axes.
    """
    pose = motion.pose_Tx72.astype(np.float64)
    pose[:, :3] = matrix_to_axis_angle(matmul(turn, axis_angle_to_matrix(pose[:, :3])))
    rest = body.body.joint_template_Jx3 + body.body.joint_shapes_Jx3xS @ motion.betas_S
    pelvis = rest[0].astype(np.float64)
    return pose, (pelvis + motion.trans_Tx3) @ turn.T - pelvis


def amass(motion: BodyMotion, body: Smpl, path: str | os.PathLike, fps: float) -> None:
    """An .npz in AMASS's layout, z up: poses (T, 156), trans, betas (16), gender, mocap_framerate.

    The first 22 joints of SMPL+H are SMPL's; hands are at rest. Shape coefficients are those of the
    body used here, which differ a little from SMPL+H's; `smpl_poses` (T, 72) is the whole pose.
    """
    pose, trans = turned(motion, body, Z_UP)
    poses = np.zeros((len(pose), _SMPLH_POSE))
    poses[:, :66] = pose[:, :66]
    with written_beside(path) as beside:
        np.savez(
            beside, poses=poses, trans=trans, betas=np.pad(motion.betas_S, (0, 6)),
            gender=np.array("neutral"), mocap_framerate=np.float64(fps), smpl_poses=pose,
            frames=motion.frames_T,
        )  # fmt: skip


def obj(motion: BodyMotion, body: Smpl, folder: str | os.PathLike) -> list[pathlib.Path]:
    """FOLDER/000012.obj for each frame, by its number in the video: metres, y up."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    faces = "".join(f"f {a} {b} {c}\n" for a, b, c in (body.faces_Fx3 + 1).tolist())
    paths = []
    for row, number in enumerate(motion.frames_T):
        verts = motion.verts(body, slice(row, row + 1))[0] @ _Y_UP.T
        lines = "".join(f"v {x:.5f} {y:.5f} {z:.5f}\n" for x, y, z in verts.tolist())
        paths.append(folder / f"{number:06d}.obj")
        with written_beside(paths[-1]) as beside:
            beside.write_text(lines + faces)
    return paths


def glb(
    motion: BodyMotion, body: Smpl, path: str | os.PathLike, fps: float, frames: int = 0
) -> None:  # fmt: skip
    """One .glb: the body at rest, its skeleton and skin, and an animation of the joints' turns.

    y up, metres, at the video's times from 0 to the last of `frames`, the first and the last pose
    held. What pose does to the skin besides (pose blend shapes) has no place in glTF: up to
    a centimetre or two at joints that are bent far.
    """
    pose, trans = turned(motion, body, _Y_UP)
    data = body.body
    rest = data.joint_template_Jx3 + data.joint_shapes_Jx3xS @ motion.betas_S
    verts = data.template_Vx3 + data.shapes_Vx3xS @ motion.betas_S
    skin = gltf.Skin(
        "body", verts, [(body.faces_Fx3, _SKIN_COLOUR)], data.weights_VxJ, rest, data.parents,
        JOINT_NAMES, pose.reshape(len(pose), -1, 3), trans,
        motion.frames_T / fps,
    ).held((frames - 1) / fps)  # fmt: skip
    with written_beside(path) as beside:
        beside.write_bytes(gltf.animated_skins([skin]))
