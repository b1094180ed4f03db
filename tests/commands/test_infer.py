"""The command infer: what it writes and prints, and mistakes in one line."""

import functools
import json
import re

import numpy as np
import pytest

import mbjax
from mbjax.body import fit
from mbjax.cli import main
from mbjax.commands import infer_body
from mbjax.convert import write as target
from tests.recipes import weights as weight_recipes
from tests.recipes.lifting import smooth_keypoints


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    target.to_file(weight_recipes.source(optimizer=False), str(path))
    return str(path)


@pytest.mark.slow
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
    names |= {"motion_angles.csv", "motion_angles.png", "motion.png", "motion.html", ".mbjax_files"}
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


@pytest.fixture
def infer(tmp_path, checkpoint, capsys):
    """Runs infer on 20 frames; returns the exit status, stdout, stderr and the files' names."""

    def run(*more, layout="h36m17", points=None):
        source = tmp_path / "points.npz"
        points = smooth_keypoints(20) if points is None else points
        np.savez(source, keypoints=points, fps=25, layout=layout)
        out = tmp_path / "out"
        arguments = ["infer", "--checkpoint", checkpoint, "--keypoints", str(source)]
        if "--out" not in more:
            more = ("--out", str(out), *more)
        status = main([*arguments, "--picture", "none", *more])
        said = capsys.readouterr()
        files = {path.name for path in out.iterdir()} if out.is_dir() else set()
        return status, said.out, said.err, files

    return run


def test_rig_smoothing_and_assumed_height(tmp_path, infer):
    status, out, _, _ = infer("--rig", "vrm", "--smooth", "5")
    assert status == 0 and "height not given: 1.70 m assumed" in out
    assert re.search(r"left leg \d\.\d\d m, right \d\.\d\d m as lifted", out)
    smooth = (tmp_path / "out" / "motion.bvh").read_text()
    assert "ROOT hips" in smooth and "JOINT leftUpperLeg" in smooth
    infer("--rig", "vrm")
    assert (tmp_path / "out" / "motion.bvh").read_text() != smooth
    status, _, errors, _ = infer("--rig", "maya")
    assert status == 1 and "--rig maya: known are plain, mixamo" in errors


def test_files_of_an_earlier_run_are_not_left(infer):
    two = np.stack([smooth_keypoints(20), smooth_keypoints(20, seed=1, x=900.0)], axis=1)
    _, _, _, files = infer(points=two)
    persons = {name for name in files if "person" in name}
    assert len(persons) == 6
    _, _, _, files = infer()
    assert not any("person" in name for name in files) and "motion.bvh" in files


@pytest.mark.parametrize("kind", ["file", "below a file"])
def test_out_is_looked_at_before_the_work(tmp_path, infer, kind):
    (tmp_path / "taken").write_text("x")
    out = tmp_path / "taken" if kind == "file" else tmp_path / "taken" / "deeper"
    # Before the checkpoint too, which is none.
    status, printed, errors, _ = infer("--out", str(out), "--checkpoint", "none")
    assert status == 1 and not printed and errors.count("\n") == 1 and str(out) in errors
    assert (tmp_path / "taken").read_text() == "x"


def test_depth_from_size(tmp_path, infer):
    status, out, _, _ = infer("--depth-from-size", "--image-size", "640", "480")
    assert status == 0 and "before the camera" in out
    status, _, errors, _ = infer("--depth-from-size")
    assert status == 1 and "--depth-from-size is instead of --intrinsics, and needs" in errors
    status, _, errors, _ = infer(
        "--depth-from-size", "--focal", "900", "--image-size", "640", "480"
    )
    assert status == 1


@pytest.mark.slow
def test_a_body_is_fitted_to_what_was_lifted(tmp_path, infer, monkeypatch):
    """Written in AMASS's layout and as glTF, listed with the run, and said how far off it is."""
    monkeypatch.setattr(fit, "fit", functools.partial(fit.fit, steps=3))
    status, out, _, files = infer("--body", "synthetic")
    assert status == 0 and {"smpl.npz", "body.glb"} <= files
    assert re.search(r"person 0: body .* is \d+ mm from the joints", out)
    with np.load(tmp_path / "out" / "smpl.npz", allow_pickle=False) as data:
        assert data["poses"].shape == (20, 156) and data["mocap_framerate"] == 25
        assert np.isfinite(data["trans"]).all()
    _, _, _, files = infer()
    assert not {"smpl.npz", "body.glb"} & files
    status, _, errors, _ = infer("--obj")
    assert status == 1 and "--obj needs a body" in errors
    monkeypatch.setattr(infer_body, "_AT_MOST_OBJ", 19)
    status, _, errors, files = infer("--body", "synthetic", "--obj")
    assert status == 1 and "19 at most; here are 20" in errors and not (files & {"smpl.npz", "obj"})


def test_a_file_without_its_option_is_told_which(tmp_path, capsys):
    (tmp_path / "dance.mp4").write_bytes(b"")
    with pytest.raises(SystemExit, match="2"):
        main(["infer", "--checkpoint", "tiny", str(tmp_path / "dance.mp4")])
    assert "a file is given by --video or --keypoints" in capsys.readouterr().err


def test_the_video_in_the_page_needs_a_video(capsys):
    words = ["infer", "--checkpoint", "tiny", "--keypoints", "a.json", "--video-in-page"]
    assert main(words) == 1
    assert "--video-in-page needs --video FILE" in capsys.readouterr().err
