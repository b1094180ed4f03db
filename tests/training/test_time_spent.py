"""Where a run's time went, over all its starts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mbjax.training import loop, time_spent
from mbjax.training.run_log import read_metrics
from mbjax.training.time_spent import KINDS, TimeSpent, account
from tests.recipes import processes


def line(began, now, first, step, **seconds):
    seconds = {**dict.fromkeys(KINDS, 0.0), **seconds}
    return json.dumps({"began": began, "now": now, "from": first, "step": step, "seconds": seconds})


def write(folder, *lines):
    (folder / time_spent.FILE).write_text("".join(f"{one}\n" for one in lines))


def test_steps_that_are_computed_again_are_lost_and_the_time_between_starts_is_away(tmp_path):
    write(
        tmp_path,
        line(100, 110, 0, 0, starting=10),
        line(100, 130, 0, 20, starting=10, training=20),
        line(100, 140, 0, 30, starting=10, training=30),
        # Killed after step 30; the newest checkpoint is of step 25, between two lines.
        line(150, 158, 25, 25, starting=8),
        line(150, 183, 25, 50, starting=8, training=24, saving=1),
    )
    found = account(tmp_path)
    assert found.starts == 2 and found.total == 83
    assert found.seconds["lost"] == pytest.approx(5)  # half of the ten between steps 20 and 30
    assert found.seconds["training"] == pytest.approx(25 + 24)
    assert found.seconds["away"] == 10 and found.seconds["starting"] == 18
    assert found.goodput == pytest.approx(49 / 83)
    assert str(found) == (
        "took 1:23 in 2 starts: training 59.0%, starting 21.7%, between starts 12.0%, lost 6.0%, "
        "saving 1.2%"
    )


def test_half_a_line_of_a_killed_process_is_none(tmp_path):
    whole = line(1, 11, 0, 5, training=10)
    write(tmp_path, whole, whole[:40], "[1]", '{"began": "x"}', "\x00", "[" * 5000)
    assert account(tmp_path).seconds["training"] == 10
    write(tmp_path, whole[:40])
    assert account(tmp_path) is None
    assert account(tmp_path / "nowhere") is None


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 5)), max_size=6))
def test_all_of_the_time_is_accounted_for(tmp_path_factory, starts):
    """Whatever the starts: parts add up to the time from the first to the last, none negative."""
    folder = tmp_path_factory.mktemp("starts")
    now, step, lines = 0.0, 0, []
    for back, pause, steps in starts:
        began, first = now + pause + 0.5, max(0, step - back)
        lines += [line(began, began + 2, first, first, starting=2)]
        now, step = began + 2 + steps, first + steps
        lines += [line(began, now, first, step, starting=2, training=steps)]
    write(folder, *lines)
    found = account(folder)
    if not starts:
        assert found is None
        return
    assert found.total == pytest.approx(now - (starts[0][1] + 0.5))
    # A start that goes back beyond the one before it computes that one's steps again, too.
    assert all(value >= -1e-9 for value in found.seconds.values())
    assert sum(found.seconds.values()) == pytest.approx(found.total)


def test_kinds_share_the_time_of_a_start(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(time_spent.time, "monotonic", lambda: clock[0])
    spent = TimeSpent(began_s=3.0)
    spent.keep_in(tmp_path, 0)
    spent.switch("training")
    clock[0] += 4
    with spent.doing("saving"):
        clock[0] += 2
    clock[0] += 1
    spent.was("waiting")
    clock[0] += 10
    spent.write(7)
    last = json.loads((tmp_path / time_spent.FILE).read_text().splitlines()[-1])
    expected = {"starting": 3, "training": 14, "saving": 2, "waiting": 1}
    assert last["seconds"] == {**dict.fromkeys(KINDS, 0.0), **expected} and last["step"] == 7


def test_a_run_says_where_its_time_went(tmp_path):
    said = []
    config = processes.small_config(steps=40)
    loop.run(config, processes.small_task(0.01), tmp_path, said.append)
    assert said[-1].startswith("took 0:0") and "training" in said[-1]
    row = read_metrics(tmp_path)[-1]
    assert row["kind"] == "time" and row["step"] == 40 and row["starts"] == 1
    parts = sum(value for name, value in row.items() if name.endswith("_s") and name != "total_s")
    assert parts == pytest.approx(row["total_s"], abs=0.5)  # each is rounded to a tenth
    assert row["compiling_s"] > 0 and row["lost_s"] == 0
    # Each step waits 10 ms for its input, and computes for less than that.
    assert row["waiting_s"] >= 0.1
    before = (tmp_path / time_spent.FILE).read_text()
    loop.run(config, processes.small_task(), tmp_path, said.append)  # has nothing to do
    assert (tmp_path / time_spent.FILE).read_text() == before and read_metrics(tmp_path)[-1] == row
