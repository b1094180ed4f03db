import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbjax.data.plan import Plan, Source

sources = st.lists(
    st.tuples(st.integers(1, 40), st.integers(1, 16), st.integers(0, 3)), min_size=1, max_size=3
).map(
    lambda rows: [
        Source(f"s{i}", records, batch, 0 if i == 0 else epoch)
        for i, (records, batch, epoch) in enumerate(rows)
    ]
)


@settings(max_examples=40, deadline=None)
@given(sources, st.integers(0, 5), st.sampled_from(["sequential", "interleaved"]))
def test_each_source_passes_over_its_records_as_permutations(sources, seed, order):
    plan = Plan(sources, seed, epochs=4, order=order)
    drawn = {source.name: [] for source in sources}
    counts = dict.fromkeys(drawn, 0)
    for number in range(plan.total_steps):
        step = plan[number]
        assert step.count == counts[step.source], "a source's steps are counted without gaps"
        counts[step.source] += 1
        assert step.epoch >= plan.sources[step.source].from_epoch
        drawn[step.source].extend(plan.rows(number).tolist())
    for source in sources:
        rows = drawn[source.name]
        for start in range(0, len(rows) - source.records + 1, source.records):
            turn = rows[start : start + source.records]
            assert sorted(turn) == list(range(source.records))


def test_order_within_an_epoch():
    plan = Plan([Source("posetrack", 4, 2, 1), Source("amass", 6, 2)], 0, 2)
    names = [plan[i].source for i in range(plan.total_steps)]
    assert names == ["amass"] * 3 + ["posetrack"] * 2 + ["amass"] * 3
    assert [plan[i].epoch for i in range(plan.total_steps)] == [0] * 3 + [1] * 5
    np.testing.assert_array_equal(plan.epoch_starts(), [0, 3])
    mixed = Plan([Source("a", 4, 2), Source("b", 8, 2)], 0, 1, order="interleaved")
    assert [mixed[i].source for i in range(6)] == ["b", "a", "b", "b", "a", "b"]


def test_a_source_can_leave():
    plan = Plan([Source("h36m", 4, 2, until_epoch=2), Source("pw3d", 6, 2, 1)], 0, 3)
    names = [plan[i].source for i in range(plan.total_steps)]
    assert names == ["h36m"] * 2 + ["h36m"] * 2 + ["pw3d"] * 3 + ["pw3d"] * 3
    assert [plan[i].count for i in range(7, 10)] == [3, 4, 5]
    np.testing.assert_array_equal(plan.epoch_starts(), [0, 2, 7])
    with pytest.raises(ValueError, match="no source takes part in epoch 2"):
        Plan([Source("h36m", 4, 2, until_epoch=2)], 0, 3)


def test_a_step_says_the_same_in_any_order_and_in_another_process():
    def plan():
        return Plan([Source("a", 1000, 64), Source("b", 50, 16, 2)], 7, 5)

    first, second = plan(), plan()
    steps = range(first.total_steps)
    forward = [first.rows(i) for i in steps]
    backward = [second.rows(i) for i in reversed(steps)][::-1]
    for a, b in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(a, b)
    other_seed = Plan([Source("a", 1000, 64), Source("b", 50, 16, 2)], 8, 5)
    assert not np.array_equal(other_seed.rows(0), forward[0])


def test_rows_are_pinned():
    """A run started with an earlier version must go on with the same data."""
    plan = Plan([Source("a", 10, 5)], seed=0, epochs=2)
    np.testing.assert_array_equal(plan.rows(0), [1, 0, 4, 8, 2])
    np.testing.assert_array_equal(plan.rows(3), [0, 6, 2, 8, 1])


def test_successive_passes_differ():
    plan = Plan([Source("a", 100, 100)], 0, 3)
    assert not np.array_equal(plan.rows(0), plan.rows(1))


def test_impossible_plans_are_named():
    with pytest.raises(ValueError, match="no source takes part in the first epoch"):
        Plan([Source("a", 10, 5, from_epoch=1)], 0, 3)
    with pytest.raises(ValueError, match="source a has no records"):
        Plan([Source("a", 0, 5)], 0, 3)
    with pytest.raises(ValueError, match="order is 'random'"):
        Plan([Source("a", 1, 5)], 0, 3, order="random")
    with pytest.raises(IndexError):
        Plan([Source("a", 10, 5)], 0, 1)[2]


labelled = st.lists(st.integers(2, 5), min_size=3, max_size=7).flatmap(
    lambda counts: st.tuples(
        st.just([k for k, count in enumerate(counts) for _ in range(count)]),
        st.integers(2, len(counts)),
        st.integers(2, 4),
    )
)


def per_class_plan(labels, classes, m, seed=0):
    source = Source(
        "a", len(labels), classes * m, own_steps_per_epoch=6, labels=labels, per_class=m
    )
    return Plan([source], seed, 2)


@settings(max_examples=40, deadline=None)
@given(labelled, st.integers(0, 5))
def test_every_batch_has_m_of_each_of_its_classes(case, seed):
    labels, classes, m = case
    plan = per_class_plan(labels, classes, m, seed)
    for step in range(plan.total_steps):
        rows = plan.rows(step)
        found, counts = np.unique(np.array(labels)[rows], return_counts=True)
        assert len(found) == classes and (counts == m).all()
        for label in found:
            own = rows[np.array(labels)[rows] == label]
            times = np.unique(own, return_counts=True)[1]
            fewest = m // labels.count(label)
            assert set(times.tolist()) <= {fewest, fewest + 1}, "no record more than the others"


def test_batches_per_class_depend_on_seed_and_step_alone():
    labels = [0, 1, 2, 3, 4] * 5
    plan, again = (per_class_plan(labels, 3, 2) for _ in range(2))
    steps = range(plan.total_steps)
    forward = [plan.rows(step) for step in steps]
    backward = [again.rows(step) for step in reversed(steps)][::-1]
    np.testing.assert_array_equal(forward, backward)
    assert len({tuple(rows) for rows in forward}) == len(forward), "every step another batch"
    assert not np.array_equal(per_class_plan(labels, 3, 2, seed=1).rows(0), forward[0])
    assert {labels[row] for rows in forward for row in rows} == set(range(5))


@pytest.mark.parametrize(
    "labels, batch, m, message",
    [
        ([0, 0, 1, 2, 2], 4, 2, "class 1 has a single example"),
        ([0, 0, 1, 1, 2, 2], 8, 2, "takes 4 classes, there are 3; batch_size may be 4 to 6"),
        ([0, 0, 1, 1, 2, 2], 5, 2, "takes 2.5 classes"),
        ([0, 0, 1, 1], 2, 2, "takes 1 classes"),
        ([0, 0, 1], 2, 2, "3 labels, 4 records"),
    ],
)
def test_impossible_batches_per_class_are_named(labels, batch, m, message):
    records = 4 if "4 records" in message else len(labels)
    with pytest.raises(ValueError, match=message):
        Plan([Source("a", records, batch, labels=labels, per_class=m)], 0, 1)
