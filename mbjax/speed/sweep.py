"""All that there is to measure on a device that is at hand for an hour, in one go.

For each form of attention that runs there, in float32 and bfloat16: whether it computes what the
plain form computes in float32 on the CPU (poses and gradients), then its forward pass and training
step beside the PyTorch twin's at several batch sizes. A row is written as soon as it is known, so
that a run that is cut off has told what it knew.

Shapes in names: B batch, T frames, J joints, C channels.
"""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mbjax.models import attention
from mbjax.models.dstformer import DSTformer, DSTformerConfig
from mbjax.remarks import one_line
from mbjax.speed import against
from mbjax.speed.training import forward_flops

DTYPES = ("float32", "bfloat16")
# Largest difference from the plain form in float32, poses of order 1 and gradients as a share of
# their norm: float32 products may be of ten bits on a device, bfloat16 has eight.
CLOSE = {"float32": 0.02, "bfloat16": 0.1}


def run(
    network: DSTformerConfig, frames: int, batch_sizes: Sequence[int], turns: int,
    out: pathlib.Path, say: Callable[[str], None], modes: tuple[str, ...] | None = None,
) -> list[dict]:  # fmt: skip
    """The rows, which are also the lines of `out` (JSON): device, agreement, then speed.

    A form that does not run, or does not fit, is a row with its `error`. ValueError where `out`
    exists, or none of the forms computes what it should.
    """
    if out.exists():
        raise ValueError(f"{out} exists; give another file")
    rows: list[dict] = []
    with out.open("x", encoding="utf-8") as file:

        def note(row):
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()

        device = jax.devices()[0]
        peak = matmul_tflops()
        note({"part": "device", "kind": device.device_kind, "platform": jax.default_backend(),
              "jax": jax.__version__, "matmul_tflops": peak})  # fmt: skip
        say(f"{device.device_kind}: {peak:.1f} TFLOP/s in bfloat16 products of its own")
        for kind in _kinds(network):
            row = _agreement(dataclasses.replace(network, **kind), frames)
            note({"part": "agreement", **kind, **row})
            say(_told(kind, row))
            if not row.get("agrees"):
                continue
            for batch_size in batch_sizes:
                changed = dataclasses.replace(network, **kind)
                row = _speed(changed, frames, batch_size, turns, say, modes, peak)
                note({"part": "speed", **kind, "batch_size": batch_size, **row})
    if not any(row.get("agrees") for row in rows):
        raise ValueError(f"no form computes here what the plain one does on the CPU; see {out}")
    return rows


def _kinds(network):
    platform = jax.default_backend()
    for form, one in attention.FORMS.items():
        if platform in one.platforms:
            yield from ({"attention": form, "dtype": dtype} for dtype in DTYPES)


def matmul_tflops(size: int = 4096) -> float:
    """What the device's own product of two bfloat16 matrices reaches; smaller on a CPU."""
    size = size if jax.default_backend() != "cpu" else 512
    a = jax.random.normal(jax.random.key(0), (size, size), jnp.bfloat16)
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    seconds = []
    for _ in range(10):
        begun = time.perf_counter()
        product(a).block_until_ready()
        seconds.append(time.perf_counter() - begun)
    return 2 * size**3 / min(seconds) / 1e12


def _agreement(network, frames) -> dict:
    """Differences of one clip's pose and of the gradients of its mean square."""
    rng = np.random.default_rng(0)
    x_BxTxJxC = rng.uniform(-1, 1, (1, frames, network.num_joints, network.dim_in))
    x_BxTxJxC = x_BxTxJxC.astype(np.float32)
    reference = dataclasses.replace(network, attention="plain", dtype="float32")
    try:
        with jax.default_device(jax.devices("cpu")[0]):
            pose, gradients = _pose_and_gradients(reference, x_BxTxJxC)
        found, theirs = _pose_and_gradients(network, x_BxTxJxC)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        return {"error": one_line(error, 300)}
    apart = [np.linalg.norm(a - b) for a, b in zip(gradients, theirs, strict=True)]
    whole = np.sqrt(sum(np.linalg.norm(a) ** 2 for a in gradients))
    pose_difference = float(np.abs(found - pose).max() / max(np.abs(pose).max(), 1e-9))
    gradient_difference = float(np.linalg.norm(apart) / whole)
    return {
        "pose_difference": pose_difference,
        "gradient_difference": gradient_difference,
        "agrees": max(pose_difference, gradient_difference) <= CLOSE[network.dtype],
    }


def _pose_and_gradients(network, x_BxTxJxC):
    graphdef, weights = nnx.split(DSTformer(network, rngs=nnx.Rngs(0)))

    @jax.jit
    def both(weights, x_BxTxJxC):
        def loss(weights):
            pose_BxTxJx3 = nnx.merge(graphdef, weights)(x_BxTxJxC)
            return jnp.square(pose_BxTxJx3).mean(), pose_BxTxJx3

        gradients, pose_BxTxJx3 = jax.grad(loss, has_aux=True)(weights)
        return pose_BxTxJx3, jax.tree.leaves(gradients)

    return jax.tree.map(np.asarray, both(weights, x_BxTxJxC))


def _speed(network, frames, batch_size, turns, say, modes, peak) -> dict:
    try:
        report = against.run(network, frames, batch_size, turns, say, modes)
    # What does not fit or compile at one batch size says nothing of the others.
    except (RuntimeError, ValueError, ImportError) as error:
        say(f"  {network.attention}, {network.dtype}, batch {batch_size}: {one_line(error, 200)}")
        return {"error": one_line(error, 300)}
    steps = [mode["step"]["ms"] for mode in report["modes"].values() if "step" in mode]
    if steps:
        flops = 3 * forward_flops(network, frames) * batch_size
        report["mfu"] = flops / (min(steps) / 1e3) / (peak * 1e12)
        say(f"  {report['mfu']:.0%} of its own bfloat16 product in a step")
    return {name: report[name] for name in ("modes", "mfu") if name in report}


def _told(kind, row):
    name = f"{kind['attention']}, {kind['dtype']}"
    if "error" in row:
        return f"{name}: does not run here: {row['error']}"
    return (
        f"{name}: from plain float32 on the CPU by {row['pose_difference']:.2g} in the pose, "
        f"{row['gradient_difference']:.2g} in the gradients"
        + ("" if row["agrees"] else ": TOO FAR, not timed")
    )
