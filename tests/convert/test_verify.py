"""`verify` and `mbjax verify`: whole files pass, damaged ones are named with status 1."""

import json
import shutil

import pytest

from mbjax import cli
from mbjax.convert import read as source
from mbjax.convert import write as target
from mbjax.convert.verify import verify
from mbjax.training import loop
from tests.recipes.processes import small_config, small_task


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An imported checkpoint, and the same weights as two kinds of files; a run."""
    folder = tmp_path_factory.mktemp("files")
    tiny = source.read("tiny")
    target.to_folder(tiny, folder / "imported")
    target.to_file(tiny, folder / "x.bin")
    target.to_file(tiny, folder / "x.safetensors")
    loop.run(small_config(8), small_task(), folder / "run", say=lambda text: None)
    return folder


@pytest.mark.parametrize("name", ["imported", "x.bin", "x.safetensors", "run", "run/checkpoints/8"])
def test_what_is_whole_passes(files, name):
    found = verify(files / name)
    assert found.sound and found.lines, found


def flip(path, place=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["x.bin", "x.safetensors"])
def test_a_flipped_bit_of_a_file_is_named(files, tmp_path, name, capsys):
    path = tmp_path / name
    shutil.copy(files / name, path)
    for place in (0.3, 0.5, 0.7):  # one of them may lie between two arrays
        flip(path, place)
    assert cli.main(["verify", str(path)]) == 1
    assert f"DAMAGED {path}" in capsys.readouterr().out
    with pytest.raises(ValueError, match="damaged"):
        source.read(path)


def test_a_flipped_bit_of_a_checkpoint_is_named(files, tmp_path, capsys):
    shutil.copytree(files / "run", tmp_path / "run")
    # Some bytes, and some files, belong to no array that is read: some of these do.
    for data in (tmp_path / "run/checkpoints/8").rglob("d/*"):
        for place in range(1, 40):
            flip(data, place / 40)
    assert cli.main(["verify", str(tmp_path / "run"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["sound"] and "checkpoints/8" in found["damage"][0]
    assert any("checkpoints/4" in line for line in found["lines"])


def test_datasets(tmp_path, capsys):
    assert cli.main(["verify", "sample:motion3d"]) == 0
    assert "records" in capsys.readouterr().out
    from mbjax.data.records import find_dataset

    shutil.copytree(find_dataset("sample:detected2d"), tmp_path / "data")
    flip(next((tmp_path / "data").glob("*train.tfrecord*")))
    assert cli.main(["verify", str(tmp_path / "data")]) == 1
    assert "DAMAGED" in capsys.readouterr().out


def test_what_is_nothing_of_the_kind(tmp_path, capsys):
    assert cli.main(["verify", str(tmp_path / "x")]) == 1
    (tmp_path / "a.txt").write_text("")
    assert cli.main(["verify", str(tmp_path / "a.txt")]) == 1
    assert "Traceback" not in capsys.readouterr().err
