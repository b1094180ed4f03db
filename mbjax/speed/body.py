"""How much time and memory the SMPL layer takes: joints by way of all vertices, and folded.

`mbjax bench-body`: value and gradient of a joint loss in theta, B clips of T frames, both ways.
"""

import dataclasses
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from mbjax.body import smpl
from mbjax.models.mesh import from_theta
from mbjax.pose.rotations import matmul


def run(body: str, batch_size: int, frames: int, steps: int, say: Callable[[str], None]) -> dict:
    """The report of both ways. body: 'synthetic' or the folder of SMPL; steps: timed ones."""
    loaded = smpl.load(body)
    rng = np.random.default_rng(0)
    shape = (batch_size, frames)
    theta = jnp.asarray(rng.normal(size=(*shape, 82)) * 0.2, jnp.float32)
    target = jnp.asarray(rng.normal(size=(*shape, 17, 3)), jnp.float32)
    report = {
        "device": jax.devices()[0].device_kind, "body": loaded.where, "batch_size": batch_size,
        "frames": frames, "vertices": loaded.body.num_vertices,
    }  # fmt: skip
    folded = loaded.joints()
    ways = {
        "folded": (lambda rotations, betas, _: folded(rotations, betas), {}),
        "plain": by_vertices(loaded),
    }
    for name, (joints_of, arrays) in ways.items():
        found = report[name] = measure(joints_of, arrays, theta, target, steps)
        say(
            f"{name}: {found['seconds'] * 1000:,.1f} ms a step, "
            f"{found['peak_mb']:,.0f} MB beside the input"
        )
    return report


def by_vertices(body: smpl.Smpl):
    """(function of rotations, betas and arrays -> the 17 joints by skinning all vertices, arrays).

    The body's arrays are arguments: as constants of a program they would be rearranged for minutes.
    """
    arrays = {
        field.name: getattr(body.body, field.name)
        for field in dataclasses.fields(body.body)
        if field.name not in ("parents", "faces_Fx3")
    }

    def joints_of(rotations, betas, arrays):
        whole = dataclasses.replace(body.body, faces_Fx3=None, **arrays)
        return matmul(jnp.asarray(body.regressor_17xV), whole(rotations, betas)[0])

    return joints_of, arrays


def measure(joints_of, arrays, theta_BxTx82, target_BxTxJx3, steps: int) -> dict[str, float]:
    """seconds: the best of `steps`; peak_mb: what the compiled program needs for itself."""

    def loss(theta, arrays):
        joints = joints_of(*from_theta(theta), arrays)
        return jnp.linalg.norm(joints - target_BxTxJx3, axis=-1).mean()

    arrays = jax.tree.map(jnp.asarray, arrays)
    compiled = jax.jit(jax.value_and_grad(loss)).lower(theta_BxTx82, arrays).compile()
    times = []
    for _ in range(steps + 1):  # the first one warms up
        start = time.perf_counter()
        jax.block_until_ready(compiled(theta_BxTx82, arrays))
        times.append(time.perf_counter() - start)
    memory = compiled.memory_analysis()
    return {"seconds": min(times[1:]), "peak_mb": memory.temp_size_in_bytes / 1e6}
