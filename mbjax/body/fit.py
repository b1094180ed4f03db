"""A body's pose and shape from the 17 joints of a motion: inverse kinematics by gradient descent.

Shapes in names: T frames, J joints (17), K = 24 rotations, S = 10 shape coefficients. Positions are
in metres, in camera axes (x right, y down, z away).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mbjax.body.smpl import Smpl
from mbjax.pose.rotations import (
    matrix_to_axis_angle,
    matrix_to_rot6d,
    rot6d_to_matrix,
    similarity_transform,
)

# Joints that no rotation but the root's moves much against each other: they give the first turn.
_TORSO = [0, 1, 4, 7, 8, 11, 14]
# Joints of SMPL whose turn no joint of the 17 shows: feet, hands; and the way up, of which three
# bones share what two joints of the 17 show.
_UNSEEN, _SHARED = (7, 8, 10, 11, 20, 21, 22, 23), (3, 6, 9, 12, 13, 14, 15)


class Fit(NamedTuple):
    """pose (T, 72) axis-angles, betas (10,) of the recording, trans (T, 3), error_mm (T,)."""

    pose_Tx72: np.ndarray
    betas_S: np.ndarray
    trans_Tx3: np.ndarray
    error_mm_T: np.ndarray


def fit(smpl: Smpl, joints_TxJx3: np.ndarray, steps: int = 500) -> Fit:
    """The body nearest to a recording's joints, all frames at once, smooth in time.

    Minimised: squared distances of joints, squared changes from frame to frame, squared distances
    from the mean pose (much for joints that nothing shows) and from the mean shape. Adam, the rate
    falling on a cosine. ValueError unless joints are finite, (T, 17, 3).
    """
    joints = np.asarray(joints_TxJx3, np.float32)
    if joints.ndim != 3 or joints.shape[1:] != (17, 3) or not np.isfinite(joints).all():
        raise ValueError(f"joints have shape {joints.shape}; finite numbers (T, 17, 3) were wanted")
    joints_of = smpl.joints()
    mean_pose, mean_shape = smpl.mean_parameters()
    rest = rot6d_to_matrix(mean_pose.reshape(24, 6)).astype(np.float32)
    rest[0] = np.eye(3)
    torso = joints_of(rest, mean_shape)[_TORSO]
    _, turn_Tx3x3, _ = similarity_transform(np.broadcast_to(torso, (len(joints), *torso.shape)),
                                            joints[:, _TORSO])  # fmt: skip
    first = np.broadcast_to(rest, (len(joints), 24, 3, 3)).copy()
    first[:, 0] = turn_Tx3x3
    at_origin = np.asarray(joints_of(first, mean_shape))
    variables = {
        "rot6d": jnp.asarray(matrix_to_rot6d(first)),
        "betas": jnp.asarray(mean_shape, jnp.float32),
        "trans": jnp.asarray(joints[:, 0] - at_origin[:, 0]),
    }
    hold = np.full((24, 1), 1e-3, np.float32)
    hold[list(_SHARED)], hold[list(_UNSEEN)], hold[0] = 1e-2, 1e-1, 0
    rest_6d = matrix_to_rot6d(rest)

    def bodies_joints(variables):
        turns = rot6d_to_matrix(variables["rot6d"])
        return joints_of(turns, variables["betas"], trans=variables["trans"])

    def loss(variables):
        apart = 10 * (bodies_joints(variables) - joints)  # in decimetres
        away = jnp.sum(hold * jnp.square(variables["rot6d"] - rest_6d), axis=(1, 2))
        total = jnp.sum(jnp.square(apart), axis=(1, 2)).mean() + away.mean()
        if len(joints) > 1:
            change = jnp.diff(variables["rot6d"], axis=0)
            total += 2 * jnp.sum(jnp.square(change), axis=(1, 2)).mean()
        return total + 2e-2 * jnp.sum(jnp.square(variables["betas"] - mean_shape))

    # Short memories of both moments: as near after 500 steps as Adam's usual ones after 1,000.
    optimizer = optax.adam(optax.cosine_decay_schedule(0.06, steps), b1=0.95, b2=0.95)

    @jax.jit
    def descend(variables):
        def step(carry, _):
            variables, state = carry
            gradient = jax.grad(loss)(variables)
            updates, state = optimizer.update(gradient, state)
            return (optax.apply_updates(variables, updates), state), None

        (variables, _), _ = jax.lax.scan(step, (variables, optimizer.init(variables)), None, steps)
        error = jnp.linalg.norm(bodies_joints(variables) - joints, axis=-1).mean(-1)
        pose = matrix_to_axis_angle(rot6d_to_matrix(variables["rot6d"]))
        return pose.reshape(len(joints), 72), variables, error

    pose, variables, error = descend(variables)
    return Fit(
        np.asarray(pose), np.asarray(variables["betas"]), np.asarray(variables["trans"]),
        1000 * np.asarray(error),
    )  # fmt: skip
