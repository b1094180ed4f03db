"""The command line as people expect it: versions, suggestions, settings, silence, quick help."""

import json
import os
import re
import resource
import shlex
import subprocess
import sys

import pytest

import mbjax
from mbjax import cli, configuration, tasks
from mbjax.commands import train
from mbjax.experiments import quickstart
from mbjax.experiments.ablation_suites import SUITES
from mbjax.keypoints import layouts
from tests.recipes import commands


def failed(capsys, *arguments):
    """(exit status, the last line of stderr) of a command that argparse or the command refuses."""
    try:
        status = cli.main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        status = stopped.code
    return status, capsys.readouterr().err.strip().split("\n")[-1]


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_version_names_what_computes(flag, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([flag])
    assert stopped.value.code == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"mbjax {mbjax.__version__} \(jax \S+, flax \S+, Python \S+\)", first)
    assert re.fullmatch(r"devices: \d+ x \w+ \(cpu\)", second)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["infr"], "'infr' is not known; did you mean infer?"),
        (["qwxyz"], "'qwxyz' is not known; there are: quickstart, pretrain,"),
        (["finetune", "poze3d"], "'poze3d' is not known; did you mean pose3d?"),
        (["compare", "a", "b", "--heigth", "2"], "'--heigth'; did you mean --height?"),
        (["infer", "--checkpont", "tiny"], "'--checkpont'; did you mean --checkpoint?"),
        (["compare", "a", "b", "--config.x=1"], "unknown argument '--config.x=1'"),
    ],
)
def test_what_was_meant_is_suggested(arguments, said, capsys):
    status, line = failed(capsys, *arguments)
    assert status == 2 and said in line


@pytest.mark.parametrize(
    "command, options",
    [
        ("infer --checkpoint tiny --keypoints x", ["--fps 0", "--fps 1e9", "--image-size 0 0",
         "--image-size -5 5", "--num-heads 0", "--window 0", "--height nan", "--frame-step 0"]),
        ("quickstart", ["--steps 0", "--steps -3"]),
        ("predict-action tiny x", ["--window 0", "--stride 0", "--top 0", "--frames 0"]),
        ("stream-table --random mb", ["--window 0"]),
        ("parity tiny", ["--lengths 0", "--batch 0"]),
        ("compare a b", ["--height 0"]),
    ],
)  # fmt: skip
def test_zero_is_not_taken_as_not_given(command, options, capsys):
    for option in options:
        status, line = failed(capsys, *command.split(), *option.split())
        assert status == 2 and option.split()[0] in line and "above 0" in line, line


