"""3D pose from detected 2D: fine-tuning a pretrained encoder, or training from scratch.

    mbjax finetune pose3d --config configs/pose3d.py:finetune --init runs/mb --workdir runs/p \\
        --config.sources.h36m.dir=data/h36m --config.evaluation.dir=data/h36m
    mbjax evaluate pose3d --config configs/pose3d.py:finetune --checkpoint runs/p \\
        --config.evaluation.dir=data/h36m

Variants: `finetune` and `scratch` (Full, root-relative), `global` (Full) and `global_lite` (Lite),
fine-tuned with the path of the root kept, all with the release's values; `sample` and
`sample_scratch`, small, on the sample motion seen by four cameras through a detector's errors.
A source whose `dir` is empty is left out.

What to expect on Human3.6M: MPJPE 39.2 mm from scratch; 37.5 mm fine-tuned in the paper, 37.2 mm
in the release. Backbone frozen (--config.partial_train="('head',)"): 40.3 mm in the paper.
"""

from ml_collections import ConfigDict

from configs import common

VARIANTS = ("scratch", "finetune", "global", "global_lite", "sample", "sample_scratch")


def _source(**changes):
    """One source of pairs of 2D and 3D.

    dir: a dataset folder; frames: rows are cut to so many (0: the records' length), frame_step
    apart; steps_per_epoch: 0 for one pass over the records.
    """
    source = ConfigDict(
        {"dir": "", "split": "train", "frames": 0, "frame_step": 1, "steps_per_epoch": 0}
    )
    source.update(changes)
    return source


def get_config(variant: str = "finetune") -> ConfigDict:
    common.known(variant, VARIANTS, "pose3d.py")
    config = ConfigDict()
    config.task = "pose3d"
    config.seed = 0

    config.init = ""  # the pretrained checkpoint, --init
    config.from_pretrained = variant not in ("scratch", "sample_scratch")  # then init is needed
    # Names of the sub-trees that train, such as ('head',) or ('head', 'blocks_st.4'); () for all.
    config.partial_train = ()

    lite = variant == "global_lite"
    config.model = common.encoder("mb_lite" if lite else "mb")

    epochs = 120 if variant == "scratch" else 60
    order = ("h36m", "mpi_inf_3dhp", "pairs", "sample")
    common.passes(config, order, epochs, batch_size=32)
    config.sources = ConfigDict({name: _source() for name in order})

    config.gt_2d = False  # the true x, y as input instead of the detected, confidence 1
    config.mirror = True  # half of the clips mirrored
    config.root_relative = variant not in ("global", "global_lite")
    config.loss = common.pose_loss()
    common.ramp(config)
    rate = 2e-4 if variant == "scratch" else 5e-4 if lite else 3e-4
    common.adamw(config, learning_rate=rate)
    common.run(config, log_every="50 steps", keep=3)

    # Without a folder there is no evaluation.
    config.evaluation = ConfigDict(
        {
            "dir": "",
            "split": "test",
            "frames": 0,  # windows of so many frames; 0: the records' length
            "frame_step": 1,  # apart; for a network trained at a lower frame rate
            # every_frame; or reference: the release's rule, which leaves the ends of recordings out
            "clips": "every_frame",
            "flip": True,  # the mean of the clip's prediction and its mirror image's
            # factor: the records' 2.5d_factor; camera: root-relative camera millimetres, at the
            # scale that brings the records' pose nearest to them, frame by frame
            "millimetres": "factor",
            "batch_size": 64,
        }
    )

    if variant in ("sample", "sample_scratch"):
        _sample(config, scratch=variant == "sample_scratch")
    return config


def _sample(config, scratch):
    """The sizes of mbjax.load('tiny'), minutes on two cores."""
    config.model = common.encoder("sample")
    config.sources.sample.update(dir="sample:pairs", frames=27, steps_per_epoch=20)
    config.epochs = 15
    config.batch_size, config.feed_threads = 8, 2
    config.learning_rate, config.rate_decay_per_epoch = 1e-3 if scratch else 3e-4, 1.0
    config.warmup_steps, config.cosine, config.clip_norm = 20, True, 1.0
    if scratch:  # so small a network stays at small poses otherwise
        config.ramp_begin, config.ramp_end = 0.3, 0.6
    config.log_every, config.save_every, config.evaluate_every = "10 steps", "20 %", "10 %"
    config.evaluation.update(dir="sample:pairs", frames=27, batch_size=64)
