"""The sample motion with a body fitted to it, seen by several cameras, in the release's layout.

`mbjax sample-mesh --out RAW` writes RAW/mesh_det_own.pkl, which `mbjax prepare mesh_own` reads as
it reads people's own data. Training frames are of recording 01_03, test frames of 01_01.
Shapes in names: T frames, J joints (17).
"""

import pathlib
import pickle

import numpy as np

from mbjax.atomic_files import output_folder, written_beside
from mbjax.body import fit as fit_body
from mbjax.body import smpl
from mbjax.data.records import SAMPLE, RecordReader
from mbjax.pose.rotations import axis_angle_to_matrix, matrix_to_axis_angle

FILE = "mesh_det_own.pkl"
SIZE = 1000  # of the square image, pixels
_EVERY = 2  # frames of the 60 fps sample: 30 fps
_PIXELS_PER_METRE = 330.0
_TRAIN_VIEWS, _TEST_VIEWS = 24, 8
# What an image method's estimate is off by: radians that stay over about a second, radians of each
# frame, the root's turn, and coefficients of shape.
_SLOW, _FAST, _ROOT, _SHAPE = 0.18, 0.06, 0.12, 0.5


def write(out: str, body: str = smpl.stand_in.NAME, say=lambda text: None) -> pathlib.Path:
    """Fits the body to both recordings and writes the file; returns its path."""
    with output_folder(out) as folder:
        content = _content(smpl.load(body), say)
        with written_beside(folder / FILE) as beside:
            beside.write_bytes(pickle.dumps(content, protocol=4))
        return folder / FILE


def _content(body, say):
    content = {}
    for number, split in enumerate(("train", "test")):
        joints_TxJx3, name = _recording(split)
        fitted = fit_body.fit(body, joints_TxJx3)
        say(
            f"{name} ({split}): {len(joints_TxJx3)} frames, joints of the body "
            f"{fitted.error_mm_T.mean():.0f} mm from those of the motion"
        )
        rng = np.random.default_rng([7, number])
        if split == "train":
            yaws = 360 * (np.arange(_TRAIN_VIEWS) + rng.uniform(size=_TRAIN_VIEWS)) / _TRAIN_VIEWS
            views = [(yaw, rng.uniform(-5, 25)) for yaw in yaws]
        else:
            views = [(360 * i / _TEST_VIEWS, 10.0) for i in range(_TEST_VIEWS)]
        columns = [_seen(body, fitted, view, f"{name}_{i}", rng) for i, view in enumerate(views)]
        content[split] = {
            key: sum((c[key] for c in columns), []) if key == "source"
            else np.concatenate([c[key] for c in columns])
            for key in columns[0]
        }  # fmt: skip
    return content


def _recording(split):
    """(joints (T, J, 3) in metres at 30 fps, name) of the sample's one recording of a split."""
    reader = RecordReader(f"{SAMPLE}motion3d", split)
    clips = [reader[i] for i in range(len(reader))]
    joints = np.empty((max(c["first_frame"] + len(c["pose"]) for c in clips), 17, 3))
    for clip in clips:
        first = clip["first_frame"]
        joints[first : first + len(clip["pose"])] = clip["pose"] * clip["metres_per_unit"]
    return joints[::_EVERY], clips[0]["source"]


def _seen(body, fitted, yaw_pitch, source, rng):
    """The columns of one camera: 2D of the body's joints, its parameters, an estimate of them."""
    yaw, pitch = np.radians(yaw_pitch)
    rotation = axis_angle_to_matrix(np.array([pitch, 0, 0])) @ axis_angle_to_matrix(
        np.array([0, yaw, 0])
    )
    pose = np.array(fitted.pose_Tx72)
    pose[:, :3] = matrix_to_axis_angle(
        rotation @ axis_angle_to_matrix(pose[:, :3].astype(np.float64))
    )
    T = len(pose)
    betas = np.broadcast_to(fitted.betas_S, (T, len(fitted.betas_S)))
    joints = body.joints()(pose, betas)
    # The camera follows slowly: where the person is in the image says little.
    path = fitted.trans_Tx3 @ rotation.T
    joints = joints + (path - _smoothed(path, 45))[:, None]
    joints = joints - _smoothed(joints[:, 0], 45)[:, None]
    noise = _SLOW * _steady(rng, (T, 24, 3)) + _FAST * rng.normal(size=(T, 24, 3))
    noise[:, 0] *= _ROOT / _SLOW
    estimated = axis_angle_to_matrix(noise) @ axis_angle_to_matrix(
        pose.reshape(T, 24, 3).astype(np.float64)
    )
    return {
        "joint_2d": (SIZE / 2 + _PIXELS_PER_METRE * joints[..., :2]).astype(np.float32),
        "confidence": np.ones((T, 17, 1), np.float32),
        "smpl_pose": pose.astype(np.float32),
        "smpl_shape": betas.astype(np.float32),
        "pred_smpl_pose": matrix_to_axis_angle(estimated).reshape(T, 72).astype(np.float32),
        "pred_smpl_shape": (betas + _SHAPE * rng.normal(size=10)).astype(np.float32),
        "source": [source] * T,
    }


def _smoothed(x_TxC, frames):
    window = np.hanning(2 * frames + 1)[1:-1]
    padded = np.pad(x_TxC, ((frames - 1, frames - 1), (0, 0)), mode="edge")
    columns = [np.convolve(c, window / window.sum(), mode="valid") for c in padded.T]
    return np.stack(columns, axis=1)


def _steady(rng, shape):
    """Noise of standard deviation 1 that changes over about a second."""
    white = rng.normal(size=(shape[0], int(np.prod(shape[1:]))))
    smooth = _smoothed(white, 30)
    return (smooth / smooth.std()).reshape(shape)
