"""The base of all TFDS builders here: raw files in, records out, problems counted and reported.

A corpus is a module with one subclass of `Corpus`, which says

    class Amass(Corpus):                  # the class's name in snake case is the corpus' name
        # its docstring, one paragraph, becomes the dataset's description
        TREE = "<dataset>/<subject>/*_poses.npz"      # for the error when nothing is found
        OPTIONS = AmassOptions            # a frozen dataclass; its fields are command-line options

        @classmethod
        def record_features(cls, options): return features.mocap(options.frames)

        @classmethod
        def source_files(cls, raw, options): return [SourceFile("train", name, path), ...]

        @classmethod
        def records(cls, source, options, report):
            ...
            report.read(frames, fps)
            yield key, {"pose": ..., "source": ..., "first_frame": ..., "fps": ...}

`records` reads one raw file. What is wrong with one clip in it: `report.leave_out(where, why)` and
go on. What is wrong with the file: raise BadFile (or ValueError, KeyError ...); what was yielded
before stays, the rest of the file is counted as left out, the rest of the corpus goes on. Records
with NaN or infinity in them need no care: they are left out here. Keys need be unique within the
file and the split only.

`mbjax prepare` (data_prep/prepare.py) runs these builders with progress, parts that survive an
interruption, and a card; `tfds build --manual_dir=RAW` runs them plainly. Both write the same
records.
"""

import dataclasses
import math
import pathlib
import re
from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from data_prep.parts import read_parts
from data_prep.report import Report, summary
from mbjax.remarks import one_line


class BadFile(ValueError):
    """A raw file that is not what it should be: left out, and the rest of the corpus goes on."""


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """One unit of work: a raw file and the split that its records go to.

    name: the path below the raw folder with forward slashes; records, reports and the card call
    the file so. A file that holds several splits is one SourceFile for each.
    """

    split: str
    name: str
    path: pathlib.Path


def found(raw: pathlib.Path, pattern: str, split: str) -> list[SourceFile]:
    """The files under `raw` that match a glob pattern, sorted by name, all for one split."""
    paths = sorted(path for path in raw.glob(pattern) if path.is_file())
    return [SourceFile(split, path.relative_to(raw).as_posix(), path) for path in paths]


def option(default, help, choices=None, low=0, high=1_000_000):
    """A field of an OPTIONS dataclass with the text that --help shows for it.

    low, high: of a number.
    """
    metadata = {"help": help, "choices": choices, "low": low, "high": high}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class NoOptions:
    """For a corpus without options."""


@dataclasses.dataclass(eq=False)
class Settings(tfds.core.BuilderConfig):
    """What a builder is made with: options by name, and how it runs.

    parts: a folder of finished parts (data_prep/parts.py) to write from, instead of from raw
    files. beam: records are made by an Apache Beam pipeline.
    """

    options: dict = dataclasses.field(default_factory=dict)
    parts: str | None = None
    beam: bool = False


