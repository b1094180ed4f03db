"""`mbjax live`: pictures as they come, one person followed, a page for this machine alone."""

import base64
import errno
import http.client
import io
import json
import os
import signal
import subprocess
import threading
import time
import urllib.parse

import numpy as np
import pytest
from PIL import Image

import mbjax
from mbjax.cli import main
from mbjax.detect import detectors
from mbjax.detect.frames import Picture
from mbjax.live import newest, session
from mbjax.live import page as pages
from mbjax.live.follower import Follower
from mbjax.live.server import Server
from tests.recipes import commands
from tests.recipes.settings import GOLDEN

CLIP = GOLDEN / "video" / "two_people.mp4"


def picture(number, height=40, width=60):
    return Picture(number, number / 10, np.full((height, width, 3), 10 * number, np.uint8))


# --- pictures -----------------------------------------------------------------------------------


def test_the_newest_picture_is_given_once_and_others_are_dropped():
    go = threading.Event()

    def source():
        yield picture(0)
        go.wait(10)
        yield picture(1)
        yield picture(2)

    pictures = newest.Newest(source())
    assert pictures.take().number == 0
    go.set()
    deadline = time.monotonic() + 10
    while pictures.dropped < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pictures.take().number == 2 and pictures.dropped == 1
    assert pictures.take() is None


def test_what_goes_wrong_with_a_camera_is_raised_where_pictures_are_taken():
    def source():
        yield picture(0)
        raise ValueError("the camera is gone")

    pictures = newest.Newest(source())
    time.sleep(0.2)
    assert pictures.take().number == 0
    with pytest.raises(ValueError, match="gone"):
        pictures.take()


def test_a_file_is_played_in_its_own_time(monkeypatch):
    pytest.importorskip("av")
    from mbjax.detect.frames import probe

    slept = []
    monkeypatch.setattr(newest.time, "sleep", slept.append)
    video = probe(CLIP)
    count = sum(1 for _ in newest.played(video))
    assert count == 60 or count > 20
    # The clock stands nearly still here, so the waits are the pictures' own times.
    assert slept[-1] == pytest.approx((count - 1) / video.fps, abs=0.5)


# --- the page -----------------------------------------------------------------------------------


@pytest.fixture
def server():
    one = Server("<html>page</html>")
    yield one
    one.close()


