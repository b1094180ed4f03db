"""`mbjax ablate SUITE`: the paper's ablations, arm by arm, on the sample corpus or on real ones.

An arm is at most one pretraining and one training for 3D pose; each is an ordinary run in a work
folder of its own, so an interrupted suite continues and finished arms are not run again.
"""

import dataclasses
import json
import pathlib

import numpy as np

from mbjax.atomic_files import written_beside

SAMPLE = "the sample corpus: one person's 60 seconds in one room, two recordings"
_EPOCHS = 20  # so many parts has a run; the curriculum's switch and the decay go by them


@dataclasses.dataclass(frozen=True)
class Arm:
    """label: for people. paper: its MPJPE on Human3.6M in mm, where it is printed.

    pose: changes of the pose config. pretrain: changes of the pretraining's, or
    None for no pretraining of its own. variant: of the pose config, '' for the suite's usual one.
    with_2d: whether 2D clips join in pretraining.
    """

    label: str
    paper: float | None = None
    pose: dict = dataclasses.field(default_factory=dict)
    pretrain: dict | None = None
    variant: str = ""
    with_2d: bool = False


@dataclasses.dataclass(frozen=True)
class Suite:
    """title: what is compared, and where in the paper. needs_init: whether arms start from --init.

    axis: a number for each arm where they lie on a line. pretrained_too: whether the pretrained
    network is measured before fine-tuning as well. curves: whether errors on the way are wanted.
    """

    title: str
    arms: dict[str, Arm]
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
    ),
    "mask": Suite(
        "share of the input that is masked in pretraining (figure 4, which prints no numbers)",
        {f"{p}": Arm(f"{p} % masked", pretrain=_masked(p)) for p in _RATIOS},
        axis={f"{p}": p for p in _RATIOS},
        pretrained_too=True,
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Corpora:
    """Folders of prepared corpora; without h36m, the sample corpus."""

    h36m: str = ""
    amass: str = ""
    posetrack: str = ""
    instavariety: str = ""

    @property
    def real(self) -> bool:
        return bool(self.h36m)

    def describe(self) -> str:
        if not self.real:
            return SAMPLE
        given = [f.name for f in dataclasses.fields(self) if getattr(self, f.name)]
        return "prepared corpora: " + ", ".join(given)


# --- configs of an arm ------------------------------------------------------------------------


def pose_config(suite_name: str, arm: Arm, corpora: Corpora):
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
    config.update(arm.pose)
    return config


def pretrain_config(arm: Arm, corpora: Corpora, model):
    """The network is the pose config's."""
    from mbjax import configuration

    config = configuration.load(f"configs/pretrain.py:{'mb' if corpora.real else 'tiny'}", [])
    if corpora.real:
        for name in ("amass", "h36m", "posetrack", "instavariety"):
            config.sources[name].dir = getattr(corpora, name)
    else:
        config.batch_size = 24
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


def within(config, steps: int) -> None:
    """Cuts a run to about `steps` steps; sources keep their shares and the curriculum its place."""
    sources = [source for source in config.sources.values() if source.dir]
    switches = [round(_EPOCHS * source.get("from_epoch", 0) / config.epochs) for source in sources]
    shares = [source.steps_per_epoch or 1 for source in sources]
    total = sum(share * (_EPOCHS - switch) for share, switch in zip(shares, switches, strict=True))
    for source, share, switch in zip(sources, shares, switches, strict=True):
        source.steps_per_epoch = max(1, round(steps * share / total))
        if "from_epoch" in source:
            source.from_epoch = switch
    config.epochs = _EPOCHS
    config.warmup_steps = min(config.warmup_steps, steps // 4)
    config.evaluate_every, config.save_every, config.log_every = "", "50 %", "5 %"


# --- running ----------------------------------------------------------------------------------


def run(
    suite_name: str, budget: int, workdir, seeds: int = 1, arms=(), init: str = "",
    corpora: Corpora = Corpora(), finetune_budget: int = 0,
) -> list[dict]:  # fmt: skip
    """Runs a suite's arms that are not done yet, and writes its table and plot.

    budget: steps of each training; with a pretraining of its own, an arm's fine-tuning gets
    finetune_budget, a quarter by default. arms: only these. init: the pretrained checkpoint of the
    suites that start from one. Returns a row for each arm. ValueError, in one line, for names and
    numbers that make no sense.
    """
    from mbjax.experiments import ablation_report

    if suite_name not in SUITES:
        raise ValueError(f"no suite named {suite_name!r}; there are: {', '.join(SUITES)}")
    suite = SUITES[suite_name]
    unknown = [arm for arm in arms if arm not in suite.arms]
    if unknown:
        raise ValueError(f"{suite_name} has no arm {unknown[0]!r}; it has: {', '.join(suite.arms)}")
    if budget < _EPOCHS or seeds < 1:
        raise ValueError(f"budget {budget}, seeds {seeds}: at least {_EPOCHS} steps and one seed")
    if suite.needs_init and not init:
        if corpora.real:
            raise ValueError(f"{suite_name} starts from a pretrained encoder: give --init")
        init = "tiny"
    workdir = pathlib.Path(workdir).expanduser()
    rows = []
    for name in arms or suite.arms:
        arm = suite.arms[name]
        found = []
        own_init, before = init if not arm.variant else "", None
        steps = (finetune_budget or max(_EPOCHS, budget // 4)) if suite.pretrains else budget
        if arm.pretrain is not None:
            own_init, before = _pretrain(suite_name, suite, arm, name, budget, workdir, corpora)
        for seed in range(seeds):
            config = pose_config(suite_name, arm, corpora)
            config.seed, config.init = seed, own_init
            within(config, steps)
            if suite.curves:
                config.evaluate_every = "25 %"
            found.append(_pose_run(config, workdir / f"{name}-seed{seed}"))
        rows.append(ablation_report.row(name, arm, found, before))
        ablation_report.write(workdir, suite_name, suite, rows, corpora, budget, seeds)
    return rows


def _pose_run(config, folder) -> dict:
    from mbjax.tasks.pose3d import task as pose3d
    from mbjax.training import loop
    from mbjax.training.run_log import read_metrics
    from mbjax.training.workdir import claim_workdir

    if (folder / "result.json").exists():
        claim_workdir(folder, config)  # another budget's result is not this one's
        return json.loads((folder / "result.json").read_text())
    print(f"--- {folder.name}", flush=True)
    result = loop.run(config, pose3d.make_task, folder)
    curve = {r["step"]: r["mpjpe_mm"] for r in read_metrics(folder) if r["kind"] == "evaluate"}
    found = {
        "mpjpe_mm": result.metrics["mpjpe_mm"],
        "p_mpjpe_mm": result.metrics["p_mpjpe_mm"],
        "steps": list(curve),
        "curve_mm": list(curve.values()),
    }
    with written_beside(folder / "result.json") as beside:
        beside.write_text(json.dumps(found))
    return found


def _pretrain(suite_name, suite, arm, name, budget, workdir, corpora):
    """(the checkpoint, its error before fine-tuning or None)."""
    from mbjax.tasks.pose3d import task as pose3d
    from mbjax.tasks.pretrain import task as pretrain
    from mbjax.training import loop
    from mbjax.training.workdir import claim_workdir

    pose = pose_config(suite_name, arm, corpora)
    folder = workdir / f"pretrain-{name}"
    config = pretrain_config(arm, corpora, pose.model)
    within(config, budget)
    done = folder / "result.json"
    if done.exists():
        claim_workdir(folder, config)
        return str(folder), json.loads(done.read_text()).get("mpjpe_mm")
    print(f"--- {folder.name}", flush=True)
    loop.run(config, pretrain.make_task, folder)
    found = {}
    if suite.pretrained_too:
        found = {"mpjpe_mm": pose3d.evaluate_checkpoint(pose, folder).metrics["mpjpe_mm"]}
    with written_beside(done) as beside:
        beside.write_text(json.dumps(found))
    return str(folder), found.get("mpjpe_mm")


def spread(values) -> tuple[float, float]:
    """(mean, standard deviation over seeds, 0 for one)."""
    values = np.asarray(values, float)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0


# --- command ----------------------------------------------------------------------------------


def add(command) -> None:
    """Its arguments; `command` is cli.py's."""
    sub = command("ablate", _main, "the paper's ablations, on the sample corpus or on real ones")
    sub.add_argument("suite", help=", ".join(SUITES))
    sub.add_argument("--budget", type=int, required=True, help="steps of each training")
    sub.add_argument(
        "--finetune-budget", type=int, default=0,
        help="steps of fine-tuning after an arm's own pretraining (a quarter of the budget)",
    )  # fmt: skip
    sub.add_argument("--workdir", default="", help="folder (ablation/SUITE)")
    sub.add_argument("--seeds", type=int, default=1, help="runs of each arm (%(default)s)")
    sub.add_argument("--arms", default="", help="only these, by commas")
    sub.add_argument("--init", default="", help="the pretrained checkpoint (the sample's: tiny)")
    for field in dataclasses.fields(Corpora):
        sub.add_argument(f"--{field.name}", default="", metavar="DIR", help="a prepared corpus")


def _main(args):
    corpora = Corpora(*(getattr(args, field.name) for field in dataclasses.fields(Corpora)))
    if not corpora.real and any(dataclasses.astuple(corpora)):
        raise ValueError("real corpora need --h36m DIR as well: it is what all arms are tested on")
    arms = tuple(arm for arm in args.arms.split(",") if arm)
    workdir = pathlib.Path(args.workdir or f"ablation/{args.suite}")
    run(args.suite, args.budget, workdir, args.seeds, arms, args.init, corpora,
        args.finetune_budget)  # fmt: skip
    print((workdir.expanduser() / "table.md").read_text())
    print(f"in {workdir}/: table.md, table.csv, table.json, plot.png")
