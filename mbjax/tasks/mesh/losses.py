"""The loss of mesh recovery (paper, section 3.4; release, lib/model/loss_mesh).

Shapes in names: B batch, T frames, K = 24 rotations, S = 10 shape coefficients, J = 17 joints.
"""

import jax
import jax.numpy as jnp

from mbjax.models.mesh import BodyParameters
from mbjax.pose.losses import LOSS_TERMS, distance, pose_loss
from mbjax.pose.skeleton import root_relative

BODY_TERMS = ("pose", "shape", "norm")


def mesh_loss(
    predicted: BodyParameters,
    joints_BxTxJx3: jax.Array,
    target: BodyParameters,
    target_joints_BxTxJx3: jax.Array,
    weights,
):
    """(weighted sum, {term: value}).

    Joints are in mm; their terms are those of `losses.LOSS_TERMS`, root-relative. 'pose' is the
    mean absolute difference of the rotation matrices' entries, 'shape' that of the coefficients,
    'norm' the mean length of theta (72 axis-angles in radians and 10 coefficients), which holds
    both near zero. weights: {term: float}; a term of weight 0 is not computed.
    """
    of_joints = {name: weight for name, weight in weights.items() if name not in BODY_TERMS}
    unknown = [name for name in of_joints if name not in LOSS_TERMS]
    if unknown:
        raise ValueError(
            f"no loss named {unknown[0]}; there are: {', '.join([*LOSS_TERMS, *BODY_TERMS])}"
        )
    total, terms = pose_loss(
        root_relative(joints_BxTxJx3), root_relative(target_joints_BxTxJx3), of_joints
    )
    of_body = {
        "pose": lambda: jnp.mean(
            jnp.abs(predicted.rotations_BxTxKx3x3 - target.rotations_BxTxKx3x3)
        ),
        "shape": lambda: jnp.mean(jnp.abs(predicted.betas_BxTxS - target.betas_BxTxS)),
        "norm": lambda: jnp.mean(distance(predicted.theta())),
    }
    for name, term in of_body.items():
        if weights.get(name, 0):
            terms[name] = term()
            total = total + weights[name] * terms[name]
    return total, terms
