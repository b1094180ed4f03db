"""The forward pass here beside that of other runtimes on one CPU, each in turn in one process.

JAX runs as `mbjax.lift` does, with the weights as constants. ONNX Runtime and OpenVINO run the
files that `mbjax export` writes, PyTorch its twin. OpenVINO takes part where it is installed.
"""

import importlib.util
import pathlib
import tempfile
import time
from collections.abc import Callable

import jax
import numpy as np
from flax import nnx

from mbjax.convert import export, names, params, torch_io
from mbjax.models.dstformer import DSTformer, DSTformerConfig

_SAME = 1e-4  # of coordinates of order 1


def run(
    network: DSTformerConfig, frames: int, batch_size: int, turns: int, say: Callable[[str], None]
) -> dict:
    """{frames, batch_size, runtimes: {name: {ms, ratio, ratio_low, ratio_high}}}.

    ratio: how many times as long as JAX a runtime takes, the median over turns with the middle half
    around it. ImportError without ONNX; ValueError where a runtime computes something else.
    """
    export.require_onnx()
    model = DSTformer(network, rngs=nnx.Rngs(0))
    model.eval()
    rng = np.random.default_rng(0)
    shape = (batch_size, frames, network.num_joints, network.dim_in)
    x_BxTxJxC = rng.uniform(-1, 1, shape).astype(np.float32)
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        forwards = _forwards(model, pathlib.Path(folder), say)
        expected = forwards["JAX"](x_BxTxJxC)
        for name, forward in forwards.items():
            difference = float(np.abs(forward(x_BxTxJxC) - expected).max())
            if not difference <= _SAME:
                raise ValueError(f"{name} differs from the model by {difference:.1e}")
        for _ in range(turns):
            for name, forward in forwards.items():
                begun = time.perf_counter()
                forward(x_BxTxJxC)
                seconds.setdefault(name, []).append(time.perf_counter() - begun)
    found = {}
    for name, taken in seconds.items():
        low, middle, high = np.quantile(np.divide(taken, seconds["JAX"]), (0.25, 0.5, 0.75))
        found[name] = {"ms": 1000 * float(np.median(taken)), "ratio": float(middle),
                       "ratio_low": float(low), "ratio_high": float(high)}  # fmt: skip
        say(f"  {name:34s} {found[name]['ms']:9.1f} ms  {middle:5.2f}  ({low:.2f} to {high:.2f})")
    return {"frames": frames, "batch_size": batch_size, "runtimes": found}


def _forwards(model, folder, say) -> dict[str, Callable]:
    graphdef, state = nnx.split(model)
    program = jax.jit(lambda x: nnx.merge(graphdef, state)(x))
    forwards: dict[str, Callable] = {"JAX": lambda x: np.asarray(program(x))}
    forwards["PyTorch"] = _torch(model)
    for fused, name in ((False, "ONNX Runtime"), (True, "ONNX Runtime, MultiHeadAttention")):
        say(f"writing {name} ...")
        path = folder / f"{fused}.onnx"
        export.to_onnx(model, path, fused)
        forwards[name] = _onnx_runtime(path)
    if importlib.util.find_spec("openvino"):
        forwards["OpenVINO"] = _openvino(folder / "False.onnx")
    return forwards


def _torch(model):
    torch = torch_io.require_torch("--against onnx")
    from mbjax.convert import twin

    network = twin.TwinDSTformer(model.config).eval()
    tree = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    arrays = params.to_torch(tree, names.dstformer_rows(model.config))
    network.load_state_dict({name: torch.from_numpy(np.array(a)) for name, a in arrays.items()})
    for module in network.modules():
        if isinstance(module, twin.TwinAttention):
            module.sdpa = True  # its faster way

    def forward(x):
        with torch.inference_mode():
            return network(torch.from_numpy(x)).numpy()

    return forward


def _onnx_runtime(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x: session.run(["pose"], {"keypoints": x})[0]


def _openvino(path):
    # An extra of the user's own: checked where it is not installed too.
    import openvino  # pyright: ignore[reportMissingImports]

    # Where a CPU has bfloat16 it would use that by itself.
    precision = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", precision)
    return lambda x: np.array(compiled(x)[0])
