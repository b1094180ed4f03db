import numpy as np
import pytest

from mbjax.data.detected_pairs import NAME, SIZE, MotionPairs
from mbjax.data.records import RecordReader


def sample_pairs(split):
    return MotionPairs(NAME, split)


def test_pairs_are_what_a_prepared_corpus_holds():
    reader = sample_pairs("test")
    assert len({reader[i]["source"] for i in range(len(reader))}) == 4, "four cameras"
    for number in range(len(reader)):
        record = reader[number]
        assert np.abs(record["pose"][..., :2]).max() <= 0.91
        # The protocol's arithmetic gives back the truth: float32 of numbers of a metre.
        mm = record["pose"] * SIZE / 2 * record["factor_2_5d"][:, None, None]
        np.testing.assert_allclose(mm, record["pose_mm"], atol=1e-3)
        height = np.ptp(record["pose_mm"][..., 1], axis=1)
        assert 800 < np.median(height) < 1900, "a person, in mm"
        off = np.linalg.norm(record["keypoints"][..., :2] - record["pose"][..., :2], axis=-1)
        assert 0.003 < np.median(off) < 0.03, "a detector's errors"
        assert (record["keypoints"][..., 2] <= 1).all()


def test_every_frame_is_there_and_nothing_changes_between_openings():
    first, second = sample_pairs("test"), sample_pairs("test")
    rows = np.unique(np.concatenate([first[i]["frames"] for i in range(len(first))]))
    np.testing.assert_array_equal(rows, np.arange(len(rows)))
    for i in (0, len(first) - 1):
        np.testing.assert_array_equal(first[i]["keypoints"], second[i]["keypoints"])
    assert not np.array_equal(first[0]["keypoints"], sample_pairs("train")[0]["keypoints"])


def test_pairs_have_an_index_as_the_data_of_a_run():
    """Else no run on them can say what it was trained on."""
    test, train = sample_pairs("test"), sample_pairs("train")
    assert test.index() == sample_pairs("test").index() != train.index()
    assert test.index()["records"] == len(test) and test.index()["shards"]


@pytest.fixture(scope="module")
def followed():
    return MotionPairs("pairs:sample:motion3d", "test")


def test_pairs_of_a_folder_have_the_person_in_the_middle_of_each_picture(followed):
    for number in range(len(followed)):
        pose = followed[number]["pose"]
        low, high = pose.min(axis=(0, 1)), pose.max(axis=(0, 1))
        np.testing.assert_allclose((low + high)[:2], 0, atol=1e-5)  # float32 of numbers of 1
        assert np.ptp([low, high], axis=0)[:2].max() == pytest.approx(1.8, abs=1e-5)


def test_pairs_of_a_folder_are_the_same_people_nearer(followed):
    """The same clips in root-relative millimetres; turned about another centre, but as far."""
    watched = sample_pairs("test")
    assert len(followed) == len(watched)
    for number in range(0, len(followed), 5):
        near, far = followed[number], watched[number]
        assert (near["source"], near["first_frame"]) == (far["source"], far["first_frame"])
        ours, theirs = (r["pose_mm"] - r["pose_mm"][:, :1] for r in (near, far))
        np.testing.assert_allclose(ours, theirs, atol=0.05)  # mm; sums of float32 of metres


def test_a_detector_errs_by_a_share_of_the_picture(followed):
    def error_mm(reader):
        records = [reader[number] for number in range(len(reader))]
        off = [(r["keypoints"] - r["pose"])[..., :2] * r["factor_2_5d"][0] for r in records]
        return np.mean(np.linalg.norm(off, axis=-1))

    assert error_mm(followed) < 0.95 * error_mm(sample_pairs("test")), "nearer, so less"


def test_a_detector_errs_as_slowly_as_before_cameras_that_stand(followed):
    def change(reader):
        """Of the errors from frame to frame, beside their size."""
        records = [reader[number] for number in range(len(reader))]
        off = np.stack([(r["keypoints"] - r["pose"])[..., :2] for r in records])
        return np.mean(np.abs(np.diff(off, axis=1))) / np.mean(np.abs(off))

    # Of other draws, so not the same; half of it where frames are left out first.
    assert change(followed) == pytest.approx(change(sample_pairs("test")), rel=0.15)


def test_frames_that_are_missing_are_in_no_pair(monkeypatch):
    read = RecordReader.__getitem__

    def with_a_gap(self, index):
        record = read(self, index)
        frames = record["first_frame"] + np.arange(len(record["pose"]))
        hidden = (300 <= frames) & (frames < 320)
        return {**record, "pose": np.where(hidden[:, None, None], np.nan, record["pose"])}

    whole = len(MotionPairs("pairs:sample:motion3d", "train"))
    monkeypatch.setattr(RecordReader, "__getitem__", with_a_gap)
    gapped = MotionPairs("pairs:sample:motion3d", "train")
    # Clips of 161 frames begin every 54: three of them, or four, have one of the twenty.
    assert 4 * 3 <= whole - len(gapped) <= 4 * 4
    assert all(np.isfinite(gapped[i]["keypoints"]).all() for i in range(len(gapped)))


def test_what_has_no_motion_is_refused_in_one_line():
    with pytest.raises(ValueError, match="pairs:sample:detected2d: .* has no 3D motion"):
        MotionPairs("pairs:sample:detected2d", "train")
