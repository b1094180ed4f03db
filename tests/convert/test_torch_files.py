"""PyTorch and safetensors files: what is in them, both ways, and bad ones."""

import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mbjax.cli import main
from mbjax.convert import read as source
from mbjax.convert import torch_io, twin
from mbjax.convert import write as target
from mbjax.convert.params import leaves
from tests.recipes import weights as recipes
from tests.recipes.settings import GOLDEN
from tests.recipes.torch_files import load, same_content, through_a_folder


def state_dict(prefix=""):
    torch.manual_seed(0)
    state = twin.TwinDSTformer(recipes.TINY).state_dict()
    return {prefix + name: torch.randn_like(tensor) for name, tensor in state.items()}


def stepped_optimizer(state, steps=3):
    """torch's own AdamW after a few steps on random gradients."""
    network = twin.TwinDSTformer(recipes.TINY)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=0.01)
    for _ in range(steps):
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return optimizer.state_dict()


# --- round trips ------------------------------------------------------------------------------


def test_export_of_import_is_the_file_bit_for_bit_with_its_optimizer(tmp_path):
    state = state_dict("module.")
    file = {
        "epoch": 61, "lr": 0.00027, "optimizer": stepped_optimizer(state), "model_pos": state,
        "min_loss": 37.46875,
    }  # fmt: skip
    torch.save(file, tmp_path / "latest_epoch.bin")
    assert same_content(file, through_a_folder(tmp_path / "latest_epoch.bin", tmp_path))


def test_the_golden_file_too_whose_optimizer_has_not_stepped(tmp_path):
    file = GOLDEN / "dstformer.bin"
    assert same_content(load(file), through_a_folder(file, tmp_path))


@pytest.mark.parametrize("prefix", [True, False])
def test_import_of_export_is_the_checkpoint_with_its_meta(tmp_path, prefix):
    mine = recipes.source()
    target.to_folder(mine, tmp_path / "a")
    mine = source.read(tmp_path / "a", optimizer=True)
    target.to_file(mine, tmp_path / "x.bin", module_prefix=prefix)
    names = list(load(tmp_path / "x.bin")["model_pos"])
    assert all(name.startswith("module.") == prefix for name in names)
    target.to_folder(source.read(tmp_path / "x.bin", optimizer=True), tmp_path / "b")
    back = source.read(tmp_path / "b", optimizer=True)
    assert back.meta == mine.meta
    assert recipes.same(back.params, recipes.weights())
    assert back.adam.count == 5
    assert recipes.same(back.adam.mu, recipes.adam().mu)
    assert recipes.same(back.adam.nu, recipes.adam().nu)


