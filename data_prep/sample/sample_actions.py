"""A small corpus of gestures in the layout of NTU-120, made from the sample corpus.

    python -m data_prep.sample.sample_actions --out RAW
    mbjax prepare ntu120 --raw RAW --out data/gestures

One limb of a moving person makes a gesture while the rest of the body goes on with the recorded
motion: 4 limbs x 5 gestures = 20 classes. The person turns any side to the camera, so that ahead
and aside can only be told apart by understanding the pose in 3D, and fast from slow by the motion.
Subjects differ in bone lengths; those of the test splits perform to the recording that the training
splits do not have. 2D is projected and has a detector's errors. The same seed gives the same files.

T frames, J = 17 joints, K = 17 keypoints of COCO. Camera axes (x right, y down, z away), metres.
"""

import argparse
import pathlib
import pickle
import sys

import numpy as np

from data_prep.resampling import generator
from data_prep.sample.sample_builders import detect, with_bones_scaled
from mbjax.atomic_files import written_beside
from mbjax.data.records import RecordReader
from mbjax.keypoints.tracking import fill
from mbjax.pose.normalise import crop_scale
from mbjax.pose.skeleton import INDEX, JOINTS

LIMBS = {
    "left arm": ("lshoulder", "lelbow", "lwrist"),
    "right arm": ("rshoulder", "relbow", "rwrist"),
    "left leg": ("lhip", "lknee", "lankle"),
    "right leg": ("rhip", "rknee", "rankle"),
}
GESTURES = ("ahead", "aside", "up", "swung slowly", "swung fast")
# Label = 4 gesture + limb, so that the held-out classes 0, 6, 12, 18 are two of each of two limbs.
CLASSES = tuple(f"{limb} {gesture}" for gesture in GESTURES for limb in LIMBS)

_FRAMES, _FPS, _STEP = 81, 30.0, 2  # of the sample corpus at 60 fps, every second
WIDTH, HEIGHT = 1920, 1080
_EYES, _EARS = 0.03, 0.07  # metres to the side of the head


def gesture(motion_TxJx3, limb: str, kind: str, rng) -> np.ndarray:
    """The motion with one limb making a gesture; speeds, sizes and phases vary."""
    upper, middle, end = (INDEX[name] for name in LIMBS[limb])
    left_Tx3, up_Tx3, ahead_Tx3 = _body_axes(motion_TxJx3)
    out_Tx3 = left_Tx3 if limb.startswith("left") else -left_Tx3
    rate = {"swung slowly": 0.6, "swung fast": 1.8}.get(kind, 0.9) * rng.uniform(0.85, 1.15)
    phase_T = 2 * np.pi * (rate * np.arange(len(motion_TxJx3)) / _FPS + rng.random())
    wave_Tx1 = rng.uniform(0.8, 1.2) * np.sin(phase_T)[:, None]
    if limb.endswith("arm"):
        upper_Tx3, lower_Tx3 = {
            "ahead": (ahead_Tx3 + 0.4 * wave_Tx1 * up_Tx3, None),
            "aside": (out_Tx3 + 0.4 * wave_Tx1 * up_Tx3, None),
            "up": (up_Tx3 + 0.4 * wave_Tx1 * out_Tx3, None),
        }.get(kind, (out_Tx3, up_Tx3 + wave_Tx1 * out_Tx3))
    else:
        upper_Tx3, lower_Tx3 = {
            "ahead": ((0.8 + 0.4 * wave_Tx1) * ahead_Tx3 - up_Tx3, None),
            "aside": ((0.8 + 0.4 * wave_Tx1) * out_Tx3 - up_Tx3, None),
            "up": (ahead_Tx3 + 0.4 * wave_Tx1 * up_Tx3, -up_Tx3),
        }.get(kind, (-up_Tx3, -up_Tx3 + (wave_Tx1 - 1) * ahead_Tx3))
    lower_Tx3 = upper_Tx3 if lower_Tx3 is None else lower_Tx3
    moved = motion_TxJx3.copy()
    moved[:, middle] = moved[:, upper] + _along(upper_Tx3, motion_TxJx3, upper, middle)
    moved[:, end] = moved[:, middle] + _along(lower_Tx3, motion_TxJx3, middle, end)
    return moved


def _along(direction_Tx3, motion_TxJx3, start, end):
    length_Tx1 = np.linalg.norm(motion_TxJx3[:, end] - motion_TxJx3[:, start], axis=1)[:, None]
    return _unit(direction_Tx3) * length_Tx1


def _unit(vector_Tx3):
    return vector_Tx3 / np.maximum(np.linalg.norm(vector_Tx3, axis=-1, keepdims=True), 1e-9)


def _body_axes(motion_TxJx3):
    """Left, up and ahead of the trunk, each (T, 3), at right angles to one another."""
    up_Tx3 = _unit(motion_TxJx3[:, INDEX["neck"]] - motion_TxJx3[:, INDEX["root"]])
    left_Tx3 = motion_TxJx3[:, INDEX["lshoulder"]] - motion_TxJx3[:, INDEX["rshoulder"]]
    left_Tx3 = _unit(left_Tx3 - (left_Tx3 * up_Tx3).sum(axis=1, keepdims=True) * up_Tx3)
    return left_Tx3, up_Tx3, np.cross(left_Tx3, up_Tx3)


