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

VARIANTS = (
    "ntu60_xsub", "ntu60_xsub_scratch", "ntu60_xview", "ntu60_xview_scratch", "custom", "sample",
)  # fmt: skip


def get_config(variant: str = "ntu60_xsub") -> ConfigDict:
    if variant not in VARIANTS:
        raise ValueError(f"configs/action.py has no variant {variant!r}; it has {VARIANTS}")
    config = ConfigDict()
    config.task = "action"
    config.seed = 0
    config.init = ""  # a pretrained checkpoint; '' for none (--init sets it)

    config.model = ConfigDict(
        {
            "dim_in": 3,
            "dim_out": 3,
            "dim_feat": 512,
            "dim_rep": 512,
            "depth": 5,
            "num_heads": 8,
            "mlp_ratio": 2,
            "num_joints": 17,
            "maxlen": 243,
            "structure": "st+ts",
            "fusion": "adaptive",
            "dtype": "float32",
            "remat": False,
            "attention": "auto",  # its form: mbjax/models/attention.py
        }
    )
    config.head = ConfigDict({"hidden": 2048, "dropout": 0.5})

    # Recordings: a folder that mbjax prepare made, and which of its splits ('a+b' for two).
    split = "xview" if "xview" in variant else "xsub"
    config.data = ConfigDict({"dir": "", "split": f"{split}_train"})
    # Without a dir, that of data. Without a split there is no evaluation.
    config.evaluation = ConfigDict({"dir": "", "split": f"{split}_val", "batch_size": 32})
    config.score_order = "joints"  # 'coco' for released checkpoints, and data prepared so
    config.num_classes = 60
    config.classes = ()  # their names in the order of the labels; (): as the data say
    config.test_subjects = ()  # these are tested and the other subjects of data train
    config.examples_per_class = 0  # train on so many recordings of each class; 0: all
    config.class_weights = "none"  # or 'balanced': inverse to how often a class occurs

    config.frames = 243  # to which every recording is resampled
    config.persons = 2  # 1, for recordings of one person each, takes half the time
    config.random_move = True
    config.train_ratio_low, config.train_ratio_high, config.test_ratio = 1.0, 3.0, 2.0

    config.pass_order = ("train",)
    config.order = "sequential"
    config.epochs = 300
    config.steps_per_epoch = 0  # 0: one pass over the recordings
    config.batch_size = 32  # of the whole run, over all devices
    config.accumulate = 1
    config.feed_threads = 4

    config.partial_train = ()  # only parameters whose names begin so: 'head' freezes the encoder
    config.learning_rate_backbone = 1e-4
    config.learning_rate_head = 1e-4 if variant.endswith("_scratch") else 1e-3
    config.rate_decay_per_epoch = 0.99
    config.weight_decay = 0.01
    config.warmup_steps = 0
    config.cosine = False
    config.clip_norm = 0.0

    # Durations: '500 steps', '1 epoch', '5 %', '' for never.
    config.log_every = "100 steps"
    config.save_every = "1 epoch"
    config.evaluate_every = "1 epoch"
    config.keep_checkpoints = 2
    config.fsdp = 1  # devices that share one copy of the parameters

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
    """The tiny encoder of the package, gestures of one person, a minute or two on two cores."""
    config.model.update(dim_feat=96, dim_rep=96, depth=2, num_heads=4, maxlen=81)
    config.head.hidden = 256
    config.num_classes = 20
    config.frames, config.persons = 18, 1
    # As large as the encoder saw persons when it was pretrained.
    config.train_ratio_low, config.train_ratio_high, config.test_ratio = 1.0, 1.5, 1.25
    config.learning_rate_backbone = 5e-4
    config.epochs, config.steps_per_epoch, config.batch_size = 2, 20, 16
    config.rate_decay_per_epoch, config.cosine, config.warmup_steps = 1.0, True, 10
    config.evaluation.batch_size = 50
    config.log_every, config.save_every, config.evaluate_every = "20 steps", "50 %", ""
    config.feed_threads = 2