def test_an_export_is_what_the_release_saves_and_torch_takes_it(tmp_path):
    target.to_file(recipes.source(), tmp_path / "x.bin")
    file = load(tmp_path / "x.bin")
    assert list(file) == ["epoch", "lr", "optimizer", "model_pos", "min_loss"]
    # Epochs count from 1 there, and its rate is that of the epoch to come.
    assert file["epoch"] == 3 and file["min_loss"] == 55.5
    assert file["lr"] == pytest.approx(3e-4 * 0.99, rel=1e-12)  # one multiplication
    network = torch.nn.DataParallel(twin.TwinDSTformer(recipes.TINY))
    network.load_state_dict(file["model_pos"], strict=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    optimizer.load_state_dict(file["optimizer"])
    assert optimizer.param_groups[0]["lr"] == file["lr"]
    kernel = recipes.adam().mu["joints_embed"]["kernel"]
    moments = optimizer.state[network.module.joints_embed.weight]
    assert np.array_equal(moments["exp_avg"].numpy(), kernel.T)
    assert moments["step"] == 5


def test_without_an_optimizer(tmp_path):
    target.to_file(recipes.source(optimizer=False), tmp_path / "x.bin")
    assert list(load(tmp_path / "x.bin")) == ["epoch", "lr", "model_pos", "min_loss"]
    read = source.read(tmp_path / "x.bin", optimizer=True)
    assert read.adam is None
    folder = target.to_folder(read, tmp_path / "run")
    assert not (folder / "opt_state").exists()


def test_safetensors_both_ways_and_with_torch(tmp_path):
    target.to_file(recipes.source(), tmp_path / "x.safetensors")
    read = source.read(tmp_path / "x.safetensors", optimizer=True)
    assert recipes.same(read.params, recipes.weights())
    assert read.config == recipes.TINY and read.adam is None  # heads are in the metadata
    twin.TwinDSTformer(recipes.TINY).load_state_dict(load_file(tmp_path / "x.safetensors"))
    save_file(state_dict(), tmp_path / "theirs.safetensors")  # without metadata of ours
    theirs = source.read(tmp_path / "theirs.safetensors")
    assert theirs.config.num_heads == 8


# --- other people's files ---------------------------------------------------------------------


def test_mmposes_file(tmp_path):
    state = state_dict()
    renamed = {recipes.mmpose_name(name): tensor for name, tensor in state.items()}
    file = {"meta": {"epoch": 3}, "state_dict": renamed, "optimizer": stepped_optimizer(state)}
    torch.save(file, tmp_path / "mm.pth")
    torch.save({"model_pos": state}, tmp_path / "own.bin")
    read = source.read(tmp_path / "mm.pth", optimizer=True)
    assert recipes.same(read.params, source.read(tmp_path / "own.bin").params)
    assert "its optimizer state is in another order and is left out" in read.notes


def test_a_best_error_that_is_a_numpy_or_torch_number(tmp_path):
    for number in (np.float64(39.2), torch.tensor(39.2, dtype=torch.float64)):
        torch.save({"model_pos": state_dict(), "min_loss": number}, tmp_path / "x.bin")
        assert torch_io.read(tmp_path / "x.bin").fields == {"min_loss": 39.2}


def test_a_bare_state_dict(tmp_path):
    torch.save(state_dict(), tmp_path / "x.pth")
    assert torch_io.read(tmp_path / "x.pth").container == ""
    assert source.read(tmp_path / "x.pth").config.dim_feat == 16


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_floats_are_used_as_float32_and_it_is_said(tmp_path, dtype):
    state = {name: tensor.to(dtype) for name, tensor in state_dict().items()}
    torch.save({"model_pos": state}, tmp_path / "x.bin")
    save_file(state, tmp_path / "x.safetensors")
    for name in ("x.bin", "x.safetensors"):
        read = source.read(tmp_path / name)
        name = str(dtype).removeprefix("torch.")
        assert f"{name} weights, used as float32" in read.notes
        kernel = state["joints_embed.weight"].float().numpy().T  # float32 holds either exactly
        assert np.array_equal(read.params["joints_embed"]["kernel"], kernel)
        assert all(array.dtype == np.float32 for _, array in leaves(read.params))


def test_data_parallels_prefix_on_some_names(tmp_path):
    state = state_dict()
    mixed = {
        ("module." if i % 2 else "") + name: tensor
        for i, (name, tensor) in enumerate(state.items())
    }
    torch.save({"model_pos": mixed}, tmp_path / "mixed.bin")
    torch.save({"model_pos": state}, tmp_path / "plain.bin")
    read = source.read(tmp_path / "mixed.bin")
    assert recipes.same(read.params, source.read(tmp_path / "plain.bin").params)
    assert any("names begin with 'module.'" in note for note in read.notes)


def test_numbers_that_are_none_are_said(tmp_path):
    state = state_dict()
    state["norm.weight"][3] = float("nan")
    torch.save({"model_pos": state}, tmp_path / "x.bin")
    with pytest.raises(ValueError, match="1 of its .* arrays hold NaN or infinite values"):
        source.read(tmp_path / "x.bin")


# --- bad files: one line each -----------------------------------------------------------------


class Shell:
    def __reduce__(self):
        import os

        return os.system, ("touch /nowhere/at/all",)


def bad_files():
    state = state_dict()
    optimizer = stepped_optimizer(state)
    short = pickle.loads(pickle.dumps(optimizer))
    del short["state"][3]
    fewer = pickle.loads(pickle.dumps(optimizer))
    fewer["param_groups"][0]["params"].pop()
    shape = pickle.loads(pickle.dumps(optimizer))
    shape["state"][0]["exp_avg"] = torch.zeros(3)
    steps = pickle.loads(pickle.dumps(optimizer))
    steps["state"][0]["step"] = torch.tensor(1.0)
    amsgrad = pickle.loads(pickle.dumps(optimizer))
    amsgrad["state"][0]["max_exp_avg_sq"] = torch.zeros(3)
    missing = {name: tensor for name, tensor in state.items() if name != "norm.bias"}
    extra = pickle.loads(pickle.dumps(optimizer))
    extra["state"][500] = extra["state"][0]
    whole = {**state, "norm.bias": torch.ones(16, dtype=torch.int64)}
    resized = {**state, "head.bias": torch.zeros(4)}
    code = r"it asks for posix.system.*save its state_dict alone"
    yield "code", {"model_pos": state, "args": Shell()}, code
    yield "missing", {"model_pos": missing}, "1 missing: norm.bias"
    yield "unexpected", {"model_pos": {**state, "z": torch.ones(1)}}, "1 unexpected: z"
    yield "shape", {"model_pos": resized}, r"1 of another shape: head.bias \(4,\) instead of \(3,"
    yield "whole", {"model_pos": whole}, "1 not of floating point: norm.bias"
    yield "none", {"weights": state}, "holds no state dict.*its keys: weights"
    yield "list", [1, 2], "holds a list, not a state dict"
    yield "other", {"model": {"conv.weight": torch.ones(1)}}, "this is no DSTformer"
    for name, found, message in (
        ("short", short, "lacks blocks_st|lacks joints_embed.bias"),
        ("fewer", fewer, "for another network, or a part of this one"),
        ("shaped", shape, "for another network: temp_embed"),
        ("extra", extra, "moments of parameters that its groups do not list"),
        ("steps", steps, "different numbers of steps .1 to 3."),
        ("amsgrad", amsgrad, "not that of plain AdamW"),
    ):
        yield f"optimizer {name}", {"model_pos": state, "optimizer": found}, message


@pytest.mark.parametrize(("name", "content", "message"), [*bad_files()], ids=lambda x: str(x)[:20])
def test_bad_content_is_one_line(tmp_path, name, content, message):
    torch.save(content, tmp_path / "bad.bin")
    with pytest.raises(ValueError, match=message) as caught:
        source.read(tmp_path / "bad.bin", num_heads=2, optimizer=True)
    assert "\n" not in str(caught.value) and "bad.bin" in str(caught.value)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_cut_short(tmp_path, share):
    for name in ("x.bin", "x.safetensors"):
        path = tmp_path / name
        target.to_file(recipes.source(), path)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ValueError, match="is damaged, cut short, or no") as caught:
            source.read(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"hello world", pickle.dumps({"a": 1}), b"\x80\x02."])
