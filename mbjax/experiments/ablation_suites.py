"""The arms of `mbjax ablate` (what the paper compares) and `mbjax recipes`, and their configs."""

import dataclasses
import statistics

SAMPLE = "the sample corpus: one person's 60 seconds in one room, two recordings"
EPOCHS = 20  # so many parts has a run; the curriculum's switch and the decay go by them


@dataclasses.dataclass(frozen=True)
class Arm:
    """label: for people. paper: its figure there, of the first quantity, where it is printed.

    changes: of the training's config. pretrain: of the pretraining's, or None for no pretraining of
    its own. variant: of the training's config, '' for the suite's usual one. with_2d: whether 2D
    clips join in pretraining.
    """

    label: str
    paper: float | None = None
    changes: dict = dataclasses.field(default_factory=dict)
    pretrain: dict | None = None
    variant: str = ""
    with_2d: bool = False


@dataclasses.dataclass(frozen=True)
class Quantity:
    """What is measured. name: the evaluation's; head: of its column; factor: for printing it."""

    name: str
    head: str
    unit: str = "mm"
    factor: float = 1.0


_POSE = (Quantity("mpjpe_mm", "P1 MPJPE"), Quantity("p_mpjpe_mm", "P2 P-MPJPE"))
_ACTION = (Quantity("top_1", "top-1", "%", 100.0), Quantity("macro_f1", "macro F1", "%", 100.0))
_MESH = (
    Quantity("own_mpve", "MPVE"), Quantity("own_mpjpe", "MPJPE"),
    Quantity("own_pa_mpjpe", "PA-MPJPE"),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Suite:
    """title: what is compared, and where in the paper. needs_init: whether arms start from --init.

    axis: a number for each arm where they lie on a line. pretrained_too: whether the pretrained
    network is measured before fine-tuning as well. curves: whether errors on the way are wanted.
    task: what is trained. quantities: the first is drawn. paper_of: the paper's first quantity.
    """

    title: str
    arms: dict[str, Arm]
    task: str = "pose3d"
    quantities: tuple[Quantity, ...] = _POSE
    paper_of: str = "MPJPE, mm (Human3.6M)"
    needs_init: bool = False
    axis: dict | None = None
    pretrained_too: bool = False
    curves: bool = False

    @property
    def pretrains(self) -> bool:
        """Whether arms have a pretraining of their own."""
        return any(arm.pretrain is not None for arm in self.arms.values())


_ARCHITECTURE = {
    "a": ("S-T", 40.3), "b": ("T-S", 41.2), "c": ("S + T", 41.8), "d": ("ST-MHSA", 41.5),
    "e": ("S-T + T-S, average", 39.6), "f": ("S-T + T-S, adaptive", 39.2),
    "g": ("f, less deep", 39.7), "h": ("f, deeper", 40.4), "i": ("f, fewer heads", 39.6),
    "j": ("f, more heads", 39.5), "k": ("f, half the channels", 40.4),
}  # fmt: skip
_CLEAN = {"noise": False, "mask_joints": 0.0, "mask_frames": 0.0}
_RATIOS = (0, 15, 30, 45, 60, 75)


def _masked(percent):
    """Two thirds of the masks are of whole frames (paper, appendix A.2)."""
    share = percent / 100
    return {"mask_frames": share * 2 / 3, "mask_joints": share / 3}


_LABELS = (1, 5, 20)  # of each class


def _few_labels():
    """Pretrained beside from scratch, by numbers of labels. From scratch at the paper's rate."""
    scratch = {"learning_rate_backbone": 1e-3}
    return {
        f"{name}-{labels}": Arm(
            f"{label}, {labels} of each class",
            changes={"examples_per_class": labels, **(scratch if variant else {})},
            variant=variant,
        )
        for labels in _LABELS
        for name, label, variant in (
            ("scratch", "from scratch", "scratch"), ("pretrained", "pretrained", "")
        )
    }  # fmt: skip


SUITES = {
    "finetune": Suite(
        "pretrained against from scratch, the same steps (figure 3)",
        {
            "scratch": Arm("from scratch", 39.2, variant="scratch"),
            "pretrained": Arm("pretrained, fine-tuned", 37.5),
        },
        needs_init=True,
        curves=True,
    ),
    "frozen": Suite(
        "a frozen backbone, the head alone trains (table 5)",
        {
            "random": Arm("random backbone, frozen", 404.4, {"partial_train": ("head",)},
                          variant="scratch"),
            "pretrained": Arm("pretrained backbone, frozen", 40.3, {"partial_train": ("head",)}),
            "whole": Arm("pretrained, all trained", 37.5),
        },
        needs_init=True,
    ),
    "architecture": Suite(
        "structure and size of the encoder, from scratch (table 6)",
        {row: Arm(label, paper, variant=row) for row, (label, paper) in _ARCHITECTURE.items()},
    ),
    "pretraining": Suite(
        "what pretraining is made of, one thing after another (table 4)",
        {
            "none": Arm("no pretraining", 39.2, variant="scratch"),
            "plain": Arm("pretrained on clean 2D", 38.8, pretrain=_CLEAN),
            "noise": Arm("+ noise", 38.1, pretrain=_masked(0)),
            "mask": Arm("+ masks", 37.4, pretrain={}),
            "2d": Arm("+ 2D data", 37.5, pretrain={}, with_2d=True),
        },
        pretrained_too=True,
    ),
    "mask": Suite(
        "share of the input that is masked in pretraining (figure 4, which prints no numbers)",
        {f"{p}": Arm(f"{p} % masked", pretrain=_masked(p)) for p in _RATIOS},
        axis={f"{p}": p for p in _RATIOS},
        pretrained_too=True,
    ),
    "actions": Suite(
        "action recognition from few labels, pretrained against from scratch",
        _few_labels(),
        task="action",
        quantities=_ACTION,
        paper_of="",
        needs_init=True,
    ),
    "mesh": Suite(
        "mesh recovery, pretrained against from scratch, the same steps (table 3)",
        {
            "scratch": Arm("from scratch", 76.7, variant="scratch"),
            "pretrained": Arm("pretrained, fine-tuned", 65.5),
        },
        task="mesh",
        quantities=_MESH,
        paper_of="MPVE, mm (Human3.6M)",
        needs_init=True,
    ),
}  # fmt: skip


# Changes of the release's recipe of pretraining, each alone, then those of the modern one together.
_SCHEDULE = {"learning_rate": 1e-3, "rate_decay_per_epoch": 1.0, "cosine": True, "clip_norm": 1.0,
             "warmup_steps": 100}  # fmt: skip
_RAMP = {"ramp_begin": 0.4, "ramp_end": 0.6}
_CHANGES: dict[str, dict] = {
    "release": {},
    "no noise": {"noise": False},
    "no masks": {"mask_joints": 0.0, "mask_frames": 0.0},
    "clean": {"noise": False, "mask_joints": 0.0, "mask_frames": 0.0},
    "near": {"augment.near": 2.5, "augment.far": 15.0},
    "yaw": {"augment.yaw": 180.0},
    "pitch": {"augment.pitch": 25.0},
    "bones": {"augment.bone_std": 0.08},
    "scale": {"augment.scale_low": 0.5, "augment.scale_high": 1.0},
    "schedule": _SCHEDULE,
    "ramp": _RAMP,
    "muon": {"optimizer": "muon"},
}
RECIPES: dict[str, dict] = {
    **_CHANGES,
    "modern": {
        name: value
        for arm in ("near", "yaw", "pitch", "bones", "scale", "schedule", "ramp")
        for name, value in _CHANGES[arm].items()
    },
}
RECIPES["modern, muon"] = {**RECIPES["modern"], "optimizer": "muon"}
RECIPES["modern, muon, limb swaps"] = {**RECIPES["modern, muon"], "augment.limb_swap": 0.3}
_BEST = {**RECIPES["modern, muon, limb swaps"], "learning_rate": 3e-3}
RECIPES["modern, muon, limb swaps, 3e-3"] = _BEST
RECIPES["parts"] = {**_BEST, "augment.part_std": 0.2}
# A detector's mistakes, each on top of the best as well.
_MISTAKES = {
    "sides swapped": {"mistakes.swap_sides": 0.2},
    "limbs hidden": {"mistakes.hide_limbs": 0.1},
    "spans hidden": {"mistakes.hide_spans": 0.2},
}
RECIPES.update({name: {**_BEST, **changes} for name, changes in _MISTAKES.items()})
RECIPES["all mistakes"] = {
    **_BEST, **{name: share for arm in _MISTAKES.values() for name, share in arm.items()},
}  # fmt: skip


# By the task of a suite that has one: the corpus that it needs, and what that is.
_OWN_CORPUS = {
    "action": ("actions", "recordings with splits train and test (mbjax prepare actions)"),
    "mesh": ("meshes", "bodies with splits train and test (mbjax sample-mesh, then mbjax prepare "
             "mesh_own)"),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Corpora:
    """Folders of prepared corpora; without h36m, the sample corpus.

    motion: prepared 3D motion of several people instead: its split train pretrains (and trains the
    arms of `architecture`), the sample's person is what is labelled, its split test is the test.
    actions, meshes: what the suites of these names train and test on, and no other.
    """

    h36m: str = ""
    amass: str = ""
    posetrack: str = ""
    instavariety: str = ""
    motion: str = ""
    actions: str = ""
    meshes: str = ""

    @property
    def real(self) -> bool:
        return bool(self.h36m)

    @property
    def given(self) -> list[str]:
        return [field.name for field in dataclasses.fields(self) if getattr(self, field.name)]

    def check(self, suite_name: str) -> None:
        """ValueError where a suite lacks what it needs, or was given what it does not take."""
        for name, where in _OWN_CORPUS.items():
            if SUITES[suite_name].task == name and not getattr(self, where[0]):
                raise ValueError(f"the suite {suite_name} needs --{where[0]} DIR: {where[1]}")
        own = _OWN_CORPUS.get(SUITES[suite_name].task, ("",))[0]
        if own and self.given != [own]:
            others = " and ".join(f"--{name}" for name in self.given if name != own)
            raise ValueError(f"the suite {suite_name} takes --{own} alone, not {others}")
        for name, _ in _OWN_CORPUS.values():
            if name != own and name in self.given:
                raise ValueError(f"the suite {suite_name} does not take --{name}")
        if self.motion and len(self.given) > 1:
            raise ValueError("--motion DIR stands alone: its splits train and test")
        if self.given and not (own or self.real or self.motion):
            raise ValueError(
                "real corpora need --h36m DIR as well: it is what all arms are tested on"
            )

    @property
    def name(self) -> str:
        if self.actions or self.meshes:
            return self.actions or self.meshes
        return "Human3.6M" if self.real else "strangers" if self.motion else "sample corpus"

    def describe(self) -> str:
        if self.motion:
            return f"people and activities that did not train (split test of {self.motion})"
        if self.actions or self.meshes:
            return f"split test of {self.name}"
        if not self.real:
            return SAMPLE
        return "prepared corpora: " + ", ".join(self.given)


def spread(values) -> tuple[float, float]:
    """(mean, standard deviation over seeds, 0 for one)."""
    values = [float(value) for value in values]
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


# --- configs of an arm ------------------------------------------------------------------------


def training_config(suite_name: str, arm: Arm, corpora: Corpora):
    """Of an arm's training for the suite's task."""
    task = SUITES[suite_name].task
    if task == "pose3d":
        return _pose_config(suite_name, arm, corpora)
    from mbjax import configuration

    config = configuration.load(f"configs/{task}.py:sample", [])
    if task == "action":
        config.data.update(dir=corpora.actions, split="train")
        config.evaluation.split = "test"
        config.num_classes = 0
    else:
        config.sources.own.dir = corpora.meshes
    config.update(arm.changes)
    return config


def _pose_config(suite_name, arm, corpora):
    from mbjax import configuration

    if suite_name == "architecture":
        name = arm.variant if corpora.real else f"sample_{arm.variant}"
        config = configuration.load(f"configs/ablation.py:{name}", [])
    else:
        usual = "finetune" if corpora.real else "sample"
        scratch = "scratch" if corpora.real else "sample_scratch"
        variant = scratch if arm.variant == "scratch" else usual
        config = configuration.load(f"configs/pose3d.py:{variant}", [])
        if not corpora.real and not SUITES[suite_name].needs_init:
            from configs import ablation

            ablation.shrink(config)
    if corpora.real:
        config.sources.h36m.dir = config.evaluation.dir = corpora.h36m
    if corpora.motion:
        config.evaluation.dir = f"pairs:{corpora.motion}"
        trains = corpora.motion if suite_name == "architecture" else "sample:motion3d"
        config.sources.sample.dir = f"pairs:{trains}"
    config.update(arm.changes)
    return config


def pretrain_config(arm: Arm, corpora: Corpora, model, seed: int = 0):
    """The network is the pose config's."""
    from mbjax import configuration

    variant = "mb" if corpora.real else "quickstart" if corpora.motion else "tiny"
    config = configuration.load(f"configs/pretrain.py:{variant}", [])
    if corpora.real:
        for name in ("amass", "h36m", "posetrack", "instavariety"):
            config.sources[name].dir = getattr(corpora, name)
    elif corpora.motion:
        config.sources.motion.dir = corpora.motion
        people = configuration.load("configs/pretrain.py:tiny_people", [])
        config.augment.update(people.augment)
    else:
        config.batch_size = 24
    config.seed = seed
    config.model.update(model)
    config.evaluation.dir = ""  # what counts is the error after fine-tuning
    flat = [source for source in config.sources.values() if source.kind == "2d"]
    if not arm.with_2d:
        for source in flat:
            source.dir = ""
    elif not any(source.dir for source in flat):
        raise ValueError(f"the arm {arm.label!r} needs --posetrack or --instavariety")
    config.update(arm.pretrain)
    return config
