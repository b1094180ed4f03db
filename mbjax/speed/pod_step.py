"""The real training step, compiled for a pod that nobody has rented yet.

The TPU compiler (libtpu) runs on any machine and knows each slice's chips, links and memory.
"""

import importlib.util
import os
import re
import time

from mbjax.devices import chips
from mbjax.remarks import one_line

_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "": 1}


class DoesNotFit(ValueError):
    """The step needs more memory than a chip has; `needed` bytes, as the compiler says."""

    def __init__(self, needed: float, message: str):
        super().__init__(message)
        self.needed = needed


def memory_needed(message: str) -> float | None:
    """Bytes that the TPU compiler says it would need; None where it complains of something else."""
    for pattern in (
        r"Used ([\d.]+)([KMG]?) of [\d.]+[KMG]? hbm",
        r"memory required .*?\(([\d.]+)([KMG]?)\) exceeds available HBM",
    ):
        if used := re.search(pattern, message):
            return float(used[1]) * _UNITS[used[2]]
    return None


def topology_devices(topology: str):
    """The devices of a slice that is not here. ImportError without the compiler."""
    if not importlib.util.find_spec("libtpu"):
        raise ImportError("the TPU compiler is not installed; pip install 'mbjax[tpu]'")
    # The compiler looks for a TPU and its metadata server unless it is told that there is none.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-16")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault("TPU_MIN_LOG_LEVEL", "3")
    # Its lock is for the device; compiling may go on several times at once.
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")
    import jax
    from jax.experimental import topologies

    jax.config.update("jax_platforms", "cpu")
    # Programs for devices that are not here cannot be read back.
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        return topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"the TPU compiler does not take {topology!r} ({reason}); usual ones: {chips.known()}"
        ) from None


class PodStep:
    """One source's training step, to be compiled for a mesh at any batch size."""

    def __init__(self, config, devices, source_name: str = "", frames: int = 0, options=None):
        """options: {name: value} for the compiler, beside its own."""
        from mbjax.devices import sharding
        from mbjax.speed.one_source import OneSource, clips_and_frames

        self.config, self._options = config, options or {}
        self._source = OneSource(config, source_name, frames, made_up=True)
        self.source = self._source.name
        _, self.frames = clips_and_frames(self._source.batch_shapes(1))
        self.mesh = sharding.make_mesh(config.fsdp, devices)
        self.text = ""  # of the program that `report` compiled last

    @property
    def smallest_batch(self) -> int:
        return self.mesh.size * self.config.accumulate

    def compile(self, batch_size: int):
        """The compiled step; DoesNotFit where the compiler runs out of the chip's memory."""
        import jax

        from mbjax.training.step import prepared

        run = prepared(self._source.task(batch_size), self._source.settings(), self.mesh)
        batch = self._source.batch_shapes(batch_size)
        try:
            lowered = run.steps[self.source].lower(run.abstract, batch)
            return lowered.compile(compiler_options=self._options)
        except jax.errors.JaxRuntimeError as error:
            needed = memory_needed(str(error))
            if needed is None and self._options and "option" in str(error):
                raise ValueError(f"--option: {one_line(error, 200)}") from None
            if needed is None:
                raise
            raise DoesNotFit(needed, str(error)) from None

    def report(self, batch_size: int, chip: chips.Chip) -> dict:
        """What one chip holds and does in a step; sizes in bytes."""
        from mbjax.models import attention
        from mbjax.models.dstformer import DSTformerConfig
        from mbjax.speed import cycles, hlo
        from mbjax.speed.one_source import clips_and_frames
        from mbjax.speed.training import forward_flops

        begun = time.monotonic()
        head = {
            "chips": self.mesh.size,
            "mesh": dict(self.mesh.shape),
            "batch_size": batch_size,
            "batch_per_chip": batch_size / self.mesh.size,
            "frames": self.frames,
            "source": self.source,
            "dtype": self.config.model.dtype,
            "remat": self.config.model.remat,
            "attention": attention.choose(self.config.model.attention, "tpu"),
            "accumulate": self.config.accumulate,
        }
        try:
            compiled = self.compile(batch_size)
        except DoesNotFit as error:
            return {**head, "fits": False, "memory_needed": error.needed,
                    "compile_s": round(time.monotonic() - begun, 1)}  # fmt: skip
        memory = compiled.memory_analysis()
        cost = compiled.cost_analysis()
        self.text = compiled.as_text()
        found = hlo.collectives(self.text)
        clips, _ = clips_and_frames(self._source.batch_shapes(batch_size))
        network = DSTformerConfig(**self.config.model)
        model_flops = 3 * forward_flops(network, self.frames) * clips / self.mesh.size
        kinds = {
            "arguments": memory.argument_size_in_bytes,
            "outputs": memory.output_size_in_bytes,
            "donated": memory.alias_size_in_bytes,
            "temporary": memory.temp_size_in_bytes,
            "program": memory.generated_code_size_in_bytes,
        }
        needed = sum(kinds.values()) - 2 * kinds["donated"]
        return {
            **head,
            "fits": needed <= chip.memory,
            "memory": kinds,
            "memory_needed": needed,
            "memory_fixed": kinds["arguments"] + kinds["program"],
            "flops": cost["flops"],
            "bytes_accessed": cost["bytes accessed"],
            "collectives": hlo.summary(found),
            "predicted": cycles.summary(self.text, chip, model_flops),
            "compile_s": round(time.monotonic() - begun, 1),
        }


