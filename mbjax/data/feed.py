"""This host's rows of each batch, read by threads ahead of time and put on the devices.

Shapes in names: B rows of the global batch, T frames, J joints.
"""

import collections
from collections.abc import Callable, Iterator, Mapping, Sequence

import grain
import jax
import numpy as np
from jax.sharding import NamedSharding

from mbjax.data.plan import Plan, row_generator
from mbjax.devices.sharding import local_rows

Batch = Mapping[str, np.ndarray]


def cut(record: Mapping, start: int, frames: int, frame_step: int, fields: Sequence[str]) -> Batch:
    """`frames` frames of a record, `frame_step` apart, from frame `start`."""
    index = start + np.arange(frames) * frame_step
    return {name: record[name][index] for name in fields}


class ClipLoader:
    """Makes the rows of one source: reads records and cuts each to the source's length.

    frames: length of a row, None for the records' own; frame_step: every how many frames. Where a
    record is longer than needed the start is drawn from (seed, step), for the global batch.
    """

    def __init__(self, reader, fields: Sequence[str], frames: int | None, frame_step: int = 1):
        self.reader, self.fields = reader, tuple(fields)
        first = reader[0]
        missing = [name for name in fields if name not in first]
        if missing:
            raise ValueError(
                f"{reader.directory} has no {', '.join(missing)} in its records (they hold "
                f"{', '.join(first)}); is it the right kind of dataset for this source?"
            )
        length = len(first[fields[0]])
        fps = float(first.get("fps") or 0)
        # Of the rows, frames a second; None where the records do not state it.
        self.fps = fps / frame_step if fps > 0 and frame_step > 0 else None
        self.frames, self.frame_step = frames or length, frame_step
        self._span = (self.frames - 1) * frame_step + 1
        if self.frames < 1 or frame_step < 1 or self._span > length:
            raise ValueError(
                f"{reader.directory} has clips of {length} frames: {self.frames} frames that are "
                f"{frame_step} apart do not fit into them"
            )

    def data_index(self) -> dict:
        """{split: what its shards hold}, see `RecordReader.index`."""
        return {self.reader.split: self.reader.index()}

    def __len__(self):
        return len(self.reader)

    def __call__(self, records: np.ndarray, rows: np.ndarray, random: np.random.Generator) -> Batch:
        """records: record numbers of the whole global batch; rows: which of them are wanted."""
        places = random.random(len(records))
        clips = []
        for row in rows:
            record = self.reader[records[row]]
            room = max(0, len(record[self.fields[0]]) - self._span)
            start = int(places[row] * (room + 1))
            clips.append(cut(record, start, self.frames, self.frame_step, self.fields))
        return {name: np.stack([clip[name] for clip in clips]) for name in self.fields}


class _HostBatches:
    """Random access to this host's part of every step of a plan, for Grain to read in threads."""

    def __init__(self, plan: Plan, loaders: Mapping[str, Callable], sharding: NamedSharding):
        self._plan, self._loaders = plan, loaders
        self._rows = {
            name: local_rows(sharding, source.batch_size) for name, source in plan.sources.items()
        }

    def __len__(self):
        return self._plan.total_steps

    def __getitem__(self, step):
        source = self._plan[step].source
        random = row_generator(self._plan.seed, step)
        return source, self._loaders[source](self._plan.rows(step), self._rows[source], random)


def host_batches(plan, loaders, sharding, start: int, threads: int, ahead: int) -> Iterator:
    """(source, numpy batch) of each step from `start` on, read by threads, in order."""
    batches = grain.MapDataset.source(_HostBatches(plan, loaders, sharding))[start:]
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(threads, ahead))
    return iter(batches.to_iter_dataset(options))


def device_batches(
    plan: Plan,
    loaders: Mapping[str, Callable],
    sharding: NamedSharding,
    start: int = 0,
    threads: int = 4,
    ahead: int = 4,
    on_device: int = 2,
) -> Iterator[tuple[str, dict[str, jax.Array]]]:
    """(source, global batch) of each step from `start` on.

    threads read `ahead` batches on the host; `on_device` batches are on their way to the devices
    before they are asked for.
    """
    waiting: collections.deque = collections.deque()
    for source, batch in host_batches(plan, loaders, sharding, start, threads, ahead):
        size = plan.sources[source].batch_size
        waiting.append((source, to_devices(batch, sharding, size)))
        if len(waiting) > on_device:
            yield waiting.popleft()
    yield from waiting


def to_devices(batch: Batch, sharding: NamedSharding, global_size: int) -> dict[str, jax.Array]:
    """This process' rows as global arrays."""
    return {
        name: jax.make_array_from_process_local_data(sharding, rows, (global_size, *rows.shape[1:]))
        for name, rows in batch.items()
    }


def every_example(count: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of example numbers that cover 0 .. count-1 once each, and which of them are real.

    The last batch is filled up with repeats of its last example, marked False.
    """
    for start in range(0, count, batch_size):
        numbers = np.arange(start, start + batch_size)
        yield np.minimum(numbers, count - 1), numbers < count
