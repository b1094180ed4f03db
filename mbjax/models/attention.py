"""The two sublayers of a block, and the table of their forms.

A form computes what the plain one computes, from the same parameters, laid out for some device:
`config.model.attention` names it. A form takes a sublayer whole, with its LayerNorm and its
residual, so that a kernel may keep all of it on the chip.

Shapes in names: B clips, T frames, J joints, C channels, F hidden channels of the MLP.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from mbjax.devices import sharding
from mbjax.models import (
    attention_cpu,
    attention_fused,
    attention_gpu,
    attention_packed,
    attention_plain,
)
from mbjax.models.layers import LayerNorm, linear

Over = Literal["joints", "frames"]


class AttentionWeights(NamedTuple):
    """Parameters of LayerNorm, attention, and its projection; columns of qkv are (3, H, D)."""

    scale_C: jax.Array
    bias_C: jax.Array
    qkv_kernel_Cx3C: jax.Array
    qkv_bias_3C: jax.Array
    proj_kernel_CxC: jax.Array
    proj_bias_C: jax.Array


class MLPWeights(NamedTuple):
    """Parameters of LayerNorm and of the two layers of an MLP."""

    scale_C: jax.Array
    bias_C: jax.Array
    fc1_kernel_CxF: jax.Array
    fc1_bias_F: jax.Array
    fc2_kernel_FxC: jax.Array
    fc2_bias_C: jax.Array


@dataclasses.dataclass(frozen=True)
class Form:
    """One way to compute the two sublayers, each (B, T, J, C) -> (B, T, J, C) in the type of x.

    attention: (x, AttentionWeights, num_heads, over, dtype) -> x + attention of LayerNorm(x).
    mlp: (x, MLPWeights, dtype) -> x + MLP of LayerNorm(x).
    dtype is that of the matrix products. platforms: those it runs on.
    """

    attention: Callable
    mlp: Callable = attention_plain.mlp
    platforms: tuple[str, ...] = ("cpu", "gpu", "tpu")


FORMS: dict[str, Form] = {
    "plain": Form(attention_plain.attention),
    "cpu": Form(attention_cpu.attention, attention_cpu.mlp, ("cpu",)),
    "packed": Form(attention_packed.attention),
    "dot_product": Form(attention_gpu.attention),
    "fused": Form(attention_fused.attention, attention_fused.mlp, platforms=("cpu", "tpu")),
}

# The form that `auto` picks for a platform; plain where no other is proven faster.
AUTOMATIC = {"cpu": "cpu", "gpu": "plain", "tpu": "plain"}

NAMES = ("auto", *FORMS)

# Names of arrays that a recomputed level may keep: checkpoint_name here and in the forms.
KEPT = ("sublayer", "qkv", "attention", "fc1")


def choose(name: str, platform: str | None = None) -> str:
    """The form that `name` stands for.

    platform: 'cpu', 'gpu' or 'tpu'; None: the one that is traced for.
    ValueError where the form does not run there.
    """
    platform = platform or sharding.platform()
    if name == "auto":
        return AUTOMATIC.get(platform, "plain")
    if platform not in FORMS[name].platforms:
        raise ValueError(
            f"config.model.attention is {name!r}, which runs on "
            f"{', '.join(FORMS[name].platforms)}, not on {platform}; use 'auto' or 'plain'"
        )
    return name


class Attention(nnx.Module):
    """Multi-head self-attention over joints within a frame, or over frames of one joint."""

    def __init__(self, dim: int, num_heads: int, dtype, form: str = "auto", *, rngs: nnx.Rngs):
        self.num_heads, self.dtype, self.form = num_heads, dtype, form
        self.qkv = linear(dim, 3 * dim, dtype, rngs)
        self.proj = linear(dim, dim, dtype, rngs)

    def __call__(self, x_BxTxJxC: jax.Array, norm: LayerNorm, over: Over) -> jax.Array:
        """x plus its attention after `norm`."""
        weights = AttentionWeights(
            norm.scale[...], norm.bias[...], self.qkv.kernel[...], self.qkv.bias[...],
            self.proj.kernel[...], self.proj.bias[...],
        )  # fmt: skip
        form = FORMS[choose(self.form)]
        with jax.named_scope(f"attention_{over}"):
            y = form.attention(x_BxTxJxC, weights, self.num_heads, over, self.dtype)
            return checkpoint_name(y, "sublayer")


class MLP(nnx.Module):
    """Two linear layers with an exact GELU between them."""

    def __init__(self, dim: int, hidden: int, dtype, form: str = "auto", *, rngs: nnx.Rngs):
        self.dtype, self.form = dtype, form
        self.fc1 = linear(dim, hidden, dtype, rngs)
        self.fc2 = linear(hidden, dim, dtype, rngs)

    def __call__(self, x_BxTxJxC: jax.Array, norm: LayerNorm) -> jax.Array:
        """x plus its MLP after `norm`."""
        weights = MLPWeights(
            norm.scale[...], norm.bias[...], self.fc1.kernel[...], self.fc1.bias[...],
            self.fc2.kernel[...], self.fc2.bias[...],
        )  # fmt: skip
        with jax.named_scope("mlp"):
            y = FORMS[choose(self.form)].mlp(x_BxTxJxC, weights, self.dtype)
            return checkpoint_name(y, "sublayer")
