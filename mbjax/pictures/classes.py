"""Pictures of classifications: a confusion matrix, and classes along a recording.

Files are written beside their place and moved there.
"""

import pathlib
from collections.abc import Sequence

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot

from mbjax.atomic_files import written_beside

# Names and counts in the fields of a larger matrix could not be read.
_READABLE = 30


def confusion(confusion_KxK: np.ndarray, classes: Sequence[str], path: pathlib.Path) -> None:
    """True classes in rows, each row's shares as colour; counts where they can be read."""
    counts = np.asarray(confusion_KxK)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    K = len(classes)
    side = 4 + 0.28 * min(K, 60)
    figure, axes = pyplot.subplots(figsize=(side + 1, side), layout="constrained")
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    every = max(1, -(-K // 60))
    ticks = np.arange(0, K, every)
    names = [classes[k] for k in ticks]
    axes.set_xticks(ticks, names, rotation=90, fontsize=8)
    axes.set_yticks(ticks, names, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true")
    if K <= _READABLE:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.6 else "black"
            axes.text(
                column, row, counts[row, column], ha="center", va="center", color=colour, fontsize=7
            )
    right = np.trace(counts) / max(counts.sum(), 1)
    axes.set_title(f"{counts.sum()} recordings, {100 * right:.1f} % right", fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.7, label="share of the true class")
    with written_beside(path) as beside:
        figure.savefig(beside, dpi=110)
    pyplot.close(figure)


def timeline(
    spans_Wx2: np.ndarray,
    scores_WxK: np.ndarray,
    classes: Sequence[str],
    path: pathlib.Path,
    unit: str,
    title: str,
    score: str,
) -> None:
    """What each window of a recording is: a row for each of the classes that score best.

    spans: begin and end of the windows in `unit` ('s' or 'frames'). scores: 0 to 1 of each class,
    named `score`. Windows overlap: where they do, the mean is shown.
    """
    best = np.argsort(-scores_WxK.max(axis=0), kind="stable")[: min(8, len(classes))]
    edges = np.unique(spans_Wx2)
    middles = (edges[:-1] + edges[1:]) / 2
    inside_WxE = (spans_Wx2[:, :1] <= middles) & (middles < spans_Wx2[:, 1:])
    mean_ExK = inside_WxE.T.astype(float) @ scores_WxK[:, best]
    mean_ExK /= np.maximum(inside_WxE.sum(axis=0), 1)[:, None]
    figure, axes = pyplot.subplots(figsize=(10, 1.5 + 0.35 * len(best)), layout="constrained")
    mesh = axes.pcolormesh(
        edges, np.arange(len(best) + 1), mean_ExK.T, cmap="viridis", vmin=0, vmax=1
    )
    axes.set_yticks(np.arange(len(best)) + 0.5, [classes[k] for k in best], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="seconds" if unit == "s" else "frame")
    axes.set_title(title, fontsize=10)
    figure.colorbar(mesh, ax=axes, label=score)
    with written_beside(path) as beside:
        figure.savefig(beside, dpi=110)
    pyplot.close(figure)
