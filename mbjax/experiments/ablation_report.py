"""The table and the plot of a suite of `mbjax ablate`, beside the paper's numbers."""

import csv
import json
import pathlib

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot

from mbjax.atomic_files import written_beside
from mbjax.experiments.ablation_suites import Arm, Corpora, Suite, spread

_TASKS = {"pose3d": "3D pose", "action": "action recognition", "mesh": "mesh recovery"}


def curve_key(suite: Suite) -> str:
    """What a run's first quantity on the way is named in table.json."""
    return "curve_mm" if suite.quantities[0].unit == "mm" else "curve"


def row(name: str, arm: Arm, suite: Suite, found: list[dict], before: list[float]) -> dict:
    """What is known of an arm. found: of each seed; before: of each pretraining, if measured."""
    result = {"arm": name, "label": arm.label}
    for quantity in suite.quantities:
        of_seeds = [one[quantity.name] * quantity.factor for one in found]
        result[quantity.name], result[f"{quantity.name}_std"] = spread(of_seeds)
    if before:
        result["before_finetuning_mm"], deviation = spread(before)
        if len(before) > 1:  # one pretraining for all seeds has no spread
            result["before_finetuning_mm_std"] = deviation
    result["paper_mm"] = arm.paper
    result["runs"] = found
    return result


def write(workdir, name: str, suite: Suite, rows, corpora: Corpora, budget, seeds) -> None:
    """table.md, table.csv, table.json and plot.png of the arms that are done."""
    workdir = pathlib.Path(workdir)
    ours, task = corpora.name, _TASKS[suite.task]
    caveat = ", under this budget."
    if not suite.paper_of:
        caveat = "."
    elif not corpora.real:
        caveat = (
            ". The paper's are of Human3.6M after full training: do not compare the figures, "
            "compare the order of the arms."
        )
    about = [
        f"{name}: {suite.title}.",
        f"Figures here are of {corpora.describe()}{caveat}",
        f"{rows[0]['runs'][0]['steps'][-1]} steps of training for {task}"
        + (f" after about {budget} of pretraining" if suite.pretrains else "")
        + f", {seeds} seed(s).",
    ]
    first, *others = suite.quantities
    head = ["arm", "", f"{first.head}, {first.unit} ({ours})"]
    head += [f"{quantity.head}, {quantity.unit}" for quantity in others]
    head += [f"paper: {suite.paper_of}"] if suite.paper_of else []
    if suite.pretrained_too:
        head.insert(2, "before fine-tuning, mm")
    body = []
    for one in rows:
        cells = [one["arm"], one["label"]]
        if suite.pretrained_too:
            cells.append(_with_spread(one, "before_finetuning_mm", seeds))
        cells += [_with_spread(one, quantity.name, seeds) for quantity in suite.quantities]
        body.append([*cells, _number(one["paper_mm"])] if suite.paper_of else cells)
    lines = [*about, "", "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join(cells) + " |" for cells in body]
    with written_beside(workdir / "table.md") as beside:
        beside.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with written_beside(workdir / "table.csv") as beside, beside.open("w", newline="") as file:
        csv.writer(file).writerows([head, *body])
    with written_beside(workdir / "table.json") as beside:
        beside.write_text(json.dumps({"about": about, "rows": rows}, indent=1))
    with written_beside(workdir / "plot.png") as beside:
        _plot(beside, suite, rows, ours)


def _number(value):
    return "-" if value is None else f"{value:.1f}"


def _with_spread(one, quantity, seeds):
    text, deviation = _number(one.get(quantity)), one.get(f"{quantity}_std")
    return text if seeds == 1 or deviation is None else f"{text} ± {deviation:.1f}"


def _plot(path, suite, rows, ours):
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    if suite.curves:
        _curves(axes, rows)
    elif suite.axis:
        _line(axes, suite, rows)
    else:
        _bars(axes, suite, rows, ours)
    axes.set_title(f"{suite.title}; {ours}", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _curves(axes, rows):
    """Error against the step; the band is from the best seed to the worst."""
    for one in rows:
        steps = one["runs"][0]["steps"]
        errors = np.array([run["curve_mm"] for run in one["runs"]])
        (line,) = axes.plot(steps, errors.mean(0), marker=".", label=one["label"])
        axes.fill_between(steps, errors.min(0), errors.max(0), alpha=0.2, color=line.get_color())
    axes.set(xlabel="step", ylabel="MPJPE, mm", ylim=(0, None))


def _line(axes, suite, rows):
    places = [suite.axis[one["arm"]] for one in rows]
    axes.errorbar(
        places, [one["mpjpe_mm"] for one in rows], [one["mpjpe_mm_std"] for one in rows],
        marker="o", label="fine-tuned",
    )  # fmt: skip
    before = [one.get("before_finetuning_mm") for one in rows]
    if None not in before:
        axes.plot(places, before, marker="s", label="pretrained, not fine-tuned")
    axes.set(xlabel="masked, %", ylabel="MPJPE, mm", ylim=(0, None))


def _bars(axes, suite, rows, ours):
    places, first = np.arange(len(rows)), suite.quantities[0]
    values = [one[first.name] for one in rows]
    spreads = [one[f"{first.name}_std"] for one in rows]
    paper = [one["paper_mm"] or 0 for one in rows]
    axes.bar(places - 0.2 * bool(suite.paper_of), values, 0.4, yerr=spreads, label=f"here: {ours}")
    if suite.paper_of:
        axes.bar(places + 0.2, paper, 0.4, label=f"paper: {suite.paper_of}", color="lightgrey")
    axes.set_xticks(places, [one["arm"] for one in rows])
    if len(rows) > 5:
        axes.tick_params(axis="x", labelsize=8)
    highest = np.add(values, spreads)
    axes.set(
        ylabel=f"{first.head.removeprefix('P1 ')}, {first.unit}",
        ylim=(0, 1.25 * max(*highest, *paper)),  # the legend is above the bars
    )
