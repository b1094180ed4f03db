"""Raw corpora to datasets: `mbjax prepare CORPUS --raw FOLDER --out FOLDER [options]`.

What happens, in this order: every raw file is found and its checksum taken; each becomes a part
(data_prep/parts.py) in OUT.parts, where an interrupted run finds it again; TFDS writes all parts
as shards into OUT.incomplete; the card is added; and one rename makes it OUT/VERSION. Until that
rename there is nothing at OUT that could be taken for a dataset.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import importlib.metadata
import json
import os
import pathlib
import re
import shutil

CORPORA = {
    "actions": "data_prep.corpora.actions:Actions",
    "amass": "data_prep.corpora.amass:Amass",
    "bvh": "data_prep.corpora.bvh:Bvh",
    "cmu": "data_prep.corpora.cmu:Cmu",
    "clips": "data_prep.corpora.clips:Clips",
    "h36m": "data_prep.corpora.h36m:H36m",
    "instavariety": "data_prep.corpora.instavariety:Instavariety",
    "joints": "data_prep.corpora.joints:Joints",
    "mesh_coco": "data_prep.corpora.meshes:MeshCoco",
    "mesh_h36m": "data_prep.corpora.meshes:MeshH36m",
    "mesh_own": "data_prep.corpora.meshes:MeshOwn",
    "mesh_pw3d": "data_prep.corpora.meshes:MeshPw3d",
    "mpi_inf_3dhp": "data_prep.corpora.mpi_inf_3dhp:MpiInf3dhp",
    "ntu120": "data_prep.corpora.ntu:Ntu120",
    "ntu60": "data_prep.corpora.ntu:Ntu60",
    "pairs": "data_prep.corpora.pairs:Pairs",
    "posetrack": "data_prep.corpora.posetrack:Posetrack",
}
# What corpora import of the package; a test compares this with their imports.
_ROOMS = ("safe_pickle", "safe_files", "pose", "body", "keypoints", "motion", "data")

_MARK = ".mbjax-prepare"  # in the folder that a dataset is written in: it may be removed


class CannotPrepare(ValueError):
    """One line for the user: what, where, what to do."""


def load_corpus(name: str):
    """The builder class of a corpus; CannotPrepare without TensorFlow Datasets."""
    module, _, cls = CORPORA[name].partition(":")
    try:
        return getattr(importlib.import_module(module), cls)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("data_prep"):
            raise
        raise CannotPrepare(
            f"data preparation needs {error.name}; install it with pip install 'mbjax[data]'"
        ) from error


def prepare(corpus, raw, out, options=None, *, beam=None, overwrite=False, progress=True) -> str:
    """Prepares one corpus; returns the summary. A finished dataset of the same files is kept.

    corpus: a subclass of data_prep.corpus.Corpus; options: values by name. Raises ValueError
    (CannotPrepare) or OSError, each with one line for the user; there is no dataset then.
    """
    from data_prep.corpus import find_sources, make_options
    from data_prep.shards import NO_ROOM
    from mbjax.storage.places import on_disk

    # Absolute, since parts and staging stand beside OUT, which may be ".".
    raw, out = on_disk(raw, "--raw"), on_disk(out, "--out").absolute()
    options = dict(options or {})
    typed = make_options(corpus, options)
    options = dataclasses.asdict(typed)
    sources = find_sources(corpus, raw, typed)
    files = {source.name: source.path for source in sources}
    for path in corpus.companions(raw, typed):
        if not path.is_file():
            raise CannotPrepare(f"{path} does not exist; it is needed to prepare {corpus.name}")
        # Body models are all called model.npz: their folders belong to their names.
        inside = path.is_relative_to(raw)
        files[path.relative_to(raw).as_posix() if inside else "/".join(path.parts[-3:])] = path
    checksums = _checksums(files, progress)
    card = _card(corpus, options, files, checksums)
    final = out / str(corpus.VERSION)
    kept = _already_there(out, final, card, overwrite)
    if kept:
        return kept

    parts = out.with_name(out.name + ".parts")
    staging = out.with_name(out.name + ".incomplete")
    _check_own(parts, staging, raw)
    try:
        reports = _make_parts(corpus, sources, options, card, checksums, parts, beam, progress)
        _write(corpus, options, parts, staging, card, reports)
        _put(staging / str(corpus.VERSION), final)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        free = shutil.disk_usage(out.parent).free
        raise CannotPrepare(
            f"no room to write {out} ({error.strerror}; {free / 2**20:,.0f} MiB free there); no"
            f" dataset was left, finished parts are in {parts}: make room and run again"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    shutil.rmtree(parts)
    return f"{card['summary']}\ndataset: {final}"


def described(corpus, out) -> dict:
    """What a dataset that was prepared is made of: corpus, folder, clips, reports."""
    folder = pathlib.Path(out).expanduser().absolute() / str(corpus.VERSION)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    return {"corpus": corpus.name, "dataset": str(folder), "clips": card["clips"],
            "reports": card["reports"]}  # fmt: skip


def _quiet(progress):
    return None if progress else True  # None: quiet where nobody watches, in a log file say


# --- what the dataset is made of ---------------------------------------------------------------


def _checksums(files, progress):
    from tqdm import tqdm

    found = {}
    total = sum(_size(path) for path in files.values())
    with tqdm(
        total=total,
        unit="B",
        unit_scale=True,
        desc="checksums",
        disable=_quiet(progress),
        leave=False,
    ) as bar:
        for name, path in files.items():
            digest = hashlib.sha256()
            for part in _files_in(path):
                if part != path:
                    digest.update(f"{part.name} {part.stat().st_size}\n".encode())
                with part.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
                        bar.update(len(block))
            found[name] = digest.hexdigest()
    return found


def _files_in(path):
    """The file, or the files of a folder that is one unit of work."""
    return sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]


def _size(path):
    return sum(part.stat().st_size for part in _files_in(path))


def _card(corpus, options, files, checksums):
    try:
        version = importlib.metadata.version("mbjax")
    except importlib.metadata.PackageNotFoundError:
        version = "not installed"
    return {
        "corpus": corpus.name,
        "corpus_version": str(corpus.VERSION),
        "options": options,
        "code": {"mbjax": version, "sources_sha256": _code_checksum()},
        "raw_files": [
            {"name": name, "bytes": _size(path), "sha256": checksums[name]}
            for name, path in sorted(files.items())
        ],
    }


def _code_checksum():
    digest = hashlib.sha256()
    for path in _sources_of_records():
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _sources_of_records():
    """The code that records may depend on: this package, and the rooms that it imports."""
    import mbjax

    package = pathlib.Path(mbjax.__file__).parent
    folders = [pathlib.Path(__file__).parent, *(package / room for room in _ROOMS)]
    return [path for folder in folders for path in sorted(folder.rglob("*.py"))]


def _already_there(out, final, card, overwrite):
    """A line if OUT holds this very dataset; CannotPrepare if it holds something else."""
    if not out.exists():
        return None
    if not out.is_dir():
        raise CannotPrepare(f"{out} is a file; give a folder as --out")
    made_of = ("corpus", "corpus_version", "options", "raw_files")
    with contextlib.suppress(OSError, ValueError):
        there = json.loads((final / "card.json").read_text(encoding="utf-8"))
        if not overwrite and all(there.get(key) == card[key] for key in made_of):
            return f"{there['summary']}\ndataset: {final} (was there already)"
    if overwrite or not any(out.iterdir()):
        return None
    raise CannotPrepare(
        f"{out} holds something else (other raw files or options, or no dataset); give another"
        " --out, or --overwrite"
    )


def _check_own(parts, staging, raw):
    """Both folders are removed in the end: nobody else's files may be in them."""
    other = [
        path for path in sorted(parts.rglob("*"))
        if not path.is_dir() and not re.fullmatch(r"\.?[0-9a-f]{32}\..*", path.name)
    ]  # fmt: skip
    if staging.is_dir() and any(staging.iterdir()) and not (staging / _MARK).exists():
        other.append(staging)
    for folder in (parts, staging):
        if raw.resolve().is_relative_to(folder.resolve()) or folder.is_file():
            other.append(folder)
    if other:
        raise CannotPrepare(
            f"{other[0]} was not made by this command, which works in {parts.name} and "
            f"{staging.name} beside the dataset and removes them in the end; move "
            "it, or give another --out"
        )


