"""Which clips fill which rows of which step: a pure function of (seed, step).

Nothing here depends on the number of hosts, on time, or on what was read before, so a run resumes
anywhere from the step alone. Each source is an endless row of permutations of its records; a step
takes the next `batch_size` of its source, so within a pass every record comes exactly once.
"""

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Source:
    """What the plan needs to know of one source of clips.

    records: how many it has; batch_size: rows of its global batch; from_epoch: the curriculum's
    switch, the first epoch (from 0) that it takes part in. own_steps_per_epoch: how many steps
    an epoch has of it; 0 for one pass over its records. until_epoch: the first epoch that it takes
    no part in any more; 0 for none. labels: a class number for each record, for batches of
    per_class records of each of batch_size / per_class classes (per_class 0: not).
    """

    name: str
    records: int
    batch_size: int
    from_epoch: int = 0
    own_steps_per_epoch: int = 0
    until_epoch: int = 0
    labels: Sequence[int] = ()
    per_class: int = 0

    @property
    def steps_per_epoch(self) -> int:
        # Records left over at the end of a pass open the next: none is dropped for good.
        return self.own_steps_per_epoch or max(1, self.records // self.batch_size)

    def active(self, epoch: int) -> bool:
        return self.from_epoch <= epoch and (not self.until_epoch or epoch < self.until_epoch)


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of the plan: `count` is how many steps of this source came before."""

    source: str
    count: int
    epoch: int


class Plan:
    """The order of a run.

    order: 'sequential' passes over the sources one after another within an epoch, in the order
    given (the release's); 'interleaved' spreads each source's steps evenly over the epoch.
    Epochs grow when a source joins and shrink when one leaves; `epochs` bounds the run.
    """

    def __init__(self, sources: Sequence[Source], seed: int, epochs: int, order="sequential"):
        if order not in ("sequential", "interleaved"):
            raise ValueError(f"order is {order!r}; it must be sequential or interleaved")
        if epochs < 1:
            raise ValueError(f"epochs is {epochs}; it must be at least 1")
        for source in sources:
            if source.records < 1:
                raise ValueError(f"source {source.name} has no records")
        if not any(source.from_epoch == 0 for source in sources):
            raise ValueError("no source takes part in the first epoch; set from_epoch to 0 for one")
        self.sources = {source.name: source for source in sources}
        self.seed, self.epochs, self.order = seed, epochs, order
        # Epochs between two changes are alike: one line-up each, and where in the run it begins.
        changes = {source.from_epoch for source in sources} | {s.until_epoch for s in sources}
        changes = sorted({0, epochs} | {change for change in changes if change < epochs})
        self._phases = []
        begin = 0
        for first, last in itertools.pairwise(changes):
            active = [source for source in sources if source.active(first)]
            if not active:
                raise ValueError(f"no source takes part in epoch {first}; see until_epoch")
            lineup = _LINEUPS[order](active)
            before = {source.name: self._steps_before(source, first) for source in active}
            self._phases.append((begin, first, last, lineup, before))
            begin += len(lineup) * (last - first)
        self.total_steps = begin
        self._rows = {
            source.name: (_PerClass if source.per_class else _Endless)(source, seed)
            for source in sources
        }

    @staticmethod
    def _steps_before(source, epoch):
        return source.steps_per_epoch * max(0, epoch - source.from_epoch)

    def _phase(self, step):
        if not 0 <= step < self.total_steps:
            raise IndexError(f"step {step} of a plan of {self.total_steps}")
        return next(phase for phase in reversed(self._phases) if phase[0] <= step)

    def __getitem__(self, step: int) -> Step:
        begin, first, _, lineup, before = self._phase(step)
        epochs_in, place = divmod(step - begin, len(lineup))
        name = lineup.names[place]
        per_epoch = self.sources[name].steps_per_epoch
        count = before[name] + epochs_in * per_epoch + int(lineup.counts[place])
        return Step(name, count, first + epochs_in)

    def rows(self, step: int) -> np.ndarray:
        """Record numbers of the step's global batch, in the order of its rows."""
        source = self.sources[self[step].source]
        start = self[step].count * source.batch_size
        return self._rows[source.name].take(start, source.batch_size)

    def epoch_starts(self) -> np.ndarray:
        """The first step of each epoch, (epochs,)."""
        starts = [
            begin + np.arange(last - first) * len(lineup)
            for begin, first, last, lineup, _ in self._phases
        ]
        return np.concatenate(starts)


class _Lineup:
    """The steps of one epoch: whose each is, and that source's count within the epoch."""

    def __init__(self, names: list[str]):
        self.names = names
        seen: dict[str, int] = {}
        self.counts = np.empty(len(names), np.int64)
        for i, name in enumerate(names):
            self.counts[i] = seen.get(name, 0)
            seen[name] = seen.get(name, 0) + 1

    def __len__(self):
        return len(self.names)


def _sequential(active):
    return _Lineup([source.name for source in active for _ in range(source.steps_per_epoch)])


def _interleaved(active):
    places = [
        ((i + 0.5) / source.steps_per_epoch, number, source.name)
        for number, source in enumerate(active)
        for i in range(source.steps_per_epoch)
    ]
    return _Lineup([name for _, _, name in sorted(places)])


_LINEUPS: dict[str, Callable] = {"sequential": _sequential, "interleaved": _interleaved}


def _key(source: Source, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}/{source.name}".encode()).digest()
    return int.from_bytes(digest[:8], "little")


class _Endless:
    """Permutation after permutation of a source's records, each of its own seed.

    An order is the sorting order of raw Philox numbers, a stream that numpy keeps from version to
    version (which it does not promise of Generator.permutation).
    """

    def __init__(self, source: Source, seed: int):
        self._key, self._records = _key(source, seed), source.records
        self._order = functools.lru_cache(maxsize=8)(self._make_order)

    def _make_order(self, turn: int) -> np.ndarray:
        numbers = np.random.Philox(key=[self._key, turn]).random_raw(self._records)
        return np.argsort(numbers, kind="stable")

    def take(self, start: int, count: int) -> np.ndarray:
        turns, places = np.divmod(np.arange(start, start + count), self._records)
        records = np.empty(count, np.int64)
        for turn in np.unique(turns):
            own = turns == turn
            records[own] = self._order(int(turn))[places[own]]
        return records


class _PerClass:
    """Batches of m records of each of some classes, neighbours in the batch; drawn anew each step.

    Classes of a batch are distinct; so are records of a class where it has m of them, and where it
    has fewer each comes as often as any other, up to one.
    """

    def __init__(self, source: Source, seed: int):
        self._key, self._m, self._rows = _key(source, seed), source.per_class, source.batch_size
        labels = np.asarray(source.labels)
        if len(labels) != source.records:
            raise ValueError(
                f"source {source.name}: {len(labels)} labels, {source.records} records"
            )
        numbers, counts = np.unique(labels, return_counts=True)
        single = numbers[counts < 2].tolist()
        if single:
            raise ValueError(
                f"source {source.name}: class {', '.join(map(str, single))} has a single example; "
                "pairs of a class need two: add examples, or leave the class out"
            )
        wanted = source.batch_size // self._m
        if source.batch_size % self._m or not 2 <= wanted <= len(numbers):
            raise ValueError(
                f"source {source.name}: a batch of {source.batch_size} with {self._m} of each "
                f"class takes {source.batch_size / self._m:g} classes, there are {len(numbers)}; "
                f"batch_size may be {2 * self._m} to {len(numbers) * self._m}, by {self._m}"
            )
        self._of_class = [np.flatnonzero(labels == number) for number in numbers]

    def take(self, start: int, count: int) -> np.ndarray:
        step = start // self._rows
        # 128 bits of key: the source's, and the step's.
        random = np.random.Philox(key=[self._key, step])
        classes = np.argsort(random.random_raw(len(self._of_class)), kind="stable")
        rows = []
        for number in classes[: count // self._m]:
            own = self._of_class[number]
            order = np.argsort(random.random_raw(len(own)), kind="stable")
            rows.append(own[order[np.arange(self._m) % len(own)]])
        return np.concatenate(rows)


def row_generator(seed: int, step: int) -> np.random.Generator:
    """The host's random numbers of one step, for the whole global batch; cut rows afterwards."""
    return np.random.Generator(np.random.Philox(key=[seed & 0xFFFFFFFFFFFFFFFF, step]))


def row_keys(key: jax.Array, first_row: int, rows: int) -> jax.Array:
    """One key per row of the global batch, (rows,): a function of the key and the row's number."""
    return jax.vmap(lambda row: jax.random.fold_in(key, row))(first_row + jnp.arange(rows))


def folded(keys_B: jax.Array, number: int) -> jax.Array:
    """Rows' keys for one more thing to draw, told apart by a number."""
    return jax.vmap(jax.random.fold_in, (0, None))(keys_B, number)
