"""A config is refused before anything is read: another task's, or a value out of its range."""

import re

import pytest

from mbjax import configuration
from mbjax.cli import main
from mbjax.models.dstformer import DSTformerConfig
from mbjax.tasks.checks import check_config, check_encoder


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed=-1", "seed is -1; it must be from 0 to 4294967295"),
        ("learning_rate=-1", "learning_rate is -1.0; it must be at least 0, and finite"),
        ("learning_rate=nan", "learning_rate is nan"),
        ("learning_rate=inf", "learning_rate is inf"),
        ("mask_joints=2", "mask_joints is 2.0; it must be from 0 to 1"),
        ("mask_frames=-0.1", "mask_frames is -0.1"),
        ("model.depth=0", "model.depth is 0; it must be at least 1"),
        ("batch_size=0", "batch_size is 0; it must be at least 1"),
        ("evaluation.batch_size=0", "evaluation.batch_size is 0"),
        ("augment.far=4", "augment.near is 0.0; it must be above 0 and at most far, 4.0"),
        ("loss.joint=nan", "loss.joint is nan; it must be finite"),
        ("save_every=10", "duration '10': write it as '500 steps'"),
    ],
)
def test_a_value_out_of_range_is_named(setting, message):
    config = configuration.load("configs/pretrain.py:tiny", [f"--config.{setting}"])
    with pytest.raises(ValueError, match=re.escape(message)):
        check_config(config, "pretrain")


@pytest.mark.parametrize(
    "command", [("pretrain", "--workdir"), ("evaluate", "pretrain", "--checkpoint")]
)
def test_another_task_s_config_is_one_line(tmp_path, capsys, command):
    assert main([*command, str(tmp_path / "w"), "--config", "configs/pose3d.py:sample"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "config of the task 'pose3d'" in error
    assert not (tmp_path / "w").exists()


def test_fields_that_may_differ_are_not_compared():
    ours, theirs = DSTformerConfig(), DSTformerConfig(remat=True, num_heads=4)
    check_encoder("file", theirs, ours, free=("remat", "num_heads"))
    with pytest.raises(ValueError, match=r"num_heads 4 \(config: 8\).*taken to have 8"):
        check_encoder("file", theirs, ours, free=("remat",))
