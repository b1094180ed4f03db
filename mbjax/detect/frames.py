"""Pictures of a video file, one after another. Needs PyAV (FFmpeg's libraries): extra [video]."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from mbjax.keypoints.formats.choose import VIDEO_ENDINGS


@dataclasses.dataclass(frozen=True)
class Video:
    """What a file says of its video. fps: the mean rate; size: (width, height) as it is shown.

    frames: how many there are, None where the file does not say it.
    """

    path: str
    fps: float | None
    size: tuple[int, int]
    frames: int | None = None


def is_video(source) -> bool:
    """Whether a path is one of a video, by its ending."""
    return isinstance(source, (str, os.PathLike)) and (
        pathlib.Path(source).suffix.lower() in VIDEO_ENDINGS
    )


def import_av():
    try:
        import av
        import av.logging
    except ImportError:
        raise ImportError("video needs PyAV: pip install 'mbjax[video]'") from None
    # FFmpeg's own remarks about a file are not for the user: errors come as exceptions.
    av.logging.set_level(av.logging.PANIC)
    return av


def probe(path: str | os.PathLike) -> Video:
    """Opens a video and decodes its first picture: ImportError without PyAV, else one line.

    FileNotFoundError; ValueError where there is no video in it that can be decoded.
    """
    av = import_av()
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no such video: {path}")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path}: no video in it")
            stream = container.streams.video[0]
            first = next(container.decode(stream), None)
            if first is None:
                raise ValueError(f"{path}: not one picture of it can be decoded")
            size = (first.width, first.height)
            if quarter_turns(first) % 2:
                size = size[::-1]
            rate = float(stream.average_rate or 0) or None
            return Video(str(path), rate, size, stream.frames or None)
    except av.error.FFmpegError as error:
        raise ValueError(f"{path}: cannot be opened as a video ({error.strerror})") from None


def quarter_turns(frame) -> int:
    """Quarter turns, counterclockwise, by which a telephone says its picture is to be turned."""
    return round(frame.rotation / 90) % 4


def decoded(video: Video, notes: list[str] | None = None) -> Iterator:
    """PyAV's frames of a video, not yet turned, as far as they can be decoded.

    notes: gets a line where the file breaks off.
    """
    av = import_av()
    count = 0
    try:
        with av.open(video.path) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                yield frame
                count += 1
    except av.error.FFmpegError as error:
        if notes is not None:
            notes.append(f"{video.path} breaks off after {count} frames ({error.strerror})")


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """One picture as it is shown. number: from 0; time: seconds from the first picture."""

    number: int
    time: float
    rgb_HxWx3: np.ndarray


def pictures(video: Video, notes: list[str] | None = None) -> Iterator[Picture]:
    """All pictures of a video that can be decoded; one is in memory at a time.

    notes: as for `decoded`. Pictures without a time of their own, or out of order, get the mean
    rate's.
    """
    step = 1 / (video.fps or 30.0)
    begin, before = None, -step
    for number, frame in enumerate(decoded(video, notes)):
        time = frame.time
        begin = time if begin is None else begin
        time = before + step if time is None or begin is None else float(time - begin)
        if time <= before:
            time = before + step
        rgb = frame.to_ndarray(format="rgb24")
        yield Picture(number, time, np.ascontiguousarray(np.rot90(rgb, quarter_turns(frame))))
        before = time
