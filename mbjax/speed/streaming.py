"""How late, how fast and how accurate streaming is: the table of `mbjax stream-table`.

Shapes in names: T frames, J joints.
"""

import time
from collections.abc import Callable

import numpy as np
from flax import nnx

from mbjax.convert import load as loading
from mbjax.data import augment
from mbjax.data.records import RecordReader
from mbjax.lifting.stream import Stream
from mbjax.models.dstformer import DSTformer, DSTformerConfig
from mbjax.pose.skeleton import root_relative

# (lookahead, hop), as far as they fit the window.
SETTINGS = ((0, 1), (2, 1), (6, 1), (6, 4), (8, 5), (14, 8), (13, 1), (26, 1))
# Pixels to a metre of the cameras that the motion is seen by; nothing depends on it.
_PIXELS_PER_METRE = 400.0
_YAWS, _PITCH, _EVERY = (0, 90, 180, 270), 10, 2  # degrees; 60 frames a second become 30


def run(
    checkpoint: str | None, random: str | None, window: int, flip: bool,
    say: Callable[[str], None],
) -> list[dict[str, float]]:  # fmt: skip
    """Says the table, and returns its rows: of a checkpoint, or (speed alone) of random weights.

    random: mb or mb_lite.
    """
    rows = []
    if random:
        model = DSTformer(getattr(DSTformerConfig, random)(), rngs=nnx.Rngs(0))
        clips = held_out()[:1]
    else:
        model = loading.load(checkpoint, kinds=("dstformer",))
        clips = held_out()
    truth = np.mean([_acceleration(clip) for clip in clips])
    say(f"{len(clips)} clips, 30 frames/s, window {window}; the truth's acceleration {truth:.2f}")
    say("lookahead  hop  error_mm  mm/frame^2  frames/s  ms of a run")
    for lookahead, hop in SETTINGS:
        if lookahead >= window:
            continue
        row = measure(Stream(model, window, lookahead, hop=hop, flip=flip), clips)
        poses = " " * 9 + "-" + " " * 11 + "-"
        if not random:
            poses = f"{row['error_mm']:10.1f}{row['acceleration']:12.2f}"
        else:
            del row["error_mm"], row["acceleration"]
        rows.append({"lookahead": lookahead, "hop": hop, **row})
        speed = f"{row['frames_per_s']:10.1f}{row['ms_of_a_run']:13.1f}"
        say(f"{lookahead:9d}{hop:5d}{poses}{speed}")
    return rows


def held_out() -> list[np.ndarray]:
    """Clips (T, J, 3), metres, of the sample's held-out recording seen by four cameras."""
    reader = RecordReader("sample:motion3d", "test")
    views = [np.radians((yaw, _PITCH)) for yaw in _YAWS]
    return [
        np.asarray(augment.view(record["pose"][::_EVERY], *view)) * record["metres_per_unit"]
        for record in map(reader.__getitem__, range(len(reader)))
        for view in views
    ]


def measure(stream: Stream, clips: list[np.ndarray]) -> dict[str, float]:
    """Error and acceleration of the poses that push gives, and how long it takes, compiled."""
    errors, accelerations, seconds = [], [], []
    for clip_TxJx3 in clips:
        xy = clip_TxJx3[..., :2] * _PIXELS_PER_METRE
        poses = []
        for xy_Jx2 in xy:
            began = time.perf_counter()
            poses.append(stream.push(xy_Jx2))
            seconds.append(time.perf_counter() - began)
        stream.reset()
        pose_TxJx3 = np.stack(poses[stream.lookahead :]) / _PIXELS_PER_METRE
        target_TxJx3 = clip_TxJx3[: len(pose_TxJx3)]
        difference = root_relative(pose_TxJx3) - root_relative(target_TxJx3)
        errors.append(np.linalg.norm(difference, axis=-1).mean() * 1000)
        accelerations.append(_acceleration(pose_TxJx3))
    runs = np.sort(seconds)[-max(1, len(seconds) // stream.hop) :]
    return {
        "error_mm": float(np.mean(errors)),
        "acceleration": float(np.mean(accelerations)),
        "frames_per_s": len(seconds) / sum(seconds),
        "ms_of_a_run": float(np.median(runs)) * 1000,
    }


def _acceleration(pose_TxJx3):
    bend = np.diff(root_relative(pose_TxJx3), n=2, axis=0)
    return float(np.linalg.norm(bend, axis=-1).mean() * 1000)
