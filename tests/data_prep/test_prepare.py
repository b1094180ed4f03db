"""`mbjax prepare`: whole datasets or none, kept parts, cards, and one line for every trouble."""

import ast
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from data_prep import bvh_namings, parts, prepare
from data_prep.corpora import bvh
from data_prep.corpus import Corpus, Settings
from data_prep.report import Report, summary
from mbjax import cli
from mbjax.data.records import RecordReader
from tests.recipes import bvh as bvh_recipes

# Random motion is nobody's: its naming is said.
OPTIONS = ["--frames", "30", "--stride", "30", "--test", "b", "--naming", "cmu"]


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for seed, name in enumerate("abc"):
        bvh_recipes.write(folder / f"{name}.bvh", 121, seed=seed)
    return folder


def command(raw, out, *options):
    return cli.main(["prepare", "bvh", "--raw", str(raw), "--out", str(out), *OPTIONS, *options])


def everything(folder):
    return {str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file()}


def test_the_result_for_a_program(raw, tmp_path, capsys):
    for _ in range(2):  # made, and there already
        assert command(raw, tmp_path / "out", "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert found["corpus"] == "bvh" and found["clips"] == {"test": 2, "train": 4}
        assert found["dataset"] == str(tmp_path / "out" / "1.0.0")


def test_a_whole_dataset_with_its_card(raw, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(raw, out) == 0
    assert everything(tmp_path) - {f"raw/{n}.bvh" for n in "abc"} == {
        "out/1.0.0/card.json",
        "out/1.0.0/croissant.json",
        "out/1.0.0/dataset_info.json",
        "out/1.0.0/features.json",
        "out/1.0.0/bvh-test.tfrecord-00000-of-00001",
        "out/1.0.0/bvh-train.tfrecord-00000-of-00001",
    }
    printed = capsys.readouterr().out
    assert "clips: train 4, test 2" in printed
    assert "read: 3 files, 180 frames of motion, 0.001 hours" in printed
    card = json.loads((out / "1.0.0/card.json").read_text())
    assert card["corpus"] == "bvh"
    assert card["options"]["frames"] == 30
    assert card["clips"] == {"test": 2, "train": 4}
    (digest,) = [f["sha256"] for f in card["raw_files"] if f["name"] == "a.bvh"]
    hashed = subprocess.run(
        ["sha256sum", raw / "a.bvh"], capture_output=True, text=True, check=True
    )
    assert digest == hashed.stdout.split()[0]

    # What training reads is what the corpus' own code makes.
    options = bvh.BvhOptions(frames=30, stride=30, naming="cmu")
    reader = RecordReader(out, "train")
    assert len(reader) == 4
    (source,) = [s for s in bvh.Bvh.source_files(raw, options) if s.name == "c.bvh"]
    made = {r["first_frame"]: r for _, r in bvh.Bvh.records(source, options, Report("c"))}
    for record in (reader[i] for i in range(4)):
        if record["source"] == "c":
            expected = made.pop(int(record["first_frame"]))
            np.testing.assert_array_equal(record["pose"], expected["pose"])
            assert record["fps"] == 60
    assert not made
    # And TFDS itself reads it.
    assert tfds.builder_from_directory(out / "1.0.0").info.splits["test"].num_examples == 2


def test_run_again_keeps_what_is_there(raw, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    assert command(raw, out) == 0
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "make_part", None)  # calling it would fail
        assert command(raw, out) == 0
    assert "was there already" in capsys.readouterr().out
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before

    assert command(raw, out, "--stride", "15") == 1
    error = capsys.readouterr().err
    assert error.strip().split("\n")[-1].startswith("mbjax prepare: error: ")
    assert "holds something else" in error
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
    assert command(raw, out, "--stride", "15", "--overwrite") == 0
    assert len(RecordReader(out, "train")) == 6


def test_a_stopped_run_goes_on_where_it_was(raw, tmp_path, capsys, monkeypatch):
    out, made = tmp_path / "out", []
    usual = prepare.make_part

    def stopped_at_b(corpus, source, options, path):
        if source.name == "b.bvh":
            raise KeyboardInterrupt
        made.append(source.name)
        usual(corpus, source, options, path)

    monkeypatch.setattr(prepare, "make_part", stopped_at_b)
    assert command(raw, out) == 130
    assert "finished parts are kept" in capsys.readouterr().err
    assert not out.exists()
    assert made == ["a.bvh"]

    def counted(corpus, source, options, path):
        made.append(source.name)
        usual(corpus, source, options, path)

    monkeypatch.setattr(prepare, "make_part", counted)
    assert command(raw, out) == 0
    assert made == ["a.bvh", "b.bvh", "c.bvh"]
    assert not (tmp_path / "out.parts").exists()
    monkeypatch.undo()

    # The same bytes as in one go.
    assert command(raw, tmp_path / "at_once") == 0
    for path in (out / "1.0.0").iterdir():
        assert path.read_bytes() == (tmp_path / "at_once/1.0.0" / path.name).read_bytes()


def test_parts_of_other_options_or_files_are_not_used(raw, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert command(raw, out) == 130
    kept = {p.name for p in (tmp_path / "out.parts").rglob("*.npz")}
    assert len(kept) == 3
    bvh_recipes.write(raw / "a.bvh", 181, seed=9)
    assert command(raw, out) == 0
    assert len(RecordReader(out, "train")) == 3 + 2


@pytest.mark.parametrize("ending", [".parts", ".incomplete"])
@pytest.mark.parametrize("of_raw", [False, True])
def test_folders_of_others_beside_the_dataset_are_left_alone(raw, tmp_path, capsys, ending, of_raw):
    theirs = tmp_path / f"out{ending}" / "takes"
    theirs.mkdir(parents=True)
    (theirs / "notes.txt").write_text("the only copy")
    if of_raw:
        bvh_recipes.write(theirs / "a.bvh", 121)
    before = everything(theirs)
    assert command(theirs.parent if of_raw else raw, tmp_path / "out") == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "was not made by this command" in error and "another --out" in error
    assert everything(theirs) == before and not (tmp_path / "out").exists()


def test_killed_while_writing_leaves_nothing_that_looks_whole(raw, tmp_path):
    out = tmp_path / "out"
    code = (
        "import os, sys\n"
        "from data_prep import prepare\n"
        "from mbjax import cli\n"
        "prepare._put = lambda *_: os._exit(9)\n"  # as a power cut at the worst moment
        "cli.main(['prepare', *sys.argv[1:]])\n"
    )
    arguments = ["bvh", "--raw", str(raw), "--out", str(out), *OPTIONS]
    here = Path(prepare.__file__).parents[1]
    killed = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=here, capture_output=True, check=False
    )
    assert killed.returncode == 9
    assert not out.exists()
    with pytest.raises(FileNotFoundError, match="make one with 'mbjax prepare"):
        RecordReader(out, "train")
    assert command(raw, out) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "raw"]


@pytest.mark.parametrize("stage", ["part", "shard"])
def test_full_disk_leaves_no_dataset(raw, tmp_path, stage):
    # A file may grow to so many bytes and no further: a part has 14 kB, a shard 25 kB.
    limit = 10_000 if stage == "part" else 20_000
    code = (
        "import resource, sys\n"
        "from data_prep import prepare\n"
        "from mbjax import cli\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "sys.exit(cli.main(['prepare', *sys.argv[1:]]))\n"
    )
    out = tmp_path / "out"
    arguments = ["bvh", "--raw", str(raw), "--out", str(out), *OPTIONS]
    here = Path(prepare.__file__).parents[1]
    full = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=here, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert full.returncode == 1, full.stderr
    last = full.stderr.strip().split("\n")[-1]
    assert last.startswith("mbjax prepare: error: no room to write")
    assert "make room and run again" in last
    assert "Traceback" not in full.stderr
    assert not out.exists()
    assert not (tmp_path / "out.incomplete").exists()
    assert not list(tmp_path.rglob("*.tmp"))
    assert command(raw, out) == 0  # with room again


def test_no_room_is_told_from_other_trouble(raw, tmp_path, capsys, monkeypatch):
    def fails(number):
        def write_part(*_):
            raise OSError(number, os.strerror(number), "x")

        return write_part

    monkeypatch.setattr(parts, "write_part", fails(errno.ENOSPC))
    assert command(raw, tmp_path / "out") == 1
    assert "error: no room to write" in capsys.readouterr().err
    monkeypatch.setattr(parts, "write_part", fails(errno.EACCES))
    assert command(raw, tmp_path / "out") == 1
    assert "Permission denied" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bvh", "--raw", "nowhere", "--out", "out"], "raw folder nowhere does not exist"),
        (["bvh", "--raw", "empty", "--out", "out"], "nothing of bvh in empty; expected there"),
        (["posetrack", "--raw", "empty", "--out", "out"], "nothing of posetrack in empty"),
        (["bvh", "--raw", "broken", "--out", "out"], "nothing of bvh could be used"),
        (["bvh", "--raw", "broken", "--out", "file"], "file is a file; give a folder"),
        (["bvh", "--raw", "broken", "--out", "out", "--naming", "x"], "naming 'x' is neither"),
    ],
)
def test_trouble_is_one_line(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/a.bvh").write_text("HIERARCHY")
    (tmp_path / "file").write_text("")
    assert cli.main(["prepare", *arguments]) == 1
    last = capsys.readouterr().err.strip().split("\n")[-1]
    assert last.startswith("mbjax prepare: error: ")
    assert said in last
    assert not (tmp_path / "out").exists()


def test_wrong_usage(capsys):
    for arguments in ([], ["unknown"], ["bvh", "--raw", "x"], ["bvh", "--fps", "many"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(["prepare", *arguments])
        assert stopped.value.code == 2
    for name in prepare.CORPORA:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["prepare", name, "--help"])
        assert stopped.value.code == 0
        assert "Expected in RAW:" in " ".join(capsys.readouterr().out.split())


def test_the_builder_alone_writes_the_same_records(raw, tmp_path):
    """What `tfds build` runs: the class with a manual folder, without parts."""
    assert command(raw, tmp_path / "out") == 0
    settings = Settings(
        name="mine", options={"frames": 30, "stride": 30, "test": "b", "naming": "cmu"}
    )
    builder = bvh.Bvh(data_dir=tmp_path / "tfds", config=settings)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=raw))
    for split in ("train", "test"):
        ours, theirs = (RecordReader(d, split) for d in (tmp_path / "out", builder.data_path))
        assert len(ours) == len(theirs)
        for i in range(len(ours)):
            for name, value in ours[i].items():
                np.testing.assert_array_equal(theirs[i][name], value)


