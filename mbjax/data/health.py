"""What a prepared dataset holds, in numbers, and whether it is sound (`mbjax inspect`).

Made so that a swapped left and right, a wrong axis or a wrong unit is seen at a glance. B clips,
T frames, J = 17 joints, C channels (x, y and depth or confidence), L = 16 limbs.
"""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np

from mbjax.data.records import DamagedRecord, RecordReader, find_dataset, read_info
from mbjax.pose import skeleton

# Statistics of a large split are taken from this many of its records, evenly spread.
_ENOUGH = 4000
# A bone that is shorter in every frame than this share of the clip's longest is missing: two joints
# are one point.
_NO_LENGTH = 1e-4


@dataclasses.dataclass
class Found:
    """What inspection found: lines of text for people, pictures, and damage (place and why)."""

    lines: list[str]
    pictures: list[pathlib.Path]
    damage: list[str]


def inspect(directory, check: bool = False, draw: Callable | None = None) -> Found:
    """Looks at a dataset directory (DIR/VERSION, or DIR with one dataset in it).

    check: every record of every split is read and verified (checksum, decodes, finite, right
    shape), not only those that the statistics need. draw: (split, field, clips (T, J, 3), records)
    -> paths of the pictures it made. FileNotFoundError where there is no dataset.
    """
    folder = find_dataset(directory)
    found = Found([f"dataset: {folder}"], [], [])
    for split in sorted(read_info(folder)[1]):
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
                if draw is not None:
                    found.pictures += draw(split, field, clips, records)
    found.lines += [f"damaged: {line}" for line in found.damage]
    if check and not found.damage:
        found.lines.append("every record is sound")
    found.lines += [f"picture: {path}" for path in found.pictures]
    return found


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
        shape = np.shape(record[field])
        if shape[-2:] != (skeleton.NUM_JOINTS, 3) or 0 in shape:
            raise ValueError(
                f"{field} has shape {shape}, (frames, {skeleton.NUM_JOINTS}, 3) wanted"
            )
        if field == "keypoints":
            low, high = record[field][..., 2].min(), record[field][..., 2].max()
            if low < 0 or high > 1.5:  # heat maps peak a little above 1
                raise ValueError(f"confidence from {low:.3g} to {high:.3g}, 0 to 1 wanted")
            continue
        longest_L = skeleton.limb_lengths(_flat(record[field])).max(axis=0)
        for (_, joint), longest in zip(skeleton.LIMBS, longest_L, strict=True):
            if longest < _NO_LENGTH * longest_L.max():
                raise ValueError(f"{field}: the bone to {skeleton.JOINTS[joint]} has no length")


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
