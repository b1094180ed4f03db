"""The log of a run: lines that are none, and means over a restart."""

import errno
import json

import pytest

from mbjax.training.run_log import Means, RunLog, keep_until, read_metrics


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


def test_no_room_names_the_file(tmp_path):
    log = RunLog(tmp_path, 0)
    log.write("train", 1, {"loss": 1.0})
    log._file.close()
    with open("/dev/full", "w") as full:
        log._file = full
        with pytest.raises(OSError, match="No space left") as caught:
            log.write("train", 2, {"loss": 1.0})
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == str(tmp_path / "metrics.jsonl")
        log.close()
    assert [row["step"] for row in read_metrics(tmp_path)] == [1]


def test_tensorboard_keeps_the_step_that_the_run_goes_on_from(tmp_path):
    """Its files say from where on what came before is dropped."""
    from tensorboardX import proto

    log = RunLog(tmp_path, 10)
    log.write("train", 11, {"loss": 1.0})
    log.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    data, starts = file.read_bytes(), []
    while data:
        length = int.from_bytes(data[:8], "little")
        event = proto.event_pb2.Event.FromString(data[12 : 12 + length])
        if event.HasField("session_log"):
            starts.append(event.step)
        data = data[16 + length :]
    assert starts == [11]


def test_a_line_that_is_still_to_come_is_not_kept(tmp_path):
    """The run wrote it after the checkpoint, which holds what it is made of."""
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"kind": k, "step": s}) + "\n" for k, s in
                            (("train", 3), ("evaluate", 4), ("train", 4))))  # fmt: skip
    keep_until(path, 4, unlogged=True)
    assert [(row["kind"], row["step"]) for row in read_metrics(tmp_path)] == [
        ("train", 3), ("evaluate", 4),
    ]  # fmt: skip
