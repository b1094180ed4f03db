import json

import numpy as np
import pytest
from PIL import Image

from mbjax.cli import main
from mbjax.keypoints import read as keypoint_files
from mbjax.models.action import ActionHeadConfig, EmbedHeadConfig
from mbjax.models.dstformer import DSTformerConfig
from mbjax.models.networks import Network
from mbjax.tasks.action import predict as predict_action
from mbjax.training import checkpoint
from tests.recipes.action import coco_file

CLASSES = ("sit", "stand", "wave")
ENCODER = DSTformerConfig(dim_feat=16, dim_rep=16, depth=1, num_heads=2, mlp_ratio=2, maxlen=9)


def saved(folder, kind, head):
    """A work folder with an untrained net."""
    import jax
    from flax import nnx

    network = Network(ENCODER, kind, head)
    _, params, other = nnx.split(network.make(nnx.Rngs(0)), nnx.Param, ...)
    params, other = nnx.to_pure_dict(params), nnx.to_pure_dict(other)
    # Untrained logits are all alike: a head that says something.
    params["head"]["fc1"]["kernel"] = 20 * params["head"]["fc1"]["kernel"]
    config = {"classes": CLASSES, "frames": 9, "persons": 1, "test_ratio": 2.0}
    meta = {
        "step": 1, "epoch": 0, "learning_rate": 0.0, "task": kind, "network": network.meta(),
        "config": config if kind == "action" else {**config, "classes": ()}, "metrics": {},
    }  # fmt: skip
    checkpoints = checkpoint.Checkpoints(folder)
    state = {"params": params, "other": other, "opt_state": {}, "step": 1}
    checkpoints.save(jax.tree.map(np.asarray, state), meta)
    checkpoints.wait()
    checkpoints.close()
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    head = ActionHeadConfig(classes=3, hidden=8)
    return saved(tmp_path_factory.mktemp("action"), "action", head)


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("embed"), "embed", EmbedHeadConfig(hidden=8))


def test_windows_cover_the_recording():
    np.testing.assert_array_equal(predict_action.windows(5, 9), [[0, 4]])
    np.testing.assert_array_equal(predict_action.windows(9, 9), [[0, 8]])
    np.testing.assert_array_equal(
        predict_action.windows(20, 9, 5), [[0, 8], [5, 13], [10, 18], [11, 19]]
    )
    with pytest.raises(ValueError, match="window is 0"):
        predict_action.windows(20, 0)


def test_the_command_tells_writes_and_draws(classifier, tmp_path, capsys):
    keypoints = coco_file(tmp_path / "walk.json", frames=40)
    arguments = ["predict-action", str(classifier), str(keypoints), "--layout", "coco17"]
    arguments += ["--window", "15", "--fps", "30", "--top", "2", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert "walk.json: 6 window(s), probability on average" in capsys.readouterr().out
    found = json.loads((tmp_path / "out" / "actions.json").read_text())
    assert [w["first_frame"] for w in found["windows"]] == [0, 5, 10, 15, 20, 25]
    assert found["windows"][1]["from_s"] == pytest.approx(5 / 30)
    assert found["windows"][1]["to_s"] == pytest.approx(20 / 30)
    best = found["windows"][0]["top"]
    assert len(best) == 2 and {b["class"] for b in best} <= set(CLASSES)
    assert 1 >= best[0]["probability"] >= best[1]["probability"] > 0
    with Image.open(tmp_path / "out" / "actions.png") as picture:
        assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 5, "not blank"


def test_a_window_is_what_the_model_says_of_its_clip(classifier, tmp_path):
    from mbjax.data.action.clips import even_frames, to_clip
    from mbjax.data.action.persons import side_by_side

    keypoints = keypoint_files.read(coco_file(tmp_path / "a.json", frames=40), "coco17")
    net = predict_action.load(str(classifier))
    found = predict_action.predict(net, keypoints, window=15, stride=5)
    persons = side_by_side(keypoints)
    clip = to_clip(
        persons.keypoints_MxTxJx3, *persons.size, 10 + even_frames(15, 9), 2.0, persons=1
    )
    logits = np.asarray(net.model(clip[None])[0], np.float64)
    np.testing.assert_allclose(
        found.scores_WxK[2],
        np.exp(logits) / np.exp(logits).sum(),
        rtol=1e-4,  # float32
    )


@pytest.mark.slow
def test_a_gallery_names_classes_by_one_example_each(embedder, tmp_path, capsys):
    for seed, name in enumerate(("bow", "jump", "turn")):
        coco_file(tmp_path / "gallery" / f"{name}.json", frames=25, seed=seed)
    again = coco_file(tmp_path / "again.json", frames=25, seed=1)
    arguments = ["predict-action", str(embedder), str(again), "--layout", "coco17", "--json"]
    gallery = ["--gallery", str(tmp_path / "gallery"), "--out", str(tmp_path / "out")]
    assert main([*arguments, *gallery]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["top"][0]["class"] == "jump"
    # The very same recording, seen whole: cosine 1 in float32.
    assert found["top"][0]["cosine"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "extra, message",
    [
        (["--gallery", "GALLERY"], "is a classifier, which has its classes; leave out --gallery"),
        (["--classes", "NAMES"], "distinguishes 3 classes, 2 names were given"),
        (["--layout", "halpe26"], "layout halpe26 has 26 keypoints, here are 17"),
        (["--frames", "99"], "clips of 99 frames; .* takes 1 to 9"),
    ],
)
def test_mistakes_are_one_line(classifier, tmp_path, capsys, extra, message):
    import re

    for name in ("bow", "jump"):
        coco_file(tmp_path / "GALLERY" / f"{name}.json")
    (tmp_path / "NAMES").write_text("one\ntwo\n")
    keypoints = coco_file(tmp_path / "a.json")
    extra = [str(tmp_path / word) if word.isupper() else word for word in extra]
    arguments = ["predict-action", str(classifier), str(keypoints), "--layout", "coco17"]
    assert main([*arguments, *extra, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(message, error), error
    assert not (tmp_path / "out").exists()


def test_mistakes_of_the_checkpoint_and_the_gallery(embedder, tmp_path, capsys):
    keypoints = str(coco_file(tmp_path / "a.json"))
    how = ["--layout", "coco17", "--out", str(tmp_path / "out")]
    assert main(["predict-action", "tiny", keypoints, *how]) == 1
    assert "tiny holds a network of kind 'dstformer'" in capsys.readouterr().err
    assert main(["predict-action", str(embedder), keypoints, *how]) == 1
    assert "knows no classes; give examples of them: --gallery DIR" in capsys.readouterr().err
    gallery = [*how, "--gallery", str(tmp_path / "gallery")]
    assert main(["predict-action", str(embedder), keypoints, *gallery]) == 1
    assert "is not a folder" in capsys.readouterr().err
    coco_file(tmp_path / "gallery" / "bow.json")
    assert main(["predict-action", str(embedder), keypoints, *gallery]) == 1
    assert "has 1 examples" in capsys.readouterr().err
