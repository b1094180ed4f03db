"""Weak scaling on paper: the time of a step on 8 to 1,024 chips, from what was compiled for one.

Each chip keeps its batch, so its work stays; the sum of the gradients grows. Assumed: the chip runs
at the slower of its published peak rates (matrix units, memory), the sum waits for the last
gradient and hides behind nothing, links give their published rate without latency. Real steps take
longer; the shares tell what limits them.
"""

from mbjax.devices.chips import Chip

CHIPS = (8, 16, 32, 64, 128, 256, 512, 1024)
_CHIPS_PER_HOST = 8


def work_seconds(report: dict, chip: Chip) -> tuple[float, float]:
    """Seconds of one step's matrix work, and of its memory traffic, on one chip."""
    return report["flops"] / (chip.tflops * 1e12), report["bytes_accessed"] / (
        chip.memory_gbps * 1e9
    )


def sum_seconds(size: float, chips: int, chip: Chip) -> float:
    """Seconds to sum `size` bytes over chips: 2 (n - 1) / n of them leave and enter each chip.

    Over several slices: scattered sums within each, then each chip's part over the data centre's
    network, then the parts are gathered within.
    """
    slices = -(-chips // chip.slice)
    inside = chips // slices
    seconds = 2 * (inside - 1) / inside * size / (chip.ici_gbps / 2 * 1e9)
    if slices > 1:
        part = size / inside
        seconds += 2 * (slices - 1) / slices * part / (chip.network_gbps * 1e9)
    return seconds


def rows(report: dict, chip: Chip) -> list[dict]:
    """One row for each number of chips; report: what `mbjax compile` found, fsdp 1."""
    compute, traffic = work_seconds(report, chip)
    size = sum(sums["bytes"] for sums in report["collectives"].values())
    work = max(compute, traffic)
    table = []
    for chips in CHIPS:
        together = sum_seconds(size, chips, chip)
        step = work + together
        table.append(
            {
                "chips": chips,
                "batch": int(report["batch_per_chip"] * chips),
                "sum_ms": 1e3 * together,
                "step_ms": 1e3 * step,
                "efficiency": work / step,
                "clips_per_s": report["batch_per_chip"] * chips / step,
                "host_clips_per_s": report["batch_per_chip"] * _CHIPS_PER_HOST / step,
            }
        )
    return table


def describe(report: dict, chip: Chip) -> str:
    """The table in Markdown, with its arithmetic above."""
    compute, traffic = work_seconds(report, chip)
    size = sum(sums["bytes"] for sums in report["collectives"].values())
    lines = [
        f"matrix work {report['flops'] / 1e12:.3f} TFLOP / {chip.tflops:g} TFLOP/s = "
        f"{1e3 * compute:.1f} ms; memory traffic {report['bytes_accessed'] / 1e9:.1f} GB / "
        f"{chip.memory_gbps:g} GB/s = {1e3 * traffic:.1f} ms; the slower counts.",
        f"sum of {size / 1e6:.1f} MB: 2 (n - 1) / n of it at {chip.ici_gbps / 2:g} GB/s between "
        f"the chips of a slice of up to {chip.slice}; between slices, the chip's part of it at "
        f"{chip.network_gbps:g} GB/s.",
        "",
        "| chips | batch | sum, ms | step, ms | efficiency | clips/s | clips/s a host of 8 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows(report, chip):
        lines.append(
            f"| {row['chips']:,} | {row['batch']:,} | {row['sum_ms']:.2f} | {row['step_ms']:.1f} "
            f"| {row['efficiency']:.1%} | {row['clips_per_s']:,.0f} "
            f"| {row['host_clips_per_s']:,.0f} |"
        )
    return "\n".join(lines)
