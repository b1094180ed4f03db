"""What a run writes while it goes: JSON lines, TensorBoard, and progress with the time left."""

import contextlib
import json
import os
import pathlib
import sys
import time

from tqdm import tqdm

from mbjax.atomic_files import written_beside
from mbjax.storage import objects
from mbjax.storage.mirror import Mirror
from mbjax.storage.places import Place, in_bucket, place
from mbjax.training import time_spent
from mbjax.training.tracker import Tracker

METRICS_FILE = "metrics.jsonl"


class RunLog:
    """Metrics of one run in its work folder. Only process 0 of a run should be `active`."""

    def __init__(
        self, workdir: Place, resume_step: int, active: bool = True, unlogged: bool = False
    ):
        self.path, self._file, self._board = workdir / METRICS_FILE, None, None
        self._mirror: Mirror | None = None
        self.folder: pathlib.Path | None = None  # where its files lie on disk
        self.tracker: Tracker | None = None
        if not active:
            return
        if in_bucket(workdir):
            self._mirror = Mirror(workdir)
            for name in (METRICS_FILE, time_spent.FILE):
                self._mirror.fetch(name)
            workdir = self._mirror.folder
            self.path = workdir / METRICS_FILE
        self.folder = pathlib.Path(workdir)
        keep_until(self.path, resume_step, unlogged)
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  open for the run
        # TensorBoard drops what is at this step and later.
        board = os.fspath(workdir / "tensorboard")
        self._board = _summary_writer()(board, purge_step=resume_step + 1)

    def write(self, kind: str, step: int, values: dict) -> None:
        """One line {kind, step, ...values}; numbers also go to TensorBoard as kind/name.

        OSError, with the file's name, where there is no room.
        """
        if self._file is None:
            return
        try:
            self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(self.path)) from error
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(f"{kind}/{name}", value, step)
        if self.tracker is not None:
            self.tracker.write(kind, step, values)

    def sync(self) -> None:
        """Returns when all lines are in the work folder, also where that is in a bucket."""
        if self._mirror is not None:
            self._board.flush()
            self._mirror.sync()

    def close(self):
        if self._file is not None:
            # What cannot be written any more was reported when it was.
            for each in (self._file, self._board, self._mirror, self.tracker):
                with contextlib.suppress(OSError):
                    if each is not None:
                        each.close()
            self._file = None


def read_metrics(workdir: str | os.PathLike) -> list[dict]:
    """The lines of a run's log; what is no line of a log is left out."""
    path = place(workdir) / METRICS_FILE
    lines = objects.read_bytes(path).splitlines() if objects.exists(path) else []
    return [row for line in lines if (row := _row(line))]


def _row(line: bytes) -> dict | None:
    """A line of the log; None for the half line of a killed process and whatever else is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    whole = isinstance(row, dict) and type(row.get("step")) is int and "kind" in row
    return row if whole else None


def keep_until(path: pathlib.Path, step: int, unlogged: bool = False) -> None:
    """Drops what a run that died wrote after the checkpoint it continues from.

    unlogged: the checkpoint has metrics up to its own step that were not in the log yet; a line of
    training at that step came later.
    """
    if not path.exists():
        return
    kept = [
        line
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
        and (row := _row(line))
        and row["step"] <= step - (unlogged and row["kind"] == "train")
    ]
    with written_beside(path) as beside:
        beside.write_bytes(b"".join(kept))


class Means:
    """Means of a run's metrics since the last line of its log; kept in checkpoints.

    step: the last one added; 0 where there is none.
    """

    def __init__(self, kept: dict | None = None):
        self.step = kept["step"] if kept else 0
        self._sums: dict = {name: list(pair) for name, pair in kept["sums"].items()} if kept else {}

    def add(self, step: int, source: str, values: dict) -> None:
        self.step = step
        for term, value in values.items():
            pair = self._sums.setdefault(f"{source}/{term}", [0.0, 0])
            pair[0] += float(value)
            pair[1] += 1

    def values(self) -> dict:
        """{'SOURCE/TERM': mean}, by name."""
        return {name: total / count for name, (total, count) in sorted(self._sums.items())}

    def kept(self) -> dict | None:
        """For `Means(kept)`; None where there is nothing."""
        return {"step": self.step, "sums": self._sums} if self.step else None


class Progress:
    """A bar on a terminal; elsewhere a line now and then. Both tell the time left."""

    def __init__(self, total: int, what: str, active: bool = True):
        self._total, self._what, self._active = total, what, active
        self._first, self._begun, self._spoken = 0, 0.0, 0.0
        self._bar: tqdm | None = None

    def start(self, done: int) -> None:
        self._first, self._begun = done, time.monotonic()
        if self._active and sys.stderr.isatty():
            self._bar = tqdm(
                total=self._total, initial=done, desc=self._what, unit="step", smoothing=0.05
            )

    def update(self, done: int, note: str = "") -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)
        elif self._active and note:
            now = time.monotonic()
            if now - self._spoken < 10 and done < self._total:
                return
            self._spoken = now
            left = (now - self._begun) / max(1, done - self._first) * (self._total - done)
            remaining = time_spent.format_time(left)
            write_line(
                f"{self._what}: step {done} of {self._total}, {remaining} left, {note}", sys.stderr
            )

    def say(self, text: str) -> None:
        if self._active:
            write_line(text, sys.stdout)

    def close(self):
        if self._bar is not None:
            self._bar.close()


def write_line(text: str, stream=None) -> None:
    """A line on stdout, or another stream."""
    stream = stream or sys.stdout
    tqdm.write(text, file=stream)  # above the bar, if there is one
    stream.flush()


def format_metrics(metrics: dict) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in metrics.items()
    )


def _summary_writer():
    """tensorboardX's writer without PyTorch, which it imports wherever it is installed: at each
    start 1.3 s, for tensors that this project does not give it."""
    absent = "torch" not in sys.modules and sys.modules.setdefault("torch", None) is None
    try:
        from tensorboardX import SummaryWriter
    finally:
        if absent:
            del sys.modules["torch"]
    return SummaryWriter
