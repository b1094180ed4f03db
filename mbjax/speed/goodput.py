"""What saving and failures cost a run of many chips, on paper.

A save stops training for C seconds; a failure costs the restart R and what was not saved yet.
Failures come at random, one in M seconds: that of a chip over their number. With a save after
every T seconds of training the share of time that trains is (Daly, Future Generation Computer
Systems 22, 2006, equation 13)

    T / (M exp(R / M) (exp((T + C) / M) - 1)),

and is largest near Young's T = sqrt(2 C M), more exactly where Daly's series (equation 37) says. A
save that goes on in the background while training does is one only when it is whole: a failure
costs these W seconds too, which count with the restart.
"""

import dataclasses
import math

from mbjax.speed.scaling import CHIPS


@dataclasses.dataclass(frozen=True)
class Costs:
    """save_s: that training waits for a save; written_s: until it is whole; restart_s: from a
    failure to the first new step; hours_between: failures of one chip."""

    save_s: float
    written_s: float
    restart_s: float
    hours_between: float

    def between_s(self, chips: int) -> float:
        """Seconds between failures of any of so many chips."""
        return 3600 * self.hours_between / chips


def share(interval_s: float, chips: int, costs: Costs) -> float:
    """The share of time that trains, with a save after every so many seconds of training."""
    between = costs.between_s(chips)
    restart = (costs.restart_s + costs.written_s) / between
    lost = (interval_s + costs.save_s) / between
    if restart + lost > 500:  # beyond float, and beyond hope
        return 0.0
    return interval_s / (between * math.exp(restart) * math.expm1(lost))


def best_interval(chips: int, costs: Costs) -> float:
    """Seconds of training between two saves that lose the least, by Daly's series."""
    between = costs.between_s(chips)
    if costs.save_s >= 2 * between:
        return between
    half = math.sqrt(costs.save_s / (2 * between))
    young = math.sqrt(2 * costs.save_s * between)
    return young * (1 + half / 3 + half**2 / 9) - costs.save_s


def rows(step_s: dict[int, float], costs: Costs, every: int = 0) -> list[dict]:
    """One row for each number of chips. step_s: {chips: seconds}; every: steps between saves, to
    be told of beside the best."""
    table = []
    for chips, seconds in step_s.items():
        best = max(1, round(best_interval(chips, costs) / seconds))
        row = {
            "chips": chips,
            "step_s": seconds,
            "hours_between_failures": costs.between_s(chips) / 3600,
            "best_steps": best,
            "best_s": best * seconds,
            "best_share": share(best * seconds, chips, costs),
        }
        if every:
            row |= {"every_steps": every, "every_share": share(every * seconds, chips, costs)}
        table.append(row)
    return table


def of_scaling(scaling: list[dict]) -> dict[int, float]:
    """{chips: seconds of a step} of what `scaling.rows` found."""
    return {row["chips"]: row["step_ms"] / 1e3 for row in scaling}


def of_step(seconds: float) -> dict[int, float]:
    """The same where a step takes as long on any number of chips."""
    return dict.fromkeys(CHIPS, seconds)


def describe(table: list[dict], costs: Costs) -> str:
    """The table in Markdown, with what is assumed above."""
    lines = [
        f"training waits {costs.save_s:g} s for a save, whole after {costs.written_s:g} s; "
        f"{costs.restart_s:g} s from a failure to the next step; a chip fails every "
        f"{costs.hours_between:,.0f} h.",
        "",
        "| chips | step, ms | a failure every | best: save every | steps | time that trains |",
        "|---|---|---|---|---|---|",
    ]
    every = "every_steps" in table[0]
    if every:
        lines[2] += f" saved every {table[0]['every_steps']:,} steps |"
        lines[3] += "---|"
    for row in table:
        line = (
            f"| {row['chips']:,} | {1e3 * row['step_s']:.1f} "
            f"| {_time(3600 * row['hours_between_failures'])} | {_time(row['best_s'])} "
            f"| {row['best_steps']:,} | {row['best_share']:.2%} |"
        )
        lines.append(line + (f" {row['every_share']:.2%} |" if every else ""))
    return "\n".join(lines)


def _time(seconds):
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
