"""Labelled recordings for action recognition, made from motion whose files are named by activity.

    python -m data_prep.sample.motion_actions --raw FOLDER --out RAW
    mbjax prepare actions --raw RAW --out data/activities

FOLDER: arrays of the 17 joints as `mbjax prepare joints` takes them. A recording's class is its
name without the number at its end (walking_13 is walking). The last third of a class's recordings
is for testing; a class of one recording is left out. Each take is up to 81 frames at 30 fps, by a
body of other bone lengths, before a camera at any side, as a detector finds it. The same seed gives
the same files.

T frames, J = 17 joints, K = 17 keypoints of COCO.
"""

import argparse
import csv
import io
import pathlib
import re
import sys
from collections import Counter, defaultdict

import numpy as np

from data_prep import mocap
from data_prep.corpora import joints
from data_prep.resampling import generator, resample
from data_prep.sample.sample_actions import HEIGHT, WIDTH, filmed
from data_prep.sample.sample_builders import with_bones_scaled
from mbjax.atomic_files import written_beside
from mbjax.pose.skeleton import JOINTS

_FPS, _FRAMES, _LEAST = 30.0, 81, 30  # of a take: 2.7 s, at least 1 s


def class_of(name: str) -> str:
    """The activity of a recording: its name without folders and the number at its end."""
    return re.sub(r"[ _-]*\d+$", "", name.rsplit("/", 1)[-1])


def recordings(raw: pathlib.Path, fps: float) -> dict[str, dict[str, np.ndarray]]:
    """(T, J, 3) in metres at 30 frames a second, by class and by name."""
    options = joints.JointsOptions(fps_in=fps)
    found: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for source in joints.Joints.source_files(raw, options):
        if source.split != "train":
            continue  # the same file again, for those recordings of it that test
        for name, array in joints.recordings(source).items():
            try:
                pose_TxJx3 = joints.in_metres(array, options)
            except ValueError as error:
                raise ValueError(f"{source.name}: {name}: {error}") from None
            pose_TxJx3, _ = mocap.over_jumps(pose_TxJx3, fps)
            pose_TxJx3 = resample(pose_TxJx3, fps, _FPS)
            if len(pose_TxJx3) >= _LEAST and class_of(name):
                found[class_of(name)][name] = pose_TxJx3
    return found


def split(names) -> dict[str, list[str]]:
    """A class's recordings: the last third, and at least one, is for testing."""
    names = sorted(names)
    tested = max(1, len(names) // 3)
    return {"train": names[:-tested], "test": names[-tested:]}


def stretches(poses: dict[str, np.ndarray], takes: int) -> list[tuple[str, int]]:
    """(recording, first frame) of each take: spread over all, again from the first where few."""
    every = [
        (name, start)
        for name, pose_TxJx3 in poses.items()
        for start in range(0, max(1, len(pose_TxJx3) - _LEAST + 1), _FRAMES)
    ]
    if len(every) > takes:
        return [every[round(i)] for i in np.linspace(0, len(every) - 1, takes)]
    return [every[i % len(every)] for i in range(takes)]


def make(raw: pathlib.Path, out: pathlib.Path, fps=60.0, train_takes=20, test_takes=12, seed=0):
    """Writes RAW/CLASS/TAKE.npy and labels.csv into `out`; returns a summary. ValueError where
    fewer than two activities have two recordings."""
    classes = recordings(raw, fps)
    alone = sorted(name for name, poses in classes.items() if len(poses) < 2)
    chosen = {name: poses for name, poses in sorted(classes.items()) if name not in alone}
    if len(chosen) < 2:
        raise ValueError(
            f"{raw}: activities with two recordings or more: {', '.join(chosen) or 'none'}; two "
            "such are needed, named as in walking_1, walking_2, running_1, running_2"
        )
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, poses in chosen.items():
        for part, names in split(poses).items():
            takes = {"train": train_takes, "test": test_takes}[part]
            own = {one: poses[one] for one in names}
            for take, (recording, start) in enumerate(stretches(own, takes)):
                file = f"{name}/{part}_{take:03d}.npy"
                rng = generator("motion_actions", seed, file)
                bones_J = 1 + 0.05 * rng.standard_normal(len(JOINTS))
                pose_TxJx3 = own[recording][start : start + _FRAMES]
                pixels_TxKx3 = filmed(with_bones_scaled(pose_TxJx3, bones_J), rng)
                _write(out / file, pixels_TxKx3.astype(np.float32))
                rows.append([file, name, part, "coco17", WIDTH, HEIGHT, _FPS])
    table = io.StringIO()
    header = ["file", "label", "split", "layout", "width", "height", "fps"]
    csv.writer(table).writerows([header, *rows])
    with written_beside(out / "labels.csv") as beside:
        beside.write_text(table.getvalue(), encoding="utf-8")
    counts = Counter(row[2] for row in rows)
    left_out = f"; of one recording and left out: {', '.join(alone)}" if alone else ""
    return (
        f"{counts['train']} takes to train on, {counts['test']} to test, of {len(chosen)} classes: "
        f"{', '.join(chosen)}{left_out}\n"
        f"written to {out}; next: mbjax prepare actions --raw {out} --out DIR"
    )


def _write(path, array):
    path.parent.mkdir(exist_ok=True)
    with written_beside(path) as beside, beside.open("wb") as file:
        np.save(file, array)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.sample.motion_actions",
        description="Makes labelled recordings from motion whose files are named by activity.",
    )
    parser.add_argument("--raw", type=pathlib.Path, required=True, help="folder of .npy or .npz")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the takes")
    parser.add_argument("--fps", type=float, default=60.0, help="of the arrays (%(default)s)")
    parser.add_argument("--train-takes", type=int, default=20, help="of a class (%(default)s)")
    parser.add_argument("--test-takes", type=int, default=12, help="of a class (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    if min(arguments.train_takes, arguments.test_takes) < 1 or not 5 <= arguments.fps <= 10_000:
        parser.error("takes are at least 1, fps from 5 to 10000")
    if not arguments.raw.is_dir():
        parser.error(f"--raw {arguments.raw}: no such folder")
    try:
        print(
            make(
                arguments.raw, arguments.out, arguments.fps, arguments.train_takes,
                arguments.test_takes, arguments.seed,
            )
        )  # fmt: skip
    except (ValueError, OSError) as error:
        print(f"motion_actions: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
