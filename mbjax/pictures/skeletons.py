"""Pictures of skeletons and of a run's progress.

Shapes in names: T frames, J joints. Files are written beside their place and moved there.
"""

import pathlib

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import animation, pyplot

from mbjax.atomic_files import written_beside
from mbjax.pose.skeleton import LIMB_COLOURS, LIMBS


def curves(rows: list[dict], path: pathlib.Path, title: str = "") -> None:
    """Joint error in training, and on held-out motion beside its baseline, against the step."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    series: dict = {}
    for row in rows:
        for name, value in row.items():
            # Not the whole loss: its weights change while a run ramps them in.
            if row["kind"] == "train" and name.endswith(("/joint", "/joint_2d")):
                series.setdefault(name.partition("/")[0], []).append((row["step"], value))
    for source, points in series.items():
        left.plot(*zip(*points, strict=True), label=source, linewidth=1)
    left.set(xlabel="step", ylabel="training joint error", yscale="log")
    evaluations = [row for row in rows if row["kind"] == "evaluate"]
    labels = {
        "error_mm": "clean 2D", "error_corrupted_mm": "corrupted 2D", "p_mpjpe_mm": "aligned",
        "flat_mm": "depth 0 (baseline)",
    }  # fmt: skip
    for name, label in labels.items():
        points = [(row["step"], row[name]) for row in evaluations if name in row]
        if points:
            style = {"linestyle": "--", "color": "grey"} if name == "flat_mm" else {"marker": "o"}
            right.plot(*zip(*points, strict=True), label=label, **style)
    right.set(xlabel="step", ylabel="error on held-out motion (mm)", ylim=(0, None))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    figure.suptitle(title)
    save(path, lambda beside: figure.savefig(beside, dpi=110))
    pyplot.close(figure)


def animate(
    keypoints_TxJx3: np.ndarray,
    pose_TxJx3: np.ndarray,
    target_TxJx3: np.ndarray | None,
    path: pathlib.Path,
    fps: float,
    caption: str = "",
) -> None:
    """An animated GIF: the 2D input, then prediction and truth in 3D, turning slowly.

    keypoints: x, y in [-1, 1], confidence (0 is left out); pose and target: one unit, camera axes.
    target None: nothing is known but a detector's 2D; the picture is the narrower for it.
    """
    motions = [motion for motion in (pose_TxJx3, target_TxJx3) if motion is not None]
    panels = 1 + len(motions)
    figure = pyplot.figure(figsize=(3.5 * panels, 4), layout="constrained")
    flat = figure.add_subplot(1, panels, 1)
    solid = [figure.add_subplot(1, panels, n, projection="3d") for n in range(2, panels + 1)]
    reach = float(np.abs(np.stack(motions)).max()) * 0.8
    title = "2D input" if target_TxJx3 is None else "2D input (corrupted)"
    flat.set(xlim=(-1.1, 1.1), ylim=(1.1, -1.1), aspect="equal", title=title)
    flat.axis("off")
    lines = [flat.plot([], [], "-o", color=c, markersize=3, linewidth=2)[0] for c in LIMB_COLOURS]
    solids = []
    for axes, title in zip(solid, ("prediction", "truth")[: len(solid)], strict=True):
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach), title=title)
        axes.set_box_aspect((1, 1, 1))
        for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
            axis.set_ticklabels([])
        solids.append([axes.plot([], [], [], color=c, linewidth=2)[0] for c in LIMB_COLOURS])
    figure.suptitle(caption, fontsize=10)

    def frame(t):
        for line, limb in zip(lines, LIMBS, strict=True):
            ends = keypoints_TxJx3[t, list(limb)]
            seen = bool((ends[:, 2] > 0).all())
            line.set_data(ends[:, 0] if seen else [], ends[:, 1] if seen else [])
        for axes, group, motion in zip(solid, solids, motions, strict=True):
            axes.view_init(elev=12, azim=-70 + 60 * np.sin(2 * np.pi * t / len(keypoints_TxJx3)))
            for line, limb in zip(group, LIMBS, strict=True):
                x, y, z = motion[t, list(limb)].T
                line.set_data_3d(x, z, -y)  # matplotlib's z is up, ours is away from the camera

    def movie(beside):
        writer = animation.PillowWriter(fps=fps)
        with writer.saving(figure, beside, figure.dpi):
            for t in range(len(keypoints_TxJx3)):
                frame(t)
                writer.grab_frame()

    # Laid out once, drawn once a frame: FuncAnimation does both twice.
    frame(0)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    save(path, movie)
    pyplot.close(figure)


def poses(
    keypoints_TxJx3, pose_TxJx3, target_TxJx3, path: pathlib.Path, columns: int = 6, title: str = ""
) -> None:
    """A picture of a few frames: 2D input above, prediction over truth from the side below.

    Without a target (None) the last row is left out.
    """
    columns = min(columns, len(pose_TxJx3))
    times = np.linspace(0, len(pose_TxJx3) - 1, columns).round().astype(int)
    known = pose_TxJx3 if target_TxJx3 is None else target_TxJx3
    reach = float(np.abs(known).max()) * 1.1
    rows = [
        ("2D input", keypoints_TxJx3, (0, 1), 1.1),
        ("prediction, from the side", pose_TxJx3, (2, 1), reach),
    ]
    if target_TxJx3 is not None:
        rows.append(("truth, from the side", target_TxJx3, (2, 1), reach))
    figure, axes = pyplot.subplots(
        len(rows), columns, figsize=(max(2.1 * columns, 4), 2.2 * len(rows)), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for row, (label, motion, (across, down), limit) in zip(axes, rows, strict=True):
        for panel, t in zip(row, times, strict=True):
            for limb, colour in zip(LIMBS, LIMB_COLOURS, strict=True):
                ends = motion[t, list(limb)]
                if label != "2D input" or (ends[:, 2] > 0).all():
                    panel.plot(ends[:, across], ends[:, down], color=colour, linewidth=2)
            panel.set(
                xlim=(-limit, limit), ylim=(limit, -limit), aspect="equal", xticks=[], yticks=[]
            )
        row[0].set_ylabel(label)
    for panel, t in zip(axes[0], times, strict=True):
        panel.set_title(f"frame {t}", fontsize=9)
    figure.suptitle(title, fontsize=10)
    save(path, lambda beside: figure.savefig(beside, dpi=110))
    pyplot.close(figure)


def save(path: pathlib.Path, write) -> None:
    with written_beside(path) as beside:
        write(beside)
