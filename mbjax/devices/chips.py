"""What the makers publish of the chips that a run is planned for or measured on.

Sources: Google's pages on TPU v5e, v5p, v6e and TPU7x (docs.cloud.google.com/tpu/docs/v5e, /v5p,
/v6e, /tpu7x, as of 2026); NVIDIA's data sheets. Rates are peaks, dense.
"""

import dataclasses
import re

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """One chip of a pod, as JAX counts them: of TPU7x each of a chip's two cores is a device.

    kind: how JAX names it. memory: bytes. tflops: bfloat16. memory_gbps, ici_gbps, network_gbps:
    10^9 bytes/s of its memory, of its links to other chips (both directions), and of the data
    centre's network (its share of the host's). slice: the most chips that links join. shapes: usual
    ones. clock_ghz: not published; what tflops and the matrix units come to (v5e: 4 of 128 x 128,
    v5p: 8 of them; v6e, a core of TPU7x: 4 of 256 x 256).
    """

    kind: str
    memory: float
    tflops: float
    memory_gbps: float
    ici_gbps: float
    network_gbps: float
    slice: int
    shapes: tuple[str, ...]
    clock_ghz: float = 1.0


_FLAT = ("2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBES = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x16")
CHIPS = {
    # 2 x 100 Gbit/s a host of 8 chips.
    "v5e": Chip("TPU v5 lite", 16 * GIB, 197, 819, 400, 3.125, 256, _FLAT, 1.5),
    "v5p": Chip("TPU v5", 95 * GIB, 459, 2765, 1200, 6.25, 6144, _CUBES, 1.75),
    # Its page gives no network rate; that of v5e is the lower bound taken here.
    "v6e": Chip("TPU v6 lite", 32 * GIB, 918, 1638, 800, 3.125, 256, _FLAT, 1.75),
    # Half of a chip: 192 GiB, 2,307 TFLOP/s, 7,380 and 1,200 GB/s, 100 Gbit/s; 9,216 chips.
    "tpu7x": Chip("TPU7x", 96 * GIB, 1153.5, 3690, 600, 6.25, 2 * 9216, _CUBES, 2.2),
}  # fmt: skip


# The dense bfloat16 peak, in TFLOP/s, of chips that no topology is known of.
# HGX B200 and GB200 NVL72: 4.5 and 5 PFLOP/s with sparsity (NVIDIA's page of GB200 NVL72), halved.
_PEAK_TFLOPS = {
    "NVIDIA GB200": 2500, "NVIDIA B200": 2250,
    "NVIDIA H200": 989, "NVIDIA H100 80GB HBM3": 989, "NVIDIA H100 PCIe": 756,
    "NVIDIA A100-SXM4-80GB": 312, "NVIDIA A100-SXM4-40GB": 312, "Tesla V100-SXM2-16GB": 125,
    "TPU v4": 275, "TPU v5e": 197, "TPU v5p": 459, "TPU v6e": 918,
}  # fmt: skip


def peak_tflops(kind: str) -> float:
    """The dense bfloat16 peak of a device, in TFLOP/s; 0 where it is not known.

    kind: as JAX names it (`device.device_kind`).
    """
    return _PEAK_TFLOPS.get(kind) or next((c.tflops for c in CHIPS.values() if c.kind == kind), 0)


def find(topology: str) -> Chip:
    """The chip of 'v5e:4x4'. ValueError, with the known ones, on another."""
    match = re.fullmatch(r"(\w+):(\d+(?:x\d+)+)", topology)
    if not match or match[1] not in CHIPS:
        raise ValueError(f"topology {topology!r} is not known; there are: {known()}")
    return CHIPS[match[1]]


def known() -> str:
    return "; ".join(f"{name}:{{{','.join(chip.shapes)}}}" for name, chip in CHIPS.items())
