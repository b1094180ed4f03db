import json
import pathlib
import re

import pytest

from mbjax import configuration
from mbjax.cli import main


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error, error
    return error


@pytest.mark.parametrize(
    "settings, message",
    [
        (["--config.batchsize=3"], r"no batchsize; did you mean: batch_size"),
        (["--config.sources.motoin.dir=x"], r"no sources.motoin.dir; did you mean: sources.motion"),
        (["--config.batch_size=many"], r"batch_size=many: invalid literal"),
        (["--config.batch_size=9", "--config.accumulate=2"], r"nearest: 16"),
        (
            ["--config.sources.motion.dir=no/such"],
            r"no/such does not exist; make one with 'mbjax p",
        ),
        (
            ["--config.sources.motion.kind=4d"],
            r"sources.motion.kind is '4d'; it must be '3d' or '2d'",
        ),
        (["--config.sources.motion.frames=30"], r"clips of 30 frames, the model takes 27"),
        (["--config.sources.motion.frames=90"], r"90 frames that are 8 apart do not fit"),
        (["--config.model.num_heads=7"], r"dim_feat 64 does not divide into 7 heads"),
        (["--config.log_every=often"], r"write it as '500 steps'"),
        (["--config.fsdp=3"], r"8 devices do not divide by it"),
        (["--config.noise_table=no.json"], r"no.json"),
    ],
)
def test_mistakes_in_a_config_are_one_line(tmp_path, capsys, settings, message):
    arguments = [
        "pretrain",
        "--config",
        "configs/pretrain.py:tiny",
        "--workdir",
        str(tmp_path / "w"),
    ]
    assert main([*arguments, *settings]) == 1
    assert re.search(message, one_line(capsys))


def test_unknown_config_file_and_variant_list_what_there_is(tmp_path, capsys):
    arguments = ["pretrain", "--workdir", str(tmp_path), "--config"]
    assert main([*arguments, "configs/nothing.py"]) == 1
    assert re.search("there are: .*configs/pretrain.py", one_line(capsys))
    assert main([*arguments, "configs/pretrain.py:huge"]) == 1
    assert "mb_lite" in one_line(capsys)


def test_real_variants_without_data_say_what_to_do(tmp_path, capsys):
    arguments = ["pretrain", "--workdir", str(tmp_path), "--config", "configs/pretrain.py:mb"]
    assert main(arguments) == 1
    assert "no source has a folder" in (error := one_line(capsys)) and "mbjax prepare" in error


def test_config_files_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert configuration.load("configs/pretrain.py:mb", []).model.dim_feat == 512
    own = tmp_path / "mine.py"
    own.write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config():\n    return ConfigDict({'a': 1})\n"
    )
    assert configuration.load(str(own), ["--config.a=2"]).a == 2


@pytest.mark.slow
def test_bench_measures_all_three_parts(capsys):
    status = main(
        ["bench", "--config", "configs/pretrain.py:tiny", "--frames", "9", "--steps", "2", "--json",
         "--config.model.dim_feat=16", "--config.model.depth=1", "--batch-size", "8",
         "--peak-tflops", "1"]
    )  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    assert status == 0 and report["frames"] == 9
    assert report["input"]["clips_per_s"] > 0 and report["both"]["steps_per_s"] > 0
    assert 0 < report["step"]["share_of_peak"] < 1


def test_forward_flops_of_full():
    """Against a count by hand: 20 blocks of attention and MLP, 4,131 tokens."""
    from mbjax.models.dstformer import DSTformerConfig
    from mbjax.speed.training import forward_flops

    tokens, dim, blocks = 243 * 17, 512, 20
    linear = blocks * (4 * dim**2 + 2 * dim * 2 * dim) + 5 * 4 * dim + 3 * dim + dim * 512 + 512 * 3
    mixing = 10 * 2 * dim * (17 + 243)
    expected = 2 * tokens * (linear + mixing)
    assert forward_flops(DSTformerConfig.mb(), 243) == pytest.approx(expected)


@pytest.mark.slow
def test_quickstart_leaves_what_it_promises(tmp_path, capsys, monkeypatch):
    """Six steps of it; the pictures are looked at by their size and content."""
    from PIL import Image

    from mbjax.experiments import quickstart

    original = quickstart.shorten

    def tiny(config, steps):
        original(config, steps)
        config.model.update(dim_feat=16, dim_rep=16, depth=1)
        config.batch_size = 8
        config.evaluation.update(yaws=(0.0, 90.0), batch_size=64)
        for source in config.sources.values():
            source.steps_per_epoch = 1

    monkeypatch.setattr(quickstart, "shorten", tiny)
    assert main(["quickstart", "--workdir", str(tmp_path), "--steps", "60"]) == 0
    out = capsys.readouterr().out
    for text in ("depth 0", "clips/s", "held-out", "next:", "CMU"):
        assert text in out
    for name in ("curves.png", "poses.png", "motion.gif"):
        with Image.open(tmp_path / name) as picture:
            assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 5, "not blank"
    with Image.open(tmp_path / "motion.gif") as movie:
        assert movie.n_frames > 30
    summary = json.loads((tmp_path / "summary.json").read_text())
    # A property of the recording and these two cameras alone, whatever was learned.
    assert summary["flat_mm"] == pytest.approx(111.4, abs=0.1)
    kinds = {json.loads(line)["kind"] for line in (tmp_path / "metrics.jsonl").open()}
    assert kinds == {"train", "evaluate", "time"}
    assert list(tmp_path.glob("tensorboard/*")) and list(tmp_path.glob("checkpoints/*/params"))
    assert not [p for p in pathlib.Path(tmp_path).rglob("*.new*")]
