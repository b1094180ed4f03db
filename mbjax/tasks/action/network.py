"""What a net says of every recording: evaluation of the tasks action and oneshot.

Shapes in names: B rows of a batch, N recordings, M persons, T frames, J joints.
"""

import jax
import numpy as np
from flax import nnx

from mbjax.convert import params as conversion
from mbjax.convert import read as sources
from mbjax.data.action.recordings import Recordings, evenly
from mbjax.data.feed import every_example, to_devices
from mbjax.devices import sharding
from mbjax.pose.normalise import crop_scale


class Forward:
    """(graphdef, state, mesh, recordings) -> the net's outputs (N, ...), the same on every host.

    Recordings are resampled evenly to config.frames and crop-scaled to config.test_ratio. Compiled
    once per mesh. dropout: leave it on, its keys being those of the recordings' numbers.
    """

    def __init__(self, config, dropout: bool = False):
        self._config, self._dropout = config, dropout
        self._compiled: dict = {}

    def _compile(self, graphdef, mesh):
        config = self._config

        def predict(params, other, batch):
            model = nnx.merge(graphdef, params, other)
            model.eval()
            clips = jax.vmap(lambda clip: crop_scale(clip, config.test_ratio))(batch["keypoints"])
            keys_B = None
            if self._dropout:
                keys_B = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), batch["number"])
            return model(clips[..., : config.model.dim_in], keys_B)

        return jax.jit(
            sharding.traced_on(mesh, predict), out_shardings=sharding.replicated(mesh)
        )

    def __call__(self, graphdef, state, mesh, recordings: Recordings) -> np.ndarray:
        config = self._config
        if mesh not in self._compiled:
            self._compiled[mesh] = self._compile(graphdef, mesh)
        row_sharding = sharding.batch_sharding(mesh)
        size = -(-config.evaluation.batch_size // mesh.size) * mesh.size
        rows = sharding.local_rows(row_sharding, size)
        outputs = []
        for numbers, real in every_example(len(recordings), size):
            local = numbers[rows]
            clips = [evenly(recordings[n], config.frames, config.persons) for n in local]
            batch = {"keypoints": np.stack(clips), "number": local.astype(np.int32)}
            output = self._compiled[mesh](
                state["params"], state["other"], to_devices(batch, row_sharding, size)
            )
            outputs.append(np.asarray(output, np.float32)[real])
        return np.concatenate(outputs)


def load_net(path, kind: str) -> tuple[nnx.Module, dict]:
    """(net in evaluation mode, config it was trained with, {} if unknown) of a checkpoint.

    ValueError where it is not a net of this kind ('action', 'embed').
    """
    source = sources.read(path)
    if source.network.kind != kind:
        what = {"action": "an action classifier", "embed": "a one-shot net"}[kind]
        raise ValueError(f"{path} is not {what}, but a network of kind {source.network.kind!r}")
    model = conversion.build(source.network, source.params, source.other)
    return model, dict(source.meta.get("config") or {})
