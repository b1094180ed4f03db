"""The log of a run: lines that are none, and means over a restart."""

import json

from mbjax.training.run_log import Means, keep_until, read_metrics


def test_lines_that_are_none_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [json.dumps({"kind": "train", "step": step}).encode() for step in (2, 4, 6)]
    odd = [b"3", b"[]", b"null", b'{"kind": "train"}', b'{"kind": "train", "step": "4"}', b"\xff",
           b"\x00\x00", b"[" * 100_000]  # fmt: skip
    path.write_bytes(b"\n".join([*odd, *rows]) + b'\n{"kind": "tr')
    assert [row["step"] for row in read_metrics(tmp_path)] == [2, 4, 6]
    keep_until(path, 4)
    assert path.read_bytes() == rows[0] + b"\n" + rows[1] + b"\n"


def test_means_go_on_where_they_were_kept():
    whole, parts = Means(), Means()
    for step, loss in enumerate((1.0, 0.1, 0.7, 0.3), 1):
        whole.add(step, "a", {"loss": loss})
        parts.add(step, "a", {"loss": loss})
        parts = Means(json.loads(json.dumps(parts.kept())))
    assert parts.values() == whole.values() and parts.step == 4
    assert Means().kept() is None and Means(None).values() == {}
