"""The subcommand detect: 2D keypoints of videos; and detection as a part of infer."""

import functools
import pathlib
import sys
import time

from mbjax.commands.output import json_argument, one_object, say, wrote
from mbjax.commands.parser import shard

_EPILOG = """\
each video gives DIR/NAME.npz: keypoints (pictures, persons, K, 3), layout, fps, times, image_size,
which `mbjax infer --keypoints` and `mbjax prepare actions` read. What is there already is left, so
that the same command goes on where it was stopped.

examples:
  mbjax detect dance.mp4 --out keypoints
  mbjax detect videos/*.mp4 --out keypoints --shard 3/16
"""


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command(
        "detect", _detect, "2D keypoints of everybody in videos (extra [video])", epilog=_EPILOG
    )
    sub.add_argument("videos", nargs="+", metavar="VIDEO", help="files")
    sub.add_argument("--out", required=True, metavar="DIR", help="folder of the .npz files")
    detector_argument(sub)
    sub.add_argument(
        "--shard", type=shard, default=(1, 1), metavar="I/N",
        help="only every N-th video, from the I-th: for N machines, each with its own I",
    )  # fmt: skip
    json_argument(sub)


def detector_argument(sub) -> None:
    sub.add_argument(
        "--detector", default="blazepose", metavar="NAME",
        help="blazepose, which comes with the package, or rtmlib, which is more accurate, slower, "
        "and downloads its nets (%(default)s)",
    )  # fmt: skip


def _detect(args):
    from mbjax.atomic_files import output_folder
    from mbjax.detect import detectors, video

    if args.detector not in detectors.DETECTORS:
        detectors.make(args.detector)  # the error, before any video
    one, all_of_them = args.shard
    paths = args.videos[one - 1 :: all_of_them]
    stems = [pathlib.Path(path).stem for path in args.videos]
    if len(set(stems)) < len(stems):
        twice = next(stem for stem in stems if stems.count(stem) > 1)
        raise ValueError(f"two videos are called {twice}; give their folders to runs of their own")
    with output_folder(args.out) as folder, one_object(args) as result:
        result.update(videos=[], failed={})
        for path in paths:
            out = folder / f"{pathlib.Path(path).stem}.npz"
            if out.is_file():
                say(f"{path}: there already")
                result["videos"].append({"video": path, "file": str(out), "already_there": True})
                continue
            try:
                found = video.detect(path, args.detector, Progress(path))
            except (ValueError, OSError) as error:
                result["failed"][path] = str(error)
                print(f"mbjax detect: {error}; left out", file=sys.stderr)
                continue
            video.write(found, out)
            say(describe(found))
            say(f"wrote {out}")
            persons = {t.person: len(t.frames_N) for t in found.keypoints.tracks}
            result["videos"].append(
                {
                    "video": path,
                    "file": str(out),
                    "pictures": len(found.times_T),
                    "persons": persons,
                }
            )
    return int(bool(result["failed"]))


def keypoints_of(path, detector, folder, found):
    """For infer: the keypoints of a video, written into its folder too. found: for --json."""
    from mbjax.detect import video

    detected = video.detect(path, detector, Progress(path))
    out = pathlib.Path(folder).expanduser() / "keypoints.npz"
    video.write(detected, out)
    say(describe(detected))
    wrote(out, found)
    say(f"  --keypoints {out} detects no second time")
    return detected.keypoints


def describe(found) -> str:
    tracks = found.keypoints.tracks
    seen = ", ".join(
        f"person {t.person} in {len(t.frames_N)} ({t.frames_N[0]} to {t.frames_N[-1]})"
        for t in tracks
    )
    return f"{found.video.path}: {len(found.times_T)} pictures; {seen}"


class Progress:
    """A line that is written over while a video is read, on a terminal; every 20 s elsewhere."""

    def __init__(self, path):
        from tqdm import tqdm

        self._describe = functools.partial(
            tqdm.format_meter, prefix=pathlib.Path(path).name, unit=" pictures", ncols=79
        )
        self._begun = self._told = time.monotonic()
        self._terminal = sys.stderr.isatty()

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        last = done == total
        if now - self._told < (0.5 if self._terminal else 20) and not (last and self._terminal):
            return
        self._told = now
        text = self._describe(done, total, now - self._begun)
        end = "\n" if last or not self._terminal else ""
        start = "\r\x1b[K" if self._terminal else ""
        sys.stderr.write(start + text + end)
        sys.stderr.flush()
