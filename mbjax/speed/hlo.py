"""Collectives of a compiled program, read off its text."""

import collections
import dataclasses
import math
import re

_BYTES = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "f16": 2, "bf16": 2, "s32": 4,
          "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8}  # fmt: skip
_KINDS = (
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute",
    "collective-broadcast",
)  # fmt: skip
_LINE = re.compile(
    rf"%?(?P<name>\S+) = (?P<type>.*?) (?P<kind>{'|'.join(_KINDS)})(?P<start>-start)?\((?P<rest>.*)"
)
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?(\S+) (?:\(.*)?\{$")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One collective operation.

    shapes: (dtype, sizes) of the whole arrays: what an all-gather makes, what a reduce-scatter
    takes. group: how many devices take part. times: how often a step runs it. source: where in the
    model it comes from, as JAX names it.
    """

    kind: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    group: int
    times: int
    source: str

    @property
    def bytes(self) -> int:
        """Of one run, on one device."""
        return sum(_BYTES[dtype] * math.prod(sizes) for dtype, sizes in self.shapes)


def collectives(text: str) -> list[Collective]:
    """All collectives of an optimised HLO module; those of a loop's body count its trips."""
    found = []
    times = trips(text)
    computation = ""
    for line in text.splitlines():
        computation = opened_computation(line) or computation
        match = _LINE.search(line)
        if not match:
            continue
        arrays = [
            (dtype, tuple(int(n) for n in sizes.split(",") if n))
            for dtype, sizes in _ARRAY.findall(match["type"])
            if dtype in _BYTES
        ]
        group = _group(line)
        if match["start"] and match["kind"] != "all-reduce":
            # (operands, results, ...): of each kind but the sum, begun and finished apart.
            arrays = [max(arrays, key=lambda array: math.prod(array[1]))]
        elif match["kind"] == "reduce-scatter":
            arrays = [(dtype, (group, *sizes)) for dtype, sizes in arrays]
        source = re.search(r'op_name="([^"]*)"', line)
        found.append(
            Collective(
                match["kind"],
                tuple(arrays),
                group,
                times.get(computation, 1),
                source[1] if source else "",
            )
        )
    return found


def summary(found: list[Collective]) -> dict[str, dict[str, int]]:
    """{kind: {count, bytes}} of a step."""
    sums: dict = collections.defaultdict(lambda: {"count": 0, "bytes": 0})
    for one in found:
        sums[one.kind]["count"] += one.times
        sums[one.kind]["bytes"] += one.times * one.bytes
    return dict(sums)


def _group(line: str) -> int:
    listed = re.search(r"replica_groups=\{\{([\d,]*)\}", line)
    if listed:
        return len(listed[1].split(","))
    iota = re.search(r"replica_groups=\[\d+,(\d+)\]", line)
    if iota:
        return int(iota[1])
    # mesh['a'=4,'b'=2], device_ids=(...) {'b'}: along the axes in the last braces.
    axes = re.search(r"replica_groups=mesh\[(.*?)\].*?\{('[^}]*)\}", line)
    if not axes:
        return 1
    sizes = dict(re.findall(r"'(\w+)'=(\d+)", axes[1]))
    return math.prod(int(sizes[name]) for name in re.findall(r"'(\w+)'", axes[2]))


def opened_computation(line: str) -> str | None:
    """The name of the computation whose first line this is; None for any other line."""
    opening = _COMPUTATION.match(line)
    return opening[1] if opening else None


def trips(text: str) -> dict[str, int]:
    """How often each computation inside a loop runs, where the program tells it."""
    bodies, calls = {}, collections.defaultdict(list)
    bounds = _bounds(text)
    computation = ""
    for line in text.splitlines():
        computation = opened_computation(line) or computation
        for called in re.findall(r"(?:calls|to_apply|body)=%?([\w.\-]+)", line):
            calls[computation].append(called)
        body = re.search(r"body=%?([\w.\-]+)", line)
        condition = re.search(r"condition=%?([\w.\-]+)", line)
        known = re.search(r"known_trip_count[^\d]*(\d+)", line)
        if body and known:
            bodies[body[1]] = int(known[1])
        elif body and condition and condition[1] in bounds:
            bodies[body[1]] = bounds[condition[1]]
    found: dict[str, int] = {}

    def spread(name, times):
        times *= bodies.get(name, 1)
        if found.get(name, 0) < times:
            found[name] = times
            for called in calls[name]:
                spread(called, times)

    entry = re.search(r"^ENTRY %?(\S+)", text, re.M)
    if entry:
        spread(entry[1], 1)
    return found


def _bounds(text: str) -> dict[str, int]:
    """N of each condition `number < N`: loops of JAX count from 0 by one."""
    found, constants, computation = {}, {}, ""
    for line in text.splitlines():
        if opened := opened_computation(line):
            computation, constants = opened, {}
        if constant := re.match(r"\s*%(\S+) = s32\[\]\S* constant\((\d+)\)", line):
            constants[constant[1]] = int(constant[2])
        compared = re.match(r"\s*ROOT .* compare\(%\S+, %([\w.\-]+)\), direction=LT", line)
        if compared and compared[1] in constants:
            found[computation] = constants[compared[1]]
    return found
