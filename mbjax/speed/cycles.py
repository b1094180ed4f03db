"""Step time that the TPU compiler predicts: its own cycles, read off a compiled program's text.

The compiler writes `estimated_cycles` beside each operation it schedules. It has none for custom
kernels: these are counted by the FLOPs and bytes that they declare, at the chip's peak rates, which
is the least they can take. Collectives have none either and are left out (`scaling` counts them).
Operations are taken one after another; transfers that overlap with them are not seen.
"""

import collections
import dataclasses
import re

from mbjax.devices.chips import Chip
from mbjax.speed import hlo

# Name scopes of the model and the step. The last one in an operation's name counts.
MODULES = ("attention_joints", "attention_frames", "mlp", "streams", "embed", "head", "optimizer")
_MODULE = re.compile(rf"(?<![a-z_])({'|'.join(MODULES)})(?![a-z])")
_OPERATION = re.compile(r"\s*(?:ROOT )?%(?P<name>\S+) = (?P<shape>.*?) (?P<kind>[a-z][\w\-]*)\(")
_KERNEL = 'custom_call_target="tpu_custom_call"'


@dataclasses.dataclass(frozen=True)
class Operation:
    """One scheduled operation. cycles: of one run; times: runs in a step; kernel: a custom one."""

    name: str
    shape: str
    module: str
    direction: str
    cycles: float
    times: int
    kernel: bool

    @property
    def total(self) -> float:
        return self.cycles * self.times


def operations(text: str, chip: Chip) -> list[Operation]:
    """The operations of an optimised TPU program that have a cost; loops count their trips."""
    found = []
    trips = hlo.trips(text)
    computation = ""
    for line in text.splitlines():
        computation = hlo.opened_computation(line) or computation
        kernel = _KERNEL in line
        estimate = re.search(r'"estimated_cycles":"(\d+)"', line)
        if not (kernel or estimate):
            continue
        match = _OPERATION.match(line)
        name = re.search(r'op_name="([^"]*)"', line)
        source = name[1] if name else ""
        found.append(
            Operation(
                match["name"] if match else "",
                match["shape"] if match else "",
                module_of(source),
                direction_of(source),
                _kernel_cycles(line, chip) if kernel else float(estimate[1]),
                trips.get(computation, 1),
                kernel,
            )
        )
    return found


def module_of(source: str) -> str:
    """Which part of the model an operation belongs to, by JAX's name for it; 'other' for none."""
    return (_MODULE.findall(source) or ["other"])[-1]


def direction_of(source: str) -> str:
    """'forward', 'backward', 'recomputed' (in the backward pass), or 'update'."""
    if "optimizer" in source:
        return "update"
    if "rematted_computation" in source:
        return "recomputed"
    return "backward" if "transpose(" in source else "forward"


def _kernel_cycles(line: str, chip: Chip) -> float:
    """A custom kernel's declared FLOPs or bytes, whichever take longer at the chip's rates."""
    estimate = re.search(r'"cost_estimate":\{[^}]*\}', line)
    declared = dict(re.findall(r'"(\w+)":"?(\d+)', estimate[0])) if estimate else {}
    seconds = max(
        int(declared.get("flops", 0)) / (chip.tflops * 1e12),
        int(declared.get("bytes_accessed", 0)) / (chip.memory_gbps * 1e9),
    )
    return seconds * chip.clock_ghz * 1e9


def summary(text: str, chip: Chip, model_flops: float) -> dict:
    """Predicted cycles, time and MFU of one step of one chip, and where the cycles go.

    model_flops: of the network's matrix products in a step on one chip, nothing recomputed.
    """
    found = operations(text, chip)
    total = sum(one.total for one in found)
    seconds = total / (chip.clock_ghz * 1e9)
    parts: dict = collections.Counter()
    for one in found:
        parts[one.module, one.direction] += one.total
    largest = sorted(found, key=lambda one: -one.total)[:10]
    return {
        "cycles": total,
        "kernel_cycles": sum(one.total for one in found if one.kernel),
        "uncounted_kernels": sum(one.times for one in found if one.kernel and not one.cycles),
        "step_s": seconds,
        "model_flops": model_flops,
        "mfu": model_flops / seconds / (chip.tflops * 1e12) if seconds else 0.0,
        "parts": [
            {"module": module, "direction": direction, "cycles": cycles}
            for (module, direction), cycles in parts.most_common()
        ],
        "largest": [
            {
                "name": one.name, "shape": one.shape, "module": one.module,
                "direction": one.direction, "cycles": one.total, "times": one.times,
            }
            for one in largest
        ],
    }  # fmt: skip


def describe(found: dict, chip: Chip) -> str:
    """A summary for a person."""
    lines = [
        f"predicted: {found['cycles']:.3g} cycles = {1e3 * found['step_s']:.1f} ms at "
        f"{chip.clock_ghz:g} GHz, MFU {found['mfu']:.1%} of {chip.tflops:g} TFLOP/s "
        f"({found['model_flops'] / 1e12:.2f} TFLOP of the model)"
    ]
    if found["kernel_cycles"]:
        lines.append(
            f"  of these {found['kernel_cycles']:.3g} in kernels, which the compiler does not "
            "count: by their FLOPs and bytes at peak rates, the least they can take"
        )
    if found["uncounted_kernels"]:
        lines.append(
            f"  {found['uncounted_kernels']} kernels declare neither and are left out: time and "
            "MFU are too good by them"
        )
    directions = [
        direction
        for direction in ("forward", "recomputed", "backward", "update")
        if any(part["direction"] == direction for part in found["parts"])
    ]
    table = {(part["module"], part["direction"]): part["cycles"] for part in found["parts"]}
    lines.append(
        f"  {'million cycles':18s}" + "".join(f"{direction:>12s}" for direction in directions)
    )
    for module in (*MODULES, "other"):
        cycles = [table.get((module, direction), 0) / 1e6 for direction in directions]
        if any(cycles):
            lines.append(f"  {module:18s}" + "".join(f"{one:12.2f}" for one in cycles))
    lines.append("  largest operations (million cycles):")
    for one in found["largest"]:
        lines.append(
            f"  {one['cycles'] / 1e6:8.3f}  {one['module']}, {one['direction']}: {one['name']} "
            f"{one['shape'][:70]}" + (f" x {one['times']}" if one["times"] > 1 else "")
        )
    return "\n".join(lines)
