"""Which run owns a work folder: its config, its data."""

import json
import shutil

import pytest

from mbjax import configuration
from mbjax.training import loop
from mbjax.training.workdir import CONFIG, DATA, claim_workdir
from tests.recipes.processes import small_config, small_task


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    folder = tmp_path_factory.mktemp("begun")
    loop.run(small_config(4), small_task(), folder, say=lambda text: None)
    return folder


@pytest.fixture
def run(begun, tmp_path):
    shutil.copytree(begun, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("left", [None, "[]", "3", "{", "\x00"])
def test_a_config_that_is_lost_is_that_of_the_checkpoints(run, left):
    (run / CONFIG).unlink()
    if left:
        (run / CONFIG).write_text(left)
    other = small_config(4)
    other.seed = 1
    with pytest.raises(ValueError, match="another config: seed was 0, now 1"):
        claim_workdir(run, other)
    claim_workdir(run, small_config(4))
    assert json.loads((run / CONFIG).read_text())["seed"] == 0 or left is None


def test_a_setting_that_does_nothing_does_not_part_a_run_from_an_older_one(tmp_path):
    config = configuration.load("configs/pretrain.py:tiny", [])
    claim_workdir(tmp_path / "run", config)
    (tmp_path / "run" / "checkpoints" / "2").mkdir(parents=True)
    older = json.loads((tmp_path / "run" / CONFIG).read_text())
    del older["mistakes"], older["augment"]["part_std"], older["evaluation"]["mistakes"]
    (tmp_path / "run" / CONFIG).write_text(json.dumps(older))
    claim_workdir(tmp_path / "run", config)
    config.mistakes.swap_sides = 0.1
    with pytest.raises(ValueError, match="another config: mistakes"):
        claim_workdir(tmp_path / "run", config)


def index(**shards):
    return {"a": {"train": {"records": 10, "shards": shards}}}


def test_changed_data_are_refused_with_what_changed(run):
    (run / DATA).unlink()
    config = small_config(4)
    claim_workdir(run, config, index(x=[5, "0a"], y=[5, "0b"]))
    claim_workdir(run, config, index(x=[5, "0a"], y=[5, "0b"]))
    with pytest.raises(ValueError, match="trained on other data: a, split train: y holds other"):
        claim_workdir(run, config, index(x=[5, "0a"], y=[5, "0c"]))
    fewer = {"a": {"train": {"records": 7, "shards": {}}}}
    with pytest.raises(ValueError, match="had 10 records, now 7"):
        claim_workdir(run, config, fewer)
