"""The report of `mbjax parity` as text."""

from mbjax.convert.parity import FORWARD_LIMIT, GRADIENT_LIMIT, STEP_LIMIT, Difference, Report


def table(report: Report) -> str:
    """The report as text. Gradients and the step: the worst parameter of each part."""
    columns = ("max abs", "mean abs", "max rel", "mean rel")
    head = f"{'frames':>6s}  {'':44s}" + "".join(f"{column:>10s}" for column in columns)
    lines = [report.checkpoint, f"  {report.sizes}", f"  against {report.against}"]

    def section(title, found):
        lines.extend(["", title, head, *map(_line, found)])

    section(
        f"forward, float32 at highest precision (max rel up to {FORWARD_LIMIT:g})", report.forward
    )
    section(
        f"gradient, {len(report.gradients)} compared, the worst of each part (max rel up to "
        f"{GRADIENT_LIMIT:g})", _worst(report.gradients)
    )  # fmt: skip
    section(
        f"one AdamW step, the worst of each part (max abs up to {STEP_LIMIT:g})",
        _worst(report.step),
    )
    if report.net:
        section(f"the whole net with its head (max rel up to {FORWARD_LIMIT:g})", report.net)
        section(
            f"its gradient, {len(report.net_gradients)} compared, the worst of each part (max rel "
            f"up to {GRADIENT_LIMIT:g})", _worst(report.net_gradients)
        )  # fmt: skip
    section("bfloat16 against float32, both here (not judged)", report.bfloat16)
    verdict = "PASS" if report.ok else f"FAIL: first difference: {report.first_mismatch}"
    return "\n".join([*lines, "", verdict])


def _line(d: Difference):
    numbers = (d.max_abs, d.mean_abs, d.max_relative, d.mean_relative)
    return (
        f"{d.frames:6d}  {d.name:44s}" + "".join(f"{x:10.1e}" for x in numbers)
        + ("" if d.ok else "  <-- FAIL")
    )  # fmt: skip


def _worst(found):
    """Of each length and top part of the network (blocks_st.0), the largest relative difference."""
    parts: dict = {}
    for d in found:
        part = ".".join(d.name.split(".")[: 2 if d.name.startswith(("blocks", "head.")) else 1])
        parts.setdefault((d.frames, part), []).append(d)
    return [max(group, key=lambda d: (not d.ok, d.max_relative)) for group in parts.values()]
