"""DSTformer: the dual-stream spatio-temporal transformer of MotionBERT (paper, section 3.2).

Shapes in names: B batch, T frames, J joints, C channels, H heads, D channels per head,
R channels of the representation.

Numerics that released checkpoints depend on: exact (erf) GELU, LayerNorm eps 1e-6, attention
scale head_dim ** -0.5, biases everywhere. Parameters, softmax, LayerNorm and the pose are float32
whatever `dtype` the matrix products run in.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from mbjax.models.attention import KEPT, MLP, NAMES, Attention
from mbjax.models.inputs import as_input
from mbjax.models.layers import layer_norm, linear, normal
from mbjax.pose.skeleton import NUM_JOINTS

# Settings that belong to a run: neither parameters nor, up to rounding, results depend on them.
RUN_SETTINGS = ("remat", "remat_keep", "attention", "scan_levels")

Structure = Literal["st+ts", "st", "ts", "s+t", "st-attention"]


@dataclasses.dataclass(frozen=True)
class DSTformerConfig:
    """Sizes and structure of the encoder.

    structure (paper, table 6): 'st+ts' two streams, space-time and time-space, fused at each level
    (rows e, f); 'st' or 'ts' one stream (a, b); 's+t' space and time in parallel, then fused (c);
    'st-attention' one stream whose two attentions share one MLP (d).
    fusion: 'adaptive' weighs the streams at every (frame, joint); 'average' is their mean.
    dtype: of the matrix products, 'float32' or 'bfloat16'.
    remat: recompute each level in the backward pass instead of keeping its activations.
    remat_keep: arrays that are kept all the same, by name, comma-separated: 'sublayer' (the output
    of each), 'qkv', 'attention' (before its projection), 'fc1' (before GELU); kernels of the form
    'fused' have the first alone.
    scan_levels: the levels are one loop of the program instead of `depth` copies of its body.
    attention: how attention and MLP are computed, a name of `attention.FORMS`, or 'auto', which
    picks by device. Neither parameters nor, up to rounding, results depend on it.
    """

    dim_in: int = 3
    dim_out: int = 3
    dim_feat: int = 512
    dim_rep: int = 512
    depth: int = 5
    num_heads: int = 8
    mlp_ratio: float = 2
    num_joints: int = NUM_JOINTS
    maxlen: int = 243
    structure: Structure = "st+ts"
    fusion: Literal["adaptive", "average"] = "adaptive"
    dtype: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False
    attention: str = "auto"
    remat_keep: str = ""
    scan_levels: bool = False

    def __post_init__(self):
        if self.dim_feat % self.num_heads:
            raise ValueError(
                f"dim_feat {self.dim_feat} does not divide into {self.num_heads} heads"
            )
        for field, known in (
            ("structure", ("st+ts", "st", "ts", "s+t", "st-attention")),
            ("fusion", ("adaptive", "average")),
            ("dtype", ("float32", "bfloat16")),
            ("attention", NAMES),
        ):
            if getattr(self, field) not in known:
                raise ValueError(
                    f"{field} is {getattr(self, field)!r}; it must be one of {', '.join(known)}"
                )
        if unknown := set(self.kept) - set(KEPT):
            raise ValueError(
                f"remat_keep names {', '.join(sorted(unknown))}; it may name {', '.join(KEPT)}"
            )

    @classmethod
    def mb(cls, **changes) -> "DSTformerConfig":
        """Full: 42,466,317 parameters."""
        return cls(**{"dim_feat": 512, "mlp_ratio": 2, **changes})

    @classmethod
    def mb_lite(cls, **changes) -> "DSTformerConfig":
        """Lite: 16,001,549 parameters."""
        return cls(**{"dim_feat": 256, "mlp_ratio": 4, **changes})

    @property
    def kept(self) -> tuple[str, ...]:
        """The names in `remat_keep`."""
        return tuple(name.strip() for name in self.remat_keep.split(",") if name.strip())

    @property
    def streams(self) -> tuple[str, ...]:
        """The blocks of one level, by the order in which each visits space and time."""
        return {
            "st+ts": ("st", "ts"), "st": ("st",), "ts": ("ts",), "s+t": ("s", "t"),
            "st-attention": ("st-attention",),
        }[self.structure]  # fmt: skip


class Block(nnx.Module):
    """One stream of one level: pre-norm attention and MLP, in space, in time, or in both.

    order: 'st', 'ts', 's', 't' or 'st-attention' (S-attention, T-attention, then one MLP).
    """

    def __init__(self, config: DSTformerConfig, order: str, *, rngs: nnx.Rngs):
        self.order = order
        dim, dtype = config.dim_feat, jnp.dtype(config.dtype)
        hidden = int(dim * config.mlp_ratio)
        form = config.attention
        joined = order == "st-attention"
        if joined or "s" in order:
            self.norm1_s = layer_norm(dim, rngs)
            self.attn_s = Attention(dim, config.num_heads, dtype, form, rngs=rngs)
        if joined or "t" in order:
            self.norm1_t = layer_norm(dim, rngs)
            self.attn_t = Attention(dim, config.num_heads, dtype, form, rngs=rngs)
        if not joined and "s" in order:
            self.norm2_s = layer_norm(dim, rngs)
            self.mlp_s = MLP(dim, hidden, dtype, form, rngs=rngs)
        if joined or "t" in order:
            self.norm2_t = layer_norm(dim, rngs)
            self.mlp_t = MLP(dim, hidden, dtype, form, rngs=rngs)

    def _space(self, x):
        x = self.attn_s(x, self.norm1_s, over="joints")
        return x if self.order == "st-attention" else self.mlp_s(x, self.norm2_s)

    def _time(self, x):
        x = self.attn_t(x, self.norm1_t, over="frames")
        return self.mlp_t(x, self.norm2_t)

    def __call__(self, x_BxTxJxC):
        halves = {"s": (self._space,), "t": (self._time,), "ts": (self._time, self._space)}
        for half in halves.get(self.order, (self._space, self._time)):
            x_BxTxJxC = half(x_BxTxJxC)
        return x_BxTxJxC


class PreLogits(nnx.Module):
    """Linear and tanh: the representation."""

    def __init__(self, dim: int, dim_rep: int, dtype, *, rngs: nnx.Rngs):
        self.fc = linear(dim, dim_rep, dtype, rngs)

    def __call__(self, x):
        return jnp.tanh(self.fc(x).astype(jnp.float32))


class DSTformer(nnx.Module):
    """2D skeleton sequences in, 3D motion out: `model(x)`, or `model.represent(x)`.

    Attribute names are those of the release's state dict (blocks_st.0.attn_s.qkv ...).
    """

    def __init__(self, config: DSTformerConfig, *, rngs: nnx.Rngs):
        self.config = config
        dim, dtype = config.dim_feat, jnp.dtype(config.dtype)
        self.joints_embed = linear(config.dim_in, dim, dtype, rngs)
        self.pos_embed = nnx.Param(normal(rngs.params(), (1, config.num_joints, dim)))
        self.temp_embed = nnx.Param(normal(rngs.params(), (1, config.maxlen, 1, dim)))
        first, *second = config.streams
        self.blocks_st = nnx.List([Block(config, first, rngs=rngs) for _ in range(config.depth)])
        if second:
            self.blocks_ts = nnx.List(
                [Block(config, second[0], rngs=rngs) for _ in range(config.depth)]
            )
            if config.fusion == "adaptive":
                self.ts_attn = nnx.List([_fusion(dim, rngs) for _ in range(config.depth)])
        self.norm = layer_norm(dim, rngs)
        self.pre_logits = PreLogits(dim, config.dim_rep, dtype, rngs=rngs)
        # float32: a pose in bfloat16 would have steps of 4 mm at arm's length.
        self.head = linear(config.dim_rep, config.dim_out, jnp.float32, rngs)

    def __call__(self, x_BxTxJxC: jax.Array) -> jax.Array:
        """3D motion (B, T, J, dim_out), float32, in the unit of the input's x and y.

        x: (B, T, J, dim_in) 2D joints normalised to about [-1, 1], then confidence. T is any
        length up to maxlen; longer, or other joints or channels, raises ValueError.
        """
        E = self.represent(x_BxTxJxC)
        with jax.named_scope("head"):
            return self.head(E)

    def represent(self, x_BxTxJxC: jax.typing.ArrayLike) -> jax.Array:
        """The motion representation E, (B, T, J, dim_rep), float32 in (-1, 1)."""
        x_BxTxJxC = as_input(x_BxTxJxC, self.config)
        x = self._through(self.embed(x_BxTxJxC))
        with jax.named_scope("head"):
            return self.pre_logits(self.norm(x))

    def embed(self, x_BxTxJxC):
        """Joints to channels, plus the learned positions: (B, T, J, dim_feat)."""
        frames = x_BxTxJxC.shape[1]
        with jax.named_scope("embed"):
            x = self.joints_embed(x_BxTxJxC)
            return x + (self.pos_embed[None] + self.temp_embed[:, :frames]).astype(x.dtype)

    def levels(self) -> list["Level"]:
        """The levels one after another; their parameters are this module's own."""
        streams = [self.blocks_st]
        if len(self.config.streams) > 1:
            streams.append(self.blocks_ts)
            if self.config.fusion == "adaptive":
                streams.append(self.ts_attn)
        return [Level(*parts) for parts in zip(*streams, strict=True)]

    def _through(self, x_BxTxJxC):
        """All levels, each recomputed in the backward pass where the config says so."""
        apart = [nnx.split(level) for level in self.levels()]
        graphdef = apart[0][0]

        def run(x, parameters):
            return nnx.merge(graphdef, parameters)(x)

        if self.config.remat:
            policy = jax.checkpoint_policies.save_only_these_names(*self.config.kept)
            run = jax.checkpoint(run, policy=policy)
        states = [state for _, state in apart]
        if not self.config.scan_levels:
            for state in states:
                x_BxTxJxC = run(x_BxTxJxC, state)
            return x_BxTxJxC
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        return jax.lax.scan(lambda x, state: (run(x, state), None), x_BxTxJxC, stacked)[0]


