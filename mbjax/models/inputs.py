"""What a model is called with: lists become arrays, wrong shapes and pixels are told."""

import warnings

import jax
import numpy as np

# Normalised keypoints are in [-1, 1]; joints that a detector puts outside the picture, beyond.
_PIXELS = 10.0


def as_input(x_BxTxJxC, config):
    """An array (B, T, J, C) that a network of this DSTformerConfig takes; ValueError for another.

    Arrays of JAX are passed on, traced or not. Of what is on the host, lists and other libraries'
    arrays become numpy's, and x or y far outside [-1, 1] warn: most likely they are pixels.
    """
    on_host = not isinstance(x_BxTxJxC, jax.Array)
    if on_host:
        given = type(x_BxTxJxC).__name__
        try:
            x_BxTxJxC = np.asarray(x_BxTxJxC)
        except (ValueError, TypeError):
            raise ValueError(f"the model takes an array of numbers, got a ragged {given}") from None
        if x_BxTxJxC.dtype.kind not in "fiub" and x_BxTxJxC.dtype.name != "bfloat16":
            raise ValueError(f"the model takes an array of numbers, got {given}")
    shape = x_BxTxJxC.shape
    if len(shape) != 4 or shape[2:] != (config.num_joints, config.dim_in):
        raise ValueError(
            f"the model takes (batch, frames, {config.num_joints} joints, {config.dim_in} "
            f"channels), got {tuple(shape)}"
        )
    if not 1 <= shape[1] <= config.maxlen:
        raise ValueError(
            f"the model takes 1 to {config.maxlen} frames, got {shape[1]}; cut longer motion "
            "into windows"
        )
    if on_host and x_BxTxJxC.size and (largest := np.abs(x_BxTxJxC[..., :2]).max()) > _PIXELS:
        warnings.warn(
            f"keypoints reach {largest:g}: pixels? The model takes x and y in about [-1, 1]; "
            "mbjax.lift brings them there, and so does mbjax.pose.normalise.crop_scale",
            stacklevel=4,
        )
    return x_BxTxJxC
