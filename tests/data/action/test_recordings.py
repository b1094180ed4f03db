import numpy as np

from mbjax.data.action import recordings
from mbjax.data.plan import row_generator


def test_rows_depend_on_seed_step_and_row_alone(gestures):
    whole = recordings.Recordings.open(gestures, "xsub_train")
    labels = whole.label_numbers([str(k) for k in range(20)])
    loader = recordings.ActionLoader(whole, labels, 9, 2)
    records = np.array([5, 9, 0, 41])
    batch = loader(records, np.arange(4), row_generator(0, 7))
    assert batch["keypoints"].shape == (4, 2, 9, 17, 3)
    assert not batch["keypoints"][:, 1].any(), "the second person is not there"
    np.testing.assert_array_equal(batch["label"], labels[records])
    part = loader(records, np.array([1, 3]), row_generator(0, 7))
    np.testing.assert_array_equal(part["keypoints"], batch["keypoints"][[1, 3]])
    other = loader(records, np.arange(4), row_generator(0, 8))
    assert not np.array_equal(other["keypoints"], batch["keypoints"])


def test_few_of_each_class_nest_and_depend_on_the_seed():
    labels = np.repeat(np.arange(4), [9, 1, 6, 8])
    few, more = (recordings.few_of_each(labels, count, 0) for count in (2, 5))
    assert set(few) <= set(more)
    np.testing.assert_array_equal(np.bincount(labels[few]), [2, 1, 2, 2])
    np.testing.assert_array_equal(np.bincount(labels[more]), [5, 1, 5, 5])
    assert set(few) != set(recordings.few_of_each(labels, 2, 1))
