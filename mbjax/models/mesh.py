"""Mesh nets: the encoder and a head for SMPL's parameters (paper, section 3.4), and the release's
refiner of an image method's parameters (MotionBERT + HybrIK).

Shapes in names: B batch, T frames, J joints, C channels of the input, R channels of the
representation, F = J R, H hidden channels, K = 24 rotations, S = 10 shape coefficients. A body's
pose is K rotations, each relative to its parent; 6D is their first two columns, interleaved.
"""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from mbjax.models.batch_norm import BatchNorm
from mbjax.models.dropout import dropout
from mbjax.models.dstformer import DSTformer, DSTformerConfig
from mbjax.pose.rotations import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
    matrix_to_rot6d,
    mirror_axis_angles,
    rot6d_to_matrix,
)

ROTATIONS, SHAPES = 24, 10
POSE_6D, POSE = 6 * ROTATIONS, 3 * ROTATIONS

# The release starts the last layers so small that the first poses are the mean pose.
_last = nnx.initializers.variance_scaling(1e-4, "fan_avg", "uniform")


class BodyParameters(NamedTuple):
    """What a mesh net predicts: rotation matrices and shape coefficients, float32."""

    rotations_BxTxKx3x3: jax.Array
    betas_BxTxS: jax.Array

    def theta(self) -> jax.Array:
        """(B, T, 82): 72 axis-angles in radians, then the shape coefficients."""
        pose = matrix_to_axis_angle(self.rotations_BxTxKx3x3)
        return jnp.concatenate([pose.reshape(*pose.shape[:-2], POSE), self.betas_BxTxS], axis=-1)


def from_theta(theta: jax.Array) -> BodyParameters:
    """The inverse of `BodyParameters.theta`."""
    pose = theta[..., :POSE].reshape(*theta.shape[:-1], ROTATIONS, 3)
    return BodyParameters(axis_angle_to_matrix(pose), theta[..., POSE:])


def mirror_theta(theta: jax.Array) -> jax.Array:
    """Theta (..., 82) of the body's mirror image; shape stays."""
    return jnp.concatenate([mirror_axis_angles(theta[..., :POSE]), theta[..., POSE:]], axis=-1)


@dataclasses.dataclass(frozen=True)
class MeshHeadConfig:
    hidden: int = 1024
    dropout: float = 0.1


@dataclasses.dataclass(frozen=True)
class RefineHeadConfig:
    """initial_6d: how the initial rotations are written before the update is added to them.

    'columns' is what the sum is read as: a zero update leaves the initial pose as it is. 'rows' is
    the release's way, which its checkpoints need: the first two rows one after another.
    """

    hidden: int = 512
    dropout: float = 0.5
    initial_6d: Literal["rows", "columns"] = "rows"

    def __post_init__(self):
        if self.initial_6d not in ("rows", "columns"):
            raise ValueError(f"initial_6d is {self.initial_6d!r}; it must be rows or columns")


class MeshHead(nnx.Module):
    """Two MLPs: pose of every frame, and one shape of the clip, each added to a mean."""

    def __init__(self, config: MeshHeadConfig, features: int, *, rngs: nnx.Rngs):
        self.rate, hidden = config.dropout, config.hidden
        self.init_pose = nnx.BatchStat(jnp.zeros((1, POSE_6D)))  # a constant, kept with the weights
        self.init_shape = nnx.BatchStat(jnp.zeros((1, SHAPES)))
        self.fc1 = nnx.Linear(features, hidden, rngs=rngs)
        self.fc2 = nnx.Linear(features, hidden, rngs=rngs)
        self.bn1 = BatchNorm(hidden)
        self.bn2 = BatchNorm(hidden)
        self.head_pose = nnx.Linear(hidden, POSE_6D, kernel_init=_last, rngs=rngs)
        self.head_shape = nnx.Linear(hidden, SHAPES, kernel_init=_last, rngs=rngs)

    def __call__(self, features_BxTxF: jax.Array, keys_B: jax.Array | None) -> BodyParameters:
        keys_pose, keys_shape = _two_keys(keys_B)
        x_BxTxH = self.fc1(dropout(keys_pose, features_BxTxF, self.rate))
        pose = self.init_pose[...] + self.head_pose(jax.nn.relu(self.bn1(x_BxTxH)))
        x_BxH = self.fc2(dropout(keys_shape, features_BxTxF.mean(axis=1), self.rate))
        betas_BxS = self.init_shape[...] + self.head_shape(jax.nn.relu(self.bn2(x_BxH)))
        B, T, _ = pose.shape
        betas = jnp.broadcast_to(betas_BxS[:, None], (B, T, SHAPES))
        return BodyParameters(rot6d_to_matrix(pose.reshape(B, T, ROTATIONS, 6)), betas)