def performance(reader, subject: int, label: int, take: int, seed: int) -> dict:
    """One annotation of the pickle: a subject's take of a class, through a random camera."""
    rng = generator("sample_actions", seed, subject, label, take)
    bones_J = 1 + 0.08 * generator("sample_actions bones", subject).standard_normal(len(JOINTS))
    record = reader[int(rng.integers(len(reader)))]
    start = int(rng.integers(len(record["pose"]) - _FRAMES * _STEP + 1))
    pose = record["pose"][start : start + _FRAMES * _STEP : _STEP] * record["metres_per_unit"]
    pose = with_bones_scaled(pose.astype(np.float64), bones_J)
    pixels_TxKx3 = filmed(gesture(pose, *_parts(label), rng), rng)
    name = f"S001C001P{subject:03d}R{take:03d}A{label + 1:03d}"
    return {
        "frame_dir": name,
        "label": label,
        "img_shape": (HEIGHT, WIDTH),
        "original_shape": (HEIGHT, WIDTH),
        "total_frames": _FRAMES,
        "keypoint": pixels_TxKx3[None, ..., :2].astype(np.float16),
        "keypoint_score": pixels_TxKx3[None, ..., 2].astype(np.float16),
    }


def filmed(pose_TxJx3, rng) -> np.ndarray:
    """(T, K, 3) pixels and confidence: what a detector finds of a person before a random camera."""
    xy_TxKx2 = _to_coco(_seen(pose_TxJx3, rng))[..., :2]
    seen_TxKx3 = np.concatenate([xy_TxKx2, np.ones_like(xy_TxKx2[..., :1])], axis=-1)
    found_TxKx3 = detect(crop_scale(seen_TxKx3), rng)
    # HRNet gives a place to every keypoint, also to one that it hardly sees.
    _, found_TxKx3, _ = fill(np.arange(len(found_TxKx3)), found_TxKx3)
    room = rng.uniform(0.5, 0.9) * HEIGHT / 2
    centre_2 = np.array([rng.uniform(room, WIDTH - room), HEIGHT / 2])
    xy_TxKx2 = np.nan_to_num(found_TxKx3[..., :2]) * room + centre_2
    return np.concatenate([xy_TxKx2, found_TxKx3[..., 2:]], axis=-1)


def _parts(label):
    kind, limb = divmod(label, len(LIMBS))
    return tuple(LIMBS)[limb], GESTURES[kind]


def _seen(pose_TxJx3, rng):
    """Turned before the camera: from any side, up to 15 degrees up or down."""
    yaw, pitch = rng.uniform(-np.pi, np.pi), np.deg2rad(rng.uniform(-15, 15))
    x, y, z = np.moveaxis(pose_TxJx3, -1, 0)
    across, away = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
    down, deep = y * np.cos(pitch) - away * np.sin(pitch), away * np.cos(pitch) + y * np.sin(pitch)
    return np.stack([across, down, deep], axis=-1)


def _to_coco(pose_TxJx3):
    """(T, K, 3): eyes and ears beside the head, the other keypoints are joints."""
    left_Tx3, _, _ = _body_axes(pose_TxJx3)
    head = pose_TxJx3[:, INDEX["head"]]
    face = [pose_TxJx3[:, INDEX["nose"]]]
    face += [head + side * left_Tx3 for side in (_EYES, -_EYES, _EARS, -_EARS)]
    body = (
        "lshoulder", "rshoulder", "lelbow", "relbow", "lwrist", "rwrist",
        "lhip", "rhip", "lknee", "rknee", "lankle", "rankle",
    )  # fmt: skip
    return np.stack([*face, *(pose_TxJx3[:, INDEX[name]] for name in body)], axis=1)


def make(out: pathlib.Path, train_takes=8, test_takes=6, seed=0) -> str:
    """Writes ntu120_hrnet.pkl (splits xsub_train, xsub_val) and ntu120_hrnet_oneshot.pkl into
    `out`; returns a summary. takes: of each class by each of three subjects (test: two)."""
    readers = {split: RecordReader("sample:motion3d", split) for split in ("train", "test")}
    parts = {}
    for split, subjects, takes in (
        ("train", (1, 2, 3), train_takes), ("test", (101, 102), test_takes),
    ):  # fmt: skip
        parts[split] = [
            performance(readers[split], subject, label, take, seed)
            for subject in subjects
            for label in range(len(CLASSES))
            for take in range(1, takes + 1)
        ]
    held_out = [a for a in parts["test"] if a["label"] in range(0, 120, 6)]
    first = {a["label"]: a["frame_dir"] for a in reversed(held_out)}
    exemplars = [a for a in held_out if a["frame_dir"] in first.values()]
    queries = [a for a in held_out if a["frame_dir"] not in first.values()]
    out.mkdir(parents=True, exist_ok=True)
    for file, splits in (
        ("ntu120_hrnet.pkl", {"xsub_train": parts["train"], "xsub_val": parts["test"]}),
        ("ntu120_hrnet_oneshot.pkl", {"oneshot_train": exemplars, "oneshot_val": queries}),
    ):
        content = {
            "split": {name: [a["frame_dir"] for a in own] for name, own in splits.items()},
            "annotations": [a for own in splits.values() for a in own],
        }
        with written_beside(out / file) as beside:
            beside.write_bytes(pickle.dumps(content, protocol=4))
    (out / "classes.txt").write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
    return (
        f"{len(parts['train'])} recordings to train on, {len(parts['test'])} to test, "
        f"{len(CLASSES)} classes; one-shot: {len(exemplars)} exemplars, {len(queries)} to test\n"
        f"written to {out}; next: mbjax prepare ntu120 --raw {out} --out DIR"
    )


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.sample.sample_actions",
        description="Makes gestures in the layout of NTU-120 from the sample corpus.",
    )
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the pickles")
    parser.add_argument("--train-takes", type=int, default=8, help="of a class by a subject")
    parser.add_argument("--test-takes", type=int, default=6, help="of a class by a subject")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    if arguments.train_takes < 1 or arguments.test_takes < 1:
        parser.error("takes are at least 1")
    print(make(arguments.out, arguments.train_takes, arguments.test_takes, arguments.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
