"""Pretraining of the motion encoder: 3D from corrupted 2D.

    mbjax pretrain --config configs/pretrain.py:mb_lite --workdir runs/mb_lite \\
        --config.sources.amass.dir=data/amass --config.sources.h36m.dir=data/h36m \\
        --config.sources.posetrack.dir=data/posetrack \\
        --config.sources.instavariety.dir=data/instavariety

Variants: `mb` (Full, 42.5 M parameters) and `mb_lite` (Lite, 16.0 M), with the release's values;
`tiny`, which `mbjax quickstart` runs on the sample corpus in the package, and `tiny_long`, the
longer run of the same kind whose weights are `mbjax.load("tiny")`.

A source whose `dir` is empty is left out. What to expect: the release reports no figure for
pretraining itself; fine-tuned on Human3.6M its Full model reaches an MPJPE of 37.2 mm.
"""

from ml_collections import ConfigDict

VARIANTS = ("mb", "mb_lite", "tiny", "tiny_long")


def _source(kind, noise, **changes):
    """One source of clips.

    dir: a dataset folder; frames: rows are cut to so many (None: the records' length), frame_step
    apart; from_epoch: when it joins; noise: whether the 2D is clean and gets a detector's noise;
    steps_per_epoch: 0 for one pass over the records; batch_size: 0 for the run's.
    """
    source = ConfigDict(
        {
            "dir": "",
            "split": "train",
            "kind": kind,
            "frames": 0,
            "frame_step": 1,
            "noise": noise,
            "from_epoch": 0,
            "steps_per_epoch": 0,
            "batch_size": 0,
        }
    )
    source.update(changes)
    return source


def get_config(variant: str = "mb_lite") -> ConfigDict:
    if variant not in VARIANTS:
        raise ValueError(f"configs/pretrain.py has no variant {variant!r}; it has {VARIANTS}")
    config = ConfigDict()
    config.seed = 0

    config.model = ConfigDict(
        {
            "dim_in": 3,
            "dim_out": 3,
            "dim_feat": 256 if variant == "mb_lite" else 512,
            "dim_rep": 512,
            "depth": 5,
            "num_heads": 8,
            "mlp_ratio": 4 if variant == "mb_lite" else 2,
            "num_joints": 17,
            "maxlen": 243,
            "structure": "st+ts",
            "fusion": "adaptive",
            "dtype": "float32",
            "remat": False,
            "attention": "auto",  # its form: mbjax/models/attention.py
        }
    )

    # Passes of one epoch in this order; a source joins at its from_epoch.
    config.pass_order = ("posetrack", "instavariety", "amass", "h36m")
    config.order = "sequential"  # or 'interleaved'
    config.sources = ConfigDict(
        {
            "amass": _source("3d", noise=True),
            "h36m": _source("3d", noise=True),
            "posetrack": _source("2d", noise=True, from_epoch=30),
            "instavariety": _source("2d", noise=False, from_epoch=30),
        }
    )
    config.epochs = 90
    config.batch_size = 64  # of the whole run, over all devices
    config.accumulate = 1
    config.feed_threads = 4

    # Changes of 3D clips before they are projected. yaw, pitch: half ranges in degrees.
    config.augment = ConfigDict(
        {
            "mirror": True,
            "bone_std": 0.0,
            "yaw": 0.0,
            "pitch": 0.0,
            "scale_low": 0.0,
            "scale_high": 0.0,  # 0: the clip's own scale
        }
    )
    # Corruption: the table of 2D detection noise ('' for the release's), shares that are masked.
    config.noise = True
    config.noise_table = ""
    config.mask_joints = 0.05
    config.mask_frames = 0.10

    config.root_relative = True
    config.loss = ConfigDict(
        {
            "joint": 1.0,
            "scale": 0.5,
            "velocity": 20.0,
            "limb_variance": 0.0,
            "limb_length": 0.0,
            "angle": 0.0,
            "angle_velocity": 0.0,
        }
    )
    # Shares of the run between which corruption goes from none to full, and the weights of two
    # losses from these to their own. ramp_end 0: all full from the start.
    config.ramp_begin = 0.0
    config.ramp_end = 0.0
    config.ramp_from = ConfigDict({"velocity": 1.0, "scale": 0.0})

    config.learning_rate = 5e-4
    config.rate_decay_per_epoch = 0.99
    config.weight_decay = 0.01
    config.warmup_steps = 0
    config.cosine = False
    config.clip_norm = 0.0

    # Durations: '500 steps', '1 epoch', '5 %', '' for never.
    config.log_every = "50 steps"
    config.save_every = "1 epoch"
    config.evaluate_every = "1 epoch"
    config.keep_checkpoints = 3

    # Held-out 3D motion; without a folder there is no evaluation.
    config.evaluation = ConfigDict(
        {
            "dir": "",
            "split": "test",
            "frames": 243,
            "frame_step": 1,
            "yaws": (0.0,),
            "pitches": (0.0,),
            "flip": True,  # the mean of the clip's prediction and its mirror image's
            "batch_size": 64,
        }
    )
    config.fsdp = 1  # devices that share one copy of the parameters

    if variant in ("tiny", "tiny_long"):
        _tiny(config)
    if variant == "tiny_long":
        _tiny_long(config)
    return config


