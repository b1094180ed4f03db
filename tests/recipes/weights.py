"""Small networks, their weights and checkpoints, for tests of conversion, loading, parity."""

import dataclasses

import jax
import numpy as np
from flax import nnx

from mbjax.convert import params
from mbjax.convert.names import dstformer_rows
from mbjax.convert.optimizer_state import Adam
from mbjax.convert.read import Source
from mbjax.models.dstformer import DSTformerConfig
from mbjax.models.networks import Network

TINY = DSTformerConfig(dim_feat=16, dim_rep=24, depth=2, num_heads=2, mlp_ratio=2, maxlen=9)
# One level, which compiles in seconds and still has both streams and their fusion.
SHALLOW = dataclasses.replace(TINY, depth=1)


def weights(config=TINY, seed=0):
    """Parameters none of which is at a special value: fresh biases and fusions are all alike."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: generator.normal(0, 0.2, leaf.shape).astype(np.float32),
        abstract_params(config),
    )


def abstract_params(config):
    """Shapes of an encoder's parameters."""
    return params.abstract(Network(config))["params"]


def fresh_params(config, seed=0):
    """A newly initialised encoder's."""
    return params.fresh(Network(config), seed)["params"]


def to_params(tensors, config, allow=()):
    """(parameters, notes) of an encoder's state dict under the table's names."""
    network = Network(config)
    trees, notes = params.to_network(tensors, network, dstformer_rows(config), allow)
    return trees["params"], notes


def params_of(model):
    """A model's parameters as the nested dict that a run's state has."""
    return nnx.to_pure_dict(nnx.state(model, nnx.Param))


def adam(config=TINY, seed=1, count=5):
    return Adam(count, weights(config, seed), jax.tree.map(np.square, weights(config, seed + 1)))


def source(config=TINY, seed=0, optimizer=True, **meta):
    """As a run's checkpoint reads."""
    whole = {
        "step": 5, "epoch": 2, "learning_rate": 3e-4, "task": "pretrain",
        "network": {"kind": "dstformer", "dstformer": dataclasses.asdict(config)},
        "config": {"weight_decay": 0.01, "rate_decay_per_epoch": 0.99, "clip_norm": 0.0},
        "metrics": {"error_mm": 55.5}, **meta,
    }  # fmt: skip
    return Source("made up", whole, weights(config, seed), adam(config) if optimizer else None, [])


def same(a, b):
    """Two trees, bit for bit, dtypes too."""
    a, b = dict(params.leaves(a)), dict(params.leaves(b))
    assert a.keys() == b.keys()
    for path in a:
        left, right = np.asarray(a[path]), np.asarray(b[path])
        assert (left.dtype, left.shape) == (right.dtype, right.shape), path
        assert left.tobytes() == right.tobytes(), path
    return True


def mmpose_name(name):
    """What MMPose calls a parameter, written from its attribute names."""
    if name.startswith("pre_logits."):
        return "head." + name
    if name.startswith("head."):
        return name.replace("head.", "head.fc.")
    name = name.replace("pos_embed", "spat_embed").replace("ts_attn", "attn_regress")
    for part in ("mlp_s", "mlp_t"):
        name = name.replace(f"{part}.fc1", f"{part}.0").replace(f"{part}.fc2", f"{part}.2")
    return "backbone." + name
