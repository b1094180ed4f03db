"""Smooth motions of one body, tiny networks, and what they say, for tests of lift and Stream."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

import mbjax
from mbjax.models.dstformer import DSTformer, DSTformerConfig
from mbjax.pose.skeleton import MIRROR

MAXLEN = 9
REST = np.array([
    (0, 0), (-15, 0), (-20, 44), (-25, 88), (15, 0), (18, 45), (17, 90), (0, -30), (0, -60),
    (3, -78), (0, -92), (20, -60), (35, -35), (40, -5), (-20, -60), (-40, -30), (-45, 2),
], float)  # fmt: skip


def smooth_keypoints(frames, seed=0, x=300.0):
    """(T, 17, 3) in pixels: every joint sways at a period of its own, 40 frames and more."""
    rng = np.random.default_rng(seed)
    phase = np.arange(frames)[:, None, None] * 2 * np.pi / rng.uniform(40, 90, (1, 17, 2))
    xy = REST + 8 * np.sin(phase + rng.uniform(0, 6, (1, 17, 2))) + [x, 200]
    xy = xy + 30 * np.sin(np.arange(frames) / 25)[:, None, None]
    return np.concatenate([xy, np.full((frames, 17, 1), 0.9)], axis=-1)


def make_model(maxlen=MAXLEN, seed=0):
    """A tiny random network whose output depends on its input and, slowly, on the frame's place."""
    config = DSTformerConfig(dim_feat=16, dim_rep=16, depth=1, num_heads=2, maxlen=maxlen)
    model = DSTformer(config, rngs=nnx.Rngs(0))
    state = nnx.state(model, nnx.Param)
    rng = np.random.default_rng(seed)
    for path, leaf in nnx.to_flat_state(state):
        if path[-1] == "kernel":
            leaf[...] = jnp.asarray(rng.normal(0, 0.3, leaf.shape), jnp.float32)
        if path[-1] == "temp_embed":
            t = np.linspace(0, 1, maxlen).reshape(1, -1, 1, 1)
            wave = 0.5 * np.sin(t * 2 + 6 * rng.uniform(size=leaf.shape[-1]))
            leaf[...] = jnp.asarray(wave, jnp.float32)
    nnx.update(model, state)
    return model


def flip_average(model, x):
    sign = np.array([-1, 1, 1], np.float32)
    other = np.asarray(_compiled(model, x[..., MIRROR, :] * sign))
    return (np.asarray(_compiled(model, x)) + other[..., MIRROR, :] * sign) / 2


@nnx.jit
def _compiled(model, x):
    return model(x)


class Follows(nnx.Module):
    """Predicts the root where the input has it, or at the origin."""

    def __init__(self, follows):
        self.config, self.follows = DSTformerConfig(maxlen=MAXLEN), follows

    def __call__(self, x):
        pose = jnp.concatenate([x[..., :2], 0 * x[..., 2:]], axis=-1)
        return pose if self.follows else pose - pose[:, :, :1]


class Bends(Follows):
    """Gives x and y back, and a depth that is not in proportion to them."""

    def __call__(self, x):
        return super().__call__(x).at[..., 2].set(0.1 * x[..., 1] ** 2)


def lift(model, keypoints, **options):
    options.setdefault("layout", "h36m17")
    return mbjax.lift(model, keypoints, **options)
