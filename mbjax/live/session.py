"""What `mbjax live` does between its first picture and its last.

Shapes in names: J = 17 joints.
"""

import base64
import dataclasses
import io
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from mbjax.detect import video as videos
from mbjax.detect.frames import Video
from mbjax.keypoints import layouts
from mbjax.keypoints.tracking import Observation
from mbjax.live.follower import Follower, Seen
from mbjax.live.newest import Newest
from mbjax.live.server import Server

_WIDTH = 480  # of the picture in the page


@dataclasses.dataclass
class Speed:
    """pictures: that were shown; fps: of the last second or so; latency: seconds from a picture to
    its pose, smoothed."""

    pictures: int = 0
    fps: float = 0.0
    latency: float = 0.0
    _last: float | None = None

    def shown(self, taken: float, now: float) -> None:
        self.pictures += 1
        self.latency = now - taken if not self._last else 0.8 * self.latency + 0.2 * (now - taken)
        if self._last is not None and now > self._last:
            rate = 1 / (now - self._last)
            self.fps = rate if not self.fps else 0.8 * self.fps + 0.2 * rate
        self._last = now


class Recording:
    """What was found so far; `detected` makes of it what a video's detection is."""

    def __init__(self, name: str, layout: str):
        self._name, self._layout = name, layout
        self._observations: list[Observation] = []
        self._times: list[float] = []
        self._size = (0, 0)

    def add(self, picture, seen: Seen) -> None:
        number = len(self._times)
        self._times.append(picture.time)
        self._size = picture.rgb_HxWx3.shape[1::-1]
        for keypoints in seen.everybody:
            self._observations.append(Observation(number, None, keypoints))

    def detected(self, detector: str) -> videos.Detected:
        """ValueError where nobody was seen."""
        times_T = np.array(self._times)
        step = np.diff(times_T).mean() if len(times_T) > 1 else 0
        video = Video(self._name, float(1 / step) if step > 0 else None, self._size, len(times_T))
        return videos.gathered(self._observations, times_T, video, self._layout, detector, [])


def run(
    newest: Newest, follower: Follower, server: Server, recording: Recording | None,
    go_on: Callable[[], bool] = lambda: True,
) -> Speed:  # fmt: skip
    """Shows pictures until they end, or `go_on` says so after one of them."""
    speed = Speed()
    while True:
        picture = newest.take()
        if picture is None:
            break
        taken = time.monotonic()
        seen = follower(picture.rgb_HxWx3)
        speed.shown(taken, time.monotonic())
        if recording:
            recording.add(picture, seen)
        server.publish(_event(picture, seen, follower.layout, speed, newest.dropped))
        if not go_on():
            break
    return speed


def _event(picture, seen, layout, speed, dropped):
    height, width = picture.rgb_HxWx3.shape[:2]
    scale = min(1.0, _WIDTH / width)
    small = Image.fromarray(picture.rgb_HxWx3).resize(
        (max(1, round(width * scale)), max(1, round(height * scale)))
    )
    file = io.BytesIO()
    small.save(file, "JPEG", quality=70)
    return {
        "jpeg": base64.b64encode(file.getvalue()).decode(),
        "keypoints": _of_17(seen.person, layout, scale),
        "pose": [] if seen.pose_Jx3 is None else _rounded(seen.pose_Jx3, 4),
        "persons": len(seen.everybody),
        "fps": round(speed.fps, 1),
        "latency_ms": round(1000 * speed.latency),
        "dropped": dropped,
    }


def _of_17(person, layout, scale):
    """The 17 joints where they are known, else null, in pixels of the small picture."""
    if person is None:
        return []
    joints_Jx3 = layouts.from_layout(person[None], layout)[0]
    seen_J = np.isfinite(joints_Jx3).all(axis=-1) & (joints_Jx3[:, 2] > 0)
    return [
        _rounded(joint_3[:2] * scale, 1) if seen else None
        for joint_3, seen in zip(joints_Jx3, seen_J, strict=True)
    ]


def _rounded(array, digits):
    return np.round(np.asarray(array, float), digits).tolist()
