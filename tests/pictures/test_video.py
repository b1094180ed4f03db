"""The side-by-side MP4, decoded again; and what is said when a video is not as it should be."""

import dataclasses
import re
import struct
import sys

import numpy as np
import pytest

from mbjax.cli import main
from mbjax.convert import write as target
from mbjax.detect import frames
from mbjax.pictures import scene, video
from tests.recipes import weights as weight_recipes
from tests.recipes.motion import motion, person

av = pytest.importorskip("av", reason="PyAV, the extra [video], is not installed")

SIZE = (320, 180)
COLOURS = ((200, 60, 40), (40, 160, 60))  # of the first ten pictures, and of the rest


def write_video(path, frames=20, fps=25, size=SIZE):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for t in range(frames):
            picture = np.empty((size[1], size[0], 3), np.uint8)
            picture[:] = COLOURS[t >= 10]
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return np.stack(pictures).astype(int), float(stream.average_rate)


def someone(frames=20, first=0, **more):
    """Keypoints inside the video: about 100 to 290 across, 40 to 130 down."""
    one = person(frames=frames, first=first, **more)
    one.keypoints_TxJx3[..., :2] = 0.15 * one.keypoints_TxJx3[..., :2] + [90, 30]
    return one


def test_left_is_the_video_with_its_keypoints_and_right_the_motion(tmp_path):
    source = write_video(tmp_path / "in.mp4")
    found = frames.probe(source)
    assert found.size == SIZE and found.fps == 25
    # From the video's frame 4 on, and five frames past its end.
    shown = scene.of_motion(motion(someone(frames=21, first=4)))
    missing = video.side_by_side(shown, tmp_path / "out.mp4", 25.0, found)
    pictures, fps = decoded(tmp_path / "out.mp4")
    assert missing == 5 and fps == 25 and pictures.shape == (21, 540, 960 + 540, 3)
    left, right = pictures[:, :, :960], pictures[:, :, 960:]
    corner = left[:, 400:530, 20:200].mean((1, 2))  # nobody there
    # Lossy twice: a few levels of 256. Picture t of the output is the video's frame t + 4.
    np.testing.assert_allclose(corner[:6], np.tile(COLOURS[0], (6, 1)), atol=12)
    np.testing.assert_allclose(corner[6:16], np.tile(COLOURS[1], (10, 1)), atol=12)
    assert (corner[16:] < 70).all()  # no video: dark
    trunk = np.abs(left - video._TRUNK_ON_VIDEO).max(-1) < 60
    assert (trunk.sum((1, 2)) > 50).all()
    for colour in (video._LEFT, video._RIGHT):
        assert ((np.abs(right - colour).max(-1) < 60).sum((1, 2)) > 50).all()
    # The camera is steady: where nobody ever is, nothing changes.
    assert np.ptp(right[:, 500:, :60], axis=0).max() < 16
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "out.mp4"}


def test_all_of_a_video_is_shown_and_drawn_on(tmp_path):
    """Someone seen in its middle: frames before and after have nobody in them."""
    source = frames.probe(write_video(tmp_path / "in.mp4", frames=20))
    assert source.frames == 20
    one = motion(someone(frames=8, first=5))
    shown = scene.of_motion(one, source.frames)
    assert list(shown.frames_F) == list(range(20))
    assert video.side_by_side(shown, tmp_path / "out.mp4", 25.0, source) == 0
    pictures, _ = decoded(tmp_path / "out.mp4")
    assert len(pictures) == 20
    trunk = np.abs(pictures[:, :, :-540] - video._TRUNK_ON_VIDEO).max(-1) < 60
    there = trunk.sum((1, 2)) > 50
    assert list(np.flatnonzero(there)) == list(range(5, 13))
    # A file that says more frames than it has: the MP4 ends where the video does.
    longer = dataclasses.replace(source, frames=30)
    shown = scene.of_motion(one, longer.frames)
    assert video.side_by_side(shown, tmp_path / "more.mp4", 25.0, longer) == 0
    assert len(decoded(tmp_path / "more.mp4")[0]) == 20


def test_a_telephone_s_video_is_shown_upright(tmp_path):
    """Its pictures lie on their side, and the file says by how much they are to be turned."""
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        picture[:60, :60] = 255  # its upper left corner
        for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
            container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    content = bytearray(path.read_bytes())
    # The matrix in the track's header: a quarter turn clockwise, which brings it to the right.
    matrix = content.find(b"tkhd") + 4 + 4 + 20 + 8 + 8
    struct.pack_into(">9i", content, matrix, 0, 2**16, 0, -(2**16), 0, 0, SIZE[1] << 16, 0, 2**30)
    path.write_bytes(content)
    found = frames.probe(path)
    assert found.size == (180, 320)
    (shown,) = video._pictures(np.array([0]), found, (180, 320))
    shown = np.asarray(shown)
    assert shown.shape == (320, 180, 3) and shown[:50, -50:].mean() > 240
    assert shown[:, :100].max() < 30 and shown[100:].max() < 30  # lossy


