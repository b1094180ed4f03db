"""One go through all forms: rows that tell agreement and speed, also of what does not run."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from mbjax import cli
from mbjax.models import attention, attention_plain
from mbjax.models.dstformer import DSTformerConfig
from mbjax.speed import sweep

pytest.importorskip("torch")
SMALL = DSTformerConfig(dim_feat=16, dim_rep=8, depth=1, num_heads=2, maxlen=9)
EAGER = ("eager float32",)


@pytest.fixture
def only(monkeypatch):
    """Sets the table of forms, so that few are compiled."""

    def keep(**forms):
        monkeypatch.setattr(attention, "FORMS", {"plain": attention.FORMS["plain"], **forms})

    return keep


@pytest.mark.slow
def test_rows_are_written_as_they_come(tmp_path, only):
    only(packed=attention.FORMS["packed"])
    out = tmp_path / "rows.jsonl"
    rows = sweep.run(SMALL, 9, [1], 1, out, lambda text: None, EAGER)
    assert [json.loads(line) for line in out.read_text().splitlines()] == rows
    device, *others = rows
    assert device["part"] == "device" and device["matmul_tflops"] > 0
    kinds = [(row["part"], row["attention"], row["dtype"]) for row in others]
    assert kinds == [
        (part, form, dtype)
        for form in ("plain", "packed")
        for dtype in sweep.DTYPES
        for part in ("agreement", "speed")
    ]
    exact = others[0]
    assert exact["agrees"] and exact["pose_difference"] < 1e-5  # itself, compiled again
    bfloat16 = others[2]
    assert bfloat16["agrees"] and bfloat16["gradient_difference"] > 1e-4
    speed = others[1]
    assert speed["modes"]["eager float32"]["step"]["ratio"] > 0 and speed["mfu"] > 0
    with pytest.raises(ValueError, match=r"rows\.jsonl exists"):
        sweep.run(SMALL, 9, [1], 1, out, lambda text: None, EAGER)


@pytest.mark.slow
def test_a_form_that_computes_something_else_is_not_timed(tmp_path, only):
    def wrong(x, *arguments):
        return attention_plain.attention(x, *arguments) + 0.3 * x

    def broken(*arguments):
        raise NotImplementedError("17 frames\nare odd")

    form = attention.FORMS["plain"]
    only(wrong=dataclasses.replace(form, attention=wrong),
         broken=dataclasses.replace(form, attention=broken))  # fmt: skip
    said = []
    with pytest.MonkeyPatch.context() as patch:
        # DSTformerConfig knows the names of the real table.
        patch.setattr("mbjax.models.dstformer.NAMES", ("plain", "wrong", "broken"))
        patch.setattr(sweep.against, "run", lambda *rest: {"modes": {}})
        rows = sweep.run(SMALL, 9, [1], 1, tmp_path / "rows.jsonl", said.append, EAGER)
    timed = {row["attention"] for row in rows if row["part"] == "speed"}
    assert timed == {"plain"}
    assert {row["error"] for row in rows if row.get("attention") == "broken"} == {
        "17 frames are odd"
    }
    assert any("TOO FAR" in line for line in said)


def test_the_command(tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(sweep, "run", lambda *given: asked.append(given) or [{"part": "device"}])
    out = tmp_path / "rows.jsonl"
    command = ["bench", "--sweep", str(out), "--config", "pretrain:mb", "--batch-sizes", "2", "8"]
    assert cli.main([*command, "--steps", "3", "--json"]) == 0
    ((network, frames, sizes, turns, file, _),) = asked
    assert (network.dim_feat, frames, list(sizes), turns, file) == (512, 243, [2, 8], 3, out)
    assert json.loads(capsys.readouterr().out) == [{"part": "device"}]
    assert cli.main(["bench", "--sweep", str(out), "--config", "action:custom"]) == 1
    assert "--sweep is for pretraining" in capsys.readouterr().err


def test_the_product_is_timed_on_the_device():
    assert np.isfinite(sweep.matmul_tflops()) and jax.default_backend() == "cpu"
