"""Pictures of a dataset's clips: histograms of the joints, and skeletons at a few moments.

Shapes in names: N frames of all clips, T frames of one, J = 17 joints.
"""

import pathlib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from mbjax.atomic_files import written_beside
from mbjax.pose import skeleton

_DRAWN = 6  # clips
_MOMENTS = 4  # frames of each


def draw(folder: pathlib.Path, split: str, field: str, clips, records) -> list[pathlib.Path]:
    """Two pictures of a split: its joints' histograms, and some clips as skeletons; their paths.

    field: keypoints or pose; clips: arrays (T, J, 3) of it; records: what they are of.
    """
    folder.mkdir(parents=True, exist_ok=True)
    histograms = folder / f"{split}.{field}.histograms.png"
    sheet = folder / f"{split}.{field}.clips.png"
    return [
        _draw_histograms(histograms, field, np.concatenate(clips)),
        _draw_clips(sheet, field, clips, records),
    ]


def _draw_histograms(path, field, all_NxJx3):
    channels = ("x", "y", "confidence" if field == "keypoints" else "z")
    figure, axes = plt.subplots(3, 6, figsize=(18, 8))
    for joint, axis in enumerate(axes.flat):
        if joint >= skeleton.NUM_JOINTS:
            axis.axis("off")
            axis.legend(*axes.flat[0].get_legend_handles_labels(), loc="center")
            break
        values = all_NxJx3[:, joint]
        if field == "keypoints":
            values = values[values[:, 2] > 0]
        for channel, name in enumerate(channels):
            axis.hist(values[:, channel], bins=60, histtype="step", density=True, label=name)
        axis.set_title(skeleton.JOINTS[joint])
        axis.set_yticks([])
    figure.subplots_adjust(0.02, 0.04, 0.99, 0.95, wspace=0.08, hspace=0.3)
    return _saved(figure, path, 60)


def _draw_clips(path, field, clips, records):
    """Rows are clips, columns moments; of 3D motion from the front and from the side."""
    chosen = np.unique(np.linspace(0, len(clips) - 1, _DRAWN).astype(int))
    views = ((0, 1),) if field == "keypoints" else ((0, 1), (2, 1))
    columns = _MOMENTS * len(views)
    figure, axes = plt.subplots(
        len(chosen), columns, figsize=(2.6 * columns, 2.8 * len(chosen)), squeeze=False,
    )  # fmt: skip
    for row, number in zip(axes, chosen, strict=True):
        clip = clips[number]
        moments = np.linspace(0, len(clip) - 1, _MOMENTS).astype(int)
        places = [(moment, view) for view in views for moment in moments]
        for axis, (moment, view) in zip(row, places, strict=True):
            _draw_skeleton(axis, clip[moment], view, seen_only=field == "keypoints")
            axis.set_title(f"frame {moment}, {'xyz'[view[0]]}{'xyz'[view[1]]}", fontsize=8)
            # One frame of axes for the whole clip, so that its motion is seen.
            for low, high, limit, sign in _limits(clip, view):
                (axis.set_xlim if limit == 0 else axis.set_ylim)(*(low, high)[::sign])
            axis.set_aspect("equal", adjustable="box")
        record = records[number]
        name = f"{record.get('source', '')} {record.get('first_frame', '')}"
        row[0].set_ylabel(name[-30:], fontsize=8)
    figure.suptitle("left blue, right red; y grows downwards")
    # By hand: laying so many axes out takes matplotlib longer than drawing them.
    figure.subplots_adjust(0.04, 0.03, 0.99, 0.94, wspace=0.2, hspace=0.25)
    return _saved(figure, path, 50)


def _saved(figure, path, dpi):
    with written_beside(path) as beside:
        figure.savefig(beside, dpi=dpi)
    plt.close(figure)
    return path


def _limits(clip_TxJx3, view):
    """(low, high, which axis, direction): a square round the clip, y growing downwards."""
    values = clip_TxJx3[clip_TxJx3.any(axis=-1)][:, list(view)]
    if not len(values):
        return
    low, high = values.min(axis=0), values.max(axis=0)
    centre, half = (low + high) / 2, max(float((high - low).max()) / 2, 1e-6) * 1.05
    for axis, sign in ((0, 1), (1, -1)):
        yield centre[axis] - half, centre[axis] + half, axis, sign


def _draw_skeleton(axis, pose_Jx3, view, seen_only):
    for (start, end), colour in zip(skeleton.LIMBS, skeleton.LIMB_COLOURS, strict=True):
        if seen_only and not (pose_Jx3[start, 2] and pose_Jx3[end, 2]):
            continue
        across, down = pose_Jx3[[start, end]][:, list(view)].T
        axis.plot(across, down, color=colour, linewidth=1.5)
    axis.tick_params(labelsize=6)
