"""Benchmark gate: measured figures against a committed baseline.

A figure has a unit, a direction that is better, and a tolerance. The baseline (baseline.json, here)
is changed on purpose alone: `mbjax bench --suite --update-baseline`.
"""

import dataclasses
import importlib.metadata
import json
import pathlib
from collections.abc import Iterable, Mapping

from mbjax.atomic_files import written_beside

BASELINE = pathlib.Path(__file__).with_name("baseline.json")


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measured number. better: 'lower' or 'higher'. tolerance: share that it may get worse."""

    name: str
    value: float
    unit: str
    better: str = "lower"
    tolerance: float = 0.0

    def __post_init__(self):
        if self.better not in ("lower", "higher"):
            raise ValueError(f"{self.name}: better is {self.better!r}, not 'lower' or 'higher'")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of a figure: 'same', 'better', 'WORSE' or 'new' (not in the baseline)."""

    figure: Figure
    baseline: float | None
    outcome: str

    def line(self) -> str:
        figure = self.figure
        text = f"{self.outcome:6s} {figure.name:44s} {figure.value:14.6g} {figure.unit}"
        if self.baseline is None:
            return text
        change = f", {figure.value / self.baseline - 1:+.1%}" if self.baseline else ""
        return (
            f"{text}  (baseline {self.baseline:.6g}{change}; {figure.better} is better, "
            f"tolerance {figure.tolerance:.0%})"
        )


def compare(figures: Iterable[Figure], baseline: Mapping[str, Mapping]) -> list[Verdict]:
    """A verdict on each figure; the tolerance is the baseline's, so that it changes on purpose."""
    verdicts = []
    for figure in figures:
        known = baseline.get(figure.name)
        if known is None:
            verdicts.append(Verdict(figure, None, "new"))
            continue
        figure = dataclasses.replace(figure, better=known["better"], tolerance=known["tolerance"])
        margin = abs(known["value"]) * figure.tolerance
        worse = figure.value - known["value"]
        if figure.better == "higher":
            worse = -worse
        # A number that is not finite is worse than any.
        outcome = "better" if worse < -margin else "same" if worse <= margin else "WORSE"
        verdicts.append(Verdict(figure, known["value"], outcome))
    return verdicts


def compilers(figure: Figure) -> str:
    """Versions that the figure depends on, such as 'jax 0.10.2, jaxlib 0.10.2'."""
    found = []
    for name in ("jax", "jaxlib", "libtpu") if figure.name.startswith("tpu") else ("jax", "jaxlib"):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def other_compilers(figures: Iterable[Figure], baseline: Mapping[str, Mapping]) -> list[str]:
    """A line for each pair of versions where a figure's baseline was made with others."""
    pairs = {
        (baseline[figure.name].get("made_with", ""), compilers(figure))
        for figure in figures
        if figure.name in baseline
    }
    return [
        f"the baseline was made with {then or 'unknown versions'}; here is {now}"
        for then, now in sorted(pairs)
        if then != now
    ]


def passes(verdicts: Iterable[Verdict]) -> bool:
    return all(verdict.outcome != "WORSE" for verdict in verdicts)


def read(path: pathlib.Path | None = None) -> dict[str, dict]:
    """{name: {value, unit, better, tolerance, made_with}}; empty where there is no file.

    ValueError for a file that is not such a table.
    """
    path = path or BASELINE
    if not path.exists():
        return {}
    try:
        table = json.loads(path.read_text())
        return {name: {**row, "value": float(row["value"])} for name, row in table.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is not a table of figures ({error})") from None


def update(figures: Iterable[Figure], path: pathlib.Path | None = None) -> None:
    """Puts the figures into the baseline; those of other suites stay."""
    path = path or BASELINE
    table = read(path)
    for figure in figures:
        row = dataclasses.asdict(figure) | {"value": float(figure.value)}
        table[row.pop("name")] = row | {"made_with": compilers(figure)}
    with written_beside(path) as beside:
        beside.write_text(json.dumps(dict(sorted(table.items())), indent=1) + "\n")
