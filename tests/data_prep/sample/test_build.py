"""The sample corpus in the package, and the steps that make its 2D clips."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mbjax
from data_prep.resampling import generator
from data_prep.sample import build as sample
from data_prep.sample import sample_builders
from mbjax.data.detector_noise import DetectionNoise
from mbjax.data.health import share_facing_forward
from mbjax.data.records import RecordReader
from mbjax.pose import skeleton
from tests.recipes import bvh as bvh_recipes

SAMPLE = Path(mbjax.__file__).parent / "sample"


def clips(name, split, field):
    reader = RecordReader(SAMPLE / name, split)
    return [reader[i] for i in range(len(reader))], np.stack([r[field] for r in reader])


def test_it_is_small_and_says_whose_it_is():
    files = [path for path in SAMPLE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 5e6
    notice = " ".join((SAMPLE / "NOTICE.txt").read_text().split())
    assert "The database was created with funding from NSF EIA-0196217" in notice
    assert "free for use in research and commercial projects worldwide" in notice


@pytest.mark.parametrize(("split", "source"), [("train", "01_03"), ("test", "01_01")])
def test_motion_is_a_person_in_camera_axes(split, source):
    records, pose = clips("motion3d", split, "pose")
    assert {record["source"] for record in records} == {source}
    assert pose.shape[1:] == (243, 17, 3)
    metres = pose / 0.298
    length = skeleton.limb_lengths(metres).mean((0, 1))
    thigh = length[skeleton.INDEX["rknee"] - 1]
    assert 0.38 < thigh < 0.46  # of an adult
    assert 1.4 < (metres[..., 1].max(-1) - metres[..., 1].min(-1)).max() < 2.2
    # y down: the head is above the ankles, but for a few moments of a crouch; x and z centred.
    head, ankle = skeleton.INDEX["head"], skeleton.INDEX["rankle"]
    assert (metres[..., head, 1] < metres[..., ankle, 1]).mean() > 0.99
    np.testing.assert_allclose(pose[:, :, 0, [0, 2]].mean(1), 0, atol=1e-6)  # float32
    assert share_facing_forward(pose.reshape(-1, 17, 3)) > 0.8
    mirrored = skeleton.mirror(pose)[..., skeleton.MIRROR, :]  # x turned round, sides not
    assert share_facing_forward(mirrored.reshape(-1, 17, 3)) < 0.2
    # A body moves less than 6 m/s here once the jumps of the recording are mended.
    speed = np.linalg.norm(np.diff(metres, axis=1), axis=-1) * 60
    assert speed.max() < 6


def test_test_split_covers_the_recording():
    records, _ = clips("motion3d", "test", "pose")
    starts = sorted(int(record["first_frame"]) for record in records)
    # 2,752 rows, less the calibration pose, at half the rate.
    assert starts == [0, 243, 486, 729, 972, 1376 - 243]


def test_annotated_and_detected_clips():
    for name, frames, count in (("annotated2d", 30, 100), ("detected2d", 81, 61)):
        records, keypoints = clips(name, "train", "keypoints")
        assert keypoints.shape == (count, frames, 17, 3)
        assert np.abs(keypoints[..., :2]).max() <= 1
        assert {record["source"] for record in records} == {"01_03"}
        # From all sides: the right shoulder is left of the left one in some, not in others.
        sides = keypoints[:, frames // 2, 14, 0] < keypoints[:, frames // 2, 11, 0]
        assert 0.25 < sides.mean() < 0.75
    assert (clips("annotated2d", "train", "keypoints")[1][..., 2] == 1).all()
    detected = clips("detected2d", "train", "keypoints")[1]
    unseen = detected[..., 2] == 0
    assert 0 < unseen.mean() < 0.02
    assert not detected[unseen].any()
    assert detected[~unseen][:, 2].min() >= 0.3


def motion(seed=0, frames=12):
    return np.random.default_rng(seed).normal(0, 1, (frames, 17, 3))


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_bones_are_scaled_alike_on_both_sides(seed):
    rng = np.random.default_rng(seed)
    pose, factor = motion(seed), rng.uniform(0.8, 1.2, 17)
    scaled = sample_builders.with_bones_scaled(pose, factor)
    ratio = skeleton.limb_lengths(scaled) / skeleton.limb_lengths(pose)
    expected = factor[1:].copy()
    expected[[i - 1 for i in skeleton.RIGHT]] = factor[list(skeleton.LEFT)]
    np.testing.assert_allclose(ratio, np.tile(expected, (12, 1)), rtol=1e-9)  # float64
    np.testing.assert_array_equal(scaled[:, 0], pose[:, 0])


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_cameras_are_orthographic(seed):
    class NoBones:
        """The generator, but people stay as they are: what is left is the camera."""

        def __init__(self):
            self._rng = np.random.default_rng(seed)

        def __getattr__(self, name):
            return getattr(self._rng, name)

        def standard_normal(self, *_):
            return np.zeros(17)

    pose = motion(seed)
    seen = sample_builders.seen_by_random_camera(pose, NoBones())
    assert (seen[..., 2] == 1).all()
    extent = np.ptp(seen[..., :2], axis=(0, 1)).max()
    assert 1 - 1e-9 <= extent <= 2 + 1e-9
    # Two orthonormal rows times one scale, of the motion or its mirror image.
    flat = (pose - pose.mean((0, 1))).reshape(-1, 3)
    best = np.inf
    for version in (seen, skeleton.mirror(seen)):
        image = (version[..., :2] - version[..., :2].mean((0, 1))).reshape(-1, 2)
        rows, *_ = np.linalg.lstsq(flat, image, rcond=None)
        gram = rows.T @ rows
        miss = np.abs(flat @ rows - image).max() + np.abs(gram / gram[0, 0] - np.eye(2)).max()
        best = min(best, miss)
    assert best < 1e-9


def test_detector_errs_as_its_table_says():
    noise = DetectionNoise.load()
    still = np.concatenate([np.zeros((81, 17, 2)), np.ones((81, 17, 1))], -1)
    runs = [sample_builders.detect(still, generator("test", i)) for i in range(200)]
    found = np.stack(runs)
    seen = found[..., 2] > 0
    error = np.linalg.norm(found[..., :2], axis=-1)
    # Uniform displacements reach half the square's side along each axis; normal ones and jitter
    # seldom pass it.
    assert np.percentile(error[seen], 99.9) < noise.uniform_range
    assert error[seen].mean() > 0.003
    curve = noise.confidence
    expected = curve["a"] / (error + curve["a"]) + curve["b"] * error + curve["m"]
    middle = seen & (np.abs(expected - 0.8) < 0.02)
    # Normal around the curve, cut at 1: 0.2 above the middle at a spread of 0.143 the cut takes
    # 0.143 * 0.088 / 1 off the mean (the normal loss at 1.4 deviations is 0.0367).
    mean = found[..., 2][middle].mean()
    assert mean == pytest.approx(0.8 - 0.143 * 0.0367, abs=0.01)


def test_made_anew_it_is_the_same(tmp_path):
    """From files in the same layout: the same bytes twice, in the shape that the package has."""
    raw = tmp_path / "raw"
    raw.mkdir()
    bvh_recipes.write(raw / "01_01.bvh", 601, seed=1)
    bvh_recipes.write(raw / "01_03.bvh", 601, seed=3)
    for out in ("one", "two"):
        (tmp_path / out).mkdir()
        with pytest.raises(FileNotFoundError, match="notice"):
            sample.make(raw, tmp_path / out)
        (raw / "notice.txt").write_text("free for use\n")
        sample.make(raw, tmp_path / out)
        (raw / "notice.txt").unlink()
    one, two = (
        {p.relative_to(tmp_path / out): p.read_bytes() for p in (tmp_path / out).rglob("*.*")
         if p.is_file()}
        for out in ("one", "two")
    )  # fmt: skip
    assert one == two
    assert set(one) == {p.relative_to(SAMPLE) for p in SAMPLE.rglob("*.*") if p.is_file()}
