"""The DSTformer once more, in plain PyTorch and independent of models/dstformer.py.

It exists to be compared with: the same names and shapes as released state dicts, written from the
description of the network and not from the JAX code. Its losses and optimizer are torch's own.

Shapes in names: B batch, T frames, J joints, C channels, N sequences that attend within themselves,
L their length.
"""

import logging
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional

_EPS = 1e-6  # LayerNorm


class TwinAttention(nn.Module):
    """sdpa: by torch's scaled_dot_product_attention, for timings; the same up to rounding."""

    sdpa = False

    def __init__(self, dim, num_heads):
        super().__init__()
        self.num_heads = num_heads
        self.proj = nn.Linear(dim, dim)
        self.qkv = nn.Linear(dim, 3 * dim)

    def forward(self, x_NxLxC):
        N, L, C = x_NxLxC.shape
        q, k, v = self.qkv(x_NxLxC).chunk(3, dim=-1)
        q, k, v = (a.view(N, L, self.num_heads, -1).transpose(1, 2) for a in (q, k, v))
        if self.sdpa:
            out = functional.scaled_dot_product_attention(q, k, v)
            return self.proj(out.transpose(1, 2).reshape(N, L, C))
        weights = torch.softmax(q @ k.transpose(-1, -2) / (C // self.num_heads) ** 0.5, dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(N, L, C))


class TwinMLP(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x):
        return self.fc2(functional.gelu(self.fc1(x)))


class TwinBlock(nn.Module):
    """order: 'st', 'ts', 's', 't' or 'st-attention', as in DSTformerConfig.streams."""

    def __init__(self, dim, num_heads, hidden, order):
        super().__init__()
        self.order = order
        space, time = "s" in order, "t" in order
        if space:
            self.norm1_s = nn.LayerNorm(dim, eps=_EPS)
        if time:
            self.norm1_t = nn.LayerNorm(dim, eps=_EPS)
        if space:
            self.attn_s = TwinAttention(dim, num_heads)
        if time:
            self.attn_t = TwinAttention(dim, num_heads)
        if space and order != "st-attention":
            self.norm2_s = nn.LayerNorm(dim, eps=_EPS)
        if time:
            self.norm2_t = nn.LayerNorm(dim, eps=_EPS)
        if space and order != "st-attention":
            self.mlp_s = TwinMLP(dim, hidden)
        if time:
            self.mlp_t = TwinMLP(dim, hidden)

    def forward(self, x_BxTxJxC):
        steps = {
            "st": "attend_s mlp_s attend_t mlp_t",
            "ts": "attend_t mlp_t attend_s mlp_s",
            "s": "attend_s mlp_s",
            "t": "attend_t mlp_t",
            "st-attention": "attend_s attend_t mlp_t",
        }[self.order]
        x = x_BxTxJxC
        for step in steps.split():
            x = x + getattr(self, f"_{step}")(x)
        return x

    def _attend_s(self, x):
        B, T, J, C = x.shape
        return self.attn_s(self.norm1_s(x).reshape(B * T, J, C)).reshape(B, T, J, C)

    def _attend_t(self, x):
        B, T, J, C = x.shape
        over_time = self.norm1_t(x).transpose(1, 2).reshape(B * J, T, C)
        return self.attn_t(over_time).reshape(B, J, T, C).transpose(1, 2)

    def _mlp_s(self, x):
        return self.mlp_s(self.norm2_s(x))

    def _mlp_t(self, x):
        return self.mlp_t(self.norm2_t(x))


class TwinDSTformer(nn.Module):
    """config: a DSTformerConfig; its dtype and remat do not matter here."""

    blocks_ts: nn.ModuleList  # of two streams
    ts_attn: nn.ModuleList  # of two streams that are mixed by a learnt share

    def __init__(self, config):
        super().__init__()
        dim, hidden = config.dim_feat, int(config.dim_feat * config.mlp_ratio)
        self.temp_embed = nn.Parameter(torch.zeros(1, config.maxlen, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.num_joints, dim))
        self.joints_embed = nn.Linear(config.dim_in, dim)
        for name, order in zip(("blocks_st", "blocks_ts"), config.streams, strict=False):
            blocks = (TwinBlock(dim, config.num_heads, hidden, order) for _ in range(config.depth))
            setattr(self, name, nn.ModuleList(blocks))
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        self.pre_logits = nn.Sequential()
        self.pre_logits.add_module("fc", nn.Linear(dim, config.dim_rep))
        self.pre_logits.add_module("act", nn.Tanh())
        self.head = nn.Linear(config.dim_rep, config.dim_out)
        if len(config.streams) == 2 and config.fusion == "adaptive":
            self.ts_attn = nn.ModuleList(nn.Linear(2 * dim, 2) for _ in range(config.depth))

    def forward(self, x_BxTxJxC):
        return self.head(self.represent(x_BxTxJxC))

    def represent(self, x_BxTxJxC):
        frames = x_BxTxJxC.shape[1]
        x = self.joints_embed(x_BxTxJxC) + self.pos_embed[:, None] + self.temp_embed[:, :frames]
        for level, block in enumerate(self.blocks_st):
            st = block(x)
            if not hasattr(self, "blocks_ts"):
                x = st
                continue
            ts = self.blocks_ts[level](x)
            if hasattr(self, "ts_attn"):
                share = torch.softmax(self.ts_attn[level](torch.cat([st, ts], -1)), -1)
                x = share[..., :1] * st + share[..., 1:] * ts
            else:
                x = (st + ts) / 2
        return self.pre_logits(self.norm(x))


def pretraining_loss(pose_BxTxJx3, target_BxTxJx3):
    """Joint error + 0.5 scale-normalised error + 20 velocity error, and the three terms."""
    joint = torch.linalg.vector_norm(pose_BxTxJx3 - target_BxTxJx3, dim=-1).mean()
    fit = (pose_BxTxJx3 * target_BxTxJx3).sum((-2, -1), keepdim=True)
    factor = fit / pose_BxTxJx3.square().sum((-2, -1), keepdim=True)
    scaled = torch.linalg.vector_norm(factor * pose_BxTxJx3 - target_BxTxJx3, dim=-1).mean()
    velocity = torch.zeros((), device=pose_BxTxJx3.device)
    if pose_BxTxJx3.shape[1] > 1:
        difference = pose_BxTxJx3.diff(dim=1) - target_BxTxJx3.diff(dim=1)
        velocity = torch.linalg.vector_norm(difference, dim=-1).mean()
    return joint + 0.5 * scaled + 20 * velocity, (joint, scaled, velocity)


def to_onnx(config, state, path, attention: bool = False) -> None:
    """The twin with a state dict of numpy arrays as an ONNX file: 'keypoints' in, 'pose' out.

    Any batch, frames from 1 to the config's maxlen. attention: as an operator of its own, which
    ONNX has since opset 23.
    """
    twin = TwinDSTformer(config).eval()
    for module in twin.modules():
        if isinstance(module, TwinAttention):
            module.sdpa = attention
    twin.load_state_dict({name: torch.from_numpy(np.array(a)) for name, a in state.items()})
    # Two of each: sizes of 1 would be taken to be constant.
    example_BxTxJxC = torch.zeros(2, min(2, config.maxlen), config.num_joints, config.dim_in)
    sizes = {
        0: torch.export.Dim("batch", min=1, max=2**16),
        1: torch.export.Dim("frames", min=1, max=config.maxlen),
    }
    if config.maxlen == 1:
        del sizes[1]
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own ways, not about this network
        registration.setLevel(logging.ERROR)  # operators of torchvision that are not there
        torch.onnx.export(
            twin, (example_BxTxJxC,), str(path), dynamo=True, external_data=False, verbose=False,
            input_names=["keypoints"], output_names=["pose"], dynamic_shapes=(sizes,),
            opset_version=23 if attention else None,
        )  # fmt: skip
