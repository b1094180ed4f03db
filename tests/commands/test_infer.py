"""The command infer: what it writes and prints, and mistakes in one line."""

import json
import re

import numpy as np
import pytest

import mbjax
from mbjax.cli import main
from mbjax.convert import write as target
from tests.recipes import weights as weight_recipes
from tests.recipes.lifting import smooth_keypoints


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    target.to_file(weight_recipes.source(optimizer=False), str(path))
    return str(path)


def test_command_writes_everything(tmp_path, capsys, checkpoint):
    points = smooth_keypoints(20)
    points[5:8] = 0
    source = tmp_path / "points.npz"
    np.savez(source, keypoints=points, fps=25, layout="h36m17")
    out = tmp_path / "out"
    arguments = ["infer", "--checkpoint", checkpoint, "--keypoints", str(source), "--out", str(out)]
    assert main([*arguments, "--height", "1.8", "--picture", "png"]) == 0
    printed = capsys.readouterr().out
    assert "20 frames, 0 to 19, 3 interpolated" in printed and "unit m" in printed
    names = {"X3D.npy", "motion.npz", "motion.csv", "motion.trc", "motion.bvh", "motion.glb"}
    names |= {"motion_angles.csv", "motion.png", "motion.html", ".mbjax_files"}
    assert {path.name for path in out.iterdir()} == names
    expected = mbjax.lift(mbjax.load(checkpoint, verbose=False), source, height=1.8)
    # The same computation in the same process: compiled once, so no rounding between them.
    np.testing.assert_array_equal(np.load(out / "X3D.npy"), expected.persons[0].pose_TxJx3)
    compat = tmp_path / "compat"
    arguments[-1] = str(compat)
    arguments += ["--reference-compat", "--pixel", "640", "480", "--picture", "gif"]
    assert main(arguments) == 0
    assert "unit pixels" in capsys.readouterr().out
    assert np.load(compat / "X3D.npy").shape == (17, 17, 3)
    assert (compat / "motion.gif").read_bytes()[:3] == b"GIF"


def _halpe(change=None):
    """AlphaPose results of a few frames; change: (number in a frame's list, what it is instead)."""
    entries = [
        {"image_id": f"{t}.jpg", "keypoints": [100.0 + t, 50.0, 0.9] * 26, "score": 1.0}
        for t in range(3)
    ]
    if change:
        entries[1]["keypoints"][change[0]] = change[1]
    return entries


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "no such file"),
        ([], "empty: no keypoints in it"),
        ({"weather": "fine"}, "JSON, but no 2D keypoints that are known here"),
        ([{"image_id": 0, "keypoints": [1.0] * 54}], "18 keypoints"),
        (_halpe((7, float("nan"))), "frame 1, keypoint 2: nan is not a number"),
        (_halpe((8, -0.5)), "frame 1, keypoint 2: confidence -0.5 is negative"),
        ({"version": 1.3, "people": []}, "nobody in it"),
        ([{"image_id": 0, "keypoints": [0.0] * 78}], "nobody in it: every confidence is 0"),
    ],
)
def test_command_mistakes_are_one_line_and_write_nothing(tmp_path, capsys, content, message):
    bad, out = tmp_path / "bad.json", tmp_path / "out"
    if content is not None:
        bad.write_text(json.dumps(content))
    # Told before the model is looked for: there is none.
    arguments = ["infer", "--checkpoint", "none", "--keypoints", str(bad), "--out", str(out)]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(message, error) and not out.exists()
