"""What preparation found in the raw files: what was read, what was left out and why."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable

# Enough to find the problem; the counts are always whole.
_EXAMPLES = 5


@dataclasses.dataclass
class Report:
    """Counts of one raw file. `leave_out` for what is dropped, `note` for what is done instead.

    activity: what it shows, where the corpus says so.
    """

    source: str
    clips: int = 0
    frames: int = 0
    seconds: float = 0.0
    left_out: list[tuple[str, str, int]] = dataclasses.field(default_factory=list)
    notes: dict[str, int] = dataclasses.field(default_factory=dict)
    activity: str = ""

    def read(self, frames: int, fps: float = 0.0):
        """Frames of motion found in the file, at fps (0 where the corpus does not say)."""
        self.frames += int(frames)
        self.seconds += frames / fps if fps > 0 else 0.0

    def leave_out(self, where: str, why: str, count: int = 1):
        """`count` things at `where` inside the file (a clip, track, key) are dropped, for `why`.

        why is counted over the corpus, so keep numbers and names of single records out of it.
        """
        self.left_out.append((str(where), str(why), int(count)))

    def note(self, what: str, count: int = 1):
        """Something worth a line in the summary that drops nothing ("neutral body used")."""
        self.notes[what] = self.notes.get(what, 0) + int(count)

    def to_json(self) -> dict:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict) -> "Report":
        report = cls(**fields)
        report.left_out = [(where, why, int(count)) for where, why, count in report.left_out]
        return report


def counted(reports: list[tuple[str, Report]], of: Callable[[Report], str]) -> dict:
    """{split: {subject, or activity: clips}} of what was kept; {} where the corpus names none."""
    found: dict = defaultdict(Counter)
    for split, report in reports:
        if report.clips and (name := of(report)):
            found[split][name] += report.clips
    return {split: dict(sorted(clips.items())) for split, clips in found.items()}


def summary(reports: list[Report], splits: dict[str, int]) -> str:
    """The lines printed at the end. splits: clips in each split."""
    frames, seconds = sum(r.frames for r in reports), sum(r.seconds for r in reports)
    hours = f", {seconds / 3600:.3f} hours" if seconds else ""
    lines = [
        "clips: " + ", ".join(f"{name} {count:,}" for name, count in splits.items()),
        # A file that holds several splits has a report for each.
        f"read: {len({r.source for r in reports}):,} files, {frames:,} frames of motion{hours}",
    ]
    reasons, where = Counter(), defaultdict(list)
    for report in reports:
        for place, why, count in report.left_out:
            reasons[why] += count
            where[why].append(f"{report.source}: {place}" if place else report.source)
    for why, count in reasons.most_common():
        lines.append(f"left out: {count:,} ({why})")
        lines += [f"  {place}" for place in where[why][:_EXAMPLES]]
        if len(where[why]) > _EXAMPLES:
            lines.append(f"  and {len(where[why]) - _EXAMPLES:,} more, listed in card.json")
    if not reasons:
        lines.append("left out: nothing")
    notes = Counter()
    for report in reports:
        notes.update(report.notes)
    lines += [f"note: {what} ({count:,})" for what, count in notes.most_common()]
    return "\n".join(lines)


def why_nothing(reports: list[Report]) -> str:
    """Half a line for a preparation without a single clip: how many files, and the main reasons."""
    reasons = Counter()
    for report in reports:
        reasons.update({why for _, why, _ in report.left_out})
    files = len({report.source for report in reports})
    left_out = len({report.source for report in reports if report.left_out})
    named = [f"{_shortened(why)} ({count:,})" for why, count in reasons.most_common(2)]
    if len(reasons) > 2:
        named.append(f"and {len(reasons) - 2:,} more reasons")
    first = next((report.source for report in reports if report.left_out), "")
    return f"{left_out:,} of {files:,} files left out: {'; '.join(named)}" + (
        f"; the first is {_shortened(first)}" if first else ""
    )


def _shortened(text, most=160):
    return text if len(text) <= most else text[: most - 4] + " ..."
