"""`mbjax export --format web`: its scripts do what the package does, and its page sends nothing.

The scripts are tested in headless Chromium. The whole page needs 45 MB of runtimes besides: its
test is skipped where MBJAX_NPM_PACKAGES does not say in which folder these commands put them:

    npm pack onnxruntime-web@1.30.0 @litertjs/core@2.5.3 @litertjs/wasm-utils@2.5.3
    MBJAX_NPM_PACKAGES=$PWD pytest tests/convert/test_browser_page.py

Shapes in names: T frames, K keypoints of BlazePose, 3 is x, y, confidence.
"""

import base64
import dataclasses
import json
import os

import numpy as np
import pytest
from PIL import Image

import mbjax
from mbjax.cli import main
from mbjax.convert import browser_page, browser_runtimes
from mbjax.detect import detectors, frames
from mbjax.detect.blazepose.landmarks import LandmarkFinder
from mbjax.detect.blazepose.persons import PersonFinder
from mbjax.detect.blazepose.tracked import BlazePose
from mbjax.lifting.stream import Stream
from mbjax.live.follower import Follower
from mbjax.models.trained_on import TrainedOn
from mbjax.motion.filters import OneEuro
from mbjax.pose.skeleton import limb_lengths
from tests.recipes import weights as weight_recipes
from tests.recipes.browser import opened, served
from tests.recipes.keypoints import keypoints
from tests.recipes.lifting import make_model
from tests.recipes.settings import GOLDEN

CLIP = GOLDEN / "video" / "two_people.mp4"
WINDOW = 9
FILL = 0.8
# In the page: arrays and pictures from text and back.
_HELPERS = """
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const floats = (text) => new Float32Array(bytes(text).buffer);
const text = (array) => {
  const all = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let letters = "";
  for (const one of all) letters += String.fromCharCode(one);
  return btoa(letters);
};
const picture = (data, width) => new ImageData(new Uint8ClampedArray(bytes(data)), width);
"""


def text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def floats(letters):
    return np.frombuffer(base64.b64decode(letters), np.float32)


def in_page(picture_HxWx3):
    """JavaScript for a picture."""
    rgba = np.dstack([picture_HxWx3, np.full(picture_HxWx3.shape[:2], 255, np.uint8)])
    return f'picture("{text(rgba)}", {picture_HxWx3.shape[1]})'


def person(frames, seed=0, x=300.0, wild=0.02):
    """Keypoints (T, K, 3) of somebody who moves a little; some unseen, some far off."""
    rng = np.random.default_rng(seed)
    at_Kx2 = rng.uniform([x, 100], [x + 150, 500], (33, 2))
    points_TxKx2 = at_Kx2 + rng.normal(0, 4, (frames, 33, 2)).cumsum(axis=0)
    points = np.concatenate([points_TxKx2, rng.uniform(0.3, 1, (frames, 33, 1))], axis=-1)
    points[rng.random((frames, 33)) < 0.1, 2] = 0
    points[rng.random((frames, 33)) < wild, :2] += 3000
    points[:, 23, 2] = 0  # a hip that is never seen
    return points


# --- the scripts ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """A browser with the scripts' functions by the names of their files."""
    folder = tmp_path_factory.mktemp("page")
    browser_page.write_scripts(folder, WINDOW, FILL)
    with served(folder) as (url, _), opened(tmp_path_factory.mktemp("profile")) as browser:
        browser.open(url)
        browser.js(_HELPERS)
        for name in ("blazepose", "stream"):
            browser.js(f"import('./{name}.js').then((all) => {{ window.{name} = all; }})")
        browser.js(f"window.settings = {json.dumps(browser_page.settings(WINDOW, FILL))}; 0")
        yield browser


@pytest.fixture(scope="module")
def pictures():
    pytest.importorskip("av")
    return [one.rgb_HxWx3 for one in frames.pictures(frames.probe(CLIP))]


def trained_model():
    model = make_model(WINDOW)
    model.trained_on = TrainedOn(WINDOW, fill=FILL)
    return model


