"""Candidates for the recipe of pretraining, each alone beside the release's (`mbjax recipes`).

Each is a run of a small network on a folder of motion, and is measured on its people and activities
that did not train it, by eight cameras that stand 4 m away, with noise and masks.
"""

import csv
import json
from collections.abc import Callable, Mapping

from mbjax import configuration
from mbjax.atomic_files import written_beside
from mbjax.experiments.ablation import within
from mbjax.experiments.ablation_suites import EPOCHS, RECIPES, spread
from mbjax.storage.places import on_disk
from mbjax.tasks import pretrain
from mbjax.training import loop
from mbjax.training.workdir import claim_workdir

QUANTITIES = {
    "error_corrupted_mm": "with noise and masks", "error_mistakes_mm": "and a detector's mistakes",
    "error_mm": "clean 2D", "p_mpjpe_mm": "P-MPJPE",
}  # fmt: skip
# What all arms are measured with, whatever they train with.
_MISTAKES = {"swap_sides": 0.2, "hide_limbs": 0.2, "hide_spans": 0.2}


def config_of(arm: str, motion: str, budget: int, seed: int):
    """The run of an arm: the release's recipe for a small network, with the arm's changes."""
    config = configuration.load("configs/pretrain.py:tiny", [])
    release = configuration.load("configs/pretrain.py:mb", [])
    for name in ("augment", "learning_rate", "rate_decay_per_epoch", "warmup_steps", "cosine",
                 "clip_norm", "ramp_begin", "ramp_end"):  # fmt: skip
        config[name] = release[name]
    config.pass_order = ("motion",)
    config.sources = type(config)({"motion": config.sources.motion})
    config.sources.motion.dir = config.evaluation.dir = motion
    config.evaluation.distance = 4.0
    config.evaluation.mistakes.update(_MISTAKES)
    within(config, budget)
    config.seed = seed
    for name, value in RECIPES[arm].items():
        config.update_from_flattened_dict({name: value})
    config.warmup_steps = min(config.warmup_steps, budget // 4)
    return config


def run(
    motion: str, budget: int, workdir, seeds: int = 1, arms=(),
    say: Callable[[str], None] = lambda text: None,
) -> list[dict]:  # fmt: skip
    """Runs the arms that are not done yet and writes table.md, table.csv and table.json: the rows.

    motion: a folder of prepared 3D motion with splits train and test. ValueError for names and
    numbers that make no sense.
    """
    unknown = [arm for arm in arms if arm not in RECIPES]
    if unknown:
        raise ValueError(f"there is no arm {unknown[0]!r}; there are: {'; '.join(RECIPES)}")
    if budget < EPOCHS or seeds < 1:
        raise ValueError(f"budget {budget}, seeds {seeds}: at least {EPOCHS} steps and one seed")
    workdir = on_disk(workdir, "work folder")
    rows = []
    for arm in arms or RECIPES:
        found = []
        for seed in range(seeds):
            folder = workdir / f"{arm.replace(', ', '-').replace(' ', '-')}-seed{seed}"
            found.append(_result(config_of(arm, motion, budget, seed), folder, say))
        row: dict = {"arm": arm, "changes": RECIPES[arm], "runs": found}
        for name in (*QUANTITIES, "flat_mm"):
            row[name], row[f"{name}_std"] = spread([one[name] for one in found])
        rows.append(row)
        _write(workdir, rows, motion, budget, seeds)
    return rows


def _result(config, folder, say) -> Mapping[str, float]:
    done = folder / "result.json"
    if done.exists():
        claim_workdir(folder, config)  # another budget's result is not this one's
        return json.loads(done.read_text())
    say(f"--- {folder.name}")
    found = dict(loop.run(config, pretrain.make_task, folder).metrics)
    with written_beside(done) as beside:
        beside.write_text(json.dumps(found))
    return found


def _write(workdir, rows, motion, budget, seeds):
    about = (
        f"Error in mm on {motion} (split test), root-relative, flip-averaged, after {budget} "
        f"steps; {seeds} seed(s), ± over them. Depth 0 with true x and y: {rows[0]['flat_mm']:.1f}."
    )
    head = ["arm", *QUANTITIES.values()]

    def cell(row, name):
        return f"{row[name]:.1f}" + (f" ± {row[f'{name}_std']:.1f}" if seeds > 1 else "")

    body = [[row["arm"], *(cell(row, name) for name in QUANTITIES)] for row in rows]
    lines = [about, "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in body]
    with written_beside(workdir / "table.md") as beside:
        beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with written_beside(workdir / "table.csv") as beside, beside.open("w", newline="") as file:
        csv.writer(file).writerows([head, *body])
    with written_beside(workdir / "table.json") as beside:
        beside.write_text(json.dumps({"about": about, "rows": rows}, indent=1))
