"""From a video file to keypoints, and what goes wrong on the way."""

import fractions
import os
import re
import weakref

import numpy as np
import pytest
from PIL import Image

from mbjax.cli import main
from mbjax.detect import detectors, frames, video
from mbjax.detect.blazepose.tracked import BlazePose
from mbjax.keypoints.read import read
from tests.recipes.settings import GOLDEN

CLIP = GOLDEN / "video" / "two_people.mp4"


class Scripted:
    """A detector that finds what it is told: {picture: [keypoints (17, 3), ...]}."""

    layout = "coco17"

    def __init__(self, script):
        self._script, self._at = script, -1

    def __call__(self, picture_HxWx3):
        self._at += 1
        return self._script.get(self._at, [])


def person(x, frame):
    rng = np.random.default_rng(3)
    keypoints = np.concatenate([rng.uniform(0, 60, (17, 2)), np.full((17, 1), 0.9)], axis=-1)
    return keypoints + [x + frame, 20.0, 0.0]


@pytest.fixture
def scripted(monkeypatch):
    def use(script):
        monkeypatch.setitem(detectors.DETECTORS, "scripted", lambda: Scripted(script))

    return use


def film(path, pictures, rate=30, times=None, rotation=None):
    """An MP4 of these pictures (H, W, 3)."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], fractions.Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


GREY = [np.full((64, 96, 3), 90, np.uint8)] * 12


def test_the_clip_has_two_persons_and_its_file_reads_back(tmp_path):
    seen = []
    found = video.detect(CLIP, progress=lambda done, total: seen.append((done, total)))
    assert [track.person for track in found.keypoints.tracks] == [0, 1]
    assert found.keypoints.layout == "mediapipe33" and found.keypoints.fps == 30
    assert len(found.keypoints.tracks[0].frames_N) == 24 and seen[-1] == (24, 24)
    video.write(found, tmp_path / "keypoints.npz")
    again = read(tmp_path / "keypoints.npz")
    assert again.layout == "mediapipe33" and again.fps == 30
    for one, two in zip(found.keypoints.tracks, again.tracks, strict=True):
        assert one.person == two.person
        np.testing.assert_array_equal(one.frames_N, two.frames_N)
        # The file has float32, of hundreds of pixels.
        np.testing.assert_allclose(one.keypoints_NxKx3, two.keypoints_NxKx3, atol=1e-4)


def test_persons_are_linked_and_the_fleeting_left_out(tmp_path, scripted):
    script = {f: [person(0, f), person(400, -f)][:: -1 if f % 2 else 1] for f in range(12)}
    script[5] = [*script[5], person(900, 0)]
    scripted(script)
    found = video.detect(film(tmp_path / "a.mp4", GREY), "scripted")
    assert [len(track.frames_N) for track in found.keypoints.tracks] == [12, 12]
    for track in found.keypoints.tracks:
        steps = np.diff(track.keypoints_NxKx3[:, 0, 0])
        assert np.ptp(steps) == 0  # nobody became somebody else
    assert any("fewer than 5 pictures" in note for note in found.keypoints.notes)


def test_a_still_picture_of_one_frame(tmp_path, scripted):
    scripted({0: [person(0, 0)]})
    found = video.detect(film(tmp_path / "a.mp4", GREY[:1]), "scripted")
    assert len(found.keypoints.tracks) == 1 and len(found.times_T) == 1


@pytest.fixture(scope="module")
def of_the_clip():
    pytest.importorskip("av")
    return [picture.rgb_HxWx3 for picture in frames.pictures(frames.probe(CLIP))]


def test_a_photo_is_lifted_the_way_it_is_held(tmp_path, of_the_clip):
    lying = Image.Exif()
    lying[0x0112] = 6  # a telephone held upright: turned clockwise to be shown
    photo = tmp_path / "photo.jpg"
    Image.fromarray(np.rot90(of_the_clip[10])).save(photo, quality=95, exif=lying)
    command = ["infer", "--checkpoint", "tiny", "--picture", "none", "--out", str(tmp_path)]
    assert main([*command, "--video", str(photo)]) == 0
    with np.load(tmp_path / "keypoints.npz") as found:
        assert found["image_size"].tolist() == [420, 596]
        nose_2, ankle_2 = found["keypoints"][0, 0, [0, 27], :2]
        assert nose_2[1] < ankle_2[1] - 50, "upright"
    with np.load(tmp_path / "motion.npz") as motion:
        assert motion["pose"].shape == (1, 17, 3)


def test_a_telephones_4k_is_detected_one_picture_at_a_time(tmp_path, of_the_clip, monkeypatch):
    """The persons are where they are in the small clip, and no picture of 25 MB is kept."""
    alive, at_once = [], []

    class Watching(BlazePose):
        def __call__(self, picture_HxWx3):
            alive.append(None)
            weakref.finalize(picture_HxWx3, alive.pop)
            at_once.append(len(alive))
            return super().__call__(picture_HxWx3)

    monkeypatch.setitem(detectors.DETECTORS, "watching", Watching)
    large = []
    for picture in of_the_clip[:6]:
        image = np.zeros((3840, 2160, 3), np.uint8)
        image[:3065] = Image.fromarray(picture).resize((2160, 3065))
        large.append(image)
    found = video.detect(film(tmp_path / "4k.mp4", large), "watching")
    assert found.video.size == (2160, 3840) and len(found.times_T) == 6
    assert max(at_once) <= 2
    find, scale = BlazePose(), 2160 / 420
    small_TxKx3 = [find(picture)[0] for picture in of_the_clip[:6]]
    large_TxKx3 = found.keypoints.tracks[0].keypoints_NxKx3
    difference_TxKx2 = large_TxKx3[..., :2] / scale - np.array(small_TxKx3)[..., :2]
    apart = np.linalg.norm(difference_TxKx2, axis=-1)
    # Pixels of the small clip, of somebody of 200; MPEG-4 blurs, and the nets' squares are cut from
    # other pixels: 1.9 was seen.
    assert np.median(apart) < 3


def test_times_of_a_varying_rate_are_kept_and_told(tmp_path, scripted):
    scripted({f: [person(0, f)] for f in range(12)})
    times = [0, 1, 2, 3, 7, 8, 9, 10, 20, 21, 22, 23]
    found = video.detect(film(tmp_path / "a.mp4", GREY, times=times), "scripted")
    # 1/30 s a tick, kept by the container to a microsecond or so.
    np.testing.assert_allclose(found.times_T, np.array(times) / 30, atol=1e-3)
    assert any("frame rate varies" in note for note in found.keypoints.notes)


def test_a_file_that_breaks_off_is_used_as_far_as_it_goes(tmp_path, scripted):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (64, 96, 3), np.uint8) for _ in range(60)]
    whole = film(tmp_path / "a.mkv", pictures).read_bytes()
    (tmp_path / "b.mkv").write_bytes(whole[: len(whole) // 2])
    scripted({f: [person(0, f)] for f in range(60)})
    found = video.detect(tmp_path / "b.mkv", "scripted")
    assert 5 < len(found.times_T) < 60


def refused(tmp_path, capsys, *arguments):
    status = main(["infer", "--checkpoint", "tiny", "--out", str(tmp_path / "out"), *arguments])
    error = capsys.readouterr().err
    assert status == 1 and error.count("\n") == 1 and "Traceback" not in error, error
    return error


def test_what_is_no_video_or_shows_nobody_is_one_line(tmp_path, capsys, scripted):
    assert "give --video FILE" in refused(tmp_path, capsys)
    assert "no such video" in refused(tmp_path, capsys, "--video", str(tmp_path / "no.mp4"))
    (tmp_path / "broken.mp4").write_bytes(b"not a film" * 100)
    assert "cannot be opened" in refused(tmp_path, capsys, "--video", str(tmp_path / "broken.mp4"))
    grey = str(film(tmp_path / "grey.mp4", GREY))
    assert "finds nobody in its 12 pictures" in refused(tmp_path, capsys, "--video", grey)
    wrong = refused(tmp_path, capsys, "--video", grey, "--detector", "mediapipe")
    assert "there are: blazepose, rtmlib" in wrong
    assert not list((tmp_path / "out").glob("*.npz"))


def test_sound_alone_is_no_video(tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match="no video in it"):
        frames.probe(tmp_path / "a.mp4")


def test_detect_goes_on_where_it_was_stopped(tmp_path, capsys, scripted):
    scripted({f: [person(0, f)] for f in range(12)})
    films = [str(film(tmp_path / f"{name}.mp4", GREY)) for name in "abc"]
    (tmp_path / "broken.mp4").write_bytes(b"x")
    out = ["--out", str(tmp_path / "out"), "--detector", "scripted"]
    assert main(["detect", films[0], films[1], str(tmp_path / "broken.mp4"), films[2], *out]) == 1
    printed = capsys.readouterr()
    assert "left out" in printed.err and printed.err.count("\n") == 1
    assert sorted(os.listdir(tmp_path / "out")) == ["a.npz", "b.npz", "c.npz"]
    (tmp_path / "out" / "b.npz").unlink()
    assert main(["detect", *films, *out]) == 0
    assert capsys.readouterr().out.count("there already") == 2


def test_shards_share_the_videos_out(tmp_path, capsys, scripted):
    scripted({f: [person(0, f)] for f in range(12)})
    films = [str(film(tmp_path / f"{name}.mp4", GREY)) for name in "abc"]
    for shard, names in (("1/2", ["a.npz", "c.npz"]), ("2/2", ["b.npz"])):
        out = tmp_path / shard.replace("/", "of")
        command = ["detect", *films, "--out", str(out), "--detector", "scripted"]
        assert main([*command, "--shard", shard]) == 0
        assert sorted(os.listdir(out)) == names
    with pytest.raises(SystemExit):
        main([*command, "--shard", "3/2"])
    assert re.search("3/2.* should read like 3/16", capsys.readouterr().err)
