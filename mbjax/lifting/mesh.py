"""The body of every person in a video, from a mesh net and 2D keypoints.

Shapes in names: T frames of a person, J joints (17), K = 24 rotations, S = 10 shape coefficients,
W windows, L frames of a window. Axes are the camera's: x right, y down, z away; metres, radians.
"""

import functools

import jax
import numpy as np
from flax import nnx

from mbjax.body.smpl import Smpl
from mbjax.lifting import windows
from mbjax.lifting.prepare import Clip
from mbjax.models import flip, mesh
from mbjax.models.batched import in_batches
from mbjax.motion.body_motion import BodyMotion
from mbjax.pose.rotations import matrix_to_axis_angle, matrix_to_rot6d, rot6d_to_matrix

WINDOW = 16  # frames that the release trains mesh nets on


def mesh_motion(
    model: mesh.MeshNet,
    clips: list[Clip],
    body: Smpl,
    window: int | None = None,
    batch_size: int = 32,
) -> list[BodyMotion]:
    """Body of every person at every frame: clips are what `prepare.clips_of` gives.

    window: frames seen together, 16 unless given. Windows overlap and are cross-faded, rotations
    as 6D; the mean of the input and its mirror image; one shape for a person, the mean of all
    windows. ValueError for a refiner, which needs an image method's estimate, and for a window that
    the model cannot take.
    """
    if not isinstance(model, mesh.MeshNet):
        raise ValueError(
            "this checkpoint refines an image method's meshes, and keypoints alone have none; give "
            "a mesh net, or evaluate it on data prepared with --initial"
        )
    window = min(WINDOW, model.config.maxlen) if window is None else window
    if not 1 <= window <= model.config.maxlen:
        raise ValueError(f"window is {window}; this model takes 1 to {model.config.maxlen} frames")
    joints_of = body.joints()
    return [_one(model, clip, joints_of, window, batch_size) for clip in clips]


def _one(model, clip, joints_of, window, batch_size):
    x_TxJx3 = clip.input_TxJx3
    T = len(x_TxJx3)
    starts, windows_WxLxJx3 = windows.cut(x_TxJx3, window)
    rot6d_WxLxKx6, betas_WxS = _predict(model, windows_WxLxJx3, batch_size)
    rot6d_TxKx6 = windows.join(starts, rot6d_WxLxKx6, global_depth=False)[:T]
    rotations_TxKx3x3 = rot6d_to_matrix(rot6d_TxKx6)
    betas_S = betas_WxS.mean(0).astype(np.float32)
    pose = matrix_to_axis_angle(rotations_TxKx3x3).reshape(T, mesh.POSE).astype(np.float32)
    trans = _over_keypoints(joints_of(pose, betas_S), x_TxJx3)
    return BodyMotion(clip.person, clip.frames_T, pose, betas_S, trans)


@functools.partial(jax.jit, static_argnums=0)
def _forward(graphdef, state, x_NxLxJx3):
    """6D rotations (N, L, K, 6) and shapes (N, S): means with the mirrored input's."""
    model = nnx.merge(graphdef, state)
    both = [mesh.from_theta(theta) for theta in flip.both_thetas(model, x_NxLxJx3)]
    rot6d = sum(matrix_to_rot6d(each.rotations_BxTxKx3x3) for each in both) / 2
    return rot6d, sum(each.betas_BxTxS[:, 0] for each in both) / 2


def _predict(model, x_NxLxJx3, batch_size):
    graphdef, state = nnx.split(model)
    x = x_NxLxJx3[..., : model.config.dim_in]
    return in_batches(functools.partial(_forward, graphdef, state), x, batch_size)


def _over_keypoints(joints_TxJx3, x_TxJx3):
    """Translations (T, 3) that bring a body's joints over 2D ones, both scaled to one size.

    One scale for the whole track (the least squares one), one shift for every frame.
    """
    weight = x_TxJx3[..., 2:] * (x_TxJx3[..., 2:] > 0)
    total = np.maximum(weight.sum(1, keepdims=True), 1e-6)

    def centre(xy):
        return (weight * xy).sum(1, keepdims=True) / total

    seen, body = x_TxJx3[..., :2], joints_TxJx3[..., :2]
    from_centre = seen - centre(seen), body - centre(body)
    spread = (weight * from_centre[1] ** 2).sum()
    scale = max((weight * from_centre[0] * from_centre[1]).sum() / max(spread, 1e-9), 1e-3)
    shift = (centre(seen) / scale - centre(body))[:, 0]
    return np.concatenate([shift, np.zeros((len(shift), 1))], axis=1).astype(np.float32)
