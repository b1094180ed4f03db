"""Pretraining of the motion encoder: 3D from corrupted 2D.

    mbjax pretrain --config configs/pretrain.py:mb_lite --workdir runs/mb_lite \\
        --config.sources.amass.dir=data/amass --config.sources.h36m.dir=data/h36m \\
        --config.sources.posetrack.dir=data/posetrack \\
        --config.sources.instavariety.dir=data/instavariety

Variants: `mb` (Full, 42.5 M parameters) and `mb_lite` (Lite, 16.0 M), with the release's values;
`modern` and `modern_lite`, the same networks by a recipe that is better at equal steps where it was
measured, on a small network (mbjax/experiments/README.md);
`quickstart`, which `mbjax quickstart` runs on the sample corpus in the package; `tiny`, what it was
before, by AdamW in twice as many steps; `tiny_long`, a longer run of that kind;
and `tiny_people`, on more people, whose weights are `mbjax.load("tiny")` (mbjax/weights/README.md).

A source whose `dir` is empty is left out. What to expect: the release reports no figure for
pretraining itself; fine-tuned on Human3.6M its Full model reaches an MPJPE of 37.2 mm.

Measured on the sample corpus (one person in one room: it shows that the recipe works, not how well
it does on others). Root-relative error in mm on the held-out recording, 8 cameras, flip-averaged.
`tiny` by an earlier `mbjax quickstart`, 8 minutes 6 seconds on two cores of an AMD EPYC, corruption
coming in between 50 and 80 % of the run:

    step                    432     864   1,296   1,728   2,160   true x and y, depth 0
    clean 2D              104.8    69.7    58.0    53.6    52.4   109.9
    with noise and masks  153.5   139.4    71.1    61.9    59.3   109.9

The same since the attention form for CPUs, 8 minutes 15 seconds on two cores of an Intel Xeon with
nothing else running and no compilation kept from before. The first 64 steps of both agree to four
digits; later ones part, as runs do that differ in their last bits:

    clean 2D              114.4    80.4    74.9    59.4    55.5   109.9
    with noise and masks  159.4   144.5    84.4    65.4    61.2   109.9

`quickstart`, by Muon, 5 minutes 1 second on the same cores, corruption between 40 and 70 %:

    step                    207     414     621     828   1,036   true x and y, depth 0
    clean 2D               97.9    49.7    47.1    48.1    46.6   109.9
    with noise and masks  146.1   113.1    59.2    54.5    51.8   109.9

`tiny_long`, 4,000 steps (the first 1,500 under a schedule of 5,700), 27 frames at 30 fps: 40.9 with
clean 2D (P-MPJPE 33.2), 42.9 with noise and masks.
"""

from ml_collections import ConfigDict

from configs import common

VARIANTS = (
    "mb", "mb_lite", "modern", "modern_lite", "quickstart", "tiny", "tiny_long", "tiny_people",
)  # fmt: skip


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


def _mistakes():
    """What a detector gets wrong for up to half of a clip, each with this probability.

    swap_sides: both arms, or both legs, with left for right; hide_limbs: an arm or a leg not seen;
    hide_spans: nobody seen.
    """
    return ConfigDict({"swap_sides": 0.0, "hide_limbs": 0.0, "hide_spans": 0.0})


