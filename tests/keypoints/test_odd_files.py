"""Odd, broken and hostile files of keypoints: one clear line, in bounded time and memory."""

import json
import time

import numpy as np
import pytest

from mbjax.keypoints import read as keypoint_files
from mbjax.keypoints import tracking
from tests.recipes import limits
from tests.recipes.keypoints import keypoints, landmarks, mmpose, openpose, results, rtmlib, write

HALPE = keypoints("halpe26", frames=4)


def changed(value, *path):
    """AlphaPose results of which one entry is another."""
    entries = results(HALPE, idx=1)
    place = entries[1]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return entries


@pytest.mark.parametrize("value", [10**400, float("nan"), "high", None, [1]])
def test_a_score_that_is_none_does_not_matter(tmp_path, value):
    found = keypoint_files.read(write(tmp_path, changed(value, "score")))
    assert len(found.tracks[0].frames_N) == 4


@pytest.mark.parametrize(
    "data, message",
    [
        (changed(1e300, "keypoints", 6), "frame 1, keypoint 2: 1e.300 is neither a pixel nor"),
        (changed(10**400, "keypoints", 6), "frame 1: keypoints: not a list of numbers"),
        ({"keypoints": rtmlib(HALPE)[0]["keypoints"], "scores": 3}, "not a list with an entry"),
        ({"keypoints": [[]], "scores": {"0": 1}}, "not a list with an entry per frame"),
        *(
            ({"width": w, "height": 480, "frames": landmarks(HALPE, 640, 480)}, "width, height: ")
            for w in (float("nan"), float("inf"), -640, "wide", 1e300)
        ),
    ],
)
def test_odd_values_are_named(tmp_path, data, message):
    with pytest.raises(ValueError, match=message) as raised:
        keypoint_files.read(write(tmp_path, data))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"keypoints": 3.0, "scores": np.ones(3)}, "an array .. of float64|keypoints are an array"),
        ({"keypoints": np.ones(3), "scores": np.ones(3)}, "keypoints are an array .3,."),
        ({"keypoints": np.ones((4, 17, 2)), "scores": 1.0}, "keypoints are an array"),
        ({"keypoints": HALPE.astype(complex)}, "of complex128"),
        ({"keypoints": HALPE, "fps": np.ones((2, 2))}, "fps .* makes no sense"),
        ({"keypoints": np.full((4, 26, 3), 1e300)}, "is neither a pixel nor a confidence"),
    ],
)
def test_odd_arrays_are_named(tmp_path, arrays, message):
    path = tmp_path / "x.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message) as raised:
        keypoint_files.read(path)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_a_header_that_promises_and_an_archive_that_inflates(tmp_path):
    """Within 300 MB and seconds; the second would be 3 GB."""
    promises, inflates = tmp_path / "promises.npy", tmp_path / "inflates.npz"
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**12, 0, 3)}
    with promises.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    import zipfile

    with zipfile.ZipFile(inflates, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("keypoints.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(
                member, {"descr": "<f8", "fortran_order": False, "shape": (6 * 10**6, 17, 3)}
            )
            for _ in range(2448):
                member.write(bytes(10**6))
    said = limits.outcomes(
        "from mbjax.keypoints.read import read", "read",
        {"promises": str(promises), "inflates": str(inflates)}, megabytes=500, seconds=20,
    )  # fmt: skip
    assert set(said) == {"promises", "inflates"}
    assert all(text.startswith("ValueError: ") for text in said.values()), said


def test_a_thousand_persons_without_ids_in_seconds():
    rng = np.random.default_rng(0)
    bodies = rng.uniform(0, 50, (1000, 17, 2)) + rng.uniform(0, 20000, (1000, 1, 2))
    order = rng.permutation(1000)
    points = np.concatenate([np.stack([bodies, bodies[order] + 1]), np.ones((2, 1000, 17, 1))], -1)
    observations = [
        tracking.Observation(t, None, person) for t, row in enumerate(points) for person in row
    ]
    begun = time.monotonic()
    numbers = tracking.link(observations)
    assert time.monotonic() - begun < 10  # 0.2 s alone; each with each it was 20
    assert numbers[1000:] == [order[i] + 1 for i in range(1000)]


@pytest.mark.parametrize("seed", range(3))
def test_people_of_a_crowd_are_linked_as_people_of_a_few_are(monkeypatch, seed):
    """Whether they are looked up by place or compared each with each."""
    rng = np.random.default_rng(seed)
    walks = rng.uniform(0, 600, (25, 1, 1, 2)) + np.cumsum(rng.normal(0, 6, (25, 6, 1, 2)), axis=1)
    people = walks + rng.uniform(0, 90, (25, 1, 17, 2))
    confidence = (rng.random((25, 6, 17, 1)) < 0.7) * 1.0
    observations = [
        tracking.Observation(t, None, np.concatenate([people[m, t], confidence[m, t]], -1))
        for t in range(6) for m in rng.permutation(25)
    ]  # fmt: skip
    by_place = tracking.link(observations)
    assert 25 <= len(set(by_place)) < 60
    monkeypatch.setattr(tracking, "_CROWD", 10**9)
    assert tracking.link(observations) == by_place


def test_files_that_are_something_else(tmp_path):
    (tmp_path / "walk.MP4").write_bytes(b"\0\0\0 ftypisom\xf4")
    with pytest.raises(ValueError, match="walk.MP4: a video or a picture; give it as --video"):
        keypoint_files.read(tmp_path / "walk.MP4")
    folder = tmp_path / "predictions"
    folder.mkdir()
    for t in range(2):
        (folder / f"{t}.json").write_text(json.dumps(mmpose(HALPE)))
    with pytest.raises(ValueError, match="0.json: not what OpenPose writes .* give one file"):
        keypoint_files.read(folder)
    body = openpose(tmp_path / "open", keypoints("body25"))
    (body / "more_keypoints.json").mkdir()  # a folder of that name
    assert len(keypoint_files.read(body).tracks[0].frames_N) == 12


def test_one_id_for_two_persons_is_told(tmp_path):
    entries = results(HALPE, idx=1) + results(HALPE + [400, 0, 0], idx=1)
    found = keypoint_files.read(write(tmp_path, entries))
    assert found.notes == (
        "one tracking id, 1, for several persons of a frame: persons linked by position, 2 found",
    )
