"""Nothing is imported from the current folder, whatever lies there."""

import sys

import pytest

from mbjax import configuration
from mbjax.configuration import ConfigError
from tests.recipes import commands
from tests.recipes.settings import ROOT

PLANTED = ("jax", "numpy", "flax", "absl", "argparse", "ml_collections", "orbax", "configs")
STARTS = {
    "script": ("-P", "-c", commands.SCRIPT),  # as the script: its folder is not the current one
    "by hand": ("-m", "mbjax"),
    "safe": ("-P", "-m", "mbjax"),
}


@pytest.fixture
def hostile(tmp_path):
    """A folder whose modules leave a file when they are imported."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in (*PLANTED, "data_prep"):
        sings = f"open({str(tmp_path / name)!r}, 'w').close()\n"
        (folder / f"{name}.py").write_text(sings)
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(sings)
    return folder


def sung(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir() if path.is_file())


@pytest.mark.parametrize("how", STARTS)
def test_planted_modules_are_not_run(hostile, tmp_path, how):
    if how != "by hand":  # python -m would have run it before anything of ours
        (hostile / "mbjax").mkdir()
        (hostile / "mbjax/__init__.py").write_text(f"open({str(tmp_path / 'mbjax')!r}, 'w')\n")
    status, out, error = commands.run(
        "export", "tiny", "--out", hostile / "x.safetensors", folder=hostile, how=STARTS[how]
    )
    assert status == 0 and "wrote" in out, error
    assert sung(tmp_path) == []


def test_the_local_launcher_runs_nothing_from_here(hostile, tmp_path):
    launcher = (str(ROOT / "launch/local.py"), "--processes", "1", "--")
    status, _, error = commands.run(
        "evaluate", "--config", "pretrain:tiny", "--checkpoint", "nowhere",
        folder=hostile, how=launcher,
    )  # fmt: skip
    assert status == 1 and "no checkpoint at nowhere" in error
    assert sung(tmp_path) == []


def test_children_of_python_are_protected(hostile, tmp_path):
    """multiprocessing's spawn hands over flags and the path; other children have the variable."""
    code = (
        "import subprocess, sys\n"
        "from mbjax import cli\n"
        "cli.main = lambda: subprocess.call([sys.executable, '-c', 'import ml_collections'])\n"
        "sys.exit(cli.entry())\n"
    )
    done = commands.run(folder=hostile, how=("-P", "-c", code), GLIBC_TUNABLES="x=1")
    assert done[0] == 0, done
    assert sung(tmp_path) == []


def test_beside_its_own_clone(tmp_path):
    """A folder `mbjax` that is no package, as the parent of a clone has, is not mistaken for it."""
    (tmp_path / "mbjax").symlink_to(ROOT)
    status, out, error = commands.run(
        "export", "tiny", "--out", "x.safetensors", folder=tmp_path, how=STARTS["script"]
    )
    assert status == 0 and "wrote" in out, error


def test_a_name_is_always_the_packages_config(hostile, monkeypatch, capsys):
    monkeypatch.chdir(hostile)
    own = hostile / "configs/pretrain.py"
    own.write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config(variant=''):\n    return ConfigDict({'own': 1})\n"
    )
    assert configuration.load("pretrain:mb_lite", []).model.dim_feat == 256
    assert capsys.readouterr().err == ""
    # A path is the user's own, and runs; that it hides another is said.
    assert configuration.load("configs/pretrain.py:mb_lite", []).own == 1
    said = capsys.readouterr().err
    assert str(own) in said and "hides the package's" in said and said.count("\n") == 1
    own.write_text("x = 1\n")
    with pytest.raises(ConfigError, match=f"{own} is not a config file: .*; it hides"):
        configuration.load("configs/pretrain.py:mb_lite", [])
    own.write_text("def get_config():\n    x = )\n")
    with pytest.raises(ConfigError, match=f"{own}, line 2: SyntaxError"):
        configuration.load("configs/pretrain.py", [])
    with pytest.raises(ConfigError, match="pretrian does not exist; did you mean pretrain"):
        configuration.load("pretrian:mb", [])
    assert "configs" not in sys.modules or sys.modules["configs"].__file__ != str(own.parent)


@pytest.mark.parametrize("how", STARTS)
def test_a_current_folder_that_is_gone_does_no_harm(tmp_path, how):
    code = (
        "import os, sys\n"
        f"os.mkdir({str(tmp_path / 'gone')!r}); os.chdir({str(tmp_path / 'gone')!r})\n"
        f"os.rmdir({str(tmp_path / 'gone')!r})\n"
        f"os.execv(sys.executable, [sys.executable, *{STARTS[how]!r}, '--help'])\n"
    )
    status, out, error = commands.run(folder=tmp_path, how=("-c", code))
    assert status == 0 and "quickstart" in out, error
