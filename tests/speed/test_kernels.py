"""Schedules of the fused kernels: read off the compiler's files, and how often each runs."""

import importlib.util

import pytest

from mbjax.models.dstformer import DSTformerConfig
from mbjax.speed import kernels


def test_bundles_are_read_off_the_compilers_files(tmp_path):
    for name, count in (
        ("17-jvp_attention_joints_.1", 10),
        ("18-transpose_jvp_attention_joints_backward__.1", 30),
        ("19-mlp.3", 7),
        ("20-fusion.3", 99),
    ):
        path = tmp_path / f"{name}-71-schedule-analysis_final_bundles.txt"
        path.write_text(f"Schedule analysis:\n\ttotal scheduled bundles:    {count}\n")
    (tmp_path / "19-mlp.3-72-final_bundles.txt").write_text("another kind of file")
    found = kernels.bundles_by_kernel(tmp_path)
    assert found == {"attention_joints": 10, "attention_joints_backward": 30, "mlp": 7}


@pytest.mark.parametrize(
    "structure, attentions, mlps", [("st+ts", 2, 4), ("s+t", 1, 2), ("st-attention", 1, 1)]
)
def test_a_step_runs_each_kernel_as_often_as_the_network_has_it(structure, attentions, mlps):
    network = DSTformerConfig(structure=structure, depth=3)
    rows = [
        {"kernel": "attention_joints", "cycles": 1}, {"kernel": "attention_frames", "cycles": 100},
        {"kernel": "mlp", "cycles": 10_000}, {"kernel": "mlp_backward", "cycles": 1_000_000},
    ]  # fmt: skip
    expected = 3 * (101 * attentions + 1_010_000 * mlps)
    assert kernels.step_cycles(rows, network) == expected


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="needs pip install '.[tpu]'")
@pytest.mark.parametrize("topology", ["v5e:2x2", "v5p:2x2x1", "v6e:2x2"])
def test_the_compiler_takes_the_kernels(topology):
    """In a process of its own: the compiler reads where to write its files when it is loaded."""
    import subprocess
    import sys

    code = (
        "from mbjax.speed import kernels\nfrom mbjax.models.dstformer import DSTformerConfig\n"
        "network = DSTformerConfig(dim_feat=128, num_heads=2, maxlen=20, dtype='bfloat16')\n"
        f"rows = kernels.schedules({topology!r}, network, 2)\n"
        "assert len(rows) == 6 and all(row['bundles'] > 100 for row in rows), rows\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
