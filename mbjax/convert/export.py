"""A model as a file for other runtimes: StableHLO by jax.export, or ONNX.

Shapes: (batch, frames, 17, 3) keypoints to (batch, frames, 17, 3) pose, any batch, frames up to the
model's maxlen. Weights are in the file. Written only if it then says what the model says.
"""

import contextlib
import dataclasses
import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
from collections.abc import Callable

import jax
import numpy as np
from flax import nnx
from jax import export

from mbjax.atomic_files import written_beside
from mbjax.convert import names, params
from mbjax.convert.read import Source
from mbjax.models.dstformer import DSTformer

# Lowered for all of these at once; which one runs is decided where the file is loaded.
PLATFORMS = ("cpu", "cuda", "tpu")
# Of coordinates of order 1, in float32: the same operations in another order.
TOLERANCE = 1e-5


def write(source: Source, path: str | os.PathLike, kind: str) -> float:
    """A checkpoint's encoder with its pose head: the largest difference.

    kind: 'stablehlo', 'onnx', or 'onnxruntime', which is ONNX for that runtime alone.

    In float32, whatever the run computed in.
    ValueError for a net with another head, or a file that does not say what the model says;
    ImportError where ONNX's libraries are not there.
    """
    if source.network.kind != "dstformer":
        raise ValueError(
            f"{source.where} is a network of kind {source.network.kind!r}; --format {kind} takes "
            "the encoder with its pose head (--backbone-only)"
        )
    encoder = dataclasses.replace(
        source.network.encoder, dtype="float32", remat=False, attention="plain"
    )
    network = dataclasses.replace(source.network, encoder=encoder)
    model = params.build(network, source.params, source.other)
    if kind == "stablehlo":
        return to_stablehlo(model, path)
    return to_onnx(model, path, fused=kind == "onnxruntime")


def to_stablehlo(model: DSTformer, path: str | os.PathLike) -> float:
    """Writes what jax.export.deserialize(bytes).call(x) runs: the largest difference found.

    JAX reads such a file for six months. Beside it, with the same name but for its ending, stand
    .mlirbc, the same program of one clip of maxlen frames as a portable artifact of StableHLO,
    which StableHLO promises to read for five years, and .json, what wrote them and when.
    ValueError where the file, read back, is further than TOLERANCE from the model.
    """
    config = model.config
    limits = [f"frames <= {config.maxlen}"]
    batch, frames = export.symbolic_shape("batch, frames", constraints=limits)
    shape = (batch, frames, config.num_joints, config.dim_in)
    lower = export.export(_compiled(model), platforms=PLATFORMS)
    plain_shape = (1, config.maxlen, config.num_joints, config.dim_in)
    plain = export.export(_compiled(model), platforms=("cpu",))
    path = pathlib.Path(path)
    with contextlib.ExitStack() as whole:
        program, portable, about = (
            whole.enter_context(written_beside(path.with_suffix(ending)))
            for ending in (path.suffix, ".mlirbc", ".json")
        )
        whole.enter_context(_without_paths())
        exported = lower(jax.ShapeDtypeStruct(shape, np.float32))
        program.write_bytes(exported.serialize())
        artifact = plain(jax.ShapeDtypeStruct(plain_shape, np.float32)).mlir_module_serialized
        portable.write_bytes(artifact)
        text = json.dumps(_about(path, exported, artifact, plain_shape), indent=1)
        about.write_text(text + "\n", encoding="utf-8")
        read = export.deserialize(bytearray(program.read_bytes()))
        return check(model, lambda x: np.asarray(read.call(x)))


@contextlib.contextmanager
def _without_paths():
    """JAX notes for each operation which files asked for it: folders of whoever exports."""
    name = "jax_traceback_in_locations_limit"
    usual = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, usual)


def _about(path, exported, artifact, plain_shape) -> dict:
    """What wrote the program, for whoever finds it in some years."""
    # MLIR's mark, the number of its own format in a byte, and the version of what is in it.
    version = artifact[5:].partition(b"\0")[0].decode()
    shape = list(plain_shape)
    return {
        "written": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "written_with": {
            name: importlib.metadata.version(name) for name in ("mbjax", "jax", "jaxlib")
        },
        path.name: {
            "format": "jax.export", "platforms": list(exported.platforms),
            "calling_convention_version": exported.calling_convention_version,
            "readable": "by JAX for six months from the day it was written, maybe longer",
        },
        path.with_suffix(".mlirbc").name: {
            "format": "StableHLO portable artifact", "version": version,
            "readable": "by StableHLO for five years",
            "input": {"shape": shape, "dtype": "float32", "holds": "x, y in [-1, 1], confidence"},
            "output": {"shape": [*shape[:-1], 3], "dtype": "float32"},
        },
    }  # fmt: skip


def to_onnx(model: DSTformer, path: str | os.PathLike, fused: bool = False) -> float:
    """Writes an ONNX file, input 'keypoints', output 'pose': the largest difference found.

    fused: attention as ONNX Runtime's own operator, for that runtime alone.
    By PyTorch's own exporter, from the PyTorch twin with these weights: there is a converter from
    JAX (jax2onnx), which does not install beside the Orbax that checkpoints here are written with.
    """
    require_onnx()
    import onnxruntime

    from mbjax.convert import onnx_attention, twin

    tree = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    state = params.to_torch(tree, names.dstformer_rows(model.config))
    with written_beside(path) as beside:
        twin.to_onnx(model.config, state, beside, attention=fused)
        if fused:
            onnx_attention.fuse(beside, model.config.num_heads)
        session = onnxruntime.InferenceSession(str(beside), providers=["CPUExecutionProvider"])
        return check(model, lambda x: session.run(["pose"], {"keypoints": x})[0])


def require_onnx() -> None:
    """ImportError, in one line, where what writes and checks ONNX is not there."""
    needed = ("torch", "onnx", "onnxscript", "onnxruntime")
    if not all(importlib.util.find_spec(name) for name in needed):
        raise ImportError("writing ONNX needs PyTorch and ONNX: pip install 'mbjax[onnx]'")


def check(model: DSTformer, run: Callable[[np.ndarray], np.ndarray]) -> float:
    """The largest difference between a runtime and the model, at the shortest and longest clips."""
    config = model.config
    program = _compiled(model)
    rng = np.random.default_rng(0)
    largest = 0.0
    for shape in ((1, 1), (2, config.maxlen)):
        x = rng.uniform(-1, 1, (*shape, config.num_joints, config.dim_in)).astype(np.float32)
        difference = float(np.abs(run(x) - np.asarray(program(x))).max())
        if not difference <= TOLERANCE:
            raise ValueError(
                f"the exported program differs from the model by {difference:.1e} at batch "
                f"{shape[0]}, {shape[1]} frames; at most {TOLERANCE:.0e} was expected"
            )
        largest = max(largest, difference)
    return largest


def _compiled(model):
    """The model as a function of x alone: its parameters become constants of the program."""
    graphdef, state = nnx.split(model)
    return jax.jit(lambda x: nnx.merge(graphdef, state)(x))