class Corpus(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """See the module's docstring.

    A subclass has the class methods

        record_features(options) -> tfds.features.FeaturesDict     what a record holds (features.py)
        source_files(raw, options) -> [SourceFile, ...]            in a fixed order; empty if none
        records(source, options, report) -> (key, record), ...     of one raw file, for its split
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First."}
    BUILDER_CONFIGS: ClassVar = [Settings(name="default", description="The default options.")]
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Give the folder of raw files as --manual_dir."
    TREE = ""
    OPTIONS: type = NoOptions
    NEEDED: ClassVar = ("record_features", "source_files", "records")

    def __init_subclass__(cls, skip_registration: bool = False, **further):
        """skip_registration: the class is a base of corpora and may leave some for them to add."""
        super().__init_subclass__(skip_registration=skip_registration, **further)
        missing = [name for name in cls.NEEDED if not hasattr(cls, name)]
        if missing and not skip_registration:
            raise TypeError(f"corpus {cls.__name__} has no {', '.join(missing)}")

    @classmethod
    def companions(cls, raw: pathlib.Path, options) -> list[pathlib.Path]:
        """Further files that the records depend on (body models, a name mapping)."""
        return []

    @classmethod
    def subject_of(cls, name: str) -> str:
        """Who moves in a raw file of this name; '' where the corpus does not say."""
        return ""

    # --- what TFDS asks ------------------------------------------------------------------------

    @property
    def options(self):
        return make_options(type(self), self.builder_config.options)

    def _info(self):
        # Not by dataset_info_from_configs, which takes the folder's README for a description.
        return tfds.core.DatasetInfo(
            builder=self,
            description=" ".join((self.__doc__ or "").split()),
            features=self.record_features(self.options),
            disable_shuffling=False,
        )

    def _split_generators(self, dl_manager):
        if self.builder_config.parts is not None:
            parts = pathlib.Path(self.builder_config.parts)
            splits = sorted(path.name for path in parts.iterdir() if path.is_dir())
            return {split: read_parts(parts / split) for split in splits}
        sources = find_sources(type(self), pathlib.Path(dl_manager.manual_dir), self.options)
        splits = dict.fromkeys(source.split for source in sources)
        return {
            split: self._generate_examples([s for s in sources if s.split == split])
            for split in splits
        }

    def _generate_examples(self, sources: list[SourceFile]):
        if self.builder_config.beam:
            beam = tfds.core.lazy_imports.apache_beam
            return beam.Create(sources) | beam.FlatMap(self._of_source)
        return self._one_by_one(sources)

    def _of_source(self, source):
        return list(checked_records(type(self), source, self.options, Report(source.name)))

    def _one_by_one(self, sources):
        reports = []
        for source in sources:
            reports.append(Report(source.name))
            yield from checked_records(type(self), source, self.options, reports[-1])
        print(summary(reports, {sources[0].split: sum(report.clips for report in reports)}))


def make_options(corpus: type[Corpus], values: dict):
    """The corpus' options; ValueError for a name that it does not have."""
    known = {field.name for field in dataclasses.fields(corpus.OPTIONS)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(
            f"{corpus.name} has no option {', '.join(unknown)}; it has: "
            + (", ".join(sorted(known)) or "none")
        )
    options = corpus.OPTIONS(**values)
    for field in dataclasses.fields(options):
        value, low, high = getattr(options, field.name), *_range(field)
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            continue
        if not math.isfinite(value) or not low <= value <= high:
            name = field.name.replace("_", "-")
            raise ValueError(f"--{name} is {value:g}; it must be from {low:g} to {high:g}")
    return options


def _range(field):
    return field.metadata.get("low", 0), field.metadata.get("high", 1_000_000)


def find_sources(corpus: type[Corpus], raw: pathlib.Path, options) -> list[SourceFile]:
    """The raw files of a corpus; FileNotFoundError in one line if there are none."""
    if not raw.is_dir():
        raise FileNotFoundError(f"raw folder {raw} does not exist; give the one with {corpus.TREE}")
    sources = corpus.source_files(raw, options)
    if not sources:
        raise FileNotFoundError(f"nothing of {corpus.name} in {raw}; expected there: {corpus.TREE}")
    for source in sources:
        check_split(source.split, source.name)
    return sources


def check_split(split: str, where: str) -> None:
    """ValueError for a name that cannot be a split's: it becomes a folder and part of a file name.

    'all' stands for all splits of a dataset.
    """
    if not re.fullmatch(r"[A-Za-z0-9_]{1,60}", split) or split == "all":
        raise ValueError(
            f"{where}: {split[:60]!r} cannot be the name of a split; use letters, digits and _, at"
            " most 60, and not 'all'"
        )


def checked_records(
    corpus: type[Corpus], source: SourceFile, options, report: Report
) -> Iterable[tuple[str, dict]]:
    """The records of one raw file under keys unique in the corpus, with all problems reported."""
    try:
        if source.path.stat().st_size == 0:
            raise ValueError("the file is empty")
        for key, record in corpus.records(source, options, report):
            broken = [name for name, value in record.items() if not _finite(value)]
            if broken:
                report.leave_out(key, f"not a number in {', '.join(broken)}")
                continue
            report.clips += 1
            yield f"{source.name}/{key}", record
    except KeyError as error:
        report.leave_out("", f"missing key {error}")
    # Broken files fail in the many ways of the libraries that read them; a program's own mistake
    # (AttributeError, NameError ...) is not among these and stops everything.
    except (
        ValueError, OSError, EOFError, IndexError, TypeError, ArithmeticError, RecursionError,
        MemoryError,
    ) as error:  # fmt: skip
        report.leave_out("", one_line(error))


def _finite(value) -> bool:
    return not isinstance(value, (np.ndarray, np.floating, float)) or bool(np.isfinite(value).all())
