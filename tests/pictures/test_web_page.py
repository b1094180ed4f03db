"""The page of a motion, in headless Chromium: it plays, stops, turns, and asks for nothing."""

import base64
import json
import re
import time

import numpy as np
import pytest

from mbjax.detect import frames
from mbjax.pictures import of_motion, scene, web_page
from mbjax.pose.skeleton import INDEX
from tests.recipes.browser import opened
from tests.recipes.motion import motion, person

# Sums up what the canvas shows: pixels of the right limbs' red, of the left limbs' blue.
_HELPERS = """
const inked = () => {
  const all = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  let red = 0, blue = 0;
  for (let i = 0; i < all.length; i += 4) {
    if (all[i] === 214 && all[i + 1] === 39 && all[i + 2] === 40) red++;
    if (all[i] === 31 && all[i + 1] === 119 && all[i + 2] === 180) blue++;
  }
  return [red, blue];
};
const scrub = (frame) => {
  byId("time").value = frame;
  byId("time").dispatchEvent(new Event("input"));
};
window.errors = [];
window.onerror = (message) => errors.push(String(message));
"""


@pytest.fixture
def browser(tmp_path):
    with opened(tmp_path / "profile") as browser:
        yield browser


@pytest.fixture
def shown():
    return scene.of_motion(motion(person(1), person(2, frames=12, first=10, seed=1)))


def test_page_plays_stops_and_turns(tmp_path, shown, browser):
    page = tmp_path / "motion.html"
    web_page.write(shown, page, 25.0, "</script><b>a & b")
    browser.open(page.as_uri(), ready="typeof motion === 'object'")
    browser.js(_HELPERS)
    assert browser.js("view.playing")
    browser.wait_for("view.frame > 2")
    browser.js("byId('play').click()")
    stopped = browser.js("view.frame")
    time.sleep(0.3)
    assert browser.js("view.frame") == stopped and not browser.js("view.playing")

    browser.js("scrub(3)")
    assert browser.js("byId('clock').textContent").split() == ["frame", "7", "0.28", "s"]
    faint = browser.js("inked()")  # a frame that was missed and is interpolated
    browser.js("scrub(2)")
    assert min(browser.js("inked()")) > 100 > 2 * max(faint)
    browser.js("scrub(3)")
    before = browser.js("canvas.toDataURL()")
    browser.js("scrub(20)")
    assert browser.js("canvas.toDataURL()") != before
    browser.js("scrub(3)")
    assert browser.js("canvas.toDataURL()") == before

    # Dragging turns it, by real mouse events; nothing happens after letting go.
    browser.mouse("mousePressed", 300, 200, buttons=1, clickCount=1)
    browser.mouse("mouseMoved", 380, 220, buttons=1)
    browser.mouse("mouseReleased", 380, 220, clickCount=1)
    browser.mouse("mouseMoved", 500, 300)
    assert browser.js("view.yaw - start.yaw") == pytest.approx(0.8)  # 80 pixels
    assert browser.js("canvas.toDataURL()") != before
    browser.call("Input.dispatchMouseEvent", type="mouseWheel", x=300, y=200, deltaX=0, deltaY=-200)
    browser.wait_for("view.zoom > 1.1")

    # The 2D is beside it, of both persons from frame 6 on.
    picture = "byId('picture').toDataURL()"
    browser.js("scrub(5)")
    alone = browser.js(picture)
    browser.js("scrub(6)")
    assert browser.js(picture) != alone
    assert browser.js("byId('legend').textContent") == "leftrightperson 1person 2"

    # From the front: the left hip is to the right, and as far away as the right one.
    browser.js("byId('front').click()")
    at_left, at_right = (
        browser.js(
            f"(() => {{ const k = 3 * (view.frame * people * joints + {INDEX[name]});"
            "return project(pose[k] / motion.steps, pose[k + 1] / motion.steps,"
            " pose[k + 2] / motion.steps); })()"
        )
        for name in ("lhip", "rhip")
    )
    assert at_left[0] > at_right[0]

    # As the camera sees it, x and y are the camera's; the second person comes in frame 6.
    browser.js("byId('camera').click(); scrub(6)")
    both = browser.js("inked()")
    browser.js("scrub(5)")
    assert both[0] - browser.js("inked()")[0] > 50
    at = browser.js(
        "Array.from(pose.slice((6 * people + 1) * 51, (6 * people + 2) * 51))"
        ".map((v) => v / motion.steps)"
    )
    centre, radius = shown.bounds()
    expected = (shown.pose_FxMxJx3[6, 1] - centre) / radius * [1, -1, -1]
    np.testing.assert_allclose(np.reshape(at, (17, 3)), expected, atol=2e-5)  # 16 bits
    width, height = browser.js("[canvas.width, canvas.height]")
    x, y, z = expected[0]
    scale = 0.46 * min(width, height) * 4 / (4 - z)
    drawn = browser.js(f"project({at[0]}, {at[1]}, {at[2]})")[:2]
    np.testing.assert_allclose(drawn, [width / 2 + x * scale, height / 2 - y * scale], atol=0.1)

    # At its end it begins again; the keyboard stops it.
    browser.js("scrub(motion.frames - 1); byId('play').click()")
    browser.wait_for("view.frame < motion.frames - 1")
    browser.js("byId('play').blur()")
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=" ", text=" ")
    assert not browser.js("view.playing")
    assert browser.js("errors") == [] and browser.requests == [page.as_uri()]


