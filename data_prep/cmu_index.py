"""The index of the CMU motion capture database: what each recording shows, and its frame rate.

Either its search page, saved from a browser (mocap.cs.cmu.edu/search.php?subjectnumber=%&motion=%):
a row for each trial with its number, a description, links to its files and a frame rate; or the
text that comes with the conversion to BVH: lines of SUBJECT_TRIAL and a description.
"""

import dataclasses
import pathlib
import re
from html.parser import HTMLParser

_LINK = re.compile(r"(?:^|[/\\])(\w+_\w+)\.(?:amc|bvh|c3d)$", re.IGNORECASE)
_LINE = re.compile(r"^\s*(\d+_\d+)(?:\.\w+)?[\s:]+(\S.*?)\s*$")
_MOST_BYTES = 64 << 20  # the page has 3 MB


@dataclasses.dataclass(frozen=True)
class Trial:
    """description: as the index has it. fps: frames a second, 0 where it does not say."""

    description: str
    fps: float = 0.0


def files(raw: pathlib.Path) -> list[pathlib.Path]:
    """Those below a folder that may be one, by their names, in order."""
    pages = [path for ending in ("html", "htm", "php") for path in raw.glob(f"**/*.{ending}")]
    texts = raw.glob("**/*[iI][nN][dD][eE][xX]*.txt")
    return sorted(path for path in (*pages, *texts) if path.is_file())


def read(paths: list[pathlib.Path]) -> dict[str, Trial]:
    """The trials of all of them, by SUBJECT_TRIAL; files that are no index have none."""
    found: dict[str, Trial] = {}
    for path in paths:
        if path.stat().st_size > _MOST_BYTES:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found |= of_text(text) if path.suffix.lower() == ".txt" else of_page(text)
    return found


def of_text(text: str) -> dict[str, Trial]:
    matches = (_LINE.match(line) for line in text.splitlines())
    return {match[1]: Trial(match[2]) for match in matches if match}


def of_page(text: str) -> dict[str, Trial]:
    page = _Page()
    page.feed(text)
    page.close()
    return page.trials()


class _Page(HTMLParser):
    """Rows of cells and of links; end tags may be missing."""

    def __init__(self):
        super().__init__()
        self._rows: list[tuple[list[str], list[str]]] = [([], [])]

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self._rows.append(([], []))
        elif tag == "td":
            self._rows[-1][0].append("")
        elif tag == "a":
            self._rows[-1][1].append(dict(attrs).get("href") or "")

    def handle_data(self, data):
        if self._rows[-1][0]:
            self._rows[-1][0][-1] += data

    def trials(self) -> dict[str, Trial]:
        found = {}
        for cells, links in self._rows:
            names = {match[1] for link in links if (match := _LINK.search(link))}
            if len(names) != 1:
                continue
            cells = [" ".join(cell.split()) for cell in cells]
            numbers = [place for place, cell in enumerate(cells) if cell.isdigit()]
            # The trial's number, what it shows, ..., and last the rate.
            if numbers and numbers[0] + 1 < len(cells):
                rate = float(cells[numbers[-1]]) if len(numbers) > 1 else 0.0
                fps = rate if 5 <= rate <= 10_000 else 0.0
                found[names.pop()] = Trial(cells[numbers[0] + 1], fps)
        return found
