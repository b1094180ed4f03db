"""Curves of runs beside each other: training, evaluation, and where the time went."""

import pathlib
from collections.abc import Mapping, Sequence

from matplotlib import pyplot

from mbjax.pictures.skeletons import save

# Of the task's evaluations the first that a run has; others by their order in the log.
_BEST_KNOWN = ("error_mm", "mpjpe_mm", "mpjpe", "top_1", "mpve")
_COLOURS = {
    "training": "#2a9d5c", "lost": "#c0392b", "away": "#7f8c8d", "compiling": "#e6a23c",
    "starting": "#f2cf63", "restoring": "#b58bd6", "saving": "#4a90d9", "evaluating": "#7ed0c8",
    "waiting": "#d35f9f",
}  # fmt: skip


def draw(
    runs: Mapping[str, Sequence[dict]], spent: Mapping[str, Mapping[str, float]], path: pathlib.Path
) -> None:
    """runs: the lines of each one's log. spent: seconds by what they were spent on."""
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(15, 4), layout="constrained")
    for number, (name, rows) in enumerate(runs.items()):
        _training(left, name, rows, f"C{number}")
    left.set(xlabel="step", ylabel="in training", yscale="log")
    metric = next((found for rows in runs.values() if (found := _metric(rows))), "")
    for number, (name, rows) in enumerate(runs.items()):
        points = [(r["step"], r[metric]) for r in rows if r["kind"] == "evaluate" and metric in r]
        if points:
            middle.plot(*zip(*points, strict=True), label=name, color=f"C{number}", marker=".")
    middle.set(xlabel="step", ylabel=metric or "not evaluated")
    _bars(right, spent)
    for axes in (left, middle):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    save(path, lambda beside: figure.savefig(beside, dpi=110))
    pyplot.close(figure)


def _training(axes, name, rows, colour):
    series: dict[str, list] = {}
    for row in rows:
        for term, value in row.items():
            if row["kind"] == "train" and term.endswith(("/joint", "/joint_2d", "/loss")):
                series.setdefault(term, []).append((row["step"], value))
    # Not the whole loss where there is a joint error: its weights change while a run ramps them in.
    terms = [term for term in series if not term.endswith("/loss")] or list(series)
    for term, style in zip(terms, ("-", "--", ":", "-."), strict=False):
        points = zip(*series[term], strict=True)
        axes.plot(*points, style, color=colour, linewidth=1, label=f"{name} {term}")


def _metric(rows) -> str:
    names = next((list(row) for row in reversed(rows) if row["kind"] == "evaluate"), [])
    known = [name for name in _BEST_KNOWN if name in names]
    return next(iter([*known, *(n for n in names if n not in ("kind", "step"))]), "")


def _bars(axes, spent):
    for place, (_, seconds) in enumerate(spent.items()):
        left, total = 0.0, sum(seconds.values()) or 1.0
        for kind, colour in _COLOURS.items():
            share = 100 * seconds.get(kind, 0.0) / total
            label = kind if place == 0 else None
            axes.barh(place, share, left=left, color=colour, label=label)
            left += share
    axes.set(xlabel="share of the time (%)", xlim=(0, 100), yticks=range(len(spent)))
    axes.set_yticklabels(list(spent), fontsize=8)
    axes.invert_yaxis()
    if spent:
        axes.legend(fontsize=7, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.15))