def test_the_video_is_under_the_keypoints_and_in_step(tmp_path, browser):
    """Each picture of the video is a grey of its own, which the page shows with its frame."""
    av = pytest.importorskip("av", reason="pip install 'mbjax[video]'")
    size, greys = (320, 180), [8 * frame for frame in range(30)]
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for grey in greys:
            picture = np.full((size[1], size[0], 3), grey, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    one = motion(person(1, frames=20))
    path = of_motion.page(one, tmp_path, frames.probe(tmp_path / "a.mp4"), with_video=True)
    browser.open(path.as_uri(), ready="typeof motion === 'object'")
    browser.js(_HELPERS)
    browser.wait_for("filmReady() && view.frame > 2")  # it plays by the video's clock
    browser.js("byId('play').click()")
    corner = (
        "(() => { const b = byId('picture'), [w, h] = motion.pictureSize,"
        " f = Math.min(b.width / w, b.height / h); return b.getContext('2d').getImageData("
        "b.width / 2 - w * f / 2 + 4, b.height / 2 - h * f / 2 + 4, 1, 1).data[0]; })()"
    )
    for frame in (11, 4, 0, 17):
        browser.js(f"scrub({frame})")
        browser.wait_for("!film.seeking")
        shown_frame = browser.js("motion.firstFrame") + frame
        # Half of what is between two frames; H.264 and its colours are off by less.
        browser.wait_for(f"Math.abs({corner} - {greys[shown_frame]}) < 4")
    assert browser.js("errors") == []
    assert not [url for url in browser.requests if not url.startswith(("file:", "blob:"))]


def test_page_stands_alone_and_is_small(tmp_path, shown):
    path = tmp_path / "motion.html"
    web_page.write(shown, path, 25.0, "</script><b>a & b")
    text = path.read_text()
    assert not re.search(r"https?:|src=|href=|@import|url\(", text)
    assert "default-src 'none'" in text and "</script><b>" not in text
    assert text.count("</script>") == 1 and "<title>&lt;/script&gt;&lt;b&gt;a &amp; b" in text
    # 102 and 68 bytes of numbers are 227 of base64, for each of 2 persons and 25 frames.
    assert len(text) < 25 * 2 * 230 + 12_000


def test_the_picture_is_of_what_was_seen(tmp_path):
    """Whole numbers about the middle of all; who is not there, or was not seen, is marked."""
    shown = scene.of_motion(motion(person(1), person(2, frames=12, first=10, seed=1)))
    shown.keypoints_FxMxJx3[3, 0, 5, 2] = 0
    web_page.write(shown, tmp_path / "motion.html", 25.0, "a")
    text = re.search(r"const motion = (.*);", (tmp_path / "motion.html").read_text())[1]
    data = json.loads(text)
    found = np.frombuffer(base64.b64decode(data["picture"]), "<i2").astype(float)
    found = found.reshape(len(shown.frames_F), 2, 17, 2)
    assert (found[3, 0, 5] == data["absent"]).all() and (found[0, 1] == data["absent"]).all()
    there = found[4, 0] != data["absent"]
    xy = shown.keypoints_FxMxJx3[4, 0, :, :2]
    # One scale and one middle for all: differences are in proportion.
    ratio = np.ptp(found[4, 0][there.all(1)], axis=0) / np.ptp(xy[there.all(1)], axis=0)
    assert ratio[0] == pytest.approx(ratio[1], rel=1e-3)
    assert max(data["pictureSize"]) == pytest.approx(2)
    assert [p.name for p in tmp_path.iterdir()] == ["motion.html"]


def test_page_leaves_nothing_beside(tmp_path, shown):
    web_page.write(shown, tmp_path / "motion.html", 25.0, "a")
    assert [p.name for p in tmp_path.iterdir()] == ["motion.html"]
