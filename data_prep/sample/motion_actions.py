"""Labelled recordings for action recognition, made from motion whose files are named by activity.

    python -m data_prep.sample.motion_actions --raw FOLDER --out RAW
    mbjax prepare actions --raw RAW --out data/activities

FOLDER: arrays of the 17 joints as `mbjax prepare joints` takes them. A recording's class is its
name without the number at its end (walking_13 is walking). Where a class has recordings named
train/... and test/..., so they are; otherwise its last third is for testing. A class of one
recording is left out. Each take is up to 81 frames at 30 fps of which `mbjax prepare joints` would
leave out none, by a body of other bone lengths, before a camera at any side, as a detector finds
it. Where a class has fewer stretches than takes, they come again with other bodies and cameras. The
same seed gives the same files.

T frames, J = 17 joints, K = 17 keypoints of COCO.
"""

import argparse
import csv
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
from mbjax.atomic_files import folder_beside
from mbjax.pose.skeleton import JOINTS
from mbjax.remarks import one_line

_FPS, _FRAMES, _LEAST = 30.0, 81, 30  # of a take: 2.7 s, at least 1 s
_AS_JOINTS = joints.JointsOptions()


def class_of(name: str) -> str:
    """The activity of a recording: its name without folders and the number at its end."""
    return re.sub(r"[ _-]*\d+$", "", name.rsplit("/", 1)[-1])


def recordings(raw: pathlib.Path, options: joints.JointsOptions) -> dict[str, dict]:
    """(T, J, 3) in metres at 30 frames a second, by class and by FILE/NAME."""
    found: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for source in joints.Joints.source_files(raw, options):
        if source.split != "train":
            continue  # the same file again, for those recordings of it that test
        where = source.name
        try:
            for name, array in joints.recordings(source).items():
                where, activity = f"{source.name}: {name}", class_of(name)
                _check_class(activity)
                pose_TxJx3 = joints.in_metres(array, options)
                pose_TxJx3, _ = mocap.over_jumps(pose_TxJx3, options.fps_in)
                pose_TxJx3 = resample(pose_TxJx3, options.fps_in, _FPS)
                if activity and starts(pose_TxJx3):
                    found[activity][f"{source.name}/{name}"] = pose_TxJx3
        except ValueError as error:
            raise ValueError(f"{one_line(where, 200)}: {error}") from None
    return found


def _check_class(name):
    """ValueError for a name that is no folder's below --out: archives are other people's."""
    if name in (".", "..") or "\\" in name or not (name.isprintable() and len(name) <= 60):
        raise ValueError("its activity cannot be the name of a folder; name it otherwise")


