"""How the time of a run was spent, over all its starts: the share that brought it forward.

WORKDIR/starts.jsonl has lines of what each start spent so far; unlike metrics.jsonl it keeps those
of starts that were killed, whose last steps are computed again. The host's view: the loop runs
ahead of the devices, and waits for them where it fetches what they computed.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Iterator

from mbjax.storage import objects
from mbjax.storage.places import place
from mbjax.training import lock

FILE = "starts.jsonl"
# starting: from the process' begin to the first step, but for what is named apart. waiting: for
# input, while the devices have nothing to do. saving: the loop waits; what is written beside it
# costs nothing.
KINDS = ("starting", "restoring", "compiling", "training", "waiting", "saving", "evaluating")
_EVERY_S = 5.0


class TimeSpent:
    """The clock of one start, in the work folder of its log.

    began_s: seconds before now at which it began; the process may be older than its loop.
    """

    def __init__(self, began_s: float = 0.0):
        self._since = time.monotonic() - began_s
        self._began = time.time() - began_s
        self._now = "starting"
        self._seconds = dict.fromkeys(KINDS, 0.0)
        self._path: pathlib.Path | None = None
        self._written = 0.0
        self._first_step = 0

    def switch(self, kind: str) -> str:
        """What follows is of this kind; returns what it was before."""
        now = time.monotonic()
        self._seconds[self._now] += now - self._since
        before, self._now, self._since = self._now, kind, now
        return before

    def was(self, kind: str) -> None:
        """The time since the last switch was of this kind; what follows is as before."""
        now = time.monotonic()
        self._seconds[kind] += now - self._since
        self._since = now

    @contextlib.contextmanager
    def doing(self, kind: str) -> Iterator[None]:
        """The block is of this kind; what follows is as before."""
        before = self.switch(kind)
        try:
            yield
        finally:
            self.switch(before)

    def keep_in(self, folder: pathlib.Path, step: int) -> None:
        """Writes into a folder on disk from now on. step: the one that this start begins at."""
        self._path, self._first_step = folder / FILE, step
        self.write(step)

    def write(self, step: int, unless_recent: bool = False) -> None:
        """A line of what was spent up to a step; OSError with the file's name."""
        if self._path is None or unless_recent and time.monotonic() - self._written < _EVERY_S:
            return
        self.switch(self._now)
        self._written = time.monotonic()
        line = {
            "began": round(self._began, 3), "now": round(time.time(), 3),
            "from": self._first_step, "step": step,
            "seconds": {kind: round(value, 3) for kind, value in self._seconds.items()},
        }  # fmt: skip
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fspath(self._path)) from error


@dataclasses.dataclass(frozen=True)
class Account:
    """Seconds of a run by what they were spent on.

    starts: how many there were. total: from the first one's begin to the last line. seconds: by
    KINDS, where training is of steps that counted; 'lost', steps that were computed again; 'away',
    between the last line of one start and the begin of the next.
    """

    starts: int
    total: float
    seconds: dict[str, float]

    @property
    def goodput(self) -> float:
        """The share of the time in which steps that counted were computed."""
        return self.seconds["training"] / self.total if self.total else 0.0

    def row(self) -> dict:
        """For a line of metrics.jsonl."""
        found = {f"{kind}_s": round(value, 1) for kind, value in self.seconds.items()}
        return {"starts": self.starts, "total_s": round(self.total, 1),
                "goodput": round(self.goodput, 4), **found}  # fmt: skip

    def __str__(self):
        shares = sorted(self.seconds.items(), key=lambda one: -one[1])
        named = ", ".join(
            f"{_NAMES.get(kind, kind)} {value / self.total:.1%}"
            for kind, value in shares
            if value >= 0.0005 * self.total and kind != "training"
        )
        starts = f" in {self.starts} starts" if self.starts > 1 else ""
        return f"took {format_time(self.total)}{starts}: training {self.goodput:.1%}" + (
            f", {named}" if named else ""
        )


_NAMES = {"waiting": "waiting for input", "away": "between starts"}


def account(workdir: str | os.PathLike) -> Account | None:
    """Of all starts of a run in a work folder; None where it has no such record."""
    path = place(workdir) / FILE
    if not objects.exists(path):
        return None
    starts = _starts(objects.read_bytes(path))
    if not starts:
        return None
    seconds = dict.fromkeys((*KINDS, "lost", "away"), 0.0)
    for number, lines in enumerate(starts):
        last = lines[-1]
        for kind in KINDS:
            seconds[kind] += last["seconds"].get(kind, 0.0)
        if number + 1 < len(starts):
            following = starts[number + 1][0]
            lost = last["seconds"]["training"] - _training_until(lines, following["from"])
            seconds["lost"] += lost
            seconds["training"] -= lost
            # Clocks of two hosts may differ.
            seconds["away"] += max(0.0, following["began"] - last["now"])
    return Account(len(starts), sum(seconds.values()), seconds)


def _starts(content: bytes) -> list[list[dict]]:
    """The lines of each start, in order; half a line of a killed process is none."""
    starts: dict[float, list[dict]] = {}
    for line in content.splitlines():
        try:
            row = json.loads(line)
            numbers = (row["began"], row["now"], row["step"], row["from"])
            sound = all(isinstance(one, int | float) for one in numbers)
            if sound and isinstance(row["seconds"]["training"], int | float):
                starts.setdefault(row["began"], []).append(row)
        except (ValueError, RecursionError, KeyError, TypeError):
            continue
    return [starts[began] for began in sorted(starts)]


def _training_until(lines, step) -> float:
    """Seconds of training in a start up to a step, between lines in proportion to the steps."""
    before = lines[0]
    for line in lines:
        if line["step"] >= step:
            span = line["step"] - before["step"]
            share = (step - before["step"]) / span if span else 1.0
            first = before["seconds"]["training"]
            return first + max(0.0, share) * (line["seconds"]["training"] - first)
        before = line
    return lines[-1]["seconds"]["training"]


def age_of_process() -> float:
    """Seconds since this process began; 0 where the system does not tell."""
    try:
        began = int(lock.started(os.getpid()) or "") / os.sysconf("SC_CLK_TCK")
        return max(0.0, float(pathlib.Path("/proc/uptime").read_text().split()[0]) - began)
    except (OSError, ValueError, IndexError):
        return 0.0


def format_time(seconds: float) -> str:
    minutes, rest = divmod(int(round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
