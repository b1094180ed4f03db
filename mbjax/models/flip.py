"""The mean of a network's prediction and of that for the mirror image, mirrored back.

Shapes in names: B batch, T frames, J joints, C channels of the input.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from mbjax.models.mesh import mirror_theta
from mbjax.pose.skeleton import mirror


def averaged(
    model: Callable[[jax.Array], jax.Array], x_BxTxJxC: jax.Array, one_batch: bool = False
) -> jax.Array:
    """The flip-averaged pose, (B, T, J, 3).

    one_batch: both inputs go through the model as one batch of 2 B clips, which answers sooner for
    a single clip and needs the memory of both.
    """
    if not one_batch:
        return (model(x_BxTxJxC) + mirror(model(mirror(x_BxTxJxC)))) / 2
    pose_2BxTxJx3 = model(jnp.concatenate([x_BxTxJxC, mirror(x_BxTxJxC)]))
    plain_BxTxJx3, flipped_BxTxJx3 = jnp.split(pose_2BxTxJx3, 2)
    return (plain_BxTxJx3 + mirror(flipped_BxTxJx3)) / 2


def both_thetas(
    model, x_BxTxJxC: jax.Array, initial_BxTx82: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """A mesh net's (theta, theta of the mirrored input mirrored back), each (B, T, 82).

    The release's prediction is the mean of the two in theta, in vertices and in joints, each by
    itself. initial: for a RefineNet.
    """
    if initial_BxTx82 is None:
        return model(x_BxTxJxC).theta(), mirror_theta(model(mirror(x_BxTxJxC)).theta())
    plain = model(x_BxTxJxC, initial_BxTx82)
    flipped = model(mirror(x_BxTxJxC), mirror_theta(initial_BxTx82))
    return plain.theta(), mirror_theta(flipped.theta())
