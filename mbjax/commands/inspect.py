"""`mbjax inspect DATASET`: what a prepared dataset holds, in numbers and pictures; is it sound?

Made so that a swapped left and right, a wrong axis or a wrong unit is seen at a glance. B clips,
T frames, J = 17 joints, C channels (x, y and depth or confidence), L = 16 limbs.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys

import numpy as np

from mbjax.data.records import DamagedRecord, RecordReader, find_dataset
from mbjax.pose import skeleton

# Statistics of a large split are taken from this many of its records, evenly spread.
_ENOUGH = 4000
_DRAWN = 6  # clips
_MOMENTS = 4  # frames of each


@dataclasses.dataclass
class Found:
    """What inspection found: lines of text for people, pictures, and damage (place and why)."""

    lines: list[str]
    pictures: list[pathlib.Path]
    damage: list[str]


def inspect(directory, out=None, check=False) -> Found:
    """Looks at a dataset directory (DIR/VERSION, or DIR with one dataset in it).

    out: a folder for the pictures; none without. check: every record of every split is read and
    verified (checksum, decodes, finite, right shape), not only those that the statistics need.
    Raises FileNotFoundError where there is no dataset.
    """
    folder = find_dataset(directory)
    found = Found([f"dataset: {folder}"], [], [])
    for split in _splits(folder):
        try:
            reader = RecordReader(folder, split)
        except DamagedRecord as error:
            found.lines.append(f"{split}: cannot be read")
            found.damage.append(str(error))
            continue
        found.lines.append(f"{split}: {len(reader):,} records")
        records = list(_read(reader, check, found))
        if not records:
            continue
        found.lines += [f"  {line}" for line in _about(records)]
        for field in ("keypoints", "pose"):
            if field in records[0]:
                clips = [_flat(record[field]) for record in records]
                found.lines += [f"  {line}" for line in _about_field(field, clips, records)]
                if out is not None:
                    found.pictures += _draw(pathlib.Path(out), split, field, clips, records)
    found.lines += [f"damaged: {line}" for line in found.damage]
    if check and not found.damage:
        found.lines.append("every record is sound")
    found.lines += [f"picture: {path}" for path in found.pictures]
    return found


def _splits(folder):
    info = json.loads((folder / "dataset_info.json").read_text())
    return sorted(split["name"] for split in info.get("splits", ()))


def _read(reader, check, found):
    """The records to look at; all are read if `check`. Damage goes to `found`."""
    wanted = set(np.linspace(0, len(reader) - 1, min(len(reader), _ENOUGH)).astype(int).tolist())
    for i in range(len(reader)) if check else sorted(wanted):
        try:
            record = reader[i]
            _check_shapes(record)
        except DamagedRecord as error:
            found.damage.append(str(error))
        except ValueError as error:
            found.damage.append(f"{reader.directory}, split {reader.split}, record {i}: {error}")
        else:
            if i in wanted:
                yield record


def _check_shapes(record):
    for field in ("keypoints", "pose"):
        if field not in record:
            continue
        shape = record[field].shape
        if shape[-2:] != (skeleton.NUM_JOINTS, 3) or 0 in shape:
            raise ValueError(
                f"{field} has shape {shape}, (frames, {skeleton.NUM_JOINTS}, 3) wanted"
            )
        if field == "keypoints":
            low, high = record[field][..., 2].min(), record[field][..., 2].max()
            if low < 0 or high > 1.5:  # heat maps peak a little above 1
                raise ValueError(f"confidence from {low:.3g} to {high:.3g}, 0 to 1 wanted")


def _flat(array):
    """(T, J, 3), the persons of an action one after another."""
    return array.reshape(-1, *array.shape[-2:])


def _about(records):
    lengths = [_length(record) for record in records]
    fps = sorted({round(float(record["fps"]), 3) for record in records if "fps" in record})
    sources = {record.get("source", "") for record in records}
    rates = ", ".join(f"{rate:g}" if rate else "not said" for rate in fps[:6])
    yield f"frames of a clip: {_span(lengths)}; fps: {rates}; sources: {len(sources):,}"
    if "label" in records[0]:
        labels = np.array([record["label"] for record in records])
        values, counts = np.unique(labels, return_counts=True)
        yield f"labels: {len(values)} from {values[0]} to {values[-1]}, {_span(counts)} clips each"
        yield f"persons: {_span([len(record['keypoints']) for record in records])}"
    for name in ("theta", "initial_theta"):
        if name in records[0]:
            theta = np.concatenate([_rows(record[name]) for record in records])
            yield f"{name}: angles {_range(theta[:, :72])}, shape {_range(theta[:, 72:])}"


def _length(record):
    for name in ("keypoints", "pose", "theta"):
        if name in record:
            return record[name].shape[-3 if name != "theta" else -2]
    return 0


def _rows(array):
    return array.reshape(-1, array.shape[-1])


def _span(numbers):
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _range(values):
    return f"{values.min():.3f} to {values.max():.3f}"


def _about_field(field, clips, records):
    all_NxJx3 = np.concatenate(clips)
    x, y, last = np.moveaxis(all_NxJx3, -1, 0)
    if field == "keypoints":
        seen = last > 0
        if not seen.any():
            yield "keypoints: none is seen"
            return
        yield f"keypoints: x {_range(x[seen])}, y {_range(y[seen])}"
        yield (
            f"confidence: mean {last[seen].mean():.3f}, 5 % below"
            f" {np.percentile(last[seen], 5):.3f}, unseen {100 * (1 - seen.mean()):.2f} %"
        )
        below = np.mean(y[:, _ANKLES].mean(-1) > y[:, _HEAD])
        yield f"head above ankles in {100 * below:.1f} % of frames{_warn(below > 0.5, 'y is up?')}"
        return
    yield f"pose: x {_range(x)}, y {_range(y)}, z {_range(last)}"
    metres = records[0].get("metres_per_unit")
    per_clip = [
        skeleton.limb_lengths(clip) * float(record.get("metres_per_unit", 1))
        for clip, record in zip(clips, records, strict=True)
    ]
    mean_L = np.concatenate(per_clip).mean(axis=0)
    # How much one bone changes within a clip: 0 for a rigid skeleton.
    change_L = np.mean([clip.std(axis=0) for clip in per_clip], axis=0) / np.maximum(mean_L, 1e-9)
    yield f"bone lengths in {'units' if metres is None else 'm'} (change within a clip):"
    named = [
        f"{skeleton.JOINTS[joint]} {length:.3f} ({100 * change:.1f} %)"
        for (_, joint), length, change in zip(skeleton.LIMBS, mean_L, change_L, strict=True)
    ]
    for start in range(0, len(named), 4):
        yield "  " + ", ".join(named[start : start + 4])
    left, right = (
        sum(mean_L[joint - 1] for joint in side) for side in (skeleton.LEFT, skeleton.RIGHT)
    )
    yield f"left side over right side: {left / right:.3f}"
    ahead = share_facing_forward(all_NxJx3)
    swapped = _warn(ahead > 0.5, "left and right swapped, or an axis turned round?")
    yield f"nose on the chest's side in {100 * ahead:.1f} % of frames{swapped}"


_HEAD = skeleton.INDEX["head"]
_ANKLES = [skeleton.INDEX["rankle"], skeleton.INDEX["lankle"]]


def _warn(fine, question):
    return "" if fine else f"  <-- {question}"


def share_facing_forward(pose_NxJx3) -> float:
    """In how many frames, 0 to 1, the nose points where left, right and up say is ahead.

    Near 1 for people; near 0 if left and right were swapped or one axis was turned round.
    """
    at = {name: pose_NxJx3[:, skeleton.INDEX[name]] for name in skeleton.JOINTS}
    across_Nx3, up_Nx3 = at["lshoulder"] - at["rshoulder"], at["neck"] - at["belly"]
    ahead_Nx3 = np.cross(across_Nx3, up_Nx3)
    nose_Nx3 = at["nose"] - (at["neck"] + at["head"]) / 2
    return float(np.mean(np.sum(ahead_Nx3 * nose_Nx3, axis=-1) > 0))


# --- pictures ------------------------------------------------------------------------------------


def _draw(out, split, field, clips, records):
    import matplotlib

    matplotlib.use("Agg")
    out.mkdir(parents=True, exist_ok=True)
    yield _draw_histograms(out / f"{split}.{field}.histograms.png", field, np.concatenate(clips))
    yield _draw_clips(out / f"{split}.{field}.clips.png", field, clips, records)


def _draw_histograms(path, field, all_NxJx3):
    import matplotlib.pyplot as plt

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
    figure.savefig(path, dpi=60)
    plt.close(figure)
    return path


def _draw_clips(path, field, clips, records):
    """Rows are clips, columns moments; of 3D motion from the front and from the side."""
    import matplotlib.pyplot as plt

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
    figure.savefig(path, dpi=50)
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


def main(argv=None) -> int:
    """The command. Returns the exit status: 0 sound, 1 damaged or not there."""
    parser = argparse.ArgumentParser(
        prog="mbjax inspect", description="What a prepared dataset holds, and whether it is sound."
    )
    parser.add_argument("dataset", help="folder of the dataset")
    parser.add_argument("--out", help="folder for pictures (none are made without)")
    parser.add_argument("--check", action="store_true", help="read and verify every record")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        found = inspect(arguments.dataset, arguments.out, arguments.check)
    except (OSError, ValueError) as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        return 1
    print("\n".join(found.lines))
    if found.damage:
        print(
            f"error: {len(found.damage)} damaged, see above; prepare the dataset again",
            file=sys.stderr,
        )
    return int(bool(found.damage))


if __name__ == "__main__":
    sys.exit(main())
