"""The supervised contrastive loss (Khosla et al. 2020, equation 2), for one-shot recognition.

Shapes in names: B batch, V views of one row, D channels of the embedding, N = B V embeddings.
"""

import jax
import jax.numpy as jnp

# The usual implementation scales the loss by temperature / base_temperature; so did the release.
BASE_TEMPERATURE = 0.07


def supervised_contrastive(
    features_BxVxD: jax.Array,
    labels_B: jax.Array | None = None,
    temperature: float = 0.1,
    base_temperature: float = BASE_TEMPERATURE,
) -> jax.Array:
    """Mean over the embeddings of -log(share of the similarity that goes to their own class).

    features: of length 1. labels: rows of one label, and views of one row, are positives of each
    other; None: only the views are (SimCLR). An embedding without any positive is left out of the
    mean; a batch without any pair has loss 0.
    """
    B, V, D = features_BxVxD.shape
    labels_B = jnp.arange(B) if labels_B is None else labels_B
    features_NxD = features_BxVxD.astype(jnp.float32).reshape(B * V, D)
    labels_N = jnp.repeat(labels_B, V)
    similar_NxN = jnp.matmul(features_NxD, features_NxD.T, precision="highest") / temperature
    other_NxN = ~jnp.eye(B * V, dtype=bool)
    log_share_NxN = similar_NxN - jax.nn.logsumexp(
        similar_NxN, axis=1, keepdims=True, where=other_NxN
    )
    positive_NxN = (labels_N[:, None] == labels_N) & other_NxN
    positives_N = positive_NxN.sum(axis=1)
    mean_N = (log_share_NxN * positive_NxN).sum(axis=1) / jnp.maximum(positives_N, 1)
    anchors = jnp.maximum((positives_N > 0).sum(), 1)
    return -(temperature / base_temperature) * mean_N.sum() / anchors