def largest_batch(step: PodStep, report: dict, chip: chips.Chip, say=lambda text: None) -> dict:
    """The largest batch that compiles within the chip's memory, and what each tried one needs.

    State and program stay, the rest grows with the batch: the end of that line is guessed and
    compiled. Beyond it the compiler recomputes rather than stores, so sizes go on from there in
    growing steps until one does not fit; then the interval is halved.
    """
    unit = step.smallest_batch
    tried = {0: (0.0, True)}
    fixed = 0.0
    stride = 1

    def note(units, found):
        nonlocal fixed
        tried[units] = (found["memory_needed"], found["fits"])
        fixed = found.get("memory_fixed", fixed)

    note(report["batch_size"] // unit, report)
    while True:
        good = max(units for units, (_, fits) in tried.items() if fits)
        bad = min((units for units, (_, fits) in tried.items() if not fits), default=None)
        if bad == good + 1:
            break
        known = good or bad or 0  # one of them is not 0
        per_unit = max((tried[known][0] - fixed) / known, 1.0)
        guess = int((chip.memory - fixed) / per_unit)
        if guess in tried or not good < guess < (bad or guess + 1):
            guess = (good + bad) // 2 if bad else good + stride
            stride *= 2
        found = step.report(guess * unit, chip)
        note(guess, found)
        say(
            f"  batch {guess * unit}: {found['memory_needed'] / chips.GIB:.2f} GiB a chip, "
            + ("fits" if found["fits"] else "does not fit")
        )
    needed = {units * unit: size for units, (size, _) in sorted(tried.items()) if units}
    return {"batch_size": good * unit, "needed": needed}


def describe(topology: str, report: dict, chip: chips.Chip) -> str:
    """The report for a person, everything per chip."""
    from mbjax.speed import cycles

    gib = chips.GIB
    lines = [
        f"{topology}: {report['chips']} {chip.kind} chips, mesh "
        + " x ".join(f"{axis} {size}" for axis, size in report["mesh"].items())
        + f"; step of source {report['source']}, batch {report['batch_size']} "
        f"({report['batch_per_chip']:g} a chip), {report['frames']} frames, {report['dtype']}"
        + (f", remat {report['remat']}" if report["remat"] else "")
        + f", attention {report['attention']}"
        + f"  (compiled in {report['compile_s']} s)"
    ]
    verdict = "fits" if report["fits"] else "DOES NOT FIT"
    lines.append(
        f"memory per chip: {report['memory_needed'] / gib:.2f} of {chip.memory / gib:g} GiB, "
        + verdict
    )
    if "memory" not in report:
        return "\n".join(lines)
    meaning = {
        "arguments": "parameters, optimizer state, batch",
        "outputs": "new state, metrics",
        "donated": "outputs that take the arguments' place",
        "temporary": "activations, gradients",
        "program": "",
    }
    for kind, size in report["memory"].items():
        lines.append(f"  {kind:10s} {size / gib:8.3f} GiB  {meaning[kind]}".rstrip())
    lines.append(
        f"work per chip and step: {report['flops'] / 1e12:.3f} TFLOP, "
        f"{report['bytes_accessed'] / 1e9:.1f} GB of memory traffic"
    )
    if report["predicted"]["cycles"]:
        lines.append(cycles.describe(report["predicted"], chip))
    lines.append("collectives of a step:" + ("" if report["collectives"] else " none"))
    for kind, sums in report["collectives"].items():
        lines.append(f"  {kind:20s} {sums['count']:4d}   {sums['bytes'] / 1e6:10.3f} MB")
    return "\n".join(lines)


def describe_largest(largest: dict, step: PodStep) -> str:
    size = largest["batch_size"]
    if not size:
        return f"not even batch {step.smallest_batch} fits; try --config.model.remat=True"
    return (
        f"largest batch that fits: {size} ({size // step.mesh.size} a chip), in steps of "
        f"{step.smallest_batch}"
    )