# --- parts, shards, the dataset ----------------------------------------------------------------


def _make_parts(corpus, sources, options, card, checksums, parts, beam, progress):
    """A report per source; afterwards `parts` holds SPLIT/*.npz of just these sources."""
    from tqdm import tqdm

    from data_prep.parts import DamagedPart, read_report

    companions = sorted(set(checksums) - {source.name for source in sources})
    made_of = [corpus.name, options, card["code"], [checksums[name] for name in companions]]
    paths = {}
    for source in sources:
        text = json.dumps([*made_of, source.split, source.name, checksums[source.name]])
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        paths[source] = parts / source.split / f"{name}.npz"
    stale = set(parts.glob("*/*")) - set(paths.values()) if parts.is_dir() else ()
    for path in stale:
        path.unlink()
    for path in paths.values():
        with contextlib.suppress(DamagedPart, FileNotFoundError):  # a damaged one is removed
            read_report(path)
    waiting = [source for source in sources if not paths[source].exists()]
    if beam is not None:
        _beam_parts(corpus, waiting, options, paths, beam)
    else:
        bar = tqdm(sources, desc=corpus.name, unit="file", disable=_quiet(progress))
        for source in bar:
            if not paths[source].exists():
                bar.set_postfix_str(source.name[-40:], refresh=False)
                make_part(corpus, source, options, os.fspath(paths[source]))
    return [(source.split, read_report(paths[source])) for source in sources]


