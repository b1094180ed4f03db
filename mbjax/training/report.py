"""What a run came to, read from its work folder: steps, metrics, and how its time was spent."""

import dataclasses
import os

from mbjax.configuration import RUN_FILE, read_run_file
from mbjax.storage import objects
from mbjax.storage.places import place
from mbjax.training.run_log import format_metrics, read_metrics
from mbjax.training.time_spent import Account, account


@dataclasses.dataclass(frozen=True)
class Report:
    """rows: the lines of the log. newest: of the last evaluation. spent: None in runs from before
    there was such a record."""

    name: str
    task: str
    rows: list[dict]
    newest: dict
    spent: Account | None

    @property
    def step(self) -> int:
        return max((row["step"] for row in self.rows), default=0)

    @property
    def clips_per_second(self) -> float:
        """The median over the lines of the log."""
        rates = sorted(row["clips_per_second"] for row in self.rows if "clips_per_second" in row)
        return rates[len(rates) // 2] if rates else 0.0

    def as_json(self) -> dict:
        return {
            "run": self.name, "task": self.task, "step": self.step, "metrics": self.newest,
            "clips_per_second": self.clips_per_second,
            "time": self.spent.row() if self.spent else None,
        }  # fmt: skip

    def __str__(self):
        metrics = format_metrics(self.newest)
        lines = [
            f"{self.name}: {self.task}, step {self.step:,}, {self.clips_per_second:,.0f} clips/s",
            f"  {metrics}" if metrics else "  not evaluated",
            f"  {self.spent}" if self.spent else "  how its time was spent is not recorded",
        ]
        return "\n".join(lines)


def report(workdir: str | os.PathLike) -> Report:
    """Of one run, on disk or in a bucket; FileNotFoundError where there is none."""
    folder = place(workdir)
    if not objects.exists(folder / RUN_FILE):
        raise FileNotFoundError(f"{workdir} is not the work folder of a run: no {RUN_FILE} there")
    config = read_run_file(folder / RUN_FILE)
    rows = read_metrics(folder)
    evaluations = [row for row in rows if row["kind"] == "evaluate"]
    newest = {k: v for k, v in evaluations[-1].items() if k not in ("kind", "step")} if (
        evaluations
    ) else {}  # fmt: skip
    task = config.get("task", "pretrain")
    return Report(os.fspath(workdir), task, rows, newest, account(folder))