def get_config(variant: str = "mb_lite") -> ConfigDict:
    common.known(variant, VARIANTS, "pretrain.py")
    config = ConfigDict()
    config.task = "pretrain"
    config.seed = 0

    config.model = common.encoder("mb_lite" if variant.endswith("_lite") else "mb")

    # A source joins the passes at its from_epoch.
    order = ("posetrack", "instavariety", "amass", "h36m")
    common.passes(config, order, epochs=90, batch_size=64)
    config.sources = ConfigDict(
        {
            "amass": _source("3d", noise=True),
            "h36m": _source("3d", noise=True),
            "posetrack": _source("2d", noise=True, from_epoch=30),
            "instavariety": _source("2d", noise=False, from_epoch=30),
        }
    )

    # Changes of 3D clips before they are projected. bone_std, part_std: of the logarithms of the
    # lengths of bones, and of parts as a whole (hips, legs, trunk, head, shoulders, arms).
    # limb_swap: the share of arms and legs that move as those of another clip. yaw, pitch: half
    # ranges in degrees; near, far: of the camera, in metres.
    config.augment = ConfigDict(
        {
            "mirror": True,
            "bone_std": 0.0,
            "part_std": 0.0,
            "limb_swap": 0.0,
            "yaw": 0.0,
            "pitch": 0.0,
            "scale_low": 0.0,
            "scale_high": 0.0,  # 0: the clip's own scale
            "near": 0.0,
            "far": 0.0,  # 0: seen from afar, as the release does
        }
    )
    # Corruption: the table of 2D detection noise ('' for the release's), shares that are masked.
    config.noise = True
    config.noise_table = ""
    config.mask_joints = 0.05
    config.mask_frames = 0.10
    config.mistakes = _mistakes()

    config.root_relative = True
    config.loss = common.pose_loss()
    common.ramp(config)
    common.adamw(config, learning_rate=5e-4)
    config.optimizer = "adamw"  # or 'muon', of matrices (NAdamW of the rest)
    common.run(config, log_every="50 steps", keep=3)

    # Held-out 3D motion; without a folder there is no evaluation.
    config.evaluation = ConfigDict(
        {
            "dir": "",
            "split": "test",
            "frames": 243,
            "frame_step": 1,
            "yaws": (0.0,),
            "pitches": (0.0,),
            "distance": 0.0,  # of the camera, in metres; 0: far away
            "fill": 0.0,  # of [-1, 1], where training scales clips (augment.scale_high); 0: all
            "mistakes": _mistakes(),  # where any is above 0, error_mistakes_mm is measured too
            "flip": True,  # the mean of the clip's prediction and its mirror image's
            "batch_size": 64,
        }
    )

    if variant.startswith("modern"):
        _modern(config)
    if variant.startswith("tiny"):
        _tiny(config)
    if variant == "quickstart":
        _tiny(config)
        _quickstart(config)
    if variant in ("tiny_long", "tiny_people"):
        _tiny_long(config)
    if variant == "tiny_people":
        _tiny_people(config)
    return config


def _modern(config):
    """Cameras from all sides, schedule and optimizer; measured on a small network alone."""
    config.augment.update(
        yaw=180.0, pitch=25.0, bone_std=0.08, scale_low=0.5, scale_high=1.0, near=2.5, far=15.0
    )
    config.ramp_begin, config.ramp_end = 0.4, 0.6
    config.learning_rate, config.rate_decay_per_epoch = 1e-3, 1.0
    config.warmup_steps, config.cosine, config.clip_norm = 2000, True, 1.0
    config.optimizer = "muon"


def _tiny(config):
    """Small enough for two cores and ten minutes, on the sample corpus in the package."""
    config.model.update(dim_feat=64, dim_rep=64, depth=2, num_heads=4, mlp_ratio=2, maxlen=27)
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


def _quickstart(config):
    """The same by Muon: half as many steps."""
    config.optimizer, config.learning_rate = "muon", 3e-3
    config.epochs = 48
    config.sources.annotated.from_epoch = config.sources.detected.from_epoch = 29
    config.ramp_begin, config.ramp_end = 0.4, 0.7


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


def _tiny_people(config):
    """The same network on several people's motion, seen by cameras that stand near."""
    sample = config.sources.motion.dir

    def of_both(people, rows, **clips):
        return {
            f"{name}_{rows}": _source("3d", noise=True, dir=dir, **clips, **steps)
            for name, dir, steps in (
                ("people", "", people), ("sample", sample, {"steps_per_epoch": 15})
            )
        }  # fmt: skip

    config.sources = ConfigDict(
        {
            **of_both({"steps_per_epoch": 85}, "7fps", frames=9, frame_step=8),
            **of_both(
                {"steps_per_epoch": 85}, "30fps", frames=27, frame_step=2, from_epoch=16,
                batch_size=16,
            ),
        }
    )  # fmt: skip
    config.pass_order = tuple(config.sources)
    config.augment.update(bone_std=0.05, limb_swap=0.3, pitch=25.0, near=2.5, far=15.0)
    config.optimizer, config.learning_rate = "muon", 3e-3
    config.epochs = 32
    config.ramp_begin, config.ramp_end = 0.4, 0.6
    config.evaluation.update(dir="", fill=0.75)  # the middle of what training shows, as lift does
