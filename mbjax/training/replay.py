"""Trains steps of a run again and compares them with what the run logged and saved."""

import dataclasses
import pathlib
from collections.abc import Callable

from ml_collections import ConfigDict

from mbjax.configuration import read_run_file
from mbjax.data.feed import device_batches
from mbjax.devices import sharding
from mbjax.storage import objects
from mbjax.storage.places import place
from mbjax.training import checkpoint, fetched, workdir
from mbjax.training.run_log import read_metrics
from mbjax.training.session import Session, layout
from mbjax.training.signed_meta import differences
from mbjax.training.step import prepared
from mbjax.training.task import Task

# Of the run's speed, not of what it computed.
_NOT_COMPARED = ("clips_per_second",)
# Sums over a batch in another order differ by float32's rounding, and training multiplies that.
TOLERANCE = 1e-3
_SMALLEST = 1e-6  # below it a metric is taken for this large


@dataclasses.dataclass
class Replay:
    """What was compared, and where the runs part.

    exact: whether the layout is the run's, so that all has to agree bit for bit; otherwise within
    TOLERANCE, and parameters are not compared. parted: lines, the first step first. largest: of the
    differences of a metric, as a share of what the run logged.
    """

    first: int
    last: int
    exact: bool
    compared: int = 0
    parted: list[str] = dataclasses.field(default_factory=list)
    largest: float = 0.0

    def __str__(self):
        other = f"within {TOLERANCE:g} on another layout (the largest: {self.largest:.1g})"
        how = "bit for bit" if self.exact else other
        if self.parted:
            return f"they part: {self.parted[0]}"
        if not self.compared:
            return (
                f"steps {self.first} to {self.last}: the run logged nothing there to compare with"
            )
        return f"steps {self.first} to {self.last}: {self.compared} lines of the log agree, {how}"


class _Comparison:
    """In the place of the run's log: holds lines against those of the run."""

    folder = None  # nothing is written

    def __init__(self, found: Replay, rows: list[dict]):
        self._found = found
        self._rows = {(row["kind"], row["step"]): row for row in rows}

    def write(self, kind, step, values):
        row = self._rows.get((kind, step))
        if row is None:
            return
        self._found.compared += 1
        # Other versions may log more or less.
        for name in sorted(set(values) & set(row)):
            if name not in _NOT_COMPARED:
                self._compare(step, name, row[name], values[name])

    def _compare(self, step, name, logged, now):
        if self._found.exact:
            same = logged == now
        elif isinstance(logged, float) and isinstance(now, float):
            share = abs(now - logged) / max(abs(logged), _SMALLEST)
            self._found.largest = max(self._found.largest, share)
            same = share <= TOLERANCE
        else:
            same = name == "params_checksum" or logged == now
        if not same:
            self._found.parted.append(
                f"step {step}: {name} was {logged!r} in the run, is {now!r} now"
            )

    def close(self):
        pass


def replay(
    run: str | pathlib.Path,
    make_task: Callable[[ConfigDict], Task],
    config: ConfigDict,
    start: int | None,
    steps: int | None,
    say: Callable[[str], None],
) -> Replay:
    """Trains `steps` steps (to the end of the run's log) from the checkpoint at step `start` (the
    oldest that is kept) and compares; stops at the first difference. Nothing is written.

    config: the run's, see `config_of`. ValueError or FileNotFoundError where there is no such
    checkpoint, it is damaged, or the data changed.
    """
    run = pathlib.Path(fetched.fetch(run, fetched.ALL)).expanduser()
    mesh = sharding.make_mesh(config.fsdp)
    task = make_task(config)
    workdir.check_data(run, task.data_index())
    prepared_run = prepared(task, config, mesh)
    kept = checkpoint.Checkpoints(run, read_only=True)
    start = start if start is not None else next(iter(kept.steps()), None)
    if start not in kept.steps():
        raise FileNotFoundError(
            f"{run} has no checkpoint of step {start}; it has: "
            + (", ".join(map(str, kept.steps())) or "none")
        )
    rows = read_metrics(run)
    end = max((row["step"] for row in rows), default=start)
    end = min(prepared_run.plan.total_steps, start + steps if steps else max(end, start))
    session = Session(prepared_run, config, run, say, checkpoints=kept)
    meta = session.restore_step(start)
    found = Replay(start + 1, end, exact=meta.get("layout") == layout(mesh))
    session.log = _Comparison(found, rows)
    session.report_start()
    feed = device_batches(
        prepared_run.plan,
        {name: source.load for name, source in task.sources.items()},
        sharding.batch_sharding(mesh),
        start=start,
        threads=config.feed_threads,
    )
    with session:
        for source, batch in feed:
            if session.done >= end or found.parted:
                break
            session.step(source, batch)
            if session.due("log_every"):
                session.write_log()
            if task.evaluate and session.due("evaluate_every"):
                session.evaluate()
            if session.done in kept.steps() and found.exact:
                _compare_checkpoint(found, session, kept)
    return found


def _compare_checkpoint(found, session, kept):
    """The state now against the checkpoint that the run saved at this step."""
    saved = checkpoint.read_meta(kept.directory / str(session.done))
    found.compared += 1
    for name in differences(saved, session.items()):
        found.parted.append(f"step {session.done}: {name} is not what the run saved")


def config_of(run: str | pathlib.Path) -> ConfigDict:
    """The config that a run was made with. ValueError, FileNotFoundError in one line."""
    path = place(run) / workdir.CONFIG
    if not objects.exists(path):
        raise FileNotFoundError(f"{run} is not the work folder of a run: {path} is not there")
    return read_run_file(path)