def test_print_config_needs_nothing_else(capsys):
    arguments = ["--config", "pretrain:mb_lite", "--print-config", "--config.model.depth=2"]
    for command in (["pretrain"], ["compile"], ["evaluate"], ["bench"]):
        assert cli.main([*command, *arguments]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["model"]["depth"] == 2 and shown["model"]["dim_feat"] == 256


def test_help_lists_what_there_is(capsys):
    def text(*arguments):
        with pytest.raises(SystemExit):
            cli.main([*arguments, "--help"])
        return capsys.readouterr().out

    infer = text("infer")
    assert all(name in infer for name in layouts.LAYOUTS)
    assert infer.count("mbjax infer --checkpoint") >= 2 and "AlphaPose" in infer
    assert set(train.FINETUNED) == set(tasks.TASKS) - {"pretrain"}
    assert all(name in text("finetune") for name in train.FINETUNED)
    assert "--config.NAME=VALUE" in text("pretrain")
    corpora = text("prepare")
    from data_prep.prepare import CORPORA

    assert all(re.search(rf"^  {name} +\w", corpora, re.M) for name in CORPORA)


def test_help_starts_quickly(tmp_path):
    """0.1 s of processor time here; 0.45 with numpy, 2 with JAX. Five times as much is allowed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert commands.run("infer", "--help", folder=tmp_path)[0] == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 0.6
    code = (
        "import sys, contextlib\nfrom mbjax import cli\n"
        "with contextlib.suppress(SystemExit): cli.main(['infer', '--help'])\n"
        "sys.exit(bool({'numpy', 'jax', 'absl', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=commands.environment(), cwd=tmp_path)
    assert done.returncode == 0


def test_quiet_prints_errors_alone(tmp_path, capfd):
    assert cli.main(["export", "tiny", "--out", str(tmp_path / "x.safetensors"), "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")
    assert cli.main(["export", "nowhere", "--out", str(tmp_path / "x.bin"), "--quiet"]) == 1
    out, error = capfd.readouterr()
    assert out == "" and error.count("\n") == 1


def test_nothing_is_coloured(tmp_path):
    done = commands.run("--help", folder=tmp_path, FORCE_COLOR="")
    assert "\x1b" not in done[1] + done[2]


def test_names_of_the_package_are_listed():
    assert {"load", "lift", "Stream", "__version__"} <= set(dir(mbjax))
    assert "importlib" not in dir(mbjax)


@pytest.mark.parametrize("steps", [4, 10, 20, 44, 60, 200])
def test_a_quickstart_has_about_as_many_steps_as_asked(steps):
    config = configuration.load("pretrain:tiny", [])
    quickstart.shorten(config, steps)
    sources = config.sources.values()
    total = sum(source.steps_per_epoch * (config.epochs - source.from_epoch) for source in sources)
    assert abs(total - steps) <= max(2, steps / 10)


def test_a_quickstart_goes_into_no_folder_of_something_else(tmp_path, capsys):
    (tmp_path / "letter.txt").touch()
    assert cli.main(["quickstart", "--workdir", str(tmp_path)]) == 1
    assert "holds something else" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["letter.txt"]


@pytest.mark.slow
def test_json_is_all_there_is_on_stdout(tmp_path, capsys):
    import numpy as np

    np.save(tmp_path / "k.npy", np.random.default_rng(0).uniform(100, 300, (9, 17, 3)))
    infer = [
        "infer",
        "--checkpoint",
        "tiny",
        "--keypoints",
        tmp_path / "k.npy",
        "--layout",
        "h36m17",
    ]
    for arguments in (
        ["export", "tiny", "--out", tmp_path / "x.stablehlo"],  # told by the ending
        ["import", "tiny", "--out", tmp_path / "x"],
        ["inspect", "sample:motion3d"],
        [*infer, "--picture", "none", "--out", tmp_path / "out"],
    ):
        assert cli.main([*map(str, arguments), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
    assert str(tmp_path / "out/X3D.npy") in found["written"]
    assert found["persons"][0]["frames"] == 9
    assert (tmp_path / "x.stablehlo").stat().st_size > 0


def test_every_command_that_ends_by_itself_has_json():
    _, subcommands = cli._parser()
    without = [
        name for name, sub in subcommands.items()
        if "--json" not in sub._option_string_actions and not sub.get_default("own_parser")
    ]  # fmt: skip
    assert without == ["live"]


@pytest.mark.slow
def test_training_tells_its_result(tmp_path, capsys):
    words = ["pretrain", "--config", "pretrain:tiny", "--workdir", str(tmp_path), "--json"]
    settings = [f"--config.{one}" for one in ("epochs=1", "batch_size=8", "evaluation.dir=",
                                              "model.dim_feat=16", "model.depth=1",
                                              "sources.motion.steps_per_epoch=2")]  # fmt: skip
    assert cli.main([*words, *settings]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["workdir"] == str(tmp_path) and found["step"] == 2 and found["metrics"] == {}


def test_each_command_has_two_examples_that_parse(monkeypatch):
    parser, commands = cli._parser()
    for name, sub in commands.items():
        monkeypatch.setattr(
            sub, "error", lambda message, name=name: pytest.fail(f"{name}: {message}")
        )
        lines = re.findall(r"^  mbjax (.*)$", sub.epilog, re.MULTILINE)
        assert len(lines) >= 2, name
        for line in lines:
            args, rest = parser.parse_known_args(shlex.split(line))
            assert getattr(args, "suite", None) in {None, *SUITES}, line
            own = sub.get_default("own_parser")
            assert own or all(word.startswith("--config.") for word in rest), line


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_and_options(shell, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--print-completion", shell])
    script = capsys.readouterr().out
    assert stopped.value.code == 0 and "predict-action" in script and "foot-lock" in script


def test_completion_without_its_extra_names_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    status, line = failed(capsys, "--print-completion", "bash")
    assert status == 2 and "pip install 'mbjax[completion]'" in line
