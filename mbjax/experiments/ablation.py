"""Runs the paper's ablations (`mbjax ablate SUITE`), on the sample corpus or on real ones.

An arm is at most one pretraining and one training for a task, mostly 3D pose; each is an
ordinary run in a work folder of its own, so an interrupted suite continues and finished arms are
not run again.
"""

import json
from collections import Counter
from collections.abc import Callable

from mbjax import tasks
from mbjax.atomic_files import written_beside
from mbjax.data.action.recordings import Recordings
from mbjax.experiments import ablation_report
from mbjax.experiments.ablation_suites import (
    EPOCHS,
    SUITES,
    Corpora,
    pretrain_config,
    training_config,
)
from mbjax.storage.places import on_disk
from mbjax.tasks import initial_sizes, pose3d, pretrain
from mbjax.training import loop
from mbjax.training.run_log import read_metrics
from mbjax.training.workdir import claim_workdir

_SAMPLE_ALONE = Corpora()


def within(config, steps: int) -> None:
    """Cuts a run to about `steps` steps; sources keep their shares and the curriculum its place."""
    config.warmup_steps = min(config.warmup_steps, steps // 4)
    config.evaluate_every, config.save_every, config.log_every = "", "50 %", "5 %"
    if "sources" not in config:  # recordings, of which an epoch is as long as it is said to be
        config.epochs, config.steps_per_epoch = EPOCHS, max(1, round(steps / EPOCHS))
        return
    sources = [source for source in config.sources.values() if source.dir]
    switches = [round(EPOCHS * source.get("from_epoch", 0) / config.epochs) for source in sources]
    shares = [source.steps_per_epoch or 1 for source in sources]
    total = sum(share * (EPOCHS - switch) for share, switch in zip(shares, switches, strict=True))
    for source, share, switch in zip(sources, shares, switches, strict=True):
        source.steps_per_epoch = max(1, round(steps * share / total))
        if "from_epoch" in source:
            source.from_epoch = switch
    config.epochs = EPOCHS


def run(
    suite_name: str, budget: int, workdir, seeds: int = 1, arms=(), init: str = "",
    corpora: Corpora = _SAMPLE_ALONE, finetune_budget: int = 0,
    say: Callable[[str], None] = lambda text: None,
) -> list[dict]:  # fmt: skip
    """Runs a suite's arms that are not done yet, and writes its table and plot.

    budget: steps of each training; with a pretraining of its own, an arm's fine-tuning gets
    finetune_budget, a quarter by default. arms: only these. init: the pretrained checkpoint of the
    suites that start from one. Returns a row for each arm. ValueError, in one line, for names and
    numbers that make no sense.
    """
    if suite_name not in SUITES:
        raise ValueError(f"no suite named {suite_name!r}; there are: {', '.join(SUITES)}")
    suite = SUITES[suite_name]
    unknown = [arm for arm in arms if arm not in suite.arms]
    if unknown:
        raise ValueError(f"{suite_name} has no arm {unknown[0]!r}; it has: {', '.join(suite.arms)}")
    if budget < EPOCHS or seeds < 1:
        raise ValueError(f"budget {budget}, seeds {seeds}: at least {EPOCHS} steps and one seed")
    corpora.check(suite_name)
    if suite.needs_init and not init:
        if corpora.real:
            raise ValueError(f"{suite_name} starts from a pretrained encoder: give --init")
        init = "tiny"
    check_labels({name: suite.arms[name] for name in arms or suite.arms}, corpora)
    workdir = on_disk(workdir, "work folder")
    rows = []
    for name in arms or suite.arms:
        arm = suite.arms[name]
        found: list[dict] = []
        before: dict[str, float] = {}  # error of each pretraining, by checkpoint
        steps = (finetune_budget or max(EPOCHS, budget // 4)) if suite.pretrains else budget
        of_arm = training_config(suite_name, arm, corpora)
        if suite.needs_init:  # what starts from scratch has the sizes of the pretrained one
            of_arm.init = init
            initial_sizes.take(of_arm, ())
        for seed in range(seeds):
            config = of_arm.copy_and_resolve_references()
            config.seed, config.init = seed, init if not arm.variant else ""
            if arm.pretrain is not None:
                # On real corpora one pretraining does for all seeds: it is what costs.
                own = pretrain_config(arm, corpora, config.model, 0 if corpora.real else seed)
                config.init, error = _pretrain(suite, name, own, config, budget, workdir, say)
                if error is not None:
                    before[config.init] = error
            within(config, steps)
            if suite.curves:
                config.evaluate_every = "25 %"
            found.append(_train(suite, config, workdir / f"{name}-seed{seed}", say))
        rows.append(ablation_report.row(name, arm, suite, found, list(before.values())))
        ablation_report.write(workdir, suite_name, suite, rows, corpora, budget, seeds)
    return rows


def check_labels(arms: dict, corpora: Corpora) -> None:
    """ValueError where a class has fewer recordings than an arm says it trains on."""
    wanted = {name: arm.changes.get("examples_per_class", 0) for name, arm in arms.items()}
    if not any(wanted.values()):
        return
    counts = Counter(Recordings.open(corpora.actions, "train").labels_N)
    fewest, label = min((count, str(label)) for label, count in counts.items())
    short = [name for name, labels in wanted.items() if labels > fewest]
    if short:
        raise ValueError(
            f"{corpora.actions} (train) has {fewest} recording(s) of {label}, too few for the "
            f"arms {', '.join(short)}; choose others by --arms"
        )


def _train(suite, config, folder, say) -> dict:
    if (folder / "result.json").exists():
        claim_workdir(folder, config)  # another budget's result is not this one's
        return json.loads((folder / "result.json").read_text())
    say(f"--- {folder.name}")
    result = loop.run(config, tasks.find(suite.task).make_task, folder)
    first, *_ = suite.quantities
    curve = {r["step"]: r[first.name] for r in read_metrics(folder) if r["kind"] == "evaluate"}
    found = {quantity.name: result.metrics[quantity.name] for quantity in suite.quantities}
    found["steps"] = list(curve)
    found[ablation_report.curve_key(suite)] = list(curve.values())
    with written_beside(folder / "result.json") as beside:
        beside.write_text(json.dumps(found))
    return found


def _pretrain(suite, name, config, pose, budget, workdir, say) -> tuple[str, float | None]:
    """(the checkpoint, its error before fine-tuning or None)."""
    folder = workdir / f"pretrain-{name}{f'-seed{config.seed}' if config.seed else ''}"
    within(config, budget)
    done = folder / "result.json"
    if done.exists():
        claim_workdir(folder, config)
        return str(folder), json.loads(done.read_text()).get("mpjpe_mm")
    say(f"--- {folder.name}")
    loop.run(config, pretrain.make_task, folder)
    found = {}
    if suite.pretrained_too:
        found = {"mpjpe_mm": pose3d.evaluate_checkpoint(pose, folder).metrics["mpjpe_mm"]}
    with written_beside(done) as beside:
        beside.write_text(json.dumps(found))
    return str(folder), found.get("mpjpe_mm")
