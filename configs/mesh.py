"""Human mesh recovery: SMPL's pose and shape from 2D clips (paper, section 4.4).

    mbjax prepare mesh_pw3d --raw RAW --out data/mesh_pw3d      # and mesh_h36m, mesh_coco
    MBJAX_SMPL=smpl mbjax finetune mesh --config configs/mesh.py:pw3d --init runs/mb \\
        --workdir runs/mesh_pw3d --config.sources.h36m.dir=data/mesh_h36m \\
        --config.sources.coco.dir=data/mesh_coco --config.sources.pw3d.dir=data/mesh_pw3d
    MBJAX_SMPL=smpl mbjax evaluate mesh --config configs/mesh.py:pw3d --checkpoint runs/mesh_pw3d \\
        --config.sources.pw3d.dir=data/mesh_pw3d

Variants, with the release's values: `h36m` and `pw3d` fine-tune a pretrained encoder (--init),
`h36m_scratch` and `pw3d_scratch` start from nothing; `refine_hybrik` refines the mesh of an image
method (datasets prepared with --initial). `sample` and `sample_refine` are small, for the
sample motion on the synthetic body (`mbjax sample-mesh`), with the encoder `--init tiny`.

What to expect (paper, table 3, and the release): Human3.6M fine-tuned MPVE 65.5, MPJPE 54.1,
PA-MPJPE 34.8 mm; 3DPW 88.1, 76.9, 47.2; refined HybrIK on 3DPW 79.4, 68.8, 40.6.

Measured, on the sample motion with the synthetic body (one person; trained on recording 01_03,
tested on 688 frames of 01_01 by 8 cameras, clean 2D, flip-averaged, root-relative; mm,
acceleration mm per frame^2; 404 steps of 16 clips are 5 minutes of processor time on an AMD EPYC
with other work):

                                        MPVE  MPJPE (14)  PA-MPJPE (14)  MPJPE (17)  acceleration
    sample, 404 steps                   77.0        85.3           68.3        78.1           8.3
    the mean pose of the test frames   200.6
    the same, turned as the truth is    71.5
    sample_refine, 120 steps            67.3        76.7           55.6        70.2          17.6
    the estimate that it is given      119.2       139.4          100.6       125.6         115.2

The network has to find the orientation itself: it is 62 % below the mean pose, and not yet below
one that has the true orientation. 404 steps are few, and theta's norm in the release's loss pulls
poses towards rest. The estimate is the truth with noise of about 0.2 rad on every joint
(--config.sources.own.steps_per_epoch=120).
"""

from ml_collections import ConfigDict

from configs import common

VARIANTS = (
    "h36m", "h36m_scratch", "pw3d", "pw3d_scratch", "refine_hybrik", "sample", "sample_refine",
)  # fmt: skip


def _source(**changes):
    """One dataset.

    dir: its folder, '' to leave it out; split: for training, test_split: for evaluation, '' for
    none; train: whether it is trained on; batch_size: 0 for the run's; until_epoch: the first epoch
    without it, 0 for none; steps_per_epoch: 0 for one pass over its clips.
    """
    source = ConfigDict(
        {
            "dir": "",
            "split": "train",
            "test_split": "test",
            "train": True,
            "batch_size": 0,
            "from_epoch": 0,
            "until_epoch": 0,
            "steps_per_epoch": 0,
        }
    )
    source.update(changes)
    return source


def get_config(variant: str = "pw3d") -> ConfigDict:
    common.known(variant, VARIANTS, "mesh.py")
    scratch, refine = variant.endswith("_scratch"), "refine" in variant
    config = ConfigDict()
    config.task = "mesh"
    config.seed = 0
    config.init = ""  # a pretrained checkpoint; the option --init
    # Parts that train ('head', 'backbone.blocks_st.4' ...), () for all.
    config.partial_train = ()
    # SMPL's folder, 'synthetic', or '' for what the variable MBJAX_SMPL says.
    config.body = ""

    config.model = common.encoder("mb")
    config.kind = "mesh_refine" if refine else "mesh"
    config.head = ConfigDict({"hidden": 1024, "dropout": 0.1})
    if refine:
        # 'rows' is the release's; 'columns' keeps the initial pose where the update is zero, but
        # the release's code would read such a checkpoint wrongly.
        config.head = ConfigDict({"hidden": 512, "dropout": 0.5, "initial_6d": "rows"})

    # The order within an epoch. Clips of 16 frames, 8 apart, as prepared; COCO has single frames.
    common.passes(
        config,
        ("h36m", "coco", "pw3d"),
        epochs=100 if variant == "h36m_scratch" else 60,
        batch_size=64 if refine else 128,
    )
    on_pw3d = not variant.startswith("h36m")
    config.sources = ConfigDict(
        {
            "h36m": _source(until_epoch=20 if on_pw3d else 0),
            "coco": _source(train=on_pw3d, batch_size=512, test_split=""),
            "pw3d": _source(train=on_pw3d),
        }
    )
    config.mirror = True  # each clip with probability one half

    # Joints in mm; pose: rotation matrices; shape: coefficients; norm: of theta.
    config.loss = common.pose_loss(joint=0.5, scale=0.0, velocity=10.0)
    config.loss.update(pose=1000.0, shape=1.0, norm=20.0)
    rates = (1e-4, 1e-4) if scratch else (5e-5, 5e-4)
    common.adamw(config, 0.98, learning_rate_backbone=rates[0], learning_rate_head=rates[1])
    common.run(config, log_every="50 steps", keep=3)

    config.evaluation = ConfigDict(
        {
            "flip": True,  # the mean of theta, vertices and joints with the mirrored input's
            "batch_size": 64,
            "best": "pw3d" if on_pw3d else "h36m",  # by whose MPJPE a checkpoint is the best
        }
    )
    if variant.startswith("sample"):
        _sample(config)
    return config


def _sample(config):
    """Small enough for two cores and a few minutes; the encoder of mbjax.load('tiny')."""
    config.body = "synthetic"
    config.model = common.encoder("sample")
    config.head.update(hidden=128)
    config.pass_order = ("own",)
    config.sources = ConfigDict({"own": _source()})
    config.epochs, config.batch_size, config.feed_threads = 2, 16, 2
    config.learning_rate_backbone, config.learning_rate_head = 1e-3, 2e-3
    config.rate_decay_per_epoch, config.cosine, config.warmup_steps = 1.0, True, 50
    config.log_every, config.save_every, config.evaluate_every = "20 steps", "25 %", "1 epoch"
    config.evaluation.update(best="own", batch_size=32)
    if config.kind == "mesh_refine":
        config.head.update(dropout=0.1, initial_6d="columns")
        config.epochs = 1
