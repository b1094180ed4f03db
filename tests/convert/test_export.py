"""Programs for other runtimes: read back by them, they say what the model says."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from flax import nnx
from jax import export as jax_export

import mbjax
from mbjax.cli import main
from mbjax.convert import export
from mbjax.convert import write as target
from tests.recipes import weights as weight_recipes
from tests.recipes.settings import GOLDEN

CONFIG = weight_recipes.SHALLOW
# Any batch, the shortest and the longest clip, and what no program has seen before.
SIZES = ((1, 1), (2, CONFIG.maxlen), (5, 3))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    target.to_file(weight_recipes.source(CONFIG, optimizer=False), str(path))
    return str(path)


@pytest.fixture(scope="module")
def model(checkpoint):
    return mbjax.load(checkpoint, verbose=False)


def clips(size):
    return np.random.default_rng(1).uniform(-1, 1, (*size, 17, 3)).astype(np.float32)


def same(model, run):
    compiled = nnx.jit(lambda model, x: model(x))
    for size in SIZES:
        x = clips(size)
        # float32 of order 1: the same operations in another order.
        np.testing.assert_allclose(run(x), np.asarray(compiled(model, x)), atol=1e-5)


@pytest.mark.slow
def test_stablehlo_is_the_model(tmp_path, capsys, checkpoint, model):
    path = tmp_path / "model.stablehlo"
    assert main(["export", checkpoint, "--out", str(path), "--format", "stablehlo"]) == 0
    assert "any batch, 1 to 9 frames" in capsys.readouterr().out
    read = jax_export.deserialize(bytearray(path.read_bytes()))
    assert read.platforms == export.PLATFORMS
    same(model, read.call)
    about = json.loads(path.with_suffix(".json").read_text())
    artifact = path.with_suffix(".mlirbc").read_bytes()
    assert about["model.mlirbc"]["version"].startswith("StableHLO_v1.")
    assert about["model.mlirbc"]["version"].encode() in artifact[:40]
    assert about["written_with"]["jax"] == jax.__version__
    with pytest.raises(ValueError, match="shapes"):
        read.call(clips((1, CONFIG.maxlen + 1)))
    assert artifact.count(b".py") == path.read_bytes().count(b".py") == 0, "nobody's folders"


def test_files_of_an_older_jax_can_still_be_read():
    """Written by jax 0.10.2 in 2026-12 with `mbjax export`; x and y are beside them."""
    golden = np.load(GOLDEN / "exported.npz")
    read = jax_export.deserialize(bytearray((GOLDEN / "exported.stablehlo").read_bytes()))
    # float32 of order 1: the same operations in another order.
    np.testing.assert_allclose(read.call(golden["x"]), golden["y"], atol=1e-5)

    from jaxlib.mlir import ir
    from jaxlib.mlir.dialects import stablehlo

    context = ir.Context()
    stablehlo.register_dialect(context)
    module = stablehlo.deserialize_portable_artifact(
        context, (GOLDEN / "exported.mlirbc").read_bytes()
    )
    assert "tensor<1x9x17x3xf32>" in str(module)


@pytest.mark.slow
def test_onnx_with_the_attention_of_its_runtime(tmp_path, checkpoint, model):
    onnx = pytest.importorskip("onnx", reason="the extra [onnx] is not installed")
    import onnxruntime

    path = tmp_path / "model.onnx"
    assert main(["export", checkpoint, "--out", str(path), "--format", "onnxruntime"]) == 0
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    # Two streams, each with attention over joints and over frames; their shares use Softmax.
    assert kinds.count("MultiHeadAttention") == 4 * model.config.depth
    assert kinds.count("Softmax") == model.config.depth and "Attention" not in kinds
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    same(model, lambda x: session.run(["pose"], {"keypoints": x})[0])


@pytest.mark.slow
def test_onnx_is_the_model(tmp_path, checkpoint, model):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra [onnx] is not installed")
    path = tmp_path / "model.onnx"
    assert main(["export", checkpoint, "--out", str(path), "--format", "onnx"]) == 0
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    same(model, lambda x: session.run(["pose"], {"keypoints": x})[0])
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]  # no weights beside it


def test_a_program_that_says_something_else_is_not_written(tmp_path, monkeypatch, checkpoint):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    out = tmp_path / "model.stablehlo"
    assert main(["export", checkpoint, "--out", str(out), "--format", "stablehlo"]) == 1
    assert not list(tmp_path.iterdir())


def test_mistakes_are_told(tmp_path, capsys, monkeypatch, checkpoint):
    out = ["--out", str(tmp_path / "m.onnx"), "--format", "onnx"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["export", checkpoint, *out]) == 1
    assert "pip install 'mbjax[onnx]'" in capsys.readouterr().err
    source = weight_recipes.source(CONFIG, optimizer=False)
    with_head = dataclasses.replace(source.network, kind="mesh")
    monkeypatch.setattr(type(source), "network", with_head, raising=False)
    with pytest.raises(ValueError, match="kind 'mesh'; --format onnx takes the encoder"):
        export.write(source, tmp_path / "m.onnx", "onnx")
    assert not list(tmp_path.iterdir())