def test_what_is_no_checkpoint(tmp_path, content):
    (tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.bin"):
        source.read(tmp_path / "x.bin")


def test_a_record_that_is_not_ours_is_not_believed(tmp_path):
    target.to_file(recipes.source(), tmp_path / "x.bin")
    with zipfile.ZipFile(tmp_path / "x.bin") as archive:
        [name] = [name for name in archive.namelist() if name.endswith(torch_io.RECORD)]
        assert json.loads(archive.read(name))["meta"]["step"] == 5
    other = recipes.source(step=7)
    other.meta["network"]["dstformer"]["dim_rep"] = 25
    mine = torch_io.read(tmp_path / "x.bin")
    torch_io.write(
        tmp_path / "y.bin", mine.tensors, {"model_pos": None}, "model_pos", None,
        {"version": 1, "meta": other.meta},
    )  # fmt: skip
    with pytest.raises(ValueError, match="of another shape: pre_logits.fc.weight"):
        source.read(tmp_path / "y.bin")


# --- where they go ----------------------------------------------------------------------------


def test_a_version_of_zip_that_there_is_not_is_one_line(tmp_path):
    target.to_file(recipes.source(), tmp_path / "x.bin")
    data = bytearray((tmp_path / "x.bin").read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 172  # of the first file in the table of contents
    (tmp_path / "x.bin").write_bytes(data)
    with pytest.raises(ValueError, match="x.bin is damaged .zip file version 17.2.; copy"):
        source.read(tmp_path / "x.bin")


@pytest.mark.parametrize("ending", ["bin", "safetensors"])
def test_the_same_weights_are_the_same_bytes(tmp_path, ending):
    paths = [tmp_path / f"{name}.{ending}" for name in ("a", "longer")]
    for path in paths:
        assert main(["export", "tiny", "--out", str(path)]) == 0
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_nothing_is_overwritten_or_left_half_done(tmp_path, monkeypatch):
    folder = target.to_folder(recipes.source(), tmp_path / "run")
    assert folder == tmp_path / "run" / "checkpoints" / "5"
    with pytest.raises(FileExistsError, match="holds checkpoints already"):
        target.to_folder(recipes.source(), tmp_path / "run")
    with pytest.raises(ValueError, match="the ending says the format"):
        target.to_file(recipes.source(), tmp_path / "x.onnx")
    with pytest.raises(FileNotFoundError, match="the folder .*nowhere to write x.bin to"):
        target.to_file(recipes.source(), tmp_path / "nowhere" / "x.bin")

    def full(*_):
        raise OSError("no space left")

    (tmp_path / "old.bin").write_bytes(b"old")
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="no space"):
        target.to_file(recipes.source(), tmp_path / "old.bin")
    assert (tmp_path / "old.bin").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["old.bin", "run"]


def test_a_damaged_checkpoint_folder_is_one_line(tmp_path):
    folder = target.to_folder(recipes.source(), tmp_path / "run")
    (folder / "meta" / "metadata").write_text("{")
    with pytest.raises(ValueError, match="the checkpoint .*5 cannot be read") as caught:
        source.read(tmp_path / "run")
    assert "\n" not in str(caught.value)
