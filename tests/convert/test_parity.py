"""The parity report: it passes on the same network and names what differs on another."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from torch.nn import functional

from mbjax.convert import parity, parity_table, twin
from tests.recipes import weights as recipes

CONFIG = recipes.SHALLOW


@pytest.fixture(scope="module")
def report():
    return parity.compare(recipes.source(CONFIG), lengths=(1, 243))


@pytest.mark.slow
def test_the_same_network_passes(report):
    assert report.ok and report.first_mismatch is None
    assert [d.name for d in report.forward if d.frames == 1] == [
        "embedding", "blocks_st.0", "blocks_ts.0", "level 0", "norm", "representation", "pose",
        "loss joint", "loss scale", "loss velocity",
    ]  # fmt: skip
    assert {d.frames for d in report.forward} == {1, 9}  # 243 is beyond this model's maxlen
    assert len(report.gradients) == 2 * len(report.step) == 2 * 60
    # bfloat16 has 8 bits: about 1e-2 of the pose, neither nothing nor everything.
    assert all(1e-4 < d.max_relative < 0.1 for d in report.bfloat16)


def test_the_table_and_the_dictionary(report):
    text = parity_table.table(report)
    assert text.startswith("made up\n  dim_feat 16") and text.endswith("\nPASS")
    assert max(map(len, text.splitlines())) <= 100
    assert report.as_dict()["ok"] is True
    assert len(report.as_dict()["gradients"]) == 120


def with_tanh_gelu(module, x):
    return module.fc2(functional.gelu(module.fc1(x), approximate="tanh"))


def test_another_gelu_is_found_and_named(monkeypatch):
    monkeypatch.setattr(twin.TwinMLP, "forward", with_tanh_gelu)
    report = parity.compare(recipes.source(CONFIG), lengths=(9,))
    assert not report.ok
    assert report.first_mismatch == "forward blocks_st.0 at 9 frame(s)"
    text = parity_table.table(report)
    assert "<-- FAIL" in text
    assert text.endswith("FAIL: first difference: forward blocks_st.0 at 9 frame(s)")


def test_heads_in_another_number_are_found():
    source = recipes.source(CONFIG)
    other = twin.TwinDSTformer(dataclasses.replace(CONFIG, num_heads=4))
    x = np.zeros((1, 3, 17, 3), np.float32) + np.arange(3, dtype=np.float32)[:, None, None]
    state = {k: torch.from_numpy(v.copy()) for k, v in state_of(source).items()}
    outputs = []
    for network in (other, twin.TwinDSTformer(CONFIG)):
        network.load_state_dict(state)
        outputs.append(network(torch.from_numpy(x)).detach().numpy())
    difference = parity.Difference.of(3, "pose", *outputs, limit=parity.FORWARD_LIMIT)
    assert not difference.ok


def state_of(source):
    from mbjax.convert import names, params

    return params.to_torch(source.params, names.dstformer_rows(source.config))


@pytest.mark.parametrize(
    ("here", "there", "ok"),
    [
        ([1.0, 2.0], [1.0, 2.0], True),
        ([1.0, 2.0], [1.0, 2.0 + 1e-6], True),
        ([1.0, 2.0], [1.0, 2.01], False),
        ([1.0, float("nan")], [1.0, 2.0], False),
        ([1.0, 2.0], [1.0, float("nan")], False),
        ([0.0, 0.0], [0.0, 0.0], True),
    ],
)
def test_what_counts_as_a_difference(here, there, ok):
    assert parity.Difference.of(1, "x", here, there, limit=5e-5).ok is ok


# --- the release's own network ----------------------------------------------------------------

# Blocks of the release take frames folded into the batch, and their number beside it.
_CHECKOUT = """
import torch
from mbjax.convert import twin
from mbjax.models.dstformer import DSTformerConfig


class Block(twin.TwinBlock):
    def forward(self, x, frames):
        return super().forward(x.reshape(-1, frames, *x.shape[1:])).reshape(x.shape)


class DSTformer(twin.TwinDSTformer):
    def __init__(self, norm_layer, att_fuse, **sizes):
        assert norm_layer(4).eps == 1e-6 and att_fuse
        twin.TwinBlock, block = Block, twin.TwinBlock
        super().__init__(DSTformerConfig(**sizes))
        twin.TwinBlock = block

    def represent(self, x):
        B, T, J, _ = x.shape
        x = self.joints_embed(x) + self.pos_embed[:, None] + self.temp_embed[:, :T]
        x = x.reshape(B * T, J, -1)
        for st, ts, fuse in zip(self.blocks_st, self.blocks_ts, self.ts_attn):
            a, b = st(x, T), ts(x, T)
            share = fuse(torch.cat([a, b], dim=-1)).softmax(dim=-1)
            x = a * share[..., :1] + b * share[..., 1:]
        return self.pre_logits(self.norm(x).reshape(B, T, J, -1))
"""


def test_a_checkout_of_the_release(tmp_path):
    """Its place, its arguments and its shapes; a class with the twin's inside stands for it."""
    with pytest.raises(FileNotFoundError, match="has no lib/model/DSTformer.py"):
        parity.compare(recipes.source(CONFIG), reference=tmp_path)
    (tmp_path / "lib" / "model").mkdir(parents=True)
    (tmp_path / "lib" / "model" / "DSTformer.py").write_text(_CHECKOUT)
    report = parity.compare(recipes.source(CONFIG), lengths=(9,), batch=2, reference=tmp_path)
    assert report.ok
    assert report.against == f"lib.model.DSTformer in {tmp_path.resolve()}"
    single = dataclasses.replace(CONFIG, structure="st")
    with pytest.raises(ValueError, match="the release has no network of structure 'st'"):
        parity.compare(recipes.source(single), reference=tmp_path)


# --- clips of the user's ----------------------------------------------------------------------


def test_clips_from_a_file(tmp_path):
    x = np.zeros((4, 17, 3), np.float32)
    read = functools.partial(parity.read_clips, config=CONFIG)
    np.savez(tmp_path / "one.npz", anything=x)
    clips, targets = read(str(tmp_path / "one.npz"))
    assert clips.shape == (1, 4, 17, 3) and targets is None
    np.savez(tmp_path / "two.npz", keypoints=x, gt=x + 1)
    clips, targets = read(str(tmp_path / "two.npz"))
    assert clips.shape == targets.shape == (1, 4, 17, 3)
    np.savez(tmp_path / "names.npz", a=x, b=x)
    np.savez(tmp_path / "shape.npz", x=x[:, :16])
    np.savez(tmp_path / "code.npz", x=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("none")
    for name, message in (
        ("names", "has no array x or keypoints; it has: a, b"),
        ("shape", r"x has shape \(4, 16, 3\), expected floats"),
        ("code", "is no .npz file of plain arrays"),
        ("text", "is no .npz file of plain arrays"),
    ):
        with pytest.raises(ValueError, match=message):
            read(str(tmp_path / f"{name}.npz"))
    with pytest.raises(FileNotFoundError, match="no such file"):
        read(str(tmp_path / "absent.npz"))


def test_without_torch_it_is_one_line(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'mbjax\[torch\]'"):
        parity.compare(recipes.source(CONFIG))
