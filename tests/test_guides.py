"""The README and the rooms' guides: links lead somewhere, commands and configs exist."""

import re

import pytest

from mbjax import configuration
from mbjax.cli import main
from tests.recipes.settings import ROOT

GUIDES = sorted(
    path for path in ROOT.rglob("*.md") if not {".pytest_cache", "golden"} & set(path.parts)
)
NAMES = [path.relative_to(ROOT).as_posix() for path in GUIDES]


def anchors(text):
    """The places in a page that a link may name, as GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    for heading in re.findall(r"^#+ (.*)$", text, re.M):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_what_there_is(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{target}: no such file"
        if anchor:
            assert anchor in anchors(file.read_text()), f"{target}: no such heading"


@pytest.mark.parametrize("name", NAMES)
def test_configs_that_a_guide_names_exist(name):
    for file, variant in re.findall(
        r"configs/(\w+)\.py:(\w+)\b(?![{*])", (ROOT / name).read_text()
    ):
        assert configuration.load(f"configs/{file}.py:{variant}", []).task


@pytest.mark.parametrize("name", NAMES)
def test_commands_that_a_guide_names_exist(name, capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    known = set(re.findall(r"^    ([a-z][a-z-]+)(?: |$)", capsys.readouterr().out, re.M))
    assert {"infer", "predict-action"} <= known
    text = (ROOT / name).read_text()
    blocks = re.findall(r"^```.*?^```", text, re.M | re.S) + re.findall(r"^    .*", text, re.M)
    spans = re.findall(r"`(mbjax [^`\n]+)`", text)
    named = set(re.findall(r"(?:^ *|&& )mbjax ([a-z][a-z-]+)", "\n".join(blocks + spans), re.M))
    assert named <= known, named - known


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 250