def test_parts_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    records = [
        (f"k{i}", {
            "keypoints": rng.random((1 + i % 2, 5 + i, 17, 3)).astype(np.float32),
            "source": "é" * i, "label": i, "fps": 0.5,
        })
        for i in range(4)
    ]  # fmt: skip
    report = Report("x")
    report.leave_out("y", "z", 3)
    parts.write_part(tmp_path / "train" / "p.npz", records, report)
    parts.write_part(tmp_path / "train" / "q.npz", [], Report("none"))
    back = list(parts.read_parts(tmp_path / "train"))
    assert [key for key, _ in back] == [key for key, _ in records]
    for (_, one), (_, two) in zip(back, records, strict=True):
        assert set(one) == set(two)
        for name, value in two.items():
            np.testing.assert_array_equal(one[name], value)
            assert type(one[name]) is type(value)
    assert parts.read_report(tmp_path / "train" / "p.npz") == report


def test_summary_counts_everything_and_names_the_first():
    reports = []
    for i in range(7):
        report = Report(f"file{i}", clips=2)
        report.read(600, 60)
        report.leave_out("clip 3", "not a number in pose")
        report.note("neutral body used")
        reports.append(report)
    reports[0].leave_out("", "the file is empty", 4)
    lines = summary(reports, {"train": 14}).split("\n")
    assert lines[0] == "clips: train 14"
    assert lines[1] == "read: 7 files, 4,200 frames of motion, 0.019 hours"
    assert "left out: 7 (not a number in pose)" in lines
    assert "  file0: clip 3" in lines
    assert "  and 2 more, listed in card.json" in lines
    assert "left out: 4 (the file is empty)" in lines
    assert "note: neutral body used (7)" in lines


