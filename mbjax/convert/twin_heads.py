"""The nets with a head once more, in plain PyTorch: names and shapes of released state dicts.

Written from the description of the heads and the release's checkpoints, not from the JAX code; see
twin.py. They are used in evaluation mode: dropout is left out.

Shapes in names: B batch, M persons, T frames, J joints, C channels, F features, H hidden channels,
K = 24 rotations, S shape coefficients, V vertices.
"""

import torch
from torch import nn
from torch.nn import functional

from mbjax.convert.twin import TwinDSTformer

ROTATIONS, SHAPES = 24, 10


class _Net(nn.Module):
    """An encoder `backbone` and a `head` over its representation."""

    def __init__(self, encoder, head):
        super().__init__()
        self.backbone = TwinDSTformer(encoder)
        self.head = head

    def _of_frames(self, x_BxTxJxC):
        return self.backbone.represent(x_BxTxJxC).flatten(-2)


class _Classes(nn.Module):
    def __init__(self, features, sizes):
        super().__init__()
        self.bn = nn.BatchNorm1d(sizes.hidden)
        self.fc1 = nn.Linear(features, sizes.hidden)
        self.fc2 = nn.Linear(sizes.hidden, sizes.classes)

    def forward(self, features_BxF):
        return self.fc2(functional.relu(self.bn(self.fc1(features_BxF))))


class _Embedding(nn.Module):
    def __init__(self, features, sizes):
        super().__init__()
        self.fc1 = nn.Linear(features, sizes.hidden)

    def forward(self, features_BxF):
        return functional.normalize(self.fc1(features_BxF), dim=-1)


class TwinPersonsNet(_Net):
    """Logits or embeddings of recordings (B, M, T, J, C), from means over time and persons."""

    def forward(self, x_BxMxTxJxC):
        features_BxMxTxF = torch.stack([self._of_frames(x_MxTxJxC) for x_MxTxJxC in x_BxMxTxJxC])
        return self.head(features_BxMxTxF.mean(dim=2).mean(dim=1))


class _Body(nn.Module):
    """Pose of every frame and one shape of the clip, added to what the release starts from."""

    def __init__(self, features, sizes):
        super().__init__()
        self.register_buffer("init_pose", torch.zeros(1, 6 * ROTATIONS))
        self.register_buffer("init_shape", torch.zeros(1, SHAPES))
        self.fc1, self.fc2 = (nn.Linear(features, sizes.hidden) for _ in range(2))
        self.bn1, self.bn2 = (nn.BatchNorm1d(sizes.hidden) for _ in range(2))
        self.head_pose = nn.Linear(sizes.hidden, 6 * ROTATIONS)
        self.head_shape = nn.Linear(sizes.hidden, SHAPES)

    def forward(self, features_BxTxF):
        B, T, _ = features_BxTxF.shape
        hidden = functional.relu(self.bn1(self.fc1(features_BxTxF.flatten(0, 1))))
        pose = self.head_pose(hidden) + self.init_pose
        hidden_BxH = functional.relu(self.bn2(self.fc2(features_BxTxF.mean(dim=1))))
        betas_BxS = self.head_shape(hidden_BxH) + self.init_shape
        return rotations_of(pose.view(B, T, ROTATIONS, 6)), betas_BxS[:, None].expand(B, T, SHAPES)


class TwinMeshNet(_Net):
    """(rotations (B, T, 24, 3, 3), betas (B, T, 10)) of clips."""

    def forward(self, x_BxTxJxC):
        return self.head(self._of_frames(x_BxTxJxC))


class _Refiner(nn.Module):
    def __init__(self, features, sizes):
        super().__init__()
        self.rows = sizes.initial_6d == "rows"
        self.fc1 = nn.Linear(features, sizes.hidden)
        self.fc2 = nn.Conv1d(6 * ROTATIONS, sizes.hidden, kernel_size=5, padding=2)
        self.bn1, self.bn2 = (nn.BatchNorm1d(sizes.hidden) for _ in range(2))
        self.head_pose = nn.Conv1d(2 * sizes.hidden, 6 * ROTATIONS, kernel_size=5, padding=2)

    def forward(self, features_BxTxF, rotations_BxTxKx3x3):
        B, T, _ = features_BxTxF.shape
        two = rotations_BxTxKx3x3[..., :2, :] if self.rows else rotations_BxTxKx3x3[..., :, :2]
        initial = two.reshape(B, T, -1).transpose(1, 2)
        motion = functional.relu(self.bn1(self.fc1(features_BxTxF).transpose(1, 2)))
        image = functional.relu(self.bn2(self.fc2(initial)))
        pose = initial + self.head_pose(torch.cat([motion, image], dim=1))
        return rotations_of(pose.transpose(1, 2).reshape(B, T, ROTATIONS, 6))


