"""What the configs of all tasks share: the encoder, the optimizer, how often things happen.

Each function gives or sets one block; a config states what it has of its own, and what differs.
"""

from ml_collections import ConfigDict

# Full and Lite are those of mbjax.models.dstformer.DSTformerConfig (a test compares them); sample
# is that of the weights in the package, mbjax.load("tiny").
SIZES = {
    "mb": {"dim_feat": 512, "mlp_ratio": 2},
    "mb_lite": {"dim_feat": 256, "mlp_ratio": 4},
    "sample": {"dim_feat": 96, "dim_rep": 96, "depth": 2, "num_heads": 4, "maxlen": 81},
}


def encoder(size: str, **changes) -> ConfigDict:
    """The section `model`: 'mb' (Full), 'mb_lite' (Lite) or 'sample', with changes."""
    model = ConfigDict(
        {
            "dim_in": 3,  # 2: without confidence
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
            "remat_keep": "",  # of a recomputed level, kept: sublayer, qkv, attention, fc1
            "scan_levels": False,  # the levels as a loop of the program: compiles faster
            "attention": "auto",  # its form: mbjax/models/attention.py
        }
    )
    model.update(SIZES[size], **changes)
    return model


def known(variant: str, variants: tuple[str, ...], file: str) -> str:
    """The variant; ValueError, with those that there are, for another."""
    if variant not in variants:
        raise ValueError(f"configs/{file} has no variant {variant!r}; it has {variants}")
    return variant


def passes(config: ConfigDict, order: tuple[str, ...], epochs: int, batch_size: int) -> None:
    """What a run goes through: passes over the sources of one epoch, in this order."""
    config.pass_order = order
    config.order = "sequential"  # or 'interleaved'
    config.epochs = epochs
    config.batch_size = batch_size  # of the whole run, over all devices
    config.accumulate = 1  # in how many pieces a device computes its part of a batch
    config.feed_threads = 4


def adamw(config: ConfigDict, decay: float = 0.99, **rates: float) -> None:
    """AdamW as the release has it; rates: learning_rate, or one for the backbone and the head."""
    config.update(rates)
    config.rate_decay_per_epoch = decay
    config.weight_decay = 0.01
    config.warmup_steps = 0
    config.cosine = False
    config.clip_norm = 0.0


def run(config: ConfigDict, log_every: str, keep: int) -> None:
    """How often a run logs, saves and evaluates, and how many checkpoints it keeps."""
    # Durations: '500 steps', '1 epoch', '5 %', '' for never.
    config.log_every = log_every
    config.save_every = "1 epoch"
    config.evaluate_every = "1 epoch"
    config.keep_checkpoints = keep
    config.fsdp = 1  # devices that share one copy of the parameters


def pose_loss(**more: float) -> ConfigDict:
    """Weights of the loss terms of mbjax.pose.losses, 0 for those that are left out."""
    weights = {
        "joint": 1.0, "scale": 0.5, "velocity": 20.0, "limb_variance": 0.0, "limb_length": 0.0,
        "angle": 0.0, "angle_velocity": 0.0,
    }  # fmt: skip
    return ConfigDict({**weights, **more})


def ramp(config: ConfigDict) -> None:
    """Shares of the run between which two losses go from these weights to their own (and, in
    pretraining, corruption from none to full). ramp_end 0: all at their own from the start."""
    config.ramp_begin = 0.0
    config.ramp_end = 0.0
    config.ramp_from = ConfigDict({"velocity": 1.0, "scale": 0.0})


def recordings(config: ConfigDict) -> None:
    """Of the tasks on labelled recordings: how a recording becomes a clip; the pretrained encoder.

    partial_train: only parameters whose names begin so train ('head' freezes the encoder).
    """
    config.init = ""  # a pretrained checkpoint; '' for none (--init sets it)
    config.partial_train = ()
    config.score_order = "joints"  # 'coco' for released checkpoints, and data prepared so
    config.persons = 2  # 1, for recordings of one person each, takes half the time
    config.random_move = True
    config.train_ratio_low, config.train_ratio_high, config.test_ratio = 1.0, 3.0, 2.0
    config.steps_per_epoch = 0  # 0: one pass over the recordings


def sample_recordings(config: ConfigDict) -> None:
    """The tiny encoder on the sample's gestures of one person, a minute or two on two cores."""
    config.model = encoder("sample")
    config.head.hidden = 256
    config.frames, config.persons = 18, 1
    # As large as the encoder saw persons when it was pretrained.
    config.train_ratio_low, config.train_ratio_high, config.test_ratio = 1.0, 1.5, 1.25
    config.learning_rate_backbone = 5e-4
    config.steps_per_epoch, config.batch_size, config.evaluation.batch_size = 20, 16, 50
    config.rate_decay_per_epoch, config.cosine, config.warmup_steps = 1.0, True, 10
    config.log_every, config.save_every, config.evaluate_every = "20 steps", "50 %", ""
    config.feed_threads = 2
