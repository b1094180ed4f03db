"""What clips a network was trained on: their length and frame rate, as checkpoints record it."""

import dataclasses
import math
from collections.abc import Iterable, Mapping


@dataclasses.dataclass(frozen=True)
class TrainedOn:
    """frames: of the longest clips, those that the network sees together. fps: their rate, frames a
    second. trunk_per_leg: of the people in them, see `mbjax.pose.proportions`. fill: how much of
    [-1, 1] a clip fills, the mean where clips are scaled at random. None: not known."""

    frames: int
    fps: float | None = None
    trunk_per_leg: float | None = None
    fill: float | None = None

    @classmethod
    def from_meta(cls, network: Mapping) -> "TrainedOn | None":
        """What a checkpoint's description of its network records, None if nothing or not sane."""
        clips = network.get("clips")
        if not isinstance(clips, Mapping):
            return None
        frames = clips.get("frames")
        if type(frames) is not int or frames < 1:
            return None
        known = {name: _positive(clips.get(name)) for name in ("fps", "trunk_per_leg", "fill")}
        return cls(frames, **known)

    @classmethod
    def longest(cls, loaders: Iterable, **more: float | None) -> "TrainedOn | None":
        """Of what loads the rows of a run's sources (`frames` and `fps` of each): the longest."""
        clips = [(one.frames, one.fps or 0) for one in loaders if hasattr(one, "frames")]
        if not clips:
            return None
        frames, fps = max(clips)
        return cls(frames, fps or None, **more)

    def meta(self) -> dict:
        """The inverse of `from_meta`, under the key 'clips'."""
        known = {key: value for key, value in dataclasses.asdict(self).items() if value is not None}
        return {"clips": {"fps": None, **known}}

    def frame_step(self, fps: float | None) -> int:
        """Frames of a video of so many a second between those that are shown together."""
        return max(1, round(fps / self.fps)) if fps and self.fps else 1

    def __str__(self):
        return f"{self.frames} frames" + (f" at {self.fps:g} a second" if self.fps else "")


def _positive(value) -> float | None:
    sane = isinstance(value, int | float) and math.isfinite(value) and value > 0
    return float(value) if sane else None


def fill_of(trained: TrainedOn | None) -> float:
    """How much of [-1, 1] a network is shown people to fill: all where nothing sane is known."""
    return trained.fill if trained and trained.fill and trained.fill <= 1 else 1.0


def trunk_per_leg_of(trained: TrainedOn | None) -> float:
    """Of the people a network learnt from (`mbjax.pose.proportions`): 0 where it is not known."""
    return (trained.trunk_per_leg if trained else None) or 0.0


def trained_on(model) -> TrainedOn | None:
    """What `mbjax.load` found out about a model's clips, or None."""
    return getattr(model, "trained_on", None)
