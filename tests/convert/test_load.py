"""mbjax.load: from every kind of source; and what `import mbjax` does not load."""

import subprocess
import sys

import jax
import numpy as np
import pytest

import mbjax
from mbjax.convert import read as source
from mbjax.convert import write as target
from mbjax.models.trained_on import TrainedOn
from tests.recipes import weights as recipes
from tests.recipes.settings import GOLDEN

X = np.random.default_rng(0).normal(0, 0.5, (1, 4, 17, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same weights as a work folder, a .bin and a .safetensors."""
    folder = tmp_path_factory.mktemp("weights")
    target.to_folder(recipes.source(), folder / "run")
    target.to_file(recipes.source(), folder / "x.bin")
    target.to_file(recipes.source(), folder / "x.safetensors")
    return folder


@pytest.mark.slow
def test_the_golden_file_computes_what_the_reference_does(golden, highest_precision, capsys):
    values = golden("dstformer.npz")
    model = mbjax.load(GOLDEN / "dstformer.bin", num_heads=4)
    assert "heads 4" in capsys.readouterr().err
    # The order of float32 sums alone differs.
    np.testing.assert_allclose(model(values["x"]), values["y"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(model(values["x_short"]), values["y_short"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(model.represent(values["x"]), values["rep"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["run", "run/checkpoints/5", "x.bin", "x.safetensors"])
def test_every_kind_of_source_gives_the_same_model(files, name, capsys):
    model = mbjax.load(files / name)
    assert model.config == recipes.TINY  # two heads are in the metadata
    mine = recipes.weights()
    assert recipes.same(jax.tree.map(np.asarray, recipes.params_of(model)), mine)
    said = capsys.readouterr().err
    assert said.startswith("mbjax.load: ") and said.count("\n") == 1 and "heads 2" in said
    mbjax.load(files / name, verbose=False)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_heads_are_said_when_assumed_and_can_be_given(files, tmp_path, capsys):
    import torch

    file = torch.load(files / "x.bin", weights_only=True)
    torch.save({"model_pos": file["model_pos"]}, tmp_path / "bare.bin")
    assert mbjax.load(tmp_path / "bare.bin").config.num_heads == 8
    assert "heads are not in the file, 8 assumed" in capsys.readouterr().err
    assert mbjax.load(tmp_path / "bare.bin", 4).config.num_heads == 4
    assert "assumed" not in capsys.readouterr().err
    for said in (files / "run", files / "x.bin", "tiny"):
        heads = mbjax.load(said, verbose=False).config.num_heads
        assert mbjax.load(said, num_heads=heads, verbose=False).config.num_heads == heads
        with pytest.raises(ValueError, match=f"num_heads is 3, but the file says {heads} heads"):
            mbjax.load(said, num_heads=3)
    with pytest.raises(ValueError, match="num_heads is 0; it is at least 1"):
        mbjax.load(tmp_path / "bare.bin", num_heads=0)
    with pytest.raises(ValueError, match="does not divide into 5 heads"):
        mbjax.load(tmp_path / "bare.bin", num_heads=5)


@pytest.mark.parametrize("way", ["run", "x.bin", "x.safetensors"])
def test_what_a_checkpoint_was_trained_on_is_kept_on_every_way(tmp_path, way):
    network = {
        **recipes.source().meta["network"],
        "clips": {"frames": 9, "fps": 30.0, "trunk_per_leg": 0.8, "fill": 0.75},
    }
    made = recipes.source(network=network)
    (target.to_folder if way == "run" else target.to_file)(made, tmp_path / way)
    assert mbjax.load(tmp_path / way, verbose=False).trained_on == TrainedOn(9, 30.0, 0.8, 0.75)
    again = source.read(tmp_path / way)
    target.to_file(again, tmp_path / "again.safetensors")
    assert source.read(tmp_path / "again.safetensors").trained_on == TrainedOn(9, 30.0, 0.8, 0.75)
    assert "trained on 9 frames at 30 a second" in str(again)


@pytest.mark.parametrize("clips", [3, {"frames": "9"}, {"frames": 0, "fps": 1}, {}])
def test_odd_records_of_clips_are_none(clips):
    assert TrainedOn.from_meta({"clips": clips}) is None
    assert TrainedOn.from_meta({"clips": {"frames": 9, "fps": float("nan")}}) == TrainedOn(9)


def test_which_step(tmp_path):
    from mbjax.training.checkpoint import Checkpoints

    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        made = recipes.source(seed=step)
        state = {"params": made.params, "other": {}, "opt_state": {}}
        checkpoints.save(state, {**made.meta, "step": step})
    checkpoints.wait()
    checkpoints.close()
    for which, seed in (("latest", 2), ("1", 1), (1, 1)):
        model = mbjax.load(tmp_path, which=which, verbose=False)
        assert recipes.same(recipes.params_of(model), recipes.weights(seed=seed))
    with pytest.raises(FileNotFoundError, match="has no checkpoint of step 3; it has: 1, 2"):
        mbjax.load(tmp_path, which="3")
    with pytest.raises(ValueError, match="one file of weights; step 5 is one of a work folder"):
        mbjax.load("tiny", which="5")


def test_what_is_not_there():
    for path in ("nowhere.bin", "nowhere.safetensors", "nowhere"):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            mbjax.load(path)
    with pytest.raises(ValueError, match="is no file of weights"):
        mbjax.load(GOLDEN / "dstformer.json")


def test_tiny_is_the_file_in_the_package(files, monkeypatch, tmp_path):
    monkeypatch.setattr(source, "_TINY", files / "x.safetensors")
    assert mbjax.load("tiny", verbose=False).config == recipes.TINY
    monkeypatch.setattr(source, "_TINY", tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="'tiny' are not in this installation"):
        mbjax.load("tiny")


# --- partial loading --------------------------------------------------------------------------


def test_load_into_a_bigger_net(files, capsys):
    net = {"backbone": recipes.weights(seed=7), "head": {"kernel": np.ones((24, 2), np.float32)}}
    merged, report = mbjax.load_into(net, files / "x.bin", under=("backbone",))
    assert recipes.same(merged["backbone"], recipes.weights())
    assert recipes.same(merged["head"], net["head"])
    assert report.new == ("head.kernel",) and not report.unused
    assert "loaded 110 of 111 parameters; newly initialised: head.kernel" in capsys.readouterr().err


# --- Hugging Face (tests/storage/test_hub.py) ---------------------------------------------------


def test_hugging_face_needs_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install 'mbjax\[hub\]'"):
        mbjax.load("hf://owner/name/x.bin")


# --- layers -----------------------------------------------------------------------------------


def test_import_mbjax_costs_nothing_and_load_needs_no_torch(files):
    script = f"""
import sys
import mbjax
heavy = {{"jax", "flax", "torch", "tensorflow", "orbax", "numpy"}} & set(sys.modules)
assert not heavy, heavy
sys.modules["torch"] = sys.modules["tensorflow"] = None
mbjax.load({str(files / "x.safetensors")!r})
mbjax.load({str(files / "run")!r})
try:
    mbjax.load({str(files / "x.bin")!r})
except ImportError as error:
    assert "pip install 'mbjax[torch]'" in str(error) and "\\n" not in str(error)
else:
    raise AssertionError("a .bin was read without torch")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
