"""The subcommand live: a camera's person in 3D, in the browser of this machine."""

import argparse
import pathlib
import signal
import time

from mbjax.commands import infer
from mbjax.commands.detect import detector_argument
from mbjax.commands.output import say
from mbjax.commands.parser import positive

_EPILOG = """\
the page is on 127.0.0.1 alone, at an address that nobody can guess; Ctrl-C ends it. --record writes
keypoints.npz and then what `mbjax infer` writes of it.

examples:
  mbjax live
  mbjax live --video dance.mp4 --record take1 --height 1.75
"""
# Pictures a second that the filter of the poses reckons with where nothing says how many come.
_USUAL_FPS = 15.0


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command(
        "live", _live, "a camera's person in 3D, in the browser (extra [video])", epilog=_EPILOG
    )
    sub.add_argument("--checkpoint", default="tiny", help="of a pose net (%(default)s)")
    sub.add_argument("--camera", type=int, default=0, metavar="N", help="which one (%(default)s)")
    sub.add_argument("--video", metavar="FILE", help="a file as if it were a camera")
    detector_argument(sub)
    sub.add_argument("--port", type=int, default=0, help="of the page (a free one)")
    sub.add_argument("--no-browser", action="store_true", help="print the address alone")
    sub.add_argument("--seconds", type=positive, help="end by itself after so long")
    sub.add_argument("--record", metavar="DIR", help="write what was seen, at the end")
    sub.add_argument("--height", type=positive, metavar="M", help="of the person, for --record")


def _live(args):
    from mbjax.convert import load as loading
    from mbjax.detect import frames
    from mbjax.live import newest, page, server, session
    from mbjax.live.follower import Follower

    if not 0 <= args.port < 65536:
        raise ValueError(f"--port {args.port}: it is 0 to 65535")
    video = frames.probe(args.video) if args.video else None
    model = loading.load(args.checkpoint, kinds=("dstformer",))
    follower = Follower(model, args.detector, video.fps if video and video.fps else _USUAL_FPS)
    name = args.video or f"camera {args.camera}"
    recording = session.Recording(name, follower.layout) if args.record else None
    pictures = newest.played(video) if video else newest.camera(args.camera)
    served = server.Server(page.fed(), args.port)
    source = newest.Newest(pictures)
    say(f"open {served.url}  (Ctrl-C ends it)")
    if not args.no_browser:
        _open(served.url)
    # Ctrl-C is how a session ends: after the picture that is being looked at.
    before = signal.signal(signal.SIGINT, lambda *_: source.close())
    try:
        speed = session.run(source, follower, served, recording, _Until(args.seconds))
    finally:
        signal.signal(signal.SIGINT, before)
        source.close()
        served.close()
    if speed.pictures:
        say(
            f"{speed.pictures} pictures, {speed.fps:.1f} a second at the end, {source.dropped} "
            f"came too fast; {1000 * speed.latency:.0f} ms from a picture to its pose"
        )
    return _record(args, recording) if recording else 0


class _Until:
    """Whether to go on: until so many seconds have passed from the first picture on."""

    def __init__(self, seconds):
        self._seconds, self._begun = seconds, None

    def __call__(self) -> bool:
        self._begun = self._begun or time.monotonic()
        return self._seconds is None or time.monotonic() - self._begun < self._seconds


def _open(url):
    import webbrowser

    if not webbrowser.open(url):
        say("no browser could be opened; open the address in one of this machine")


def _record(args, recording):
    """keypoints.npz and all files of `mbjax infer`, by its own arguments."""
    from mbjax.atomic_files import output_folder
    from mbjax.detect import video

    with output_folder(args.record) as folder:
        file = pathlib.Path(folder) / "keypoints.npz"
        video.write(recording.detected(args.detector), file)
    say(f"wrote {file}")
    arguments = ["--checkpoint", args.checkpoint, "--keypoints", str(file), "--out", args.record]
    arguments += ["--height", str(args.height)] if args.height else []
    found = []
    parser = argparse.ArgumentParser()

    def command(name, run, help, epilog=None):
        found.append(run)
        return parser

    infer.add(command)
    return found[0](parser.parse_args(arguments))