def test_the_network_is_shown_what_a_stream_shows_it(scripts):
    points_TxKx3 = person(2 * WINDOW)
    stream = Stream(trained_model(), WINDOW, layout="mediapipe33")
    shown, outliers = [], 0

    def forward(state, x, flip):
        shown.append(x[0])
        return x

    stream._forward = forward
    for points_Kx3 in points_TxKx3:
        stream.push(points_Kx3)
        outliers += len(stream.outliers)
    assert len(shown) == 2 * WINDOW and outliers > 5
    for newest, x_LxJx3 in enumerate(shown):
        window = points_TxKx3[max(newest + 1 - WINDOW, 0) : newest + 1].tolist()
        joints = f"stream.joined({json.dumps(window)}, settings)"
        seen = scripts.js(f"text(stream.networkInput({joints}, settings).x)")
        # float32 of order 1, by the same formulas in float64.
        np.testing.assert_allclose(floats(seen), x_LxJx3.ravel(), atol=1e-6)


def test_one_person_is_followed_as_mbjax_live_does(scripts, monkeypatch):
    first, second = person(12, wild=0), person(12, seed=1, x=900.0, wild=0)
    first[..., :2] += 0.3 * (first[..., :2] - first[..., :2].mean(axis=(0, 1)))  # the larger one
    everybody = [[second[t], first[t]] if t < 8 else [second[t]] for t in range(12)]
    found = iter(everybody)

    class Scripted:
        layout = "mediapipe33"

        def __call__(self, picture):
            return next(found)

    monkeypatch.setitem(detectors.DETECTORS, "scripted", Scripted)
    follower = Follower(trained_model(), "scripted", 15.0)
    follower._stream._forward = lambda state, x, flip: x
    scripts.js(
        "window.follower = new stream.Follower(async (x) => x, settings); "
        f"window.everybody = {json.dumps([[one.tolist() for one in all] for all in everybody])}; 0"
    )
    picked = []
    for t, all in enumerate(everybody):
        expected = follower(np.zeros((4, 4, 3), np.uint8))
        got = scripts.js(f"follower.push(everybody[{t}], 15)")
        assert (got["person"] is None) == (expected.person is None)
        if expected.person is not None:
            picked.append(next(i for i, one in enumerate(all) if one is expected.person))
            np.testing.assert_array_equal(got["person"], expected.person)
            # Heights of a person; the network's input is float32.
            np.testing.assert_allclose(got["pose"], expected.pose_Jx3, atol=1e-5)
    assert len(set(picked)) == 2 and len(picked) == 11


def test_somebody_of_another_build_is_lifted_as_mbjax_live_does(scripts, monkeypatch):
    points = np.repeat(keypoints("mediapipe33")[:1], 100, axis=0)
    lacks = points[..., 0] == 0
    points[..., :2] += np.random.default_rng(0).normal(0, 0.5, (100, 33, 2)).cumsum(axis=0)
    points[..., 2] = 0.9
    points[lacks] = 0
    points[40:43, :, 2] = 0.2  # too little to measure a build by
    points[60:, 11:13, 2] = 0  # then no neck any more, when the window has gone by
    learnt = 0.85  # of a body with 1.3
    everybody = iter(points)

    class Scripted:
        layout = "mediapipe33"

        def __call__(self, picture):
            return [next(everybody)]

    monkeypatch.setitem(detectors.DETECTORS, "scripted", Scripted)
    model = trained_model()
    model.trained_on = TrainedOn(WINDOW, trunk_per_leg=learnt, fill=FILL)
    follower = Follower(model, "scripted", 15.0)
    follower._stream._forward = lambda state, x, flip: x
    settings = json.dumps(browser_page.settings(WINDOW, FILL, learnt))
    scripts.js(
        f"window.follower = new stream.Follower(async (x) => x, {settings}); "
        f"window.points = {json.dumps(points.tolist())}; 0"
    )
    factors = []
    for t in range(len(points)):
        expected = follower(np.zeros((4, 4, 3), np.uint8)).pose_Jx3
        got = scripts.js(f"follower.push([points[{t}]], 15)")["pose"]
        # Heights of a person; the network's input is float32.
        np.testing.assert_allclose(got, expected, atol=1e-5)
        factors.append(follower._stream._build._factor)
        assert scripts.js("follower.build.now") == pytest.approx(factors[-1], abs=1e-6)
    assert factors[30] == 1 and max(factors) > 1.2, factors


