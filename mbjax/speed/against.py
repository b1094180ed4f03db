"""This package's forward pass and training step beside the PyTorch twin's, in one process.

The two take turns, so that whatever else the machine does falls on both; a turn's ratio is what
counts, and the median over turns is reported with the middle half around it. Both have the same
weights and clips; a step is forward, pretraining loss, backward, AdamW, without corruption.

Shapes in names: B batch, T frames, J joints, C channels.
"""

import dataclasses
import os
import time
from collections.abc import Callable

import jax
import numpy as np
import optax
from flax import nnx

from mbjax.convert import names, params, torch_io
from mbjax.models import attention
from mbjax.models.dstformer import DSTformer, DSTformerConfig
from mbjax.pose import losses
from mbjax.remarks import one_line
from mbjax.training import optimizer

_RATE = 1e-5  # small: a step in the wrong place changes no speed, but a network of NaN would
_WEIGHTS = {"joint": 1.0, "scale": 0.5, "velocity": 20.0}
# Largest difference of poses between the two at the same weights, of coordinates of order 1.
_SAME = {"eager float32": 1e-3, "compiled bfloat16 sdpa": 0.1}


@dataclasses.dataclass(frozen=True)
class Turns:
    """Seconds of one thing in each turn, on either side."""

    ours: tuple[float, ...]
    twin: tuple[float, ...]

    def report(self) -> dict:
        ratios = np.divide(self.twin, self.ours)
        low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
        return {
            "ratio": float(middle), "ratio_low": float(low), "ratio_high": float(high),
            "ms": 1000 * float(np.median(self.ours)), "twin_ms": 1000 * float(np.median(self.twin)),
            "best_ratio": min(self.twin) / min(self.ours), "turns": len(ratios),
        }  # fmt: skip


def run(
    network: DSTformerConfig, frames: int, batch_size: int, turns: int,
    say: Callable[[str], None], modes: tuple[str, ...] | None = None, profile: str | None = None,
) -> dict:  # fmt: skip
    """{device, form, modes: {mode: {forward, step}}}: `Turns.report` of each of the twin's modes.

    turns: how often each is timed, after one that does not count. profile: a folder for a trace
    of three of our steps. ValueError where the two do not compute the same; ImportError without
    PyTorch. A mode that cannot run here (no compiler, say) is reported as its `error`.
    """
    torch_io.require_torch("--against torch")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # torch needs memory too
    from mbjax.convert.twin_timing import MODES, TimedTwin

    network = dataclasses.replace(network, maxlen=max(network.maxlen, frames))
    x_BxTxJxC, target_BxTxJx3 = _clips(network, frames, batch_size)
    ours = _Ours(network, x_BxTxJxC, target_BxTxJx3)
    report = {
        "device": jax.devices()[0].device_kind, "frames": frames, "batch_size": batch_size,
        "dtype": network.dtype, "form": attention.choose(network.attention), "modes": {},
    }  # fmt: skip
    say(f"{report['device']}, batch {batch_size} of {frames} frames, {network.dtype}, attention "
        f"{report['form']!r}; {turns} turns each, ratio above 1: faster than the twin")  # fmt: skip
    begun = ours.pose()
    state = params.to_torch(ours.params(), names.dstformer_rows(network))
    for mode in modes or MODES:
        try:
            twin = TimedTwin(network, state, x_BxTxJxC, target_BxTxJx3, mode, _RATE)
            difference = float(np.abs(twin.pose() - begun).max())
        except (RuntimeError, ImportError, OSError) as error:
            report["modes"][mode] = {"error": one_line(error, 200)}
            say(f"  {mode}: does not run here: {report['modes'][mode]['error']}")
            continue
        limit = max(_SAME[mode], 0.1 if network.dtype == "bfloat16" else 0)
        if not difference <= limit:
            raise ValueError(f"the twin ({mode}) differs by {difference:.2g}: not the same network")
        parts = {"forward": (ours.forward, twin.forward), "step": (ours.step, twin.step)}
        found = {part: timed(*pair, turns).report() for part, pair in parts.items()}
        report["modes"][mode] = found
        for part, row in found.items():
            say(_line(f"{part} against {mode}", row))
    if profile:
        with jax.profiler.trace(profile):
            for _ in range(3):
                ours.step()
        say(f"a trace of three steps is in {profile} (xprof or TensorBoard's profile reads it)")
    return report


def timed(ours: Callable, twin: Callable, turns: int) -> Turns:
    """Seconds of both in turn; the first of each, which may compile, does not count."""
    ours()
    twin()
    seconds: tuple[list, list] = [], []
    for _ in range(turns):
        for call, into in zip((ours, twin), seconds, strict=True):
            begun = time.perf_counter()
            call()
            into.append(time.perf_counter() - begun)
    return Turns(*map(tuple, seconds))


class _Ours:
    def __init__(self, network, x_BxTxJxC, target_BxTxJx3):
        graphdef, weights, other = nnx.split(DSTformer(network, rngs=nnx.Rngs(0)), nnx.Param, ...)
        weights = nnx.to_pure_dict(weights)
        update = optimizer.adamw(lambda step: _RATE, 0.01)

        def forward(weights, x_BxTxJxC):
            return nnx.merge(graphdef, weights, other)(x_BxTxJxC)

        def step(weights, moments, x_BxTxJxC, target_BxTxJx3):
            def loss(weights):
                pose_BxTxJx3 = forward(weights, x_BxTxJxC)
                return losses.pose_loss(pose_BxTxJx3, target_BxTxJx3, _WEIGHTS)[0]

            value, gradients = jax.value_and_grad(loss)(weights)
            changes, moments = update.update(gradients, moments, weights)
            return optax.apply_updates(weights, changes), moments, value

        self._x, self._target = jax.device_put((x_BxTxJxC, target_BxTxJx3))
        self._state = weights, update.init(weights)
        self._forward, self._step = jax.jit(forward), jax.jit(step, donate_argnums=(0, 1))

    def forward(self):
        return jax.block_until_ready(self._forward(self._state[0], self._x))

    def step(self):
        *state, _ = jax.block_until_ready(self._step(*self._state, self._x, self._target))
        self._state = tuple(state)

    def pose(self):
        return np.asarray(self.forward())

    def params(self):
        return jax.tree.map(np.asarray, self._state[0])


def _clips(network, frames, batch_size):
    rng = np.random.default_rng(0)
    shape = (batch_size, frames, network.num_joints)
    return (
        rng.uniform(-1, 1, size=(*shape, network.dim_in)).astype(np.float32),
        rng.uniform(-1, 1, size=(*shape, 3)).astype(np.float32),
    )


def _line(name, row):
    return (
        f"  {name:38s} {row['ratio']:5.2f}x  (half of {row['turns']} turns: "
        f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f})  "
        f"{row['ms']:9.1f} ms, twin {row['twin_ms']:9.1f} ms"
    )