def _tiny(config):
    """Small enough for two cores and ten minutes, on the sample corpus in the package."""
    config.model.update(
        dim_feat=64, dim_rep=64, depth=2, num_heads=4, mlp_ratio=2, maxlen=27
    )
    sample = "sample:"
    config.pass_order = ("annotated", "detected", "motion")
    config.sources = ConfigDict(
        {
            "motion": _source(
                "3d", noise=True, dir=sample + "motion3d", frames=9, frame_step=8,
                steps_per_epoch=20,
            ),
            "annotated": _source(
                "2d", noise=True, dir=sample + "annotated2d", frames=9, frame_step=3,
                from_epoch=60, steps_per_epoch=2,
            ),
            "detected": _source(
                "2d", noise=False, dir=sample + "detected2d", frames=9, frame_step=8,
                from_epoch=60, steps_per_epoch=2,
            ),
        }
    )  # fmt: skip
    config.order = "interleaved"
    config.epochs = 100
    config.batch_size = 48
    config.feed_threads = 2
    config.augment.update(bone_std=0.05, yaw=180.0, pitch=20.0, scale_low=0.5, scale_high=1.0)
    config.ramp_begin, config.ramp_end = 0.5, 0.8
    config.learning_rate, config.rate_decay_per_epoch = 1e-3, 1.0
    config.warmup_steps, config.cosine, config.clip_norm = 100, True, 1.0
    config.log_every, config.save_every, config.evaluate_every = "25 steps", "10 %", "20 %"
    config.evaluation.update(
        dir=sample + "motion3d", frames=9, frame_step=8,
        yaws=tuple(float(yaw) for yaw in range(0, 360, 45)), pitches=(10.0,), batch_size=192,
    )  # fmt: skip


def _tiny_long(config):
    """Wider, longer, and in the end on windows of 27 frames at 30 fps, as it is used."""
    config.model.update(dim_feat=96, dim_rep=96, maxlen=81)
    config.pass_order = ("annotated", "detected", "motion", "motion_30fps")
    config.sources.motion_30fps = _source(
        "3d", noise=True, dir=config.sources.motion.dir, frames=27, frame_step=2,
        from_epoch=15, steps_per_epoch=60, batch_size=16,
    )  # fmt: skip
    config.sources.motion.steps_per_epoch = 100
    for name in ("annotated", "detected"):
        config.sources[name].update(steps_per_epoch=5, batch_size=24, from_epoch=20)
    config.sources.detected.update(frames=27, frame_step=2)
    config.epochs = 30
    config.warmup_steps = 200
    config.ramp_begin, config.ramp_end = 0.4, 0.7
    config.log_every, config.save_every, config.evaluate_every = "100 steps", "5 %", "10 %"
    config.evaluation.update(frames=27, frame_step=2, batch_size=64)