def test_poses_are_steadied_as_here(scripts):
    values = np.random.default_rng(0).normal(0, 1, (6, 17, 3)).cumsum(axis=0)
    filter = OneEuro(20.0, 2.0, 10.0)
    expected = [filter(value) for value in values]
    got = scripts.js(
        "{ const filter = new stream.OneEuro(2, 10); "
        f"{json.dumps(values.tolist())}.map((value) => filter.push(value, 20)); }}"
    )
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_persons_and_landmarks_are_read_from_the_nets_as_here(scripts, pictures):
    """The nets are LiteRT's of Python, whose outputs the scripts get."""
    pytest.importorskip("ai_edge_litert")
    picture = pictures[10]
    find_persons, find_landmarks = PersonFinder(), LandmarkFinder()
    seen = Recorded(find_persons), Recorded(find_landmarks)
    regions = [one.region for one in find_persons(picture)]
    landmarks = [find_landmarks(picture, region) for region in regions]
    assert len(landmarks) == 2
    scripts.js(f"window.picture20 = {in_page(picture)}; window.shown = []; 0")

    net = "async (image) => { shown.push(image); return %s; }"
    got = scripts.js(f"blazepose.findPersons({net % in_script(seen[0].outputs[0])}, picture20)")
    for one, region in zip(got, regions, strict=True):
        expected = [region.x, region.y, region.side, region.angle]
        # Pixels and radians; the shares of the square are float32.
        np.testing.assert_allclose([one[k] for k in ("x", "y", "side", "angle")], expected, 1e-5)
    for region, expected, outputs in zip(regions, landmarks, seen[1].outputs, strict=True):
        square = f"new blazepose.Region({region.x}, {region.y}, {region.side}, {region.angle})"
        got = scripts.js(
            f"blazepose.findLandmarks({net % in_script(outputs)}, picture20, {square})"
        )
        assert got["score"] == pytest.approx(expected.score)
        np.testing.assert_allclose(got["keypoints"], expected.keypoints_Kx3, atol=1e-3)
        assert got["nextRegion"]["side"] == pytest.approx(expected.next_region.side, abs=1e-3)
    for number, image in enumerate(seen[0].images + seen[1].images):
        shown = floats(scripts.js(f"text(shown[{number}])"))
        steps = 127.5 if number == 0 else 255
        # In steps of a pixel's value: Pillow rounds to whole ones.
        np.testing.assert_allclose(shown * steps, image.ravel() * steps, atol=1.6)


class Recorded:
    """What goes into and comes out of a finder's net."""

    def __init__(self, finder):
        self.images, self.outputs, self._net = [], [], finder._net
        self.height, self.width = finder._net.height, finder._net.width
        finder._net = self

    def __call__(self, image):
        self.images.append(image)
        self.outputs.append(self._net(image))
        return self.outputs[-1]


def in_script(outputs):
    wanted = ("Identity", "Identity_1", "Identity_3")
    parts = [f'{name}: floats("{text(outputs[name])}")' for name in wanted if name in outputs]
    return f"({{ {', '.join(parts)} }})"


# --- the page -------------------------------------------------------------------------------------


def camera_file(pictures, path):
    """Pictures as what Chromium plays as a camera: Motion JPEG, one after another."""
    with path.open("wb") as file:
        for picture in pictures:
            Image.fromarray(picture).save(file, "JPEG", quality=95)
    return path


@pytest.mark.slow
def test_the_page_lifts_what_a_camera_sees_and_sends_nothing(tmp_path, pictures):
    packages = os.environ.get(browser_runtimes.VARIABLE)
    if not packages:
        pytest.skip(f"{browser_runtimes.VARIABLE} does not say where the runtimes are")
    pytest.importorskip("onnxscript")
    page = tmp_path / "page"
    assert main(["export", "tiny", "--format", "web", "--out", str(page)]) == 0
    flags = (
        "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={camera_file(pictures, tmp_path / 'a.mjpeg')}",
    )  # fmt: skip
    with served(page) as (url, asked), opened(tmp_path / "profile", *flags) as browser:
        browser.open(url, ready="!byId('camera').disabled")
        loaded = len(asked)
        assert loaded >= 12 and "/lifter.onnx" in asked
        browser.js("byId('camera').click()")
        browser.wait_for("newest && newest.pose.length === 17", 60)
        browser.wait_for("byId('state').textContent.includes('one person followed')")
        assert browser.js("fetch('settings.json').then(() => 'sent', () => 'refused')") == "refused"
        browser.js("byId('stop').click()")

        browser.js(_HELPERS)
        browser.js(
            "Promise.all([import('./page.js'), import('./blazepose.js'), import('./stream.js')])"
            ".then(async ([page, b, s]) => { window.nets = await page.nets; "
            "window.find = new b.BlazePose(nets.detector, nets.landmarks); "
            "window.follow = new s.Follower(nets.lift, nets.settings); })"
        )
        assert_the_chain_is_the_packages(browser, pictures[6:16])
        assert asked[loaded:] == [] and all(one.startswith(url) for one in browser.requests)


