"""How fast: the training step, the input, and both together, so that the limit is seen.

Model FLOPs are counted from the sizes (matrix products of the network, forward and backward being
three times forward); work that is not the network's (corruption, recomputation) does not count.
"""

import time
from collections.abc import Callable

import jax

from mbjax.data.feed import device_batches, host_batches, to_devices
from mbjax.devices import chips, sharding
from mbjax.models.dstformer import DSTformerConfig
from mbjax.speed.one_source import OneSource, clips_and_frames
from mbjax.training.step import prepared


def forward_flops(network: DSTformerConfig, frames: int) -> float:
    """FLOPs of the network's matrix products for one clip, forward."""
    dim, joints = network.dim_feat, network.num_joints
    tokens = frames * joints
    hidden = int(dim * network.mlp_ratio)
    attention, mlp = 4 * dim * dim, 2 * dim * hidden
    blocks = network.depth * len(network.streams)
    if network.structure == "s+t":
        weights = blocks * (attention + mlp)
        mixing = network.depth * 2 * dim * (joints + frames)
    else:
        mlps = 1 if network.structure == "st-attention" else 2
        weights = blocks * (2 * attention + mlps * mlp)
        mixing = blocks * 2 * dim * (joints + frames)
    fusion = 0
    if len(network.streams) == 2 and network.fusion == "adaptive":
        fusion = network.depth * 4 * dim
    ends = network.dim_in * dim + dim * network.dim_rep + network.dim_rep * network.dim_out
    return 2.0 * tokens * (weights + mixing + fusion + ends)


def run(
    config, frames: int, steps: int, only: str | None, peak_tflops: float,
    say: Callable[[str], None], profile: str | None = None,
) -> dict:  # fmt: skip
    """The report of a config at clips of `frames` (pretraining's alone), timed over `steps` steps.

    only: one of step, input, both. peak_tflops: of the device, 0 for the known ones. config: its
    maxlen may grow. profile: a folder for a trace of three steps. ValueError where the batch does
    not divide.
    """
    mesh = sharding.make_mesh(config.fsdp)
    sharding.check_batch(config.batch_size, mesh, config.accumulate)
    bench = _Bench(config, mesh, frames, steps)
    report = bench.setting()
    parts = {"step": bench.step, "input": bench.input, "both": bench.both}
    for name, part in parts.items():
        if only in (None, name):
            report[name] = part()
            say(_line(name, report[name]))
    if "step" in report:
        peak = peak_tflops or chips.peak_tflops(report["device"])
        if peak:
            share = report["step"]["model_tflops_per_s"] / (peak * mesh.size)
            report["step"]["share_of_peak"] = share
        say(
            f"share of peak ({peak:g} TFLOP/s a device, dense bfloat16): {share:.1%}"
            if peak
            else f"peak of {report['device']!r} is not known; give it with --peak-tflops"
        )
    if {"step", "input", "both"} <= set(report):
        step, feed = report["step"]["clips_per_s"], report["input"]["clips_per_s"]
        limit = "the training step" if step < feed else "the input"
        say(f"what limits: {limit} ({step:,.0f} against {feed:,.0f} clips/s)")
    if profile:
        bench.trace(profile)
        say(f"a trace of three steps is in {profile} (xprof or TensorBoard's profile reads it)")
    return report


class _Bench:
    def __init__(self, config, mesh, frames, steps):
        self.config, self.mesh, self.steps = config, mesh, steps
        source = OneSource(config, frames=frames)
        self.network = DSTformerConfig(**config.model)
        self.sharding = sharding.batch_sharding(mesh)
        self.name, self.folder = source.name, source.folder
        self.loaders = {source.name: source.load}
        rows = len(sharding.local_rows(self.sharding, config.batch_size))
        self.rows = source.rows(rows)
        self.clips, self.frames = clips_and_frames(source.batch_shapes(config.batch_size))
        self.run = prepared(source.task(config.batch_size), source.settings(), mesh)
        self._state = None

    def setting(self):
        return {
            "device": jax.devices()[0].device_kind,
            "devices": self.mesh.size,
            "frames": self.frames,
            "batch_size": self.config.batch_size,
            "dtype": self.config.model.dtype,
            "dataset": self.folder,
        }

    def _step(self):
        """The compiled training step and a state."""
        if self._state is None:
            self._state = self.run.new_state()
        return self.run.steps[self.name], self._state

    def step(self):
        """The step alone, on one batch that stays on the device."""
        step, state = self._step()
        batch = to_devices(self.rows, self.sharding, self.config.batch_size)
        begun = time.perf_counter()
        state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
        compile_s = time.perf_counter() - begun
        begun = time.perf_counter()
        for _ in range(self.steps):
            state, metrics = step(state, batch)
        jax.block_until_ready((state, metrics))
        seconds = (time.perf_counter() - begun) / self.steps
        self._state = state
        flops = 3 * forward_flops(self.network, self.frames) * self.clips
        return {
            **self._rate(seconds),
            "compile_s": round(compile_s, 1),
            "model_tflops_per_s": flops / seconds / 1e12,
        }

    def trace(self, folder):
        """Three steps on one batch, after one that may compile, as a trace of JAX's profiler."""
        step, state = self._step()
        batch = to_devices(self.rows, self.sharding, self.config.batch_size)
        state, _ = jax.block_until_ready(step(state, batch))
        with jax.profiler.trace(folder):
            for _ in range(3):
                state, _ = jax.block_until_ready(step(state, batch))
        self._state = state

    def input(self):
        """Reading, decoding, checking and stacking alone: at least a second of it."""
        batches = host_batches(
            self.run.plan, self.loaders, self.sharding, 0, self.config.feed_threads, 4
        )
        next(batches)
        begun, count = time.perf_counter(), 0
        while count < self.steps or time.perf_counter() - begun < 1:
            next(batches)
            count += 1
        return self._rate((time.perf_counter() - begun) / count)

    def both(self):
        """As in training: each step on a batch of its own."""
        step, state = self._step()
        batches = device_batches(
            self.run.plan, self.loaders, self.sharding, threads=self.config.feed_threads
        )
        state, metrics = step(state, next(batches)[1])
        jax.block_until_ready(metrics)
        begun = time.perf_counter()
        for _ in range(self.steps):
            state, metrics = step(state, next(batches)[1])
        jax.block_until_ready((state, metrics))
        seconds = (time.perf_counter() - begun) / self.steps
        self._state = state
        return self._rate(seconds)

    def _rate(self, seconds):
        return {"steps_per_s": 1 / seconds, "clips_per_s": self.config.batch_size / seconds}


def _line(name, part):
    text = f"{name:6s} {part['steps_per_s']:10.3f} steps/s {part['clips_per_s']:10.1f} clips/s"
    if "model_tflops_per_s" in part:
        text += (
            f" {part['model_tflops_per_s']:8.3f} model TFLOP/s  (compiled in {part['compile_s']} s)"
        )
    return text
