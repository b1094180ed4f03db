"""croissant.json: MLCommons' own reader accepts it, and it says what the folder holds."""

import hashlib
import json

import pytest

from data_prep.corpora.bvh import Bvh
from data_prep.corpora.posetrack import Posetrack
from data_prep.prepare import prepare
from tests.recipes import bvh as bvh_recipes
from tests.recipes.settings import GOLDEN


@pytest.fixture(scope="module", params=["bvh", "posetrack"])
def dataset(request, tmp_path_factory):
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("out") / "made"
    if request.param == "bvh":
        for seed, name in enumerate("ab"):
            bvh_recipes.write(raw / f"{name}.bvh", 121, seed=seed)
        options = {"frames": 30, "stride": 30, "test": "b", "naming": "cmu"}
        prepare(Bvh, raw, out, options, progress=False)
    else:
        raw = GOLDEN / "corpora" / "posetrack18_annotations"
        prepare(Posetrack, raw, out, progress=False)
    return out / "1.0.0"


def test_the_format_s_own_reader_accepts_it(dataset):
    mlcroissant = pytest.importorskip("mlcroissant", reason="in the extra [test]")
    read = mlcroissant.Dataset(dataset / "croissant.json")
    assert not read.metadata.ctx.issues.errors
    card = json.loads((dataset / "card.json").read_text())
    assert {records.id for records in read.metadata.record_sets} == set(card["clips"])


def test_it_says_what_the_folder_holds(dataset):
    text = json.loads((dataset / "croissant.json").read_text())
    shards = {path.name: path for path in dataset.glob("*.tfrecord-*")}
    assert {file["contentUrl"] for file in text["distribution"]} == set(shards)
    for file in text["distribution"]:
        content = shards[file["name"]].read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["contentSize"] == f"{len(content)} B"
    features = json.loads((dataset / "features.json").read_text())["featuresDict"]["features"]
    for records in text["recordSet"]:
        fields = {field["name"].split("/")[1]: field for field in records["field"]}
        assert set(fields) == set(features)
        array = fields.get("pose", fields.get("keypoints"))
        sizes = features["pose" if "pose" in features else "keypoints"]["tensor"]["shape"]
        assert array["arrayShape"] == ",".join(sizes["dimensions"])
        assert array["dataType"] == "sc:Float" and fields["source"]["dataType"] == "sc:Text"
