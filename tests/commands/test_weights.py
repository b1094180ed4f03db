"""mbjax import, export and parity from the command line."""

import json

import numpy as np
import pytest
import torch

from mbjax import cli
from mbjax.convert import read as source
from mbjax.convert import write as target
from tests.recipes import weights as recipes
from tests.recipes.settings import GOLDEN


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_import_then_export(tmp_path, capsys):
    file = GOLDEN / "dstformer.bin"
    assert run("import", file, "--out", tmp_path / "run", "--num-heads", 4) == 0
    out = capsys.readouterr().out
    assert "dim_feat 32, dim_rep 64, depth 2, heads 4" in out
    assert "with the optimizer's state after 0 steps" in out
    assert run("export", tmp_path / "run", "--out", tmp_path / "best_epoch.bin") == 0
    before, after = (torch.load(f, weights_only=True) for f in (file, tmp_path / "best_epoch.bin"))
    assert list(before["model_pos"]) == list(after["model_pos"])
    assert all(torch.equal(after["model_pos"][n], t) for n, t in before["model_pos"].items())
    assert run("export", tmp_path / "run", "--out", tmp_path / "x.pth", "--no-module-prefix") == 0
    assert "temp_embed" in torch.load(tmp_path / "x.pth", weights_only=True)["model_pos"]
    assert run("export", tmp_path / "x.pth", "--out", tmp_path / "x.safetensors") == 0
    assert source.read(tmp_path / "x.safetensors").config.num_heads == 4


def test_a_network_with_a_head_and_its_encoder_alone(tmp_path, capsys):
    file = GOLDEN / "action_class.bin"
    assert run("import", file, "--out", tmp_path / "whole") == 0
    assert "head: action, classes 11, hidden 96" in capsys.readouterr().out
    assert run("import", file, "--out", tmp_path / "run", "--num-heads", 4, "--backbone-only") == 0
    assert "without 9 tensors of the head" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["absent.bin", "cut.bin", "unexpected.bin", "text.bin", "folder"])
def test_bad_input_is_one_line_and_nothing_is_written(tmp_path, capsys, name):
    target.to_file(recipes.source(), tmp_path / "cut.bin")
    content = (tmp_path / "cut.bin").read_bytes()
    (tmp_path / "cut.bin").write_bytes(content[: len(content) // 2])
    torch.save({"model_pos": {"what.weight": torch.ones(1)}}, tmp_path / "unexpected.bin")
    (tmp_path / "text.bin").write_text("not a checkpoint")
    (tmp_path / "folder").mkdir()
    assert run("import", tmp_path / name, "--out", tmp_path / "run") == 1
    assert run("export", tmp_path / name, "--out", tmp_path / "out.bin") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 2 and name in lines[0] and name in lines[1]
    assert not (tmp_path / "run").exists() and not (tmp_path / "out.bin").exists()


def test_an_optimizer_of_another_network_and_without_it(tmp_path, capsys):
    mine = recipes.source()
    target.to_file(mine, tmp_path / "x.bin")
    file = torch.load(tmp_path / "x.bin", weights_only=True)
    file["optimizer"]["state"][0]["exp_avg"] = torch.zeros(1, 243, 1, 512)
    torch.save(file, tmp_path / "x.bin")
    assert run("import", tmp_path / "x.bin", "--out", tmp_path / "run", "--num-heads", 2) == 1
    assert "for another network: temp_embed" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with_heads = ("--num-heads", 2, "--no-optimizer")
    assert run("import", tmp_path / "x.bin", "--out", tmp_path / "run", *with_heads) == 0
    assert "without an optimizer state" in capsys.readouterr().out


def test_parity_of_a_checkpoint_says_pass_and_exits_0(tmp_path, capsys):
    """Of a safetensors file and on clips of the user's own; the numbers are in test_parity.py."""
    shallow = recipes.source(recipes.SHALLOW, optimizer=False)
    target.to_file(shallow, tmp_path / "x.safetensors")
    clips = np.random.default_rng(0).normal(0, 0.3, (2, 9, 17, 3)).astype(np.float32)
    np.savez(tmp_path / "clips.npz", x=clips)
    arguments = ("--input", tmp_path / "clips.npz", "--lengths", 243, "--json")
    assert run("parity", tmp_path / "x.safetensors", *arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] and report["first_mismatch"] is None
    assert {row["frames"] for row in report["forward"]} == {9}  # the clips are no longer


def test_a_step_that_is_not_there_is_answered_with_those_that_are(tmp_path, capsys):
    for step in (10, 20):
        (tmp_path / "run/checkpoints" / str(step)).mkdir(parents=True)
    assert run("export", tmp_path / "run", "--which", 99, "--out", tmp_path / "x.bin") == 1
    assert "has no checkpoint of step 99; it has: 10, 20" in capsys.readouterr().err
    (tmp_path / "folds/fold-anna").mkdir(parents=True)
    assert run("export", tmp_path / "folds", "--out", tmp_path / "x.bin") == 1
    assert "a run for each subject; give one of them: fold-anna" in capsys.readouterr().err
