"""The index of the CMU motion capture database: what each recording shows, and its frame rate.

Either its search page, saved from a browser (mocap.cs.cmu.edu/search.php?subjectnumber=%&motion=%):
a row for each trial with its number, a description, links to its files and a frame rate; or the
text that comes with the conversion to BVH: lines of SUBJECT_TRIAL and a description.
"""

import dataclasses
import html
import pathlib
import re

# Patterns that take time in proportion to the text, whatever is in it: pages are other people's.
_ROW = re.compile(r"<tr\b", re.IGNORECASE)
_CELL = re.compile(r"<td\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
_LINK = re.compile(
    r"""\bhref ?= ?["']?[^"'\s<>]{0,500}?(\w{1,20}_\w{1,20})\.(?:amc|bvh|c3d)\b""", re.IGNORECASE
)
_LINE = re.compile(r"(\d+_\d+)(?:\.\w+)?(?:\s|:)+(.*)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_MOST_BYTES = 16 << 20  # the page has 3 MB


@dataclasses.dataclass(frozen=True)
class Trial:
    """description: as the index has it. fps: frames a second, 0 where it does not say."""

    description: str
    fps: float = 0.0


def files(raw: pathlib.Path) -> list[pathlib.Path]:
    """Those below a folder that may be one, by their names, in order."""
    pages = (
        path
        for ending in ("[hH][tT][mM][lL]", "[hH][tT][mM]", "[pP][hH][pP]")
        for path in raw.glob(f"**/*.{ending}")
    )
    texts = raw.glob("**/*[iI][nN][dD][eE][xX]*.[tT][xX][tT]")
    return sorted(path for path in (*pages, *texts) if path.is_file())


def read(paths: list[pathlib.Path]) -> dict[str, Trial]:
    """The trials of all of them, by SUBJECT_TRIAL; files that are no index have none.

    Where several know a trial, each thing is from the first that says it.
    """
    found: dict[str, Trial] = {}
    for path in paths:
        if path.stat().st_size > _MOST_BYTES:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for name, trial in (
            of_text(text) if path.suffix.lower() == ".txt" else of_page(text)
        ).items():
            known = found.get(name, Trial(""))
            found[name] = Trial(known.description or trial.description, known.fps or trial.fps)
    return found


def of_text(text: str) -> dict[str, Trial]:
    matches = (_LINE.match(line.strip()) for line in text.splitlines())
    return {match[1]: Trial(match[2]) for match in matches if match and match[2]}


def of_page(text: str) -> dict[str, Trial]:
    """Rows of cells and of links; end tags may be missing."""
    found = {}
    for row in _ROW.split(text):
        names = {match[1] for match in _LINK.finditer(row)}
        if len(names) != 1:
            continue
        cells = [
            " ".join(html.unescape(_TAG.sub(" ", cell)).split()) for cell in _CELL.split(row)[1:]
        ]
        numbers = [place for place, cell in enumerate(cells) if _NUMBER.fullmatch(cell)]
        # The trial's number, what it shows, ..., and last the rate.
        if numbers and numbers[0] + 1 < len(cells):
            rate = float(cells[numbers[-1]]) if len(numbers) > 1 else 0.0
            fps = rate if 5 <= rate <= 10_000 else 0.0
            found[names.pop()] = Trial(cells[numbers[0] + 1], fps)
    return found