def test_without_a_video_and_with_persons_who_come_and_go(tmp_path):
    two = motion(someone(frames=8), someone(frames=6, first=5, seed=1), unit="normalised")
    shown = scene.of_motion(two)
    assert shown.pose_FxMxJx3.shape == (11, 2, 17, 3)
    assert np.isnan(shown.pose_FxMxJx3[:5, 1]).all() and np.isnan(shown.pose_FxMxJx3[8:, 0]).all()
    assert video.side_by_side(shown, tmp_path / "out.mp4", 29.97, None) == 0
    pictures, fps = decoded(tmp_path / "out.mp4")
    assert len(pictures) == 11 and fps == pytest.approx(29.97, rel=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_scene_has_persons_where_the_image_has_them():
    """Normalised poses of a person near and one far: as large as in the image, and as far apart."""
    near, far = person(1, frames=5), person(2, frames=5)
    far.keypoints_TxJx3[..., :2] = far.keypoints_TxJx3[..., :2] / 2 + [900, 0]
    shown = scene.of_motion(motion(near, far, unit="normalised"))
    tall = np.ptp(shown.pose_FxMxJx3[..., 1], axis=2)
    np.testing.assert_allclose(tall[:, 0], 2 * tall[:, 1], rtol=1e-5)  # float32 poses
    roots = shown.pose_FxMxJx3[:, :, 0, :2]
    image = np.stack([near.keypoints_TxJx3[:, 0, :2], far.keypoints_TxJx3[:, 0, :2]], axis=1)
    ratio = np.ptp(near.keypoints_TxJx3[..., 1], axis=1) / tall[:, 0]
    np.testing.assert_allclose(roots * ratio[:, None, None], image, rtol=1e-4)


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    target.to_file(weight_recipes.source(weight_recipes.SHALLOW, optimizer=False), str(path))
    return str(path)


@pytest.fixture
def infer(tmp_path, checkpoint, capsys):
    """infer(more arguments) -> (status, stdout, stderr, names of the files written)."""
    keypoints = tmp_path / "points.npy"
    np.save(keypoints, someone().keypoints_TxJx3)
    out = tmp_path / "out"

    def run(*more):
        status = main(["infer", "--checkpoint", checkpoint, "--keypoints", str(keypoints),
                       "--layout", "h36m17", "--out", str(out), *more])  # fmt: skip
        said = capsys.readouterr()
        files = {path.name for path in out.iterdir()} if out.exists() else set()
        errors = [line for line in said.err.split("\n") if not line.startswith("mbjax.load:")]
        return status, said.out, "\n".join(errors), files

    return run


DATA = {"X3D.npy", "motion.npz", "motion.csv", "motion.trc", "motion.bvh", "motion.glb"}
DATA |= {"motion_angles.csv", "motion_angles.png", ".mbjax_files"}


def test_video_gives_the_picture_the_rate_and_the_image_size(tmp_path, infer):
    source = write_video(tmp_path / "in.mp4", fps=50)
    status, out, errors, files = infer("--video", str(source), "--focal", "400")
    assert status == 0 and not errors and files == DATA | {"motion.mp4", "motion.html"}
    assert "frame rate not known" not in out and "before the camera" in out
    # Data before pictures.
    assert out.index("motion.bvh\n") < out.index("motion.html\n") < out.index("motion.mp4\n")
    pictures, fps = decoded(tmp_path / "out" / "motion.mp4")
    assert len(pictures) == 20 and fps == 50
    with np.load(tmp_path / "out" / "motion.npz") as file:
        assert file["fps"] == 50 and file["placed"]


@pytest.mark.parametrize("what", ["missing", "text", "no pictures", "small"])
def test_a_video_that_will_not_do_is_told_and_the_motion_written(tmp_path, infer, what):
    source = tmp_path / "in.mp4"
    if what == "text":
        source.write_text("this is no video")
    elif what == "no pictures":
        source.write_bytes(write_video(tmp_path / "whole.mp4").read_bytes()[:200])
    elif what == "small":
        write_video(source, size=(64, 48))
    status, _, errors, files = infer("--video", str(source))
    message = {"missing": "no such video", "small": "is 64 x 48, and .* are outside it"}
    message = message.get(what, "cannot be opened as a video")
    assert status == 1 and files == DATA | {"motion.mp4", "motion.html"}
    assert errors.count("\n") == 1 and re.search(message, errors)
    assert str(source) in errors and "all else is written" in errors
    assert (decoded(tmp_path / "out" / "motion.mp4")[0][:, 530, 20] < 70).all()  # without it


def test_image_size_that_does_not_match_is_an_error(infer):
    status, _, errors, files = infer("--image-size", "64", "48")
    assert status == 1 and "outside an image of 64 x 48" in errors and not files


def test_without_the_extra_the_rest_is_written(tmp_path, infer, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for more, expected in (([], 0), (["--picture", "mp4"], 1), (["--video", "in.mp4"], 1)):
        status, _, errors, files = infer(*more)
        assert status == expected and files == DATA | {"motion.html"}
        assert errors.count("\n") == 1 and "pip install 'mbjax[video]'" in errors
    status, _, errors, _ = infer("--video", "in.mp4", "--picture", "gif")
    assert status == 1 and "does not go with --picture gif" in errors
