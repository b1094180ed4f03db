"""The README and the rooms' guides: links lead somewhere, commands and configs exist."""

import contextlib
import functools
import importlib
import io
import re

import pytest
from ml_collections import ConfigDict

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
        r"configs/(\w+)\.py:([\w{},]+)(?![\w{*])", (ROOT / name).read_text()
    ):
        for each in expanded(variant.rstrip(",")):
            assert configuration.load(f"configs/{file}.py:{each}", []).task


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


def commands_of(text):
    """The lines of a page that begin with `mbjax COMMAND`, with their continuations joined."""
    text = text.replace("\\\n", " ")
    blocks = re.findall(r"^```.*?^```", text, re.M | re.S) + re.findall(r"^    .*", text, re.M)
    lines = "\n".join(blocks).splitlines() + re.findall(r"`(mbjax [^`\n]+)`", text)
    for line in lines:
        if found := re.match(r"\s*(?:.*&& )?mbjax ([a-z][a-z-]+)(.*?)(?:\s#.*)?$", line):
            yield found.groups()


@functools.cache
def flags(*command):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        main([*command, "--help"])
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", printed.getvalue()))


@functools.cache
def settings():
    """The name of every setting of every config."""

    def names(config, before=""):
        for name, value in config.items():
            yield before + name
            if isinstance(value, ConfigDict):
                yield from names(value, f"{before}{name}.")

    return {
        name
        for file in (ROOT / "configs").glob("[a-z]*.py")
        for variant in getattr(importlib.import_module(f"configs.{file.stem}"), "VARIANTS", ())
        for name in names(configuration.load(f"configs/{file.name}:{variant}", []))
    }


@pytest.mark.parametrize("name", NAMES)
def test_flags_and_settings_that_a_guide_names_exist(name):
    for command, rest in commands_of((ROOT / name).read_text()):
        known = flags(command)
        if command in ("finetune", "prepare") and (kind := re.match(r" ([a-z]\w+)", rest)):
            known = flags(command, kind[1])
        for flag in re.findall(r"(?<!\S)\[?(--?[a-z][\w.-]*)", rest):
            if flag.startswith("--config."):
                assert flag.removeprefix("--config.") in settings(), (command, flag)
            else:
                assert flag in known, (command, flag)


def test_the_release_s_settings_have_the_names_that_their_guide_gives():
    page = (ROOT / "mbjax/convert/README.md").read_text()
    table = page.partition("### Flags and settings")[2].partition("###")[0]
    named = {
        word.partition("=")[0]
        for row in re.findall(r"^\| `.*", table, re.M)
        for word in re.findall(r"`([a-z_0-9.]+(?:=\w+)?)`", row.split("|")[2])
    }
    named -= {"model.", "mbjax.convert.names"}
    assert len(named) > 20 and named <= settings(), named - settings()


def expanded(path):
    """a/{b,c}.py -> a/b.py, a/c.py"""
    before, brace, rest = path.partition("{")
    if not brace:
        return [path]
    inside, _, after = rest.partition("}")
    return [each for part in inside.split(",") for each in expanded(before + part + after)]


@pytest.mark.parametrize("name", NAMES)
def test_files_that_a_guide_names_exist(name):
    for span in re.findall(
        r"`((?:mbjax|data_prep|launch|tests)/(?![^`]*(?:ROOM|TASK|CORPUS|FORM))[\w/{},.-]*)`",
        (ROOT / name).read_text(),
    ):
        for path in expanded(span):
            assert (ROOT / path).exists(), path


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 250