def assert_the_chain_is_the_packages(browser, pictures):
    find, model = BlazePose(), mbjax.load("tiny", verbose=False)
    stream, apart, count = Stream(model, layout="mediapipe33", smooth_fps=15.0), [], 0
    for picture in pictures:
        everybody = find(picture)
        got = browser.js(f"find.find({in_page(picture)})")
        # Somebody at the rim is seen by one and not by the other for a picture or two.
        count += len(got) == len(everybody)
        apart += [
            min(np.median(np.linalg.norm((one - np.array(b))[:, :2], axis=-1)) for b in got)
            for one in everybody[: len(got)]
        ]
        pose = browser.js(f"follow.push([{json.dumps(everybody[0].tolist())}], 15)")["pose"]
        expected = stream.push(everybody[0])
        expected = expected / (limb_lengths(expected).sum() / 2.25)
        # Heights of a person: float32 in two runtimes, within 1e-5 of the network's unit each.
        np.testing.assert_allclose(pose, expected, atol=1e-4)
    # Pixels of 420 x 596: Pillow rounds where the page does not, and it adds up over pictures; 0.6
    # and 2.3 were seen.
    assert np.median(apart) < 1 and np.max(apart) < 4 and count >= len(pictures) - 2


# --- mistakes -------------------------------------------------------------------------------------


def test_a_folder_that_has_something_in_it_is_refused(tmp_path, capsys):
    (tmp_path / "mine.txt").touch()
    assert main(["export", "tiny", "--format", "web", "--out", str(tmp_path)]) == 1
    assert "there already" in capsys.readouterr().err.strip().splitlines()[-1]
    assert main(["export", "tiny", "--out", "a.onnx", "--npm-packages", str(tmp_path)]) == 1
    assert "--npm-packages" in capsys.readouterr().err


def test_runtimes_that_are_not_there_or_not_right_are_one_line(tmp_path, capsys):
    archive = tmp_path / "onnxruntime-web-1.30.0.tgz"
    archive.write_bytes(b"something else")
    arguments = ["export", "tiny", "--format", "web", "--out", str(tmp_path / "page")]
    assert main([*arguments, "--npm-packages", str(tmp_path)]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "does not have onnxruntime-web@1.30.0, @litertjs/core" in line and "npm pack" in line
    assert not (tmp_path / "page").exists()
    with pytest.raises(ValueError, match="no folder"):
        browser_runtimes.files(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "npm, message",
    [
        (None, "npm .Node.js. is not here.*npm pack onnxruntime-web@1"),
        ("echo 'npm error code ENOTFOUND' >&2; exit 1", "cannot fetch them .npm error code ENOT"),
        ("touch other.tgz", "does not have"),
    ],
)
def test_npm_that_cannot_help_is_one_line(tmp_path, monkeypatch, npm, message):
    monkeypatch.delenv(browser_runtimes.VARIABLE, raising=False)
    program = tmp_path / "npm"
    if npm:
        program.write_text(f"#!/bin/sh\n{npm}\n")
        program.chmod(0o755)
    monkeypatch.setattr(browser_runtimes.shutil, "which", lambda _: npm and str(program))
    with pytest.raises(ValueError, match=message):
        browser_runtimes.files()


def test_a_net_without_confidence_is_refused(tmp_path):
    config = dataclasses.replace(weight_recipes.SHALLOW, dim_in=2)
    source = weight_recipes.source(config, optimizer=False)
    with pytest.raises(ValueError, match="17 joints of 2 channels"):
        browser_page.write(source, tmp_path / "page")