class TwinRefineNet(_Net):
    """A better pose than the initial rotations; the shape is kept."""

    def forward(self, x_BxTxJxC, rotations_BxTxKx3x3, betas_BxTxS):
        return self.head(self._of_frames(x_BxTxJxC), rotations_BxTxKx3x3), betas_BxTxS


_HEADS = {
    "action": (TwinPersonsNet, _Classes), "embed": (TwinPersonsNet, _Embedding),
    "mesh": (TwinMeshNet, _Body), "mesh_refine": (TwinRefineNet, _Refiner),
}  # fmt: skip


def make(network) -> nn.Module:
    """The twin of a `models.networks.Network` with a head, for evaluation."""
    net, head = _HEADS[network.kind]
    encoder = network.encoder
    return net(encoder, head(encoder.num_joints * encoder.dim_rep, network.head)).eval()


def rotations_of(six):
    """Rotation matrices (..., 3, 3) of 6D (..., 6): the first two columns, one row after another,
    made orthonormal by Gram and Schmidt."""
    first, second = six.unflatten(-1, (3, 2)).unbind(-1)
    x = functional.normalize(first, dim=-1)
    y = functional.normalize(second - (x * second).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


class TwinSmpl(nn.Module):
    """Linear blend skinning by SMPL's published formula (Loper et al., 2015), frame by frame.

    arrays: those of an SMPL file by their published names.
    """

    def __init__(self, arrays, regressor_17xV):
        super().__init__()
        tensors = {
            "template_Vx3": arrays["v_template"], "shapes_Vx3xS": arrays["shapedirs"][..., :SHAPES],
            "pose_shapes_Vx3xP": arrays["posedirs"], "regressor_KxV": arrays["J_regressor"],
            "weights_VxK": arrays["weights"], "regressor_17xV": regressor_17xV,
        }  # fmt: skip
        for name, array in tensors.items():
            self.register_buffer(name, torch.tensor(array, dtype=torch.float32))
        self.parents = [int(parent) for parent in arrays["kintree_table"][0].astype("int64")]

    def forward(self, rotations_Kx3x3, betas_S):
        """Vertices (V, 3) and the 17 joints (17, 3), metres."""
        shaped_Vx3 = self.template_Vx3 + self.shapes_Vx3xS @ betas_S
        joints_Kx3 = self.regressor_KxV @ shaped_Vx3
        features_P = (rotations_Kx3x3[1:] - torch.eye(3)).flatten()
        posed_Vx3 = shaped_Vx3 + self.pose_shapes_Vx3xP @ features_P
        bones: list = []
        for k, parent in enumerate(self.parents):
            offset_3 = joints_Kx3[k] - (joints_Kx3[parent] if k else 0)
            bone_4x4 = torch.eye(4)
            bone_4x4[:3, :3], bone_4x4[:3, 3] = rotations_Kx3x3[k], offset_3
            bones.append(bones[parent] @ bone_4x4 if k else bone_4x4)
        bones_Kx4x4 = torch.stack(bones)
        back_Kx3 = (bones_Kx4x4[:, :3, :3] @ joints_Kx3[..., None])[..., 0]
        moved_Kx3 = bones_Kx4x4[:, :3, 3] - back_Kx3
        turns_Vx3x3 = torch.einsum("vk,kij->vij", self.weights_VxK, bones_Kx4x4[:, :3, :3])
        verts_Vx3 = (turns_Vx3x3 @ posed_Vx3[..., None])[..., 0] + self.weights_VxK @ moved_Kx3
        return verts_Vx3, self.regressor_17xV @ verts_Vx3
