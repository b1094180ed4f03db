import numpy as np

from mbjax.data.detected_pairs import SIZE, SamplePairs


def test_pairs_are_what_a_prepared_corpus_holds():
    reader = SamplePairs("test")
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
    first, second = SamplePairs("test"), SamplePairs("test")
    rows = np.unique(np.concatenate([first[i]["frames"] for i in range(len(first))]))
    np.testing.assert_array_equal(rows, np.arange(len(rows)))
    for i in (0, len(first) - 1):
        np.testing.assert_array_equal(first[i]["keypoints"], second[i]["keypoints"])
    assert not np.array_equal(first[0]["keypoints"], SamplePairs("train")[0]["keypoints"])


def test_pairs_have_an_index_as_the_data_of_a_run():
    """Else no run on them can say what it was trained on."""
    test, train = SamplePairs("test"), SamplePairs("train")
    assert test.index() == SamplePairs("test").index() != train.index()
    assert test.index()["records"] == len(test) and test.index()["shards"]
