"""Traces of some steps of a run."""

import pytest

from mbjax.training import loop
from mbjax.training.profile import Profile
from mbjax.training.watching import Watching
from tests.recipes import processes


def test_the_steps_asked_for_are_traced(tmp_path):
    said = []
    loop.run(
        processes.small_config(), processes.small_task(), tmp_path, said.append,
        watching=Watching(profile=Profile.parse("steps 5..7")),
    )  # fmt: skip
    assert f"traced steps 5 to 7: tensorboard --logdir {tmp_path}/profile" in said
    traces = list((tmp_path / "profile").rglob("*.xplane.pb"))
    assert len(traces) == 1 and b"layer" in traces[0].read_bytes()  # the module's name


def test_a_run_that_is_past_them_traces_nothing(tmp_path):
    loop.run(
        processes.small_config(), processes.small_task(), tmp_path, lambda text: None,
        watching=Watching(profile=Profile(50, 60)),
    )  # fmt: skip
    assert not (tmp_path / "profile").exists()


@pytest.mark.parametrize("text", ["5", "steps 7..5", "0..3", "steps a..b", "5..7 8"])
def test_other_texts_are_one_line(text):
    with pytest.raises(ValueError, match="should read 'steps FIRST..LAST'"):
        Profile.parse(text)