class RefineHead(nnx.Module):
    """What to add to an image method's pose, from it and from the motion; the shape is kept."""

    def __init__(self, config: RefineHeadConfig, features: int, *, rngs: nnx.Rngs):
        self.rate, self.initial_6d, hidden = config.dropout, config.initial_6d, config.hidden
        self.fc1 = nnx.Linear(features, hidden, rngs=rngs)
        self.fc2 = nnx.Conv(POSE_6D, hidden, kernel_size=(5,), rngs=rngs)
        self.bn1 = BatchNorm(hidden)
        self.bn2 = BatchNorm(hidden)
        self.head_pose = nnx.Conv(
            2 * hidden, POSE_6D, kernel_size=(5,), kernel_init=_last, rngs=rngs
        )

    def __call__(self, features_BxTxF, initial: BodyParameters, keys_B) -> BodyParameters:
        B, T, _ = features_BxTxF.shape
        rotations = initial.rotations_BxTxKx3x3
        rows = self.initial_6d == "rows"
        pose = rotations[..., :2, :] if rows else matrix_to_rot6d(rotations)
        pose = pose.reshape(B, T, POSE_6D)
        motion = jax.nn.relu(self.bn1(self.fc1(dropout(keys_B, features_BxTxF, self.rate))))
        image = jax.nn.relu(self.bn2(self.fc2(pose)))
        pose = pose + self.head_pose(jnp.concatenate([motion, image], axis=-1))
        rotations = rot6d_to_matrix(pose.reshape(B, T, ROTATIONS, 6))
        return BodyParameters(rotations, initial.betas_BxTxS)


def _two_keys(keys_B):
    if keys_B is None:
        return None, None
    keys_Bx2 = jax.vmap(jax.random.split)(keys_B)
    return keys_Bx2[:, 0], keys_Bx2[:, 1]


class _BodyNet(nnx.Module):
    _head: type

    def __init__(self, config: DSTformerConfig, head_config, *, rngs: nnx.Rngs):
        self.config, self.head_config = config, head_config
        self.backbone = DSTformer(config, rngs=rngs)
        self.head = self._head(head_config, config.num_joints * config.dim_rep, rngs=rngs)

    def represent(self, x_BxTxJxC: jax.Array) -> jax.Array:
        """The encoder's representation, (B, T, J, dim_rep)."""
        return self.backbone.represent(x_BxTxJxC)

    def _features(self, x_BxTxJxC):
        rep = self.represent(x_BxTxJxC)
        return rep.reshape(*rep.shape[:2], -1)


class MeshNet(_BodyNet):
    """Body parameters from 2D keypoints: `rotations, betas = model(x)`."""

    _head = MeshHead

    def __call__(self, x_BxTxJxC: jax.Array, keys_B: jax.Array | None = None) -> BodyParameters:
        """x: (B, T, J, dim_in) as the encoder takes it. keys: one per row, for dropout."""
        return self.head(self._features(x_BxTxJxC), keys_B)


class RefineNet(_BodyNet):
    """An image method's body parameters made better by the 2D motion."""

    _head = RefineHead

    def __call__(self, x_BxTxJxC, initial_BxTx82, keys_B=None) -> BodyParameters:
        """initial: the image method's theta, 72 axis-angles in radians and 10 coefficients."""
        return self.head(self._features(x_BxTxJxC), from_theta(initial_BxTx82), keys_B)
