"""Stand-ins for a dataset and for a network, for tests of evaluation."""

import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np
from flax import nnx

from tests.recipes.settings import TINY_MODEL

# On the sample pairs.
TINY = (
    *TINY_MODEL, "--config.sources.sample.frames=9", "--config.batch_size=8",
    "--config.sources.sample.steps_per_epoch=2", "--config.epochs=2", "--config.warmup_steps=1",
    "--config.feed_threads=1", "--config.evaluation.frames=9", "--config.log_every=2 steps",
    "--config.save_every=2 steps", "--config.evaluate_every=",
)  # fmt: skip


@dataclasses.dataclass
class Reader:
    """Records in a list, called a corpus' test split."""

    records: list
    info: dict = dataclasses.field(default_factory=lambda: {"name": "h36m"})
    directory: pathlib.Path = pathlib.Path("data/h36m")

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        return self.records[index]


class Fixed(nnx.Module):
    """The fixed function of the input that the golden prediction was made with."""

    def __call__(self, x):
        x, y, confidence = x[..., 0], x[..., 1], x[..., 2]
        depth = 0.3 * x - 0.2 * y + 0.1 * confidence
        return jnp.stack([1.02 * x + 0.01, 1.02 * y + 0.01, depth], axis=-1)


def state_of(model):
    graphdef, params, other = nnx.split(model, nnx.Param, ...)
    pure = nnx.to_pure_dict
    return graphdef, {"params": pure(params), "other": pure(other)}


def records(count, frames=9, recordings=3, seed=0):
    """Overlapping clips of a few recordings, out of order, as a prepared dataset has them."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        recording, clip = number % recordings, number // recordings
        start = 1000 * recording + clip * (frames - 2)
        pose = rng.normal(size=(frames, 17, 3)).astype(np.float32) / 3
        factor = rng.uniform(3, 6, frames).astype(np.float32)
        made.append(
            {
                "keypoints": np.concatenate(
                    [pose[..., :2], np.ones((frames, 17, 1), np.float32)], -1
                ),
                "pose": pose,
                "frames": start + np.arange(frames),
                "source": f"s_09_act_02_subact_0{recording}_ca_01",
                "first_frame": clip * (frames - 2),
                "action": ("Walking", "Eating")[recording % 2],
                "width": 1000,
                "height": 1002,
                "factor_2_5d": factor,
                "pose_mm": pose * 500 * factor[:, None, None],
            }
        )
    return [made[i] for i in rng.permutation(count)]
