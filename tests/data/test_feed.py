import jax
import numpy as np
import pytest

from mbjax.data.feed import ClipLoader, device_batches, every_example, host_batches
from mbjax.data.plan import Plan, Source
from mbjax.data.records import RecordReader
from mbjax.devices import sharding


@pytest.fixture(scope="module")
def loader():
    return ClipLoader(RecordReader("sample:motion3d", "train"), ["pose"], frames=9, frame_step=8)


def plan(loader, batch_size=16):
    return Plan([Source("motion", len(loader), batch_size)], seed=1, epochs=4)


def test_batches_do_not_depend_on_threads_or_where_one_starts(loader):
    mesh = sharding.make_mesh()
    row_sharding = sharding.batch_sharding(mesh)

    def read(threads, start):
        batches = host_batches(plan(loader), {"motion": loader}, row_sharding, start, threads, 4)
        return [batch["pose"] for _, batch in batches]

    whole = read(1, 0)
    assert len(whole) == plan(loader).total_steps and whole[0].shape == (16, 9, 17, 3)
    for a, b in zip(whole, read(4, 0), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(whole[2:], read(2, 2), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_hold_the_planned_records(loader):
    p = plan(loader)
    row_sharding = sharding.batch_sharding(sharding.make_mesh())
    _, batch = next(host_batches(p, {"motion": loader}, row_sharding, 3, 1, 1))
    for row, number in zip(batch["pose"], p.rows(3), strict=True):
        record = loader.reader[int(number)]["pose"]
        starts = [s for s in range(243 - 64) if np.array_equal(record[s : s + 65 : 8], row)]
        assert starts, "each row is a window of its record"


def test_device_batches_are_whole_and_in_order(loader):
    mesh = sharding.make_mesh()
    row_sharding = sharding.batch_sharding(mesh)
    arguments = plan(loader), {"motion": loader}, row_sharding
    on_host = [batch["pose"] for _, batch in host_batches(*arguments, 0, 1, 1)]
    on_device = list(device_batches(*arguments))
    assert len(on_device) == len(on_host)
    for (source, batch), expected in zip(on_device, on_host, strict=True):
        assert source == "motion" and batch["pose"].sharding.is_equivalent_to(row_sharding, 4)
        np.testing.assert_array_equal(np.asarray(batch["pose"]), expected)


def test_local_rows_split_the_batch():
    mesh = sharding.make_mesh(fsdp=2)
    rows = sharding.local_rows(sharding.batch_sharding(mesh), 16)
    np.testing.assert_array_equal(rows, np.arange(16))
    assert mesh.shape == {"data": jax.device_count() // 2, "fsdp": 2}


@pytest.mark.parametrize("count, batch", [(1, 4), (4, 4), (9, 4), (10, 3)])
def test_evaluation_sees_every_example_once(count, batch):
    seen = []
    for numbers, real in every_example(count, batch):
        assert len(numbers) == batch
        seen += numbers[real].tolist()
    assert seen == list(range(count))


@pytest.mark.parametrize("frames, frame_step", [(244, 1), (32, 8), (9, 0)])
def test_windows_that_do_not_fit_are_named(frames, frame_step):
    reader = RecordReader("sample:motion3d", "train")
    with pytest.raises(ValueError, match=f"clips of 243 frames: {frames} frames that are"):
        ClipLoader(reader, ["pose"], frames, frame_step)


def test_wrong_kind_of_dataset_is_named():
    with pytest.raises(ValueError, match="has no keypoints in its records .*right kind of dataset"):
        ClipLoader(RecordReader("sample:motion3d", "train"), ["keypoints"], 9)


def test_mesh_and_batch_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="8 devices do not divide by it; use one of 1, 2, 4, 8"):
        sharding.make_mesh(fsdp=3)
    with pytest.raises(
        ValueError, match="batch_size 12 does not divide by 8 devices; nearest: 8 or 16"
    ):
        sharding.check_batch(12, sharding.make_mesh())
