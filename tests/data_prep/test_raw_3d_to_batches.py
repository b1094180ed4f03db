"""From raw folders by the command to the batches that training reads: AMASS, Human3.6M, meshes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_prep.corpora import amass, h36m
from data_prep.corpora import meshes as mesh
from mbjax import cli
from mbjax.data.feed import ClipLoader
from mbjax.data.records import RecordReader
from tests.recipes import amass as amass_recipes
from tests.recipes import h36m as h36m_recipes
from tests.recipes.corpora import run
from tests.recipes.settings import GOLDEN


def command(capsys, *words):
    """(exit status, lines of the summary, lines of errors but for progress)."""
    status = cli.main(["prepare", *map(str, words)])
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if ": error: " in line]
    return status, printed.out.splitlines(), errors


def compare(folder, split, expected):
    """Records as written are the records as made; returns their reader."""
    reader = RecordReader(folder, split)
    written = {}
    for i in range(len(reader)):
        record = reader[i]
        written[record["source"], record["first_frame"]] = record
    # Nothing is lost between two equal keys either.
    assert len(written) == len(reader) == len(expected)
    for record in expected:
        other = written[record["source"], record["first_frame"]]
        assert other.keys() == record.keys()
        for name, value in record.items():
            if isinstance(value, (str, int)):
                assert other[name] == value, name
            else:
                np.testing.assert_array_equal(other[name], np.float32(value), err_msg=name)
    return reader


def batch(reader, field, rows=4):
    """What a host puts on its devices: the field of some records, as the feed stacks them."""
    loader = ClipLoader(reader, [field], None)
    numbers = np.arange(rows) % len(reader)
    return loader(numbers, np.arange(rows), np.random.default_rng(0))[field]


def test_amass(tmp_path, capsys):
    raw, bodies, out = tmp_path / "raw", tmp_path / "bodies", tmp_path / "out"
    amass_recipes.write_bodies(bodies)
    for i, fps in enumerate((60, 100, 120)):
        amass_recipes.write(raw, f"CMU/01/take_{i}", **amass_recipes.motion(6 * fps, fps, i))
    amass_recipes.write(raw, "Transitions_mocap/x/take", **amass_recipes.motion(300, 60))
    amass_recipes.write(raw, "CMU/02/broken", **amass_recipes.motion(9, 60), without=["betas"])
    words = ("amass", "--raw", raw, "--out", out, "--body-models", bodies)
    status, lines, _ = command(capsys, *words)
    assert status == 0 and lines[0] == "clips: train 6, test 2"
    assert any("missing key betas" in line for line in lines)
    assert any("CMU/02/broken_poses.npz" in line for line in lines)

    made = run(amass.Amass, raw, body_models=str(bodies)).records
    reader = compare(out, "train", made["train"])
    assert batch(reader, "pose").shape == (4, 243, 17, 3)
    compare(out, "test", made["test"])
    (card,) = out.glob("*/card.json")
    names = {Path(file["name"]) for file in json.loads(card.read_text())["raw_files"]}
    # Every file that records depend on, all the models called model.npz too.
    assert {path.parts[-3:] for path in names if path.name == "model.npz"} == {
        (kind, gender, "model.npz") for kind in ("smplh", "dmpls") for gender in ("male", "female")
    }

    # Bodies are missed before work begins, in one line.
    status, _, (line,) = command(capsys, *words[:4], tmp_path / "new", "--body-models", raw)
    assert status == 1 and "J_regressor_h36m_correct.npy is missing" in line


def test_h36m(tmp_path, capsys):
    shutil.copy(GOLDEN / "h36m_mini.pkl", tmp_path / h36m.FILE)
    options = {"frames": 27, "stride": 9, "test_stride": 27}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    status, lines, _ = command(capsys, "h36m", "--raw", tmp_path, "--out", tmp_path / "out", *words)
    assert status == 0 and lines[0] == "clips: train 12, test 30"
    made = run(h36m.H36m, tmp_path, **options).records
    for split, records in made.items():
        reader = compare(tmp_path / "out", split, records)
        assert batch(reader, "keypoints").shape == (4, 27, 17, 3)
        assert batch(reader, "pose").dtype == np.float32
    assert batch(reader, "frames").shape == (4, 27)


@pytest.mark.parametrize("initial", [False, True])
def test_mesh(tmp_path, capsys, initial):
    shutil.copy(GOLDEN / "mesh_det_pw3d.pkl", tmp_path)
    flag = ["--initial"] if initial else []
    status, *_ = command(capsys, "mesh_pw3d", "--raw", tmp_path, "--out", tmp_path / "out", *flag)
    assert status == 0
    made = run(mesh.MeshPw3d, tmp_path, initial=initial).records
    for split, records in made.items():
        reader = compare(tmp_path / "out", split, records)
        assert batch(reader, "theta").shape == (4, 16, 82)


def test_coco_and_a_pickle_that_wants_to_run_code(tmp_path, capsys):
    columns = h36m_recipes.mesh_split(0, [(f"{i:012d}", 1, "") for i in range(9)])
    path = h36m_recipes.write(tmp_path / "mesh_det_coco.pkl", {"train": columns, "test": columns})
    words = ("mesh_coco", "--raw", tmp_path, "--out", tmp_path / "out")
    assert command(capsys, *words)[0] == 0
    assert batch(RecordReader(tmp_path / "out", "train"), "keypoints").shape == (4, 1, 17, 3)

    trap = tmp_path / "was run"
    h36m_recipes.write(path, {"train": h36m_recipes.Malicious(trap), "test": columns})
    status, _, (line,) = command(capsys, *words[:4], tmp_path / "other")
    assert status == 1 and not trap.exists() and not (tmp_path / "other").exists()
    assert "mkdir" in line and "mesh_det_coco.pkl" in line
