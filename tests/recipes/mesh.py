"""A small mesh dataset as `mbjax prepare mesh_own` writes it, and a config that trains on it."""

import pickle

import numpy as np

from mbjax import configuration
from tests.recipes.settings import TINY_MODEL

SETTINGS = (
    *TINY_MODEL, "--config.body=synthetic-300", "--config.model.maxlen=16",
    "--config.head.hidden=16", "--config.batch_size=8", "--config.epochs=2",
    "--config.log_every=1 steps", "--config.save_every=", "--config.evaluate_every=",
    "--config.feed_threads=1", "--config.warmup_steps=0",
)  # fmt: skip


def prepared(folder):
    """A dataset folder: 16-frame clips with an initial estimate, train and test."""
    from data_prep.corpora import meshes as mesh
    from data_prep.prepare import prepare

    content = {}
    for number, split in enumerate(("train", "test")):
        rng = np.random.default_rng(number)
        sources = [f"{split}_{i}" for i, frames in enumerate((40, 35)) for _ in range(frames)]
        N = len(sources)
        columns = {"joint_2d": rng.uniform(100, 900, (N, 17, 2)), "source": sources}
        for prefix in ("", "pred_"):
            columns[f"{prefix}smpl_pose"] = rng.normal(size=(N, 72)) * 0.25
            columns[f"{prefix}smpl_shape"] = rng.normal(size=(N, 10))
        content[split] = columns
    (folder / "raw").mkdir(parents=True)
    (folder / "raw" / "mesh_det_own.pkl").write_bytes(pickle.dumps(content))
    options = {"initial": True, "width": 1000, "height": 1000, "fps": 30.0}
    prepare(mesh.MeshOwn, folder / "raw", folder / "data", options, progress=False)
    return folder / "data"


def config(variant, data, *settings):
    own = f"--config.sources.own.dir={data}"
    return configuration.load(f"configs/mesh.py:{variant}", [*SETTINGS, own, *settings])
