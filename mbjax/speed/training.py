"""How fast: the training step, the input, and both together, so that the limit is seen.

Model FLOPs are counted from the sizes (matrix products of the network, forward and backward being
three times forward); work that is not the network's (corruption, recomputation) does not count.
"""

import functools
import time
from collections.abc import Callable

import jax
import numpy as np

from mbjax.data.feed import ClipLoader, device_batches, host_batches, to_devices
from mbjax.data.plan import Plan, Source
from mbjax.data.records import RecordReader
from mbjax.devices import sharding
from mbjax.models.dstformer import DSTformerConfig
from mbjax.tasks.pretrain import task as pretrain
from mbjax.training import loop
from mbjax.training.task import TrainSource

# Dense bfloat16 peak in TFLOP/s, as the makers publish them; device_kind as JAX names it.
_PEAK_TFLOPS = {
    "NVIDIA H200": 989, "NVIDIA H100 80GB HBM3": 989, "NVIDIA H100 PCIe": 756,
    "NVIDIA A100-SXM4-80GB": 312, "NVIDIA A100-SXM4-40GB": 312, "Tesla V100-SXM2-16GB": 125,
    "TPU v4": 275, "TPU v5 lite": 197, "TPU v5e": 197, "TPU v5p": 459, "TPU v5": 459,
    "TPU v6 lite": 918, "TPU v6e": 918,
}  # fmt: skip


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
    say: Callable[[str], None],
) -> dict:  # fmt: skip
    """The report of a pretraining config at clips of `frames`, timed over `steps` steps.

    only: one of step, input, both. peak_tflops: of the device, 0 for the known ones. config: its
    maxlen may grow. ValueError where the batch does not divide.
    """
    config.model.maxlen = max(config.model.maxlen, frames)
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
        peak = peak_tflops or _PEAK_TFLOPS.get(report["device"], 0)
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
    return report


class _Bench:
    def __init__(self, config, mesh, frames, steps):
        self.config, self.mesh, self.frames, self.steps = config, mesh, frames, steps
        self.network = DSTformerConfig(**config.model)
        self.sharding = sharding.batch_sharding(mesh)
        # The first 3D source that has a folder; without one, the sample corpus.
        candidates = [name for name, s in config.sources.items() if s.kind == "3d"]
        self.name = next((n for n in candidates if config.sources[n].dir), candidates[0])
        self.folder = config.sources[self.name].dir or "sample:motion3d"
        self.loader = ClipLoader(RecordReader(self.folder, "train"), ["pose"], frames)
        # Long enough for any timing; the benchmark stops when it has seen enough.
        source = Source("bench", len(self.loader), config.batch_size, 0, 10_000_000)
        self.plan = Plan([source], config.seed, 1)
        self._compiled = None

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
        """The compiled training step and a fresh state, with the release's 3D loss."""
        if self._compiled is None:
            config = self.config
            noise = pretrain.detector_noise.DetectionNoise.load(config.noise_table or None)
            source = TrainSource(
                self.loader,
                functools.partial(pretrain.loss_3d, config, config.sources[self.name], noise),
                config.batch_size,
            )
            task = pretrain.bare_task(config, {"bench": source})
            optimizer, _ = task.optimizer(self.plan)
            graphdef, fresh = loop.make_state(task, optimizer, config.seed)
            abstract = jax.eval_shape(fresh)
            step = loop.make_step(
                graphdef, source, optimizer, config.seed, self.plan.total_steps, config.accumulate
            )
            state = jax.jit(fresh, out_shardings=sharding.state_sharding(abstract, self.mesh))()
            self._compiled = loop.compiled_step(step, self.mesh, abstract), state
        return self._compiled

    def step(self):
        """The step alone, on one batch that stays on the device."""
        step, state = self._step()
        rows = len(sharding.local_rows(self.sharding, self.config.batch_size))
        pose = np.random.default_rng(0).normal(size=(rows, self.frames, 17, 3)).astype(np.float32)
        batch = to_devices({"pose": pose}, self.sharding, self.config.batch_size)
        begun = time.perf_counter()
        state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
        compile_s = time.perf_counter() - begun
        begun = time.perf_counter()
        for _ in range(self.steps):
            state, metrics = step(state, batch)
        jax.block_until_ready((state, metrics))
        seconds = (time.perf_counter() - begun) / self.steps
        self._compiled = step, state
        flops = 3 * forward_flops(self.network, self.frames) * self.config.batch_size
        return {
            **self._rate(seconds),
            "compile_s": round(compile_s, 1),
            "model_tflops_per_s": flops / seconds / 1e12,
        }

    def input(self):
        """Reading, decoding, checking and stacking alone: at least a second of it."""
        batches = host_batches(
            self.plan, {"bench": self.loader}, self.sharding, 0, self.config.feed_threads, 4
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
            self.plan, {"bench": self.loader}, self.sharding, threads=self.config.feed_threads
        )
        state, metrics = step(state, next(batches)[1])
        jax.block_until_ready(metrics)
        begun = time.perf_counter()
        for _ in range(self.steps):
            state, metrics = step(state, next(batches)[1])
        jax.block_until_ready((state, metrics))
        seconds = (time.perf_counter() - begun) / self.steps
        self._compiled = step, state
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