def test_what_records_depend_on_is_in_their_checksum():
    """Parts of an interrupted run are used again only where all that made them is the same."""
    here = Path(prepare.__file__).parents[1]
    counted = {path.resolve() for path in prepare._sources_of_records()}
    waiting = [path for path in (here / "data_prep").rglob("*.py")]
    reached = set()
    while waiting:
        path = waiting.pop()
        if path.resolve() in reached:
            continue
        reached.add(path.resolve())
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in getattr(node, "names", ()) if hasattr(alias, "name")]
            if isinstance(node, ast.ImportFrom):
                names = [node.module, *(f"{node.module}.{name}" for name in names)]
            elif not isinstance(node, ast.Import):
                continue
            for name in names:
                module = (here / name.replace(".", "/")).with_suffix(".py")
                waiting += [module] if module.is_file() else []
    not_counted = {path.relative_to(here.resolve()).as_posix() for path in reached - counted}
    # These write files and messages, and make no numbers.
    not_counted = {path for path in not_counted if not path.startswith("mbjax/storage/")}
    assert not_counted <= {"mbjax/atomic_files.py", "mbjax/remarks.py"}


def test_a_damaged_part_is_made_anew(raw, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert command(raw, out) == 130
    kept = sorted((tmp_path / "out.parts").rglob("*.npz"))
    kept[0].write_bytes(kept[0].read_bytes()[:-200])  # seen before the others are made
    kept[1].write_bytes(b"nonsense")
    content = bytearray(kept[2].read_bytes())
    content[content.index(b"value.pose") + 2000] ^= 1  # seen when it is written
    kept[2].write_bytes(content)
    assert command(raw, out) == 1
    error = capsys.readouterr().err.strip().split("\n")[-1]
    assert f"{kept[2]} was damaged and is removed" in error and "run again" in error
    assert command(raw, out) == 0
    assert command(raw, tmp_path / "at_once") == 0
    for path in (out / "1.0.0").iterdir():
        assert path.read_bytes() == (tmp_path / "at_once/1.0.0" / path.name).read_bytes()


def test_nothing_usable_is_one_short_line_and_leaves_nothing(tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    for i in range(18):
        (tmp_path / f"raw/a{i:02d}.bvh").write_text("HIERARCHY\n" + "x" * 3000 * (i % 3))
    assert command(tmp_path / "raw", tmp_path / "out") == 1
    error = capsys.readouterr().err.strip().split("\n")[-1]
    assert "nothing of bvh could be used: 18 of 18 files left out: no line MOTION" in error
    assert error.endswith("the first is a00.bvh") and len(error) < 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


@pytest.mark.parametrize(
    "options, said",
    [
        (["--frames", "100000"], "--frames 100,000 is longer than every recording for training"),
        (["--frames", "0"], "--frames is 0; it must be from 1 to 100000"),
        (["--stride", "-3"], "--stride is -3"),
        (["--metres-per-unit", "-1"], "--metres-per-unit is -1; it must be from 0 to 1000"),
        (["--metres-per-unit", "nan"], "--metres-per-unit is nan"),
        (["--fps", "inf"], "--fps is inf"),
        (["--fps", "0"], "--fps is 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(raw, tmp_path, capsys, options, said):
    assert command(raw, tmp_path / "out", *options) == 1
    assert said in capsys.readouterr().err.strip().split("\n")[-1]
    assert not (tmp_path / "out").exists()


NAMING = {"joints": bvh_namings.CMU["joints"], "metres_per_unit": 0.01}


@pytest.mark.parametrize(
    "change, said",
    [
        ({"metres_per_unit": 10**400}, "metres_per_unit is not a number from 0"),
        ({"metres_per_unit": "1"}, "metres_per_unit is not a number from 0"),
        ({"drop_first_frame": 3}, "drop_first_frame is not true or false"),
        ({"joints": 5}, "'joints' lacks"),
        (
            {"joints": {**bvh_namings.CMU["joints"], "nose": {"between": 3}}},
            "nose is not a node's name",
        ),
        ({"joints": {**bvh_namings.CMU["joints"], "root": []}}, "root is not a node's name"),
    ],
)
def test_a_naming_that_is_wrong_stops_before_the_start(raw, tmp_path, capsys, change, said):
    path = tmp_path / "naming.json"
    path.write_text(json.dumps({**NAMING, **change}))
    assert command(raw, tmp_path / "out", "--naming", str(path)) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out.parts").exists()


WITHOUT_TENSORFLOW = """
import sys
from importlib.machinery import PathFinder
class WithoutTensorflow(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        tensorflow = name.partition(".")[0] == "tensorflow"
        return None if tensorflow else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutTensorflow
from tensorflow_datasets.core import shuffle
shuffle.MAX_MEM_BUFFER_SIZE = {buffer}
from mbjax import cli
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("buffer", [10**9, 20_000])
def test_tensorflow_is_not_needed_and_changes_nothing(raw, tmp_path, buffer):
    """Also where more is sorted than is kept in memory; TensorFlow's own files are the same."""
    arguments = ["prepare", "bvh", "--raw", str(raw), "--out", str(tmp_path / "out"), *OPTIONS]
    here = Path(prepare.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW.format(buffer=buffer), *arguments],
        cwd=here, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    settings = Settings(
        name="prepared", options={"frames": 30, "stride": 30, "test": "b", "naming": "cmu"}
    )
    builder = bvh.Bvh(data_dir=tmp_path / "tfds", config=settings)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=raw))
    theirs = Path(builder.data_path)
    for path in (tmp_path / "out/1.0.0").glob("*.tfrecord*"):
        ours = RecordReader(tmp_path / "out", path.name.split("-")[1].split(".")[0])
        other = RecordReader(theirs, ours.split)
        assert [r["source"] for r in read(ours)] == [r["source"] for r in read(other)]
        for one, two in zip(read(ours), read(other), strict=True):
            np.testing.assert_array_equal(one["pose"], two["pose"])
        assert path.stat().st_size == (theirs / path.name).stat().st_size


def read(reader):
    return [reader[i] for i in range(len(reader))]


def test_a_corpus_that_lacks_something_is_no_class():
    with pytest.raises(TypeError, match="corpus Half has no source_files, records"):

        class Half(Corpus):
            @classmethod
            def record_features(cls, options):
                return None
