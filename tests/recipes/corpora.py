"""Runs a corpus' own code over a raw folder, without TFDS, and keeps what it reported."""

import collections
import dataclasses

from data_prep import corpus
from data_prep.report import Report


@dataclasses.dataclass
class Run:
    records: dict  # split -> list of records, in order
    left_out: list  # (file, where, why, count)
    notes: collections.Counter
    frames: int
    seconds: float


def run(kind, raw, **options):
    """Every record of corpus class `kind` in folder `raw`."""
    options = corpus.make_options(kind, options)
    result = Run(collections.defaultdict(list), [], collections.Counter(), 0, 0.0)
    wanted = kind.record_features(options)
    keys = collections.defaultdict(set)
    for source in corpus.find_sources(kind, raw, options):
        report = Report(source.name)
        for key, record in corpus.checked_records(kind, source, options, report):
            assert set(record) == set(wanted), "a record holds what its features say"
            assert key not in keys[source.split], "keys are unique in a split"
            keys[source.split].add(key)
            result.records[source.split].append(record)
        result.left_out += [(source.name, *entry) for entry in report.left_out]
        result.notes.update(report.notes)
        result.frames += report.frames
        result.seconds += report.seconds
    return result
