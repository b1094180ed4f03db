"""Action nets: the encoder and a head for classes or for embeddings (paper, section 3.4).

Shapes in names: B batch, M persons, T frames, J joints, C channels of the input, R channels of the
representation, H hidden, K classes.
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from mbjax.models.batch_norm import BatchNorm
from mbjax.models.dropout import dropout
from mbjax.models.dstformer import DSTformer, DSTformerConfig


@dataclasses.dataclass(frozen=True)
class ActionHeadConfig:
    """The release's sizes; it always has 2048 hidden channels, whatever its config says."""

    classes: int = 60
    hidden: int = 2048
    dropout: float = 0.5


@dataclasses.dataclass(frozen=True)
class EmbedHeadConfig:
    """One-shot: the size of the embedding."""

    hidden: int = 2048
    dropout: float = 0.1


class ActionHead(nnx.Module):
    """Linear, BatchNorm, ReLU, Linear to classes, over the pooled representation."""

    def __init__(self, config: ActionHeadConfig, features: int, *, rngs: nnx.Rngs):
        self.bn = BatchNorm(config.hidden)
        self.fc1 = nnx.Linear(features, config.hidden, rngs=rngs)
        self.fc2 = nnx.Linear(config.hidden, config.classes, rngs=rngs)

    def __call__(self, features_BxF):
        return self.fc2(jax.nn.relu(self.bn(self.fc1(features_BxF))))


class EmbedHead(nnx.Module):
    """Linear and L2 normalisation."""

    def __init__(self, config: EmbedHeadConfig, features: int, *, rngs: nnx.Rngs):
        self.fc1 = nnx.Linear(features, config.hidden, rngs=rngs)

    def __call__(self, features_BxF):
        embedding = self.fc1(features_BxF)
        norm = jnp.linalg.norm(embedding, axis=-1, keepdims=True)
        return embedding / jnp.maximum(norm, 1e-12)


class _PersonsNet(nnx.Module):
    """Every person through the encoder; dropout, mean over time, mean over persons, the head."""

    _head: type

    def __init__(self, config: DSTformerConfig, head_config, *, rngs: nnx.Rngs):
        self.config, self.head_config = config, head_config
        self.backbone = DSTformer(config, rngs=rngs)
        self.head = self._head(head_config, config.num_joints * config.dim_rep, rngs=rngs)

    def __call__(self, x_BxMxTxJxC: jax.Array, keys_B: jax.Array | None = None) -> jax.Array:
        """x: (B, persons, T, J, dim_in), an absent person all zero. keys: one per row, for dropout;
        None for none."""
        features = self.pooled(self.represent(x_BxMxTxJxC), keys_B)
        return self.head(features)

    def represent(self, x_BxMxTxJxC: jax.Array) -> jax.Array:
        """The encoder's representation, (B, persons, T, J, dim_rep)."""
        B, M, *rest = x_BxMxTxJxC.shape
        rep = self.backbone.represent(x_BxMxTxJxC.reshape(B * M, *rest))
        return rep.reshape(B, M, *rep.shape[1:])

    def pooled(self, rep_BxMxTxJxR, keys_B=None):
        """(B, J * R): what the head takes."""
        rep = dropout(keys_B, rep_BxMxTxJxR, self.head_config.dropout)
        return rep.mean(axis=(1, 2)).reshape(rep.shape[0], -1)


class ActionNet(_PersonsNet):
    """Logits of the classes, (B, K) float32."""

    _head = ActionHead


class EmbedNet(_PersonsNet):
    """Embeddings of length 1, (B, H) float32."""

    _head = EmbedHead
