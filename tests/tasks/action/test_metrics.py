import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbjax.tasks.action import metrics as classification

LABELS = np.array([0, 0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 3, 1, 0, 2])


def test_scores_by_hand():
    confusion = classification.confusion_matrix(LABELS, PREDICTED, 4)
    np.testing.assert_array_equal(
        confusion, [[2, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    )
    scores = classification.per_class(confusion)
    np.testing.assert_allclose(scores["precision"], [2 / 3, 1 / 2, 1, 0])
    np.testing.assert_allclose(scores["recall"], [1 / 2, 1 / 2, 1, 0])
    np.testing.assert_allclose(scores["f1"], [4 / 7, 1 / 2, 1, 0])
    np.testing.assert_array_equal(scores["support"], [4, 2, 1, 0])
    summary = classification.summary(confusion)
    assert summary["accuracy"] == pytest.approx(4 / 7)
    assert summary["weighted_f1"] == pytest.approx((4 * 4 / 7 + 2 / 2 + 1) / 7)
    # Class 3 was predicted, so it counts, with F1 0.
    assert summary["macro_f1"] == pytest.approx((4 / 7 + 1 / 2 + 1) / 4)


def test_top_k():
    scores = np.array([[0.1, 0.5, 0.4], [0.6, 0.3, 0.1], [0.2, 0.2, 0.2]])
    labels = np.array([2, 1, 0])
    assert classification.top_k(scores, labels, 1) == pytest.approx(1 / 3)
    assert classification.top_k(scores, labels, 2) == 1
    assert classification.top_k(scores, labels, 5) == 1, "more than there are classes"
    # Equal scores: the lower number first, so the last row is no luck of the sort.
    assert classification.top_k(scores, np.array([1, 0, 2]), 1) == pytest.approx(2 / 3)


def test_numbers_out_of_range_are_named():
    with pytest.raises(ValueError, match="label 4 is out of range: there are 4 classes"):
        classification.confusion_matrix(np.array([0, 4]), np.array([0, 0]), 4)
    with pytest.raises(ValueError, match="prediction -1 is out of range"):
        classification.confusion_matrix(np.array([0]), np.array([-1]), 4)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60),
)
@settings(max_examples=60, deadline=None)
def test_scores_hold_together(pairs):
    labels, predicted = np.array(pairs).T
    confusion = classification.confusion_matrix(labels, predicted, 5)
    scores, summary = classification.per_class(confusion), classification.summary(confusion)
    assert confusion.sum() == len(pairs)
    for name in ("precision", "recall", "f1"):
        assert ((scores[name] >= 0) & (scores[name] <= 1)).all()
    # Recall weighted by support is accuracy.
    weighted = (scores["recall"] * scores["support"]).sum() / len(pairs)
    assert summary["accuracy"] == pytest.approx(weighted)
    perfect = classification.summary(np.diag(np.diag(confusion) + 1))
    assert perfect["macro_f1"] == perfect["weighted_f1"] == 1


def test_balanced_weights_make_classes_count_alike():
    labels = np.array([0] * 6 + [1] * 2 + [3] * 4)
    weights = classification.balanced_weights(labels, 4)
    np.testing.assert_allclose(weights, [12 / 3 / 6, 12 / 3 / 2, 0, 12 / 3 / 4], rtol=1e-6)
    assert weights[labels].mean() == pytest.approx(1)
    totals = [weights[k] * (labels == k).sum() for k in (0, 1, 3)]
    np.testing.assert_allclose(totals, 4, rtol=1e-6)
