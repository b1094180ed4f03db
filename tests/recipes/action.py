"""Small sets of labelled recordings for the tests of action recognition."""

import json

import numpy as np

from data_prep.prepare import load_corpus, prepare
from data_prep.sample import sample_actions
from tests.recipes.settings import TINY_MODEL

TINY = (
    *TINY_MODEL, "--config.frames=9",
    "--config.head.hidden=16", "--config.batch_size=8", "--config.evaluation.batch_size=24",
    "--config.epochs=1", "--config.steps_per_epoch=3", "--config.warmup_steps=0",
    "--config.feed_threads=1", "--config.save_every=", "--config.evaluate_every=",
    "--config.log_every=1 steps", "--config.persons=1",
)  # fmt: skip


def gestures(folder):
    """The dataset of data_prep.sample.sample_actions: one take of each class by each subject."""
    sample_actions.make(folder / "raw", train_takes=1, test_takes=1)
    prepare(load_corpus("ntu120"), folder / "raw", folder / "gestures", progress=False)
    return folder / "gestures"


def coco_file(path, frames=20, persons=1, confidence=0.9, seed=0, speed=1.0):
    """A COCO results file of persons who stand beside each other and wave."""
    rng = np.random.default_rng(seed)
    entries = []
    body_Kx2 = rng.uniform(0, 100, (17, 2))
    for person in range(persons):
        sure = confidence / (1 + person)
        for t in range(frames):
            xy = body_Kx2 + [300 * person + 50, 100 + 20 * np.sin(speed * t)]
            points = np.concatenate([xy, np.full((17, 1), sure)], axis=1)
            entries.append(
                {
                    "image_id": f"{t}.jpg", "category_id": 1, "idx": person + 1, "score": sure,
                    "keypoints": points.ravel().round(3).tolist(),
                }
            )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries))
    return path