def get(server, path, host=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{server.port}")
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    return connection.getresponse()


def test_only_the_right_address_on_this_machine_is_answered(server):
    path = urllib.parse.urlsplit(server.url).path
    answer = get(server, path)
    assert answer.status == 200 and answer.read() == b"<html>page</html>"
    assert "connect-src 'self'" in answer.getheader("Content-Security-Policy")
    for wrong in ("/", "/events", "/wrong/", path + "other", path.upper(), "/" + "x" * 22 + "/"):
        assert get(server, wrong).status == 403, wrong
    # A page of elsewhere whose name was made to mean 127.0.0.1.
    assert get(server, path, host="evil.example").status == 403
    assert get(server, path + "events", host=f"evil.example:{server.port}").status == 403


def test_what_another_page_asks_for_is_refused(server):
    """Also with the right address, and from another server of this machine."""
    path = urllib.parse.urlsplit(server.url).path
    server.publish({"number": 1})
    for what in (path, path + "events"):
        for other in ("http://evil.example", f"http://127.0.0.1:{server.port + 1}", "null"):
            assert get(server, what, Origin=other).status == 403, other
        for site in ("cross-site", "same-site"):
            assert get(server, what, Sec_Fetch_Site=site).status == 403, site
        own = {"Origin": f"http://127.0.0.1:{server.port}", "Sec_Fetch_Site": "same-origin"}
        assert get(server, what, **own).status == 200
    opened = get(server, path, Sec_Fetch_Site="none")
    assert "frame-ancestors 'none'" in opened.getheader("Content-Security-Policy")


def test_the_feed_has_the_newest_event_and_ends(server):
    path = urllib.parse.urlsplit(server.url).path + "events"
    server.publish({"number": 1})
    server.publish({"number": 2})
    answer = get(server, path)
    assert answer.getheader("Content-Type") == "text/event-stream"
    assert answer.fp.readline() == b'data: {"number": 2}\n'
    assert answer.fp.readline() == b"\n"
    server.publish({"number": 3})
    assert answer.fp.readline() == b'data: {"number": 3}\n'
    threading.Timer(0.1, server.close).start()
    assert b"event: end" in answer.fp.read()


def test_a_port_that_is_taken_is_one_line(server):
    with pytest.raises(ValueError, match=f"port {server.port} cannot be had"):
        Server("", server.port)


# --- the whole ------------------------------------------------------------------------------------


class Scripted:
    """A detector that finds what it is told, picture by picture."""

    layout = "coco17"

    def __init__(self, script):
        self._script = iter(script)

    def __call__(self, picture_HxWx3):
        return next(self._script, [])


def somebody(x, size):
    rng = np.random.default_rng(1)
    points = rng.uniform(0, size, (17, 2)) + [x, 10]
    return np.concatenate([points, np.full((17, 1), 0.9)], axis=-1)


@pytest.fixture(scope="module")
def model():
    return mbjax.load("tiny", verbose=False)


def test_the_largest_is_followed_until_they_are_gone(monkeypatch, model):
    small, large = somebody(10, 60), somebody(300, 200)
    script = [[small, large], [large, small], [small, large], [small], [small]]
    monkeypatch.setitem(detectors.DETECTORS, "scripted", lambda: Scripted(script))
    follow = Follower(model, "scripted", 15.0)
    seen = [follow(np.zeros((400, 600, 3), np.uint8)) for _ in range(6)]
    who = [None if one.person is None else int(one.person[0, 0] > 250) for one in seen]
    # The large one leaves in the fourth picture; the small one is followed from the next on.
    assert who == [1, 1, 1, None, 0, None]
    for one in seen[:3]:
        np.testing.assert_array_equal(one.pose_Jx3[0], 0)
        assert 0.2 < np.linalg.norm(one.pose_Jx3, axis=-1).max() < 2, "in heights of the person"
    assert seen[3].pose_Jx3 is None and len(seen[0].everybody) == 2


def test_events_have_what_the_page_draws(monkeypatch, model, server):
    script = [[somebody(100, 200)], [somebody(104, 200)]]
    monkeypatch.setitem(detectors.DETECTORS, "scripted", lambda: Scripted(script))
    events = []
    monkeypatch.setattr(server, "publish", events.append)
    pictures = [Picture(n, n / 10, np.zeros((500, 960, 3), np.uint8)) for n in range(2)]

    class InOrder:
        dropped = 0

        def take(self):
            return pictures.pop(0) if pictures else None

    recording = session.Recording("camera 0", "coco17")
    speed = session.run(InOrder(), Follower(model, "scripted", 15.0), server, recording)
    assert speed.pictures == 2 and speed.latency > 0 and speed.fps > 0
    image = Image.open(io.BytesIO(base64.b64decode(events[0]["jpeg"])))
    assert image.size == (480, 250)
    assert len(events[0]["pose"]) == len(events[0]["keypoints"]) == 17
    elbow = somebody(100, 200)[7, :2] / 2  # COCO's left elbow, in the small picture
    np.testing.assert_allclose(events[0]["keypoints"][12], elbow, atol=0.06)  # one decimal
    found = recording.detected("scripted")
    assert found.keypoints.fps == pytest.approx(10) and len(found.times_T) == 2


def test_the_page_knows_the_skeleton():
    page = pages.fed()
    assert "__" not in page and '"rhip"' in page and "[0, 1]" in page
    assert "http://" not in page and "https://" not in page, "it needs no network"


@pytest.mark.slow
def test_a_video_is_shown_recorded_and_ended_by_ctrl_c(tmp_path):
    pytest.importorskip("av")
    pytest.importorskip("ai_edge_litert")
    process = commands.start(
        "live", "--video", CLIP, "--no-browser", "--record", tmp_path / "take", folder=tmp_path
    )
    url = process.stdout.readline().split()[1]
    server = type("There", (), {"port": urllib.parse.urlsplit(url).port})
    answer = get(server, urllib.parse.urlsplit(url).path + "events")
    event = {}
    while not event.get("pose"):
        line = answer.fp.readline()
        assert line, process.communicate()
        event = json.loads(line.removeprefix(b"data: ")) if line.startswith(b'data: {"') else {}
    assert event["persons"] >= 1
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    assert "pictures," in out and "stopping after this step" in error
    assert (tmp_path / "take" / "keypoints.npz").is_file()
    assert (tmp_path / "take" / "motion.bvh").is_file()


def test_no_camera_is_one_line(tmp_path, capsys):
    pytest.importorskip("av")
    assert main(["live", "--camera", "77", "--no-browser"]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "camera" in error and "/dev/video77" in error
    assert main(["live", "--video", str(tmp_path / "no.mp4"), "--no-browser"]) == 1
    assert "no such video" in capsys.readouterr().err


class Camera:
    """What PyAV opens; breaks off with an error after some pictures."""

    def __init__(self, error, pictures):
        self._error, self._pictures = error, pictures

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def decode(self, video):
        av = pytest.importorskip("av")
        for _ in range(self._pictures):
            yield av.VideoFrame.from_ndarray(np.zeros((4, 6, 3), np.uint8), format="rgb24")
        raise self._error


@pytest.mark.parametrize("when", ["opened", "read"])
@pytest.mark.parametrize(
    "number, advice",
    [
        (errno.EBUSY, "another program uses it"),
        (errno.EACCES, "the group 'video'"),
        (errno.EINVAL, "is it used"),
    ],
)
def test_a_camera_that_cannot_be_had_is_one_line(monkeypatch, when, number, advice):
    av = pytest.importorskip("av")
    error = av.error.FFmpegError(number, os.strerror(number), "/dev/video0")

    def opened(name, format):
        if when == "opened":
            raise error
        return Camera(error, 0)

    monkeypatch.setattr(av, "open", opened)
    with pytest.raises(ValueError, match=f"{os.strerror(number)}.*{advice}") as told:
        next(newest.camera(0))
    assert "\n" not in str(told.value)


def test_a_camera_that_is_pulled_out_ends_the_pictures(monkeypatch, capsys):
    av = pytest.importorskip("av")
    error = av.error.FFmpegError(errno.ENODEV, os.strerror(errno.ENODEV), "/dev/video0")
    monkeypatch.setattr(av, "open", lambda name, format: Camera(error, 2))
    assert [picture.number for picture in newest.camera(0)] == [0, 1]
    assert "gives no more pictures (No such device)" in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_in_a_browser(tmp_path, model):
    """Drawn in headless Chromium: the state line tells what came, and the canvas is not empty."""
    chromium = commands.browser()
    if chromium is None:
        pytest.skip("no chromium on this machine")
    server = Server(pages.fed())
    file = io.BytesIO()
    Image.fromarray(np.full((250, 480, 3), 90, np.uint8)).save(file, "JPEG")
    rng = np.random.default_rng(0)
    event = {
        "jpeg": base64.b64encode(file.getvalue()).decode(),
        "keypoints": rng.uniform(50, 200, (17, 2)).tolist(),
        "pose": rng.uniform(-0.4, 0.4, (17, 3)).tolist(),
        "persons": 1, "fps": 12.3, "latency_ms": 81, "dropped": 0,
    }  # fmt: skip
    server.publish(event)
    picture_file = tmp_path / "page.png"
    # The feed stays open, so the page is never 'loaded': it is closed when the picture is due.
    threading.Timer(4, server.close).start()
    done = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,500",
         f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture_file}",
         "--virtual-time-budget=3000", server.url],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert picture_file.is_file(), done.stderr[-2000:]
    drawn = np.asarray(Image.open(picture_file).convert("RGB")).reshape(-1, 3)
    # The grey of the picture, and the blue and red of limbs.
    assert (np.abs(drawn.astype(int) - 90).max(axis=1) < 12).mean() > 0.05
    for colour in ((31, 119, 180), (214, 39, 40)):
        assert (np.abs(drawn.astype(int) - colour).max(axis=1) < 30).sum() > 50
