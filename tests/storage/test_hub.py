"""Pushed to the hub and pulled from it; a server on this machine stands for the hub."""

import hashlib
import json
import os
import pathlib

import numpy as np
import pytest
import safetensors.numpy

import mbjax
from mbjax import cli, configuration
from mbjax.convert import publish
from mbjax.convert import write as target
from mbjax.storage import hub as hub_files
from tests.recipes import hub_server
from tests.recipes import weights as recipes

constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The server, with a token that may write and an empty cache."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
    with hub_server.running() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def run_folder(tmp_path, **more):
    """A run's, with paths of its machine and numbers of its evaluation."""
    source = recipes.source(**more)
    source.meta["config"] |= {
        "sources": {"amass": {"dir": "/home/me/data/amass"}}, "init": "/home/me/mb",
    }  # fmt: skip
    source.meta["metrics"] = {"error_mm": 61.25, "p_mpjpe_mm": 50.5}
    target.to_folder(source, tmp_path / "run")
    return str(tmp_path / "run")


def refused(capsys, *argv):
    """The one line of a command that fails."""
    assert cli.main(list(argv)) == 1
    text = capsys.readouterr().err.strip()
    assert text.count("\n") == 0, text
    return text


def test_push_and_pull(hub, tmp_path, capsys):
    assert cli.main(["push", run_folder(tmp_path), "hf://me/mine", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    ((commit, files),) = hub.repositories["me/mine"]  # all in one commit
    assert found["pushed"] == f"hf://me/mine@{commit}" and sorted(files) == found["files"]
    assert set(files) == {
        "README.md", "SHA256SUMS", "config.json", "model.safetensors", "pytorch_model.bin",
    }  # fmt: skip
    card = files["README.md"].decode()
    assert "| error_mm | 61.25 |" in card and "| data | amass |" in card and "5 steps" in card
    assert b"/home/me" not in b"".join(files.values())
    assert json.loads(files["config.json"])["init"] == "mb"
    for line in files["SHA256SUMS"].decode().splitlines():
        digest, name = line.split()
        assert hashlib.sha256(files[name]).hexdigest() == digest
    # The newest is taken, said to be so, and which it was.
    model = mbjax.load("hf://me/mine")
    assert recipes.same(recipes.params_of(model), recipes.weights())
    said = capsys.readouterr().err
    assert f"hf://me/mine@{commit}/model.safetensors (not pinned): " in said
    mbjax.load(f"hf://me/mine@{commit}/pytorch_model.bin")
    assert "not pinned" not in capsys.readouterr().err
    assert cli.main(["verify", f"hf://me/mine@{commit}"]) == 0
    assert configuration.of_run("hf://me/mine", []).init == "mb"


def test_a_pinned_revision_stays_and_the_newest_moves(hub, tmp_path):
    def push(seed):
        file = tmp_path / f"{seed}.safetensors"
        target.to_file(recipes.source(seed=seed), file)
        return hub.commit("me/mine", {"model.safetensors": file.read_bytes()})

    def pulled(address):
        return recipes.params_of(mbjax.load(address, verbose=False))

    first, _ = push(0), pulled("hf://me/mine")
    second = push(1)
    assert recipes.same(pulled("hf://me/mine"), recipes.weights(seed=1))
    hub.asked.clear()
    assert recipes.same(pulled(f"hf://me/mine@{first}"), recipes.weights(seed=0))
    # The weights are not asked for again; the list of checksums, of which there is none, is.
    assert not [line for line in hub.asked if "model.safetensors" in line]
    assert hub_files.pull("hf://me/mine@main").where.startswith(f"hf://me/mine@{second}/m")


def test_damage_is_found(hub, tmp_path):
    publish.write_files(recipes.source(optimizer=False), tmp_path, "me/mine")
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    good = hub.commit("me/mine", files)
    path = hub_files.pull(f"hf://me/mine@{good}").path
    os.chmod(path, 0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="the copy here is damaged"):
        hub_files.pull(f"hf://me/mine@{good}")
    # Other weights, sound for the hub, beside the first ones' checksums.
    other = safetensors.numpy.save({"a": np.ones(3, np.float32)})
    bad = hub.commit("me/mine", {"model.safetensors": other})
    with pytest.raises(ValueError, match="not the one that SHA256SUMS"):
        mbjax.load(f"hf://me/mine@{bad}")


def test_a_push_that_fails_leaves_nothing(hub, tmp_path, capsys, monkeypatch):
    run = run_folder(tmp_path, optimizer=False)
    hub.fail = "/commit/"
    assert "nothing was pushed" in refused(capsys, "push", run, "hf://me/mine", "--quiet")
    assert hub.repositories["me/mine"] == []
    hub.fail = ""
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "may not write" in refused(capsys, "push", run, "hf://me/mine", "--quiet")


def test_what_cannot_be_is_one_line(hub, tmp_path, capsys, monkeypatch):
    run = run_folder(tmp_path, optimizer=False)
    hub.commit("me/mine", {"notes.txt": b"x"})
    for address, why in {
        "hf://me/none": "there is no me/none",
        "hf://me/mine@v2": "no revision v2",
        "hf://me/mine": "no model.safetensors; name a file",
        "hf://me/mine/x.bin": "has no x.bin",
        "hf://me": "should read hf://owner/name",
        "hf://me/mine/../x": "should read",
    }.items():
        assert why in refused(capsys, "parity", address)
    assert "whole repository" in refused(capsys, "push", run, "hf://me/mine/x.bin")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert "Connection refused" in refused(capsys, "push", run, "hf://me/mine")
    assert "not on this machine" in refused(capsys, "import", "hf://me/mine", "--out", "x")
    monkeypatch.delenv("HF_TOKEN")
    assert "HF_TOKEN" in refused(capsys, "push", run, "hf://me/mine")
    folder = str(tmp_path / "look")
    assert cli.main(["push", run, "hf://me/mine", "--dry-run", folder]) == 0
    assert (pathlib.Path(folder) / "SHA256SUMS").is_file()


def test_offline_what_was_taken_earlier_is_used_and_said(hub, tmp_path, monkeypatch, capsys):
    target.to_file(recipes.source(), tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    hub.commit("me/mine", {"model.safetensors": data})
    mbjax.load("hf://me/mine", verbose=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    mbjax.load("hf://me/mine")
    assert "the hub is not reached" in capsys.readouterr().err