class Level(nnx.Module):
    """One level: the streams side by side on the same input, then fused.

    fusion: the layer of their weights; None for their mean.
    """

    def __init__(self, st: Block, ts: Block | None = None, fusion: nnx.Module | None = None):
        self.st, self.ts, self.fusion = st, ts, fusion

    def __call__(self, x_BxTxJxC):
        st_BxTxJxC = self.st(x_BxTxJxC)
        if self.ts is None:
            return st_BxTxJxC
        ts_BxTxJxC = self.ts(x_BxTxJxC)
        with jax.named_scope("streams"):
            return self._fused(st_BxTxJxC, ts_BxTxJxC)

    def _fused(self, st_BxTxJxC, ts_BxTxJxC):
        if self.fusion is None:
            return (st_BxTxJxC + ts_BxTxJxC) * 0.5
        both = jnp.concatenate([st_BxTxJxC, ts_BxTxJxC], axis=-1).astype(jnp.float32)
        weights_BxTxJx2 = jax.nn.softmax(self.fusion(both), axis=-1)
        weights_BxTxJx2 = weights_BxTxJx2.astype(st_BxTxJxC.dtype)
        return st_BxTxJxC * weights_BxTxJx2[..., :1] + ts_BxTxJxC * weights_BxTxJx2[..., 1:]


def count_parameters(model: nnx.Module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def _fusion(dim, rngs):
    # Starts at equal weights whatever the input: weight 0, both logits 0.5.
    return nnx.Linear(
        2 * dim, 2, kernel_init=nnx.initializers.zeros, bias_init=nnx.initializers.constant(0.5),
        rngs=rngs,
    )  # fmt: skip
