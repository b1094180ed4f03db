"""One-shot recognition of classes that were never trained on.

    mbjax prepare ntu120 --raw FOLDER --out data/ntu120
    mbjax finetune oneshot --config configs/oneshot.py --workdir runs/oneshot \\
        --init runs/mb --config.data.dir=data/ntu120
    mbjax evaluate oneshot --config configs/oneshot.py --config.data.dir=data/ntu120 \\
        --checkpoint runs/oneshot --out results

Variants: `ntu120` (the default) and `ntu120_scratch`, with the release's values: trained on 100
classes, tested on 0, 6, ..., 114 with one exemplar of each; `sample`, the tiny encoder on gestures
made from the sample corpus (python -m data_prep.sample.sample_actions), classes 0, 6, 12 and 18
held out.

What to expect: 67.4 % fine-tuned, 61.0 % from scratch, in the paper. The release measures with
dropout on: --config.evaluation.dropout=True.
"""

from ml_collections import ConfigDict

VARIANTS = ("ntu120", "ntu120_scratch", "sample")


def get_config(variant: str = "ntu120") -> ConfigDict:
    if variant not in VARIANTS:
        raise ValueError(f"configs/oneshot.py has no variant {variant!r}; it has {VARIANTS}")
    config = ConfigDict()
    config.task = "oneshot"
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
    config.head = ConfigDict({"hidden": 2048, "dropout": 0.1})

    # Recordings: a folder that mbjax prepare made, and which of its splits. Classes by the data's
    # numbers or names: those held out are never trained on, and are what is tested.
    config.data = ConfigDict({"dir": "", "split": "xset_train+xset_val"})
    config.held_out = tuple(range(0, 120, 6))
    # Without a dir, that of data. exemplars: the split with one recording of each held-out class;
    # '' to draw them from the test recordings, `episodes` times. dropout: leave it on.
    config.evaluation = ConfigDict(
        {
            "dir": "",
            "split": "oneshot_val",
            "exemplars": "oneshot_train",
            "episodes": 1,
            "dropout": False,
            "batch_size": 32,
        }
    )
    config.score_order = "joints"  # 'coco' for released checkpoints, and data prepared so

    config.frames = 100  # to which every recording is resampled
    config.persons = 2  # 1, for recordings of one person each, takes half the time
    config.random_move = True
    config.train_ratio_low, config.train_ratio_high, config.test_ratio = 1.0, 3.0, 2.0

    config.pass_order = ("train",)
    config.order = "sequential"
    config.epochs = 50
    config.steps_per_epoch = 0  # 0: one pass over the recordings
    config.batch_size = 32  # of the whole run, over all devices
    config.per_class = 2  # recordings of one class in a batch
    config.temperature = 0.1
    config.accumulate = 1  # the loss compares all rows of a batch
    config.feed_threads = 4

    config.partial_train = ()  # only parameters whose names begin so: 'head' freezes the encoder
    config.learning_rate_backbone = 1e-4
    config.learning_rate_head = 1e-3
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

    if variant == "sample":
        _sample(config)
    return config


def _sample(config):
    """The tiny encoder of the package, gestures of one person, a minute or two on two cores."""
    config.model.update(dim_feat=96, dim_rep=96, depth=2, num_heads=4, maxlen=81)
    config.head.hidden = 256
    config.data.split = "xsub_train"
    config.held_out = (0, 6, 12, 18)
    config.evaluation.batch_size = 50
    config.frames, config.persons = 18, 1
    # As large as the encoder saw persons when it was pretrained.
    config.train_ratio_low, config.train_ratio_high, config.test_ratio = 1.0, 1.5, 1.25
    config.learning_rate_backbone = 5e-4
    config.epochs, config.steps_per_epoch, config.batch_size = 3, 20, 16
    config.rate_decay_per_epoch, config.cosine, config.warmup_steps = 1.0, True, 10
    config.log_every, config.save_every, config.evaluate_every = "20 steps", "50 %", ""
    config.feed_threads = 2
