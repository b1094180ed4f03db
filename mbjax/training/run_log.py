"""What a run writes while it goes: JSON lines, TensorBoard, and progress with the time left."""

import json
import os
import pathlib
import sys
import time

from tqdm import tqdm

from mbjax.atomic_files import written_beside

METRICS_FILE = "metrics.jsonl"


class RunLog:
    """Metrics of one run in its work folder. Only process 0 of a run should be `active`."""

    def __init__(self, workdir: pathlib.Path, resume_step: int, active: bool = True):
        self.path, self._file, self._board = workdir / METRICS_FILE, None, None
        if not active:
            return
        keep_until(self.path, resume_step)
        self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115  open for the run
        from tensorboardX import SummaryWriter

        self._board = SummaryWriter(os.fspath(workdir / "tensorboard"), purge_step=resume_step)

    def write(self, kind: str, step: int, values: dict) -> None:
        """One line {kind, step, ...values}; numbers also go to TensorBoard as kind/name."""
        if self._file is None:
            return
        self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self):
        if self._file is not None:
            self._file.close()
            self._board.close()
            self._file = None


def read_metrics(workdir: pathlib.Path) -> list[dict]:
    path = pathlib.Path(workdir) / METRICS_FILE
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep_until(path: pathlib.Path, step: int) -> None:
    """Drops what a run that died wrote after the checkpoint it continues from."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines(keepends=True):
        try:
            if line.endswith("\n") and json.loads(line)["step"] <= step:
                kept.append(line)
        except ValueError:
            continue  # the half line of a killed process
    with written_beside(path) as beside:
        beside.write_text("".join(kept))


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
            _line(
                f"{self._what}: step {done} of {self._total}, {format_time(left)} left, {note}",
                sys.stderr,
            )

    def say(self, text: str) -> None:
        if self._active:
            _line(text, sys.stdout)

    def close(self):
        if self._bar is not None:
            self._bar.close()


def _line(text, stream):
    tqdm.write(text, file=stream)  # above the bar, if there is one
    stream.flush()


def format_time(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
