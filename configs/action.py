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

Measured, `sample`: 20 classes, one of four limbs making one of five gestures, by bodies of other
bone lengths and over another recording than in training. Top-1 in %, chance 5 %; mean, standard
deviation and the single values of three seeds, 40 steps of 16 clips (two cores of an AMD EPYC, 30
to 50 s of processor time each):

    examples of each class   --init tiny                        from scratch
     1                       11.1 +- 1.0 (11.7, 10.0, 11.7)     11.0 +- 3.3 (11.2, 7.5, 14.2)
     5                       28.2 +- 2.8 (25.8, 27.5, 31.2)     20.0 +- 0.8 (20.8, 20.0, 19.2)
    20                       29.7 +- 4.6 (30.0, 25.0, 34.2)     18.9 +- 2.8 (15.8, 21.2, 19.6)

    python -m data_prep.sample.sample_actions --out RAW
    mbjax prepare ntu120 --raw RAW --out data/gestures
    mbjax finetune action --config configs/action.py:sample --config.data.dir=data/gestures \\
        --config.examples_per_class=5 --config.seed=0 --init tiny --workdir runs/tiny-5-0

From scratch with --config.learning_rate_backbone=1e-3, the paper's. 40 steps pass 1.6 times over 20
examples of each class, so that these score hardly above 5; with frames=27 and epochs=5 5 examples
give 36.7 % (top-5 76.3 %; one run). From one example pretraining gains nothing beyond the spread:
the 20 clips are learned by heart within 40 steps (99 % in training), with the encoder frozen too
(11.3 % on the test, one run). All of this is one person's motion: it shows that the parts work.
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
