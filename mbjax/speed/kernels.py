"""How long the fused kernels' own schedules are: what the TPU compiler made of them.

The compiler counts no cycles for a custom kernel, but it writes the instructions that it schedules
for one tile: an in-order machine issues one bundle of them a cycle. Bundles of a tile times tiles
is therefore what a kernel takes when no transfer keeps it waiting, stalls left out.

Shapes in names: B clips, T frames, J joints, C channels.
"""

import math
import os
import pathlib
import re
import tempfile

from mbjax.speed.pod_step import topology_devices

_SUBLAYERS = ("attention_joints", "attention_frames", "mlp")


def schedules(topology: str, network, clips: int) -> list[dict]:
    """For each kernel of the form 'fused': its bundles a tile, tiles and cycles.

    network: a DSTformerConfig; clips: a chip's, each of network.maxlen frames. To be called before
    anything else compiles for a TPU in this process. ImportError without the compiler.
    """
    with tempfile.TemporaryDirectory(prefix="mbjax-kernels-") as folder:
        os.environ["LIBTPU_INIT_ARGS"] = (
            os.environ.get("LIBTPU_INIT_ARGS", "")
            + f" --xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true"
        )
        device = topology_devices(topology)[0]
        for sublayer in _SUBLAYERS:
            _compile(sublayer, device, network, clips)
        bundles = bundles_by_kernel(pathlib.Path(folder))
    return [
        {
            "kernel": name,
            "bundles": count,
            "tiles": _tiles(name, network, clips),
            "cycles": count * _tiles(name, network, clips),
        }
        for name, count in bundles.items()
    ]


def bundles_by_kernel(folder: pathlib.Path) -> dict[str, int]:
    """{kernel: bundles of a tile}, of what the compiler wrote into a folder.

    Where a kernel has two branches, such as first and later tiles, both are counted.
    """
    found = {}
    for path in sorted(folder.glob("*schedule-analysis_final_bundles.txt")):
        kernel = re.search(rf"(?:{'|'.join(_SUBLAYERS)})(?:_backward)?", path.name)
        count = re.search(r"total scheduled bundles:\s+(\d+)", path.read_text())
        if kernel and count:
            found[kernel[0]] = int(count[1])
    return found


def step_cycles(rows: list[dict], network) -> float:
    """Cycles of all kernels in a training step; rows: from `schedules`.

    Without rematerialisation: each sublayer forward and backward once.
    """
    # Each of the streams 'st' and 'ts' has both attentions, and an MLP after each.
    times = {"attention_joints": 0, "attention_frames": 0, "mlp": 0}
    for stream in network.streams:
        joined = stream == "st-attention"
        times["attention_joints"] += joined or "s" in stream
        times["attention_frames"] += joined or "t" in stream
        times["mlp"] += 1 if joined else len(stream)
    return network.depth * sum(
        row["cycles"] * times[row["kernel"].removesuffix("_backward")] for row in rows
    )


def describe(topology: str, rows: list[dict], network) -> str:
    """The rows for a person."""
    lines = [f"{topology}: schedules of fused kernels, {network.dtype}, {network.maxlen} frames"]
    lines.append(f"  {'kernel':26s}{'bundles a tile':>15s}{'tiles':>7s}{'million cycles':>16s}")
    for row in rows:
        lines.append(
            f"  {row['kernel']:26s}{row['bundles']:15,d}{row['tiles']:7d}"
            f"{row['cycles'] / 1e6:16.2f}"
        )
    lines.append(f"  all kernels of a step: {step_cycles(rows, network):.3g} cycles")
    return "\n".join(lines)


def _tiles(kernel, network, clips):
    from mbjax.models.attention_fused import Tiles

    shape = (clips, network.num_joints, network.maxlen, network.dim_feat)
    return math.prod(Tiles(shape, kernel.startswith("attention_joints"), False).grid)


def _compile(sublayer, device, network, clips):
    """Compiles one sublayer's forward and backward pass for the device."""
    import jax
    import jax.numpy as jnp

    from mbjax.devices import sharding
    from mbjax.models.attention import FORMS, AttentionWeights, MLPWeights

    C, dtype = network.dim_feat, jnp.dtype(network.dtype)
    F = int(C * network.mlp_ratio)
    form = FORMS["fused"]
    if sublayer == "mlp":
        weights = MLPWeights((C,), (C,), (C, F), (F,), (F, C), (C,))

        def run(x, weights):
            return form.mlp(x, weights, dtype)
    else:
        weights = AttentionWeights((C,), (C,), (C, 3 * C), (3 * C,), (C, C), (C,))
        over = sublayer.removeprefix("attention_")

        def run(x, weights):
            return form.attention(x, weights, network.num_heads, over, dtype)

    def both(x_BxJxTxC, weights, grad_BxJxTxC):
        y, backward = jax.vjp(lambda x, w: run(x.swapaxes(1, 2), w), x_BxJxTxC, weights)
        return y, backward(grad_BxJxTxC.swapaxes(1, 2))

    mesh = sharding.make_mesh(devices=[device])
    whole = sharding.replicated(mesh)
    x = jax.ShapeDtypeStruct((clips, network.num_joints, network.maxlen, C), dtype)
    arrays = type(weights)(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in weights))
    run_on = jax.jit(sharding.traced_on(mesh, both), in_shardings=whole, out_shardings=whole)
    run_on.lower(x, arrays, x).compile()
