"""From raw folders by the command to batches: BVH, clips, PoseTrack, InstaVariety, NTU."""

import pickle
import shutil
import sys

import numpy as np
import pytest

from data_prep import prepare
from mbjax import cli
from mbjax.data.action import clips as action_clips
from mbjax.data.feed import ClipLoader
from mbjax.data.health import inspect
from mbjax.data.records import RecordReader
from tests.recipes import bvh as bvh_recipes
from tests.recipes import settings
from tests.recipes.corpora import run

GOLDEN = settings.GOLDEN / "corpora"


def bvh_folder(raw):
    raw.mkdir()
    for seed, name in enumerate("ab"):
        bvh_recipes.write(raw / f"{name}.bvh", 521, seed=seed)


def clips_folder(raw):
    folder = raw / "MB3D_f243s81" / "AMASS" / "train"
    folder.mkdir(parents=True)
    for i in range(3):
        label = np.random.default_rng(i).uniform(-1, 1, (243, 17, 3)).astype(np.float32)
        content = {"data_input": None, "data_label": label}
        (folder / f"{i:08d}.pkl").write_bytes(pickle.dumps(content))


def golden_folder(name):
    return lambda raw: shutil.copytree(GOLDEN / name, raw)


@pytest.mark.parametrize(
    ("name", "make", "field", "frames"),
    [
        ("bvh", bvh_folder, "pose", 243),
        ("clips", clips_folder, "pose", 243),
        ("posetrack", golden_folder("posetrack18_annotations"), "keypoints", 30),
        ("instavariety", golden_folder("InstaVariety"), "keypoints", 81),
    ],
)
def test_from_raw_to_batch(tmp_path, name, make, field, frames):
    raw, out = tmp_path / "raw", tmp_path / "out"
    make(raw)
    assert cli.main(["prepare", name, "--raw", str(raw), "--out", str(out)]) == 0
    made = run(prepare.load_corpus(name), raw).records["train"]
    reader = RecordReader(out, "train")
    assert len(reader) == len(made)
    numbers = np.arange(len(reader))
    loader = ClipLoader(reader, [field], None)
    batch = loader(numbers, numbers, np.random.default_rng(0))[field]
    assert batch.shape == (len(made), frames, 17, 3)
    assert batch.dtype == np.float32
    # Shards are in another order than the corpus.
    place = {(r["source"], int(r["first_frame"])): r[field] for r in made}
    assert len(place) == len(made)
    for i in numbers:
        record = reader[i]
        expected = place[record["source"], int(record["first_frame"])]
        np.testing.assert_array_equal(batch[i], expected)
    assert inspect(out, check=True).damage == []


def test_action_from_raw_to_batch(tmp_path):
    (tmp_path / "raw").mkdir()
    shutil.copy(GOLDEN / "ntu60_hrnet.pkl", tmp_path / "raw")
    words = ["--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "out")]
    assert cli.main(["prepare", "ntu60", *words, "--score-order", "coco"]) == 0
    expected = np.load(GOLDEN / "expected.npz")
    labels = expected["ntu_val_label"].tolist()
    reader = RecordReader(tmp_path / "out", "xsub_val")
    assert len(reader) == len(labels)
    for record in (reader[i] for i in range(len(reader))):
        ids = action_clips.even_frames(record["keypoints"].shape[1], 60)
        clip = action_clips.to_clip(record["keypoints"], record["width"], record["height"], ids)
        wanted = expected["ntu_val_t60_scale2"][labels.index(int(record["label"]))]
        np.testing.assert_allclose(clip, wanted, rtol=0, atol=1e-6)  # float32
    found = inspect(tmp_path / "out", check=True)
    assert found.damage == []
    assert any("labels: 4 from 1 to 4" in line for line in found.lines)


def test_beam_makes_the_same(tmp_path):
    pytest.importorskip("apache_beam", reason="Apache Beam is an extra")
    bvh_folder(tmp_path / "raw")
    words = ["prepare", "bvh", "--raw", str(tmp_path / "raw"), "--out"]
    assert cli.main([*words, str(tmp_path / "plain")]) == 0
    assert cli.main([*words, str(tmp_path / "beam"), "--beam", "runner=DirectRunner"]) == 0
    for path in (tmp_path / "plain/1.0.0").iterdir():
        assert path.read_bytes() == (tmp_path / "beam/1.0.0" / path.name).read_bytes()


def test_without_beam_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    bvh_folder(tmp_path / "raw")
    words = ["--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "out")]
    assert cli.main(["prepare", "bvh", *words, "--beam", "runner=DirectRunner"]) == 1
    assert "error: --beam needs Apache Beam; install it with" in capsys.readouterr().err