def split(names) -> dict[str, list[str]]:
    """A class's recordings by what they are for: as SPLIT/ says where it has both; otherwise the
    last third by name, and at least one, is for testing."""
    names = sorted(names, key=lambda name: (name.rsplit("/", 1)[-1], name))
    said = {
        part: [name for name in names if part in name.split("/")[-2:-1]]
        for part in ("train", "test")
    }
    if all(said.values()):
        return said
    tested = max(1, len(names) // 3)
    return {"train": names[:-tested], "test": names[-tested:]}


def starts(pose_TxJx3) -> list[int]:
    """First frames of stretches that are sound throughout, of at least a second."""
    found, at = [], 0
    sound_T = joints.sound_frames(pose_TxJx3, _FPS)
    while at + _LEAST <= len(sound_T):
        unsound = np.flatnonzero(~sound_T[at : at + _FRAMES])
        if not len(unsound):
            found.append(at)
        # A stretch that ends early begins again after what ends it.
        at += int(unsound[-1]) + 1 if len(unsound) else _FRAMES
    return found


def stretches(poses: dict[str, np.ndarray], takes: int) -> list[tuple[str, int]]:
    """(recording, first frame) of each take: spread over all, again from the first where few."""
    every = [(name, start) for name, pose_TxJx3 in poses.items() for start in starts(pose_TxJx3)]
    if len(every) > takes:
        return [every[round(i)] for i in np.linspace(0, len(every) - 1, takes)]
    return [every[i % len(every)] for i in range(takes)]


def make(
    raw: pathlib.Path, out: pathlib.Path, options=_AS_JOINTS, train_takes=20, test_takes=12, seed=0
) -> str:  # fmt: skip
    """Makes the folder `out` of CLASS/TAKE.npy and labels.csv; returns a summary. ValueError where
    fewer than two activities have two recordings, and for a folder that holds something."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"--out {out} is there and not empty; give a new folder")
    classes = recordings(raw, options)
    alone = sorted(name for name, poses in classes.items() if len(poses) < 2)
    chosen = {name: poses for name, poses in sorted(classes.items()) if name not in alone}
    if len(chosen) < 2:
        raise ValueError(
            f"{raw}: activities with two recordings or more: {', '.join(chosen) or 'none'}; two "
            "such are needed, named as in walking_1, walking_2, running_1, running_2"
        )
    with folder_beside(out) as beside:
        counts = _write(chosen, beside, train_takes, test_takes, seed)
    left_out = f"; of one recording and left out: {', '.join(alone)}" if alone else ""
    return (
        f"{counts['train']} takes to train on, {counts['test']} to test, of {len(chosen)} classes: "
        f"{', '.join(chosen)}{left_out}\n"
        f"written to {out}; next: mbjax prepare actions --raw {out} --out DIR"
    )


def _write(chosen, out, train_takes, test_takes, seed) -> Counter:
    """How many takes each split has."""
    takes = {"train": train_takes, "test": test_takes}
    rows = []
    for name, poses in chosen.items():
        for part, names in split(poses).items():
            own = {one: poses[one] for one in names}
            for take, (recording, start) in enumerate(stretches(own, takes[part])):
                file = f"{name}/{part}_{take:03d}.npy"
                rng = generator("motion_actions", seed, file)
                bones_J = 1 + 0.05 * rng.standard_normal(len(JOINTS))
                pose_TxJx3 = own[recording][start : start + _FRAMES]
                pixels_TxKx3 = filmed(with_bones_scaled(pose_TxJx3, bones_J), rng)
                (out / name).mkdir(exist_ok=True)
                np.save(out / file, pixels_TxKx3.astype(np.float32))
                rows.append([file, name, part, "coco17", WIDTH, HEIGHT, _FPS])
    header = ["file", "label", "split", "layout", "width", "height", "fps"]
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([header, *rows])
    return Counter(row[2] for row in rows)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.sample.motion_actions",
        description="Makes labelled recordings from motion whose files are named by activity.",
    )
    parser.add_argument("--raw", type=pathlib.Path, required=True, help="folder of .npy or .npz")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the takes")
    parser.add_argument("--fps", type=float, default=60.0, help="of the arrays (%(default)s)")
    parser.add_argument("--up", default="y", choices=tuple(mocap.UP), help="axis (%(default)s)")
    parser.add_argument(
        "--metres-per-unit", type=float, default=1.0, help="of the arrays (%(default)s)"
    )
    parser.add_argument("--train-takes", type=int, default=20, help="of a class (%(default)s)")
    parser.add_argument("--test-takes", type=int, default=12, help="of a class (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    if min(arguments.train_takes, arguments.test_takes) < 1 or not 5 <= arguments.fps <= 10_000:
        parser.error("takes are at least 1, fps from 5 to 10000")
    if not arguments.raw.is_dir():
        parser.error(f"--raw {arguments.raw}: no such folder")
    try:
        options = joints.JointsOptions(
            fps_in=arguments.fps, up=arguments.up, metres_per_unit=arguments.metres_per_unit
        )
        takes = arguments.train_takes, arguments.test_takes
        print(make(arguments.raw, arguments.out, options, *takes, arguments.seed))
    except (ValueError, OSError) as error:
        print(f"motion_actions: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
