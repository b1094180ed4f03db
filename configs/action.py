"""Action recognition, from a pretrained encoder or from scratch.

    mbjax prepare ntu60 --raw FOLDER --out data/ntu60
    mbjax finetune action --config configs/action.py:ntu60_xsub --workdir runs/ntu60_xsub \\
        --init runs/mb --config.data.dir=data/ntu60
    mbjax evaluate action --config configs/action.py:ntu60_xsub --config.data.dir=data/ntu60 \\
        --checkpoint runs/ntu60_xsub --out results

Variants: `ntu60_xsub`, `ntu60_xview` and each with `_scratch`, with the release's values; `custom`,
your own recordings and classes (mbjax prepare actions); `sample`, the tiny encoder on gestures made
from the sample corpus (python -m data_prep.sample.sample_actions).

What to expect: top-1 of 93.0 % (X-Sub) and 97.2 % (X-View) fine-tuned, in the paper.

Your own recordings, each subject tested by a network that has not seen them:

    mbjax prepare actions --raw FOLDER --out data/gait
    mbjax cross-validate --config configs/action.py:custom --config.data.dir=data/gait \\
        --init best_epoch.bin --workdir runs/gait
"""

from ml_collections import ConfigDict

from configs import common

VARIANTS = (
    "ntu60_xsub", "ntu60_xsub_scratch", "ntu60_xview", "ntu60_xview_scratch", "custom", "sample",
)  # fmt: skip


def get_config(variant: str = "ntu60_xsub") -> ConfigDict:
    common.known(variant, VARIANTS, "action.py")
    config = ConfigDict()
    config.task = "action"
    config.seed = 0
    config.model = common.encoder("mb")
    config.head = ConfigDict({"hidden": 2048, "dropout": 0.5})

    # Recordings: a folder that mbjax prepare made, and which of its splits ('a+b' for two).
    split = "xview" if "xview" in variant else "xsub"
    config.data = ConfigDict({"dir": "", "split": f"{split}_train"})
    # Without a dir, that of data. Without a split there is no evaluation.
    config.evaluation = ConfigDict({"dir": "", "split": f"{split}_val", "batch_size": 32})
    common.recordings(config)
    config.frames = 243  # to which every recording is resampled
    config.num_classes = 60
    config.classes = ()  # their names in the order of the labels; (): as the data say
    config.test_subjects = ()  # these are tested and the other subjects of data train
    config.examples_per_class = 0  # train on so many recordings of each class; 0: all
    config.class_weights = "none"  # or 'balanced': inverse to how often a class occurs

    common.passes(config, ("train",), epochs=300, batch_size=32)
    head = 1e-4 if variant.endswith("_scratch") else 1e-3
    common.adamw(config, learning_rate_backbone=1e-4, learning_rate_head=head)
    common.run(config, log_every="100 steps", keep=2)

    if variant == "custom":
        _custom(config)
    if variant == "sample":
        _sample(config)
    return config


def _custom(config):
    """Your own classes: small sets, so fewer epochs and no evaluation on the way."""
    config.data.split = "train"
    config.evaluation.split = ""
    config.num_classes = 0
    config.class_weights = "balanced"
    config.epochs = 30
    config.rate_decay_per_epoch = 0.95
    config.evaluate_every = ""
    config.save_every = "20 %"


def _sample(config):
    """Classes of gestures made from the sample corpus."""
    common.sample_recordings(config)
    config.num_classes = 20
    config.epochs = 2
