"""Where the tests' files lie, and settings that several tests share."""

import pathlib
from importlib import metadata

ROOT = pathlib.Path(__file__).parents[2]  # of the project
GOLDEN = pathlib.Path(__file__).parents[1] / "golden"

# XLA_FLAGS of tests, whose programs run for moments, so that most of their time is compilation: the
# least optimisation, and the emitters that take two thirds of the time for a training step.
QUICK_TO_COMPILE = "--xla_backend_optimization_level=0"
if tuple(map(int, metadata.version("jaxlib").split(".")[:2])) < (0, 12):  # later ones may lack it
    QUICK_TO_COMPILE += " --xla_cpu_use_fusion_emitters=false"

# A network that compiles in seconds.
TINY_MODEL = (
    "--config.model.dim_feat=16", "--config.model.dim_rep=16", "--config.model.depth=1",
    "--config.model.num_heads=2", "--config.model.maxlen=9",
)  # fmt: skip
# Pretraining with two sources, so that the curriculum's switch is passed.
TINY_SETTINGS = (
    *TINY_MODEL, "--config.batch_size=8",
    "--config.epochs=4", "--config.sources.motion.steps_per_epoch=3",
    "--config.sources.annotated.steps_per_epoch=2", "--config.sources.annotated.from_epoch=2",
    "--config.sources.detected.dir=", "--config.warmup_steps=2", "--config.evaluation.dir=",
    "--config.log_every=2 steps", "--config.save_every=3 steps", "--config.feed_threads=1",
)  # fmt: skip
# The training step on motion alone, with every augmentation, of one stream of blocks.
TINY_STEP = (
    *TINY_MODEL, "--config.model.structure=st", "--config.batch_size=32", "--config.epochs=4",
    "--config.sources.annotated.dir=", "--config.sources.detected.dir=",
    "--config.evaluation.dir=", "--config.clip_norm=1.0", "--config.augment.limb_swap=0.3",
)  # fmt: skip
