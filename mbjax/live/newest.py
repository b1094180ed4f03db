"""The newest picture of a camera, or of a file that is played as if it were one.

Whoever takes pictures more slowly than they come misses some: what is shown is always now.
"""

import errno
import platform
import threading
import time
from collections.abc import Iterator

import numpy as np

from mbjax.detect.frames import Picture, Video, import_av, pictures
from mbjax.remarks import remark

# How FFmpeg calls the cameras of each system, by number.
_CAMERAS = {
    "Linux": ("v4l2", "/dev/video{}"),
    "Darwin": ("avfoundation", "{}:none"),
    "Windows": ("dshow", "video={}"),
}


class Newest:
    """A thread that takes pictures as they come and keeps the last one.

    `take` gives it, once; `dropped` counts those that nobody took. What goes wrong in the thread is
    raised by `take`.
    """

    def __init__(self, source: Iterator[Picture]):
        self.dropped = 0
        self._source, self._picture, self._error = source, None, None
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._fill, daemon=True, name="pictures").start()

    def take(self) -> Picture | None:
        """The newest picture that was not taken yet, waited for; None after the last one."""
        with self._changed:
            # In short waits, so that Ctrl-C is heard.
            while self._picture is None and not self._ended:
                self._changed.wait(0.2)
            picture, self._picture = self._picture, None
            if picture is None and self._error is not None:
                raise self._error
            return picture

    def close(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _fill(self):
        try:
            for picture in self._source:
                with self._changed:
                    if self._ended:
                        return
                    self.dropped += self._picture is not None
                    self._picture = picture
                    self._changed.notify_all()
        except Exception as error:  # told where somebody waits for it
            self._error = error
        finally:
            self.close()


def played(video: Video) -> Iterator[Picture]:
    """The pictures of a file in its own time."""
    begun = time.monotonic()
    for picture in pictures(video):
        time.sleep(max(0.0, begun + picture.time - time.monotonic()))
        yield picture


def camera(number: int) -> Iterator[Picture]:
    """The pictures of a camera of this machine; ValueError in one line where it gives none."""
    av = import_av()
    kind, name = _CAMERAS.get(platform.system(), _CAMERAS["Linux"])
    name = name.format(number)
    try:
        container = av.open(name, format=kind)
    except FileNotFoundError:
        raise ValueError(f"there is no camera {name}; --camera N, or --video FILE") from None
    except (av.error.FFmpegError, ValueError) as error:
        raise ValueError(_refused(name, error)) from None
    begun, count = time.monotonic(), 0
    try:
        with container:
            for frame in container.decode(video=0):
                rgb = np.ascontiguousarray(frame.to_ndarray(format="rgb24"))
                yield Picture(count, time.monotonic() - begun, rgb)
                count += 1
    except av.error.FFmpegError as error:
        if not count:
            raise ValueError(_refused(name, error)) from None
        # What was seen until then is there to be recorded.
        remark(f"camera {name} gives no more pictures ({error.strerror})")


def _refused(name, error):
    reason = getattr(error, "strerror", None) or error
    advice = {
        errno.EBUSY: "another program uses it: end that, or --camera N, or --video FILE",
        errno.EACCES: "your user may not: on Linux, join the group 'video'",
    }.get(getattr(error, "errno", None), "is it used by another program?")
    return f"camera {name} cannot be opened ({reason}); {advice}"