def make_part(corpus, source, options: dict, path: str) -> None:
    """Reads one raw file and leaves its part at `path`. Fit for a worker on another machine."""
    from data_prep.corpus import checked_records, make_options
    from data_prep.parts import write_part
    from data_prep.report import Report

    report = Report(source.name)
    records = list(checked_records(corpus, source, make_options(corpus, options), report))
    write_part(pathlib.Path(path), records, report)


def _beam_parts(corpus, waiting, options, paths, beam_options):
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ModuleNotFoundError as error:
        raise CannotPrepare(
            "--beam needs Apache Beam; install it with pip install 'mbjax[beam]'"
        ) from error
    work = [(corpus, source, options, os.fspath(paths[source])) for source in waiting]
    flags = [f"--{option}" for option in beam_options.split(",") if option]
    with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
        # Reshuffle, or a runner may take all files as one piece of work.
        files = pipeline | beam.Create(work) | beam.Reshuffle()
        files | beam.MapTuple(make_part)


def _write(corpus, options, parts, staging, card, reports):
    """The shards and the card, into staging/VERSION."""
    from data_prep import croissant
    from data_prep.corpus import make_options
    from data_prep.report import counted, summary, why_nothing
    from data_prep.shards import write_shards

    clips = {}
    for split, report in reports:
        clips[split] = clips.get(split, 0) + report.clips
    clips = {split: count for split, count in clips.items() if count}
    each = [report for _, report in reports]
    card["summary"] = summary(each, clips)
    card["clips"] = clips
    people = counted(reports, lambda report: corpus.subject_of(report.source))
    activities = counted(reports, lambda report: report.activity)
    for what, found in (("subjects", people), ("activities", activities)):
        if found:
            card[what] = found
            counts = (f"{split} {len(clips):,}" for split, clips in sorted(found.items()))
            card["summary"] += f"\n{what}: " + ", ".join(counts) + " (clips of each in card.json)"
    card["reports"] = [{"split": split, **report.to_json()} for split, report in reports]
    if not clips:
        shutil.rmtree(parts)
        raise CannotPrepare(f"nothing of {corpus.name} could be used: {why_nothing(each)}")
    _check_length(options, reports)
    for folder in parts.iterdir():
        if folder.name not in clips:
            shutil.rmtree(folder)  # a split without records would be none
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    (staging / _MARK).touch()
    made = write_shards(corpus, options, parts, staging)
    text = json.dumps(card, indent=1, ensure_ascii=False)
    (made / "card.json").write_text(text + "\n", encoding="utf-8")
    croissant.write(made, corpus, make_options(corpus, options), card)
    made.rename(staging / str(corpus.VERSION))


def _check_length(options, reports):
    """CannotPrepare where no recording for training fills a clip: all would be slow motion."""
    lengths = [report.frames for split, report in reports if split == "train" and report.clips]
    frames = options.get("frames", 0)
    if lengths and max(lengths) < frames:
        raise CannotPrepare(
            f"--frames {frames:,} is longer than every recording for training, of which the longest"
            f" has {max(lengths):,} frames; give at most these"
        )


def _put(made, final):
    """Makes the finished folder the dataset, in place of one that may be there."""
    final.parent.mkdir(parents=True, exist_ok=True)
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    made.rename(final)
    shutil.rmtree(old, ignore_errors=True)
