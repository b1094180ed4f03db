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


def row(name: str, arm: Arm, found: list[dict], before: list[float]) -> dict:
    """What is known of an arm. found: of each seed; before: of each pretraining, if measured."""
    result = {"arm": name, "label": arm.label}
    for quantity in ("mpjpe_mm", "p_mpjpe_mm"):
        result[quantity], result[f"{quantity}_std"] = spread([one[quantity] for one in found])
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
    ours = corpora.name
    caveat = ", under this budget."
    if not corpora.real:
        caveat = (
            ". The paper's are of Human3.6M after full training: do not compare the figures, "
            "compare the order of the arms."
        )
    about = [
        f"{name}: {suite.title}.",
        f"Figures here are of {corpora.describe()}{caveat}",
        f"{rows[0]['runs'][0]['steps'][-1]} steps of training for 3D pose"
        + (f" after about {budget} of pretraining" if suite.pretrains else "")
        + f", {seeds} seed(s).",
    ]
    head = ["arm", "", f"P1 MPJPE, mm ({ours})", "P2 P-MPJPE, mm", "paper: MPJPE, mm (Human3.6M)"]
    if suite.pretrained_too:
        head.insert(2, "before fine-tuning, mm")
    body = []
    for one in rows:
        cells = [one["arm"], one["label"]]
        if suite.pretrained_too:
            cells.append(_with_spread(one, "before_finetuning_mm", seeds))
        cells += [_with_spread(one, quantity, seeds) for quantity in ("mpjpe_mm", "p_mpjpe_mm")]
        body.append([*cells, _number(one["paper_mm"])])
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
        _bars(axes, rows, ours)
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


def _bars(axes, rows, ours):
    places = np.arange(len(rows))
    axes.bar(
        places - 0.2, [one["mpjpe_mm"] for one in rows], 0.4,
        yerr=[one["mpjpe_mm_std"] for one in rows], label=f"here: {ours}",
    )  # fmt: skip
    axes.bar(
        places + 0.2, [one["paper_mm"] or 0 for one in rows], 0.4, label="paper: Human3.6M",
        color="lightgrey",
    )  # fmt: skip
    axes.set_xticks(places, [one["arm"] for one in rows])
    tallest = max(max(one["mpjpe_mm"] + one["mpjpe_mm_std"], one["paper_mm"] or 0) for one in rows)
    axes.set(ylabel="MPJPE, mm", ylim=(0, 1.25 * tallest))  # the legend is above the bars
