"""A command's failures: one line, status 1, nothing left half; the program's own faults stay."""

import errno
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from mbjax import atomic_files, cli
from mbjax.commands import failures
from tests.recipes import commands

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG)


@pytest.mark.parametrize("number", [*DISK, errno.ENAMETOOLONG, errno.EISDIR, errno.EACCES])
def test_the_systems_errors_are_file_and_reason(number):
    error = OSError(number, os.strerror(number), "runs/x")
    assert failures.line_of(error) == f"runs/x: {os.strerror(number)}"


def test_a_full_disk_is_found_behind_what_libraries_make_of_it():
    text = (
        'RESOURCE_EXHAUSTED: Error writing "a/0" in OCDBT database at local file '
        '"/runs/checkpoints/40.orbax-checkpoint-tmp/params": [No space left on device]'
    )
    assert failures.line_of(ValueError(text)) == "/runs/checkpoints/40: No space left on device"
    try:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.bin")
        except OSError as reason:
            raise RuntimeError("unexpected pos 53888 vs 53840") from reason
    except RuntimeError as error:
        assert failures.line_of(error) == "x.bin: No space left on device"
    group = ExceptionGroup("several", [KeyError(1), OSError(errno.EROFS, "Read-only", "y")])
    assert failures.line_of(group) == "y: Read-only"


def test_faults_of_the_program_are_none():
    for error in (RuntimeError("x"), KeyError("x"), TypeError("x"), AssertionError()):
        assert failures.line_of(error) is None
    assert failures.line_of(ValueError("a\n  b")) == "a b"
    assert failures.line_of(MemoryError()) == "out of memory"
    long = failures.line_of(ValueError("file: " + "x" * 100_000 + "; get it again"))
    assert long.startswith("file: xx") and long.endswith("xx; get it again") and len(long) < 1000


def test_what_fails_in_the_background_is_not_printed_beside_the_line():
    code = (
        "import asyncio\n"
        "from mbjax.commands import failures\n"
        "failures.quiet_threads()\n"
        "async def fail():\n"
        "    raise ValueError('RESOURCE_EXHAUSTED')\n"
        "async def main():\n"
        "    asyncio.ensure_future(fail())\n"
        "    await asyncio.sleep(0)\n"
        "asyncio.run(main())\n"
        "fail()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=commands.environment(), capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize("raised", [RuntimeError, ValueError, None])
def test_a_file_that_cannot_be_finished_is_gone_and_named(tmp_path, raised):
    """/dev/full takes nothing: what a library raises for it does not matter."""
    path = tmp_path / "x.bin"
    with pytest.raises(OSError) as caught, atomic_files.written_beside(path) as beside:
        beside.symlink_to("/dev/full")
        if raised:
            raise raised("unexpected pos 53888 vs 53840")
        with open(beside, "wb", buffering=0) as file:
            file.write(b"x")
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_a_day_later(tmp_path):
    for name, days in ((".x.77.bin", 2), (".x.78.bin", 0), (".x.y.bin", 2), (".x.77.npz", 2)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - days * 86400,) * 2)
    with atomic_files.written_beside(tmp_path / "x.bin") as beside:
        beside.touch()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".x.77.npz", ".x.78.bin", ".x.y.bin", "x.bin"]


def test_other_errors_of_a_writer_stay_what_they_are(tmp_path):
    with pytest.raises(KeyError), atomic_files.written_beside(tmp_path / "x") as beside:
        beside.write_text("half")
        raise KeyError("x")
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_is_made_first_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="later"), atomic_files.output_folder(tmp_path / "a/b"):
        raise ValueError("later")
    assert list(tmp_path.iterdir()) == []
    with atomic_files.output_folder(tmp_path / "a/b") as folder:
        (folder / "x").touch()
    assert (tmp_path / "a/b/x").exists()
    with (
        pytest.raises(NotADirectoryError, match="--out .*x is a file, not a folder"),
        atomic_files.output_folder(tmp_path / "a/b/x"),
    ):
        pass


def test_a_folder_is_made_or_refused_in_one_line(tmp_path):
    assert atomic_files.make_folder("") is None
    assert atomic_files.make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError) as caught:
        atomic_files.make_folder(tmp_path / "file" / "out")
    expected = f"{tmp_path}/file/out: --out: Not a directory"
    assert failures.line_of(caught.value) == expected


# A file may grow to so many bytes and no further, as on a disk that fills up.
LIMITED = (
    "import resource, sys\n"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
    "from mbjax.cli import entry\n"
    "sys.exit(entry())\n"
)


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "tiny", "--out", "x.safetensors"),
        ("export", "tiny", "--out", "x.bin"),
        ("export", "tiny", "--out", "x.hlo", "--format", "stablehlo"),
        ("import", "tiny", "--out", "x"),
        ("inspect", "sample:motion3d", "--out", "x"),
    ],
    ids=lambda arguments: f"{arguments[0]} {arguments[3]}",
)
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, arguments):
    folder = tmp_path / "out"
    folder.mkdir()
    status, _, error = commands.run(*arguments, folder=folder, how=("-P", "-c", LIMITED))
    assert status == 1
    assert error.count("\n") == 1 and os.strerror(errno.EFBIG) in error, error
    assert list(folder.rglob("*")) == []


def test_compare_writes_the_file_that_was_asked_for(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(3, 17, 3)))
    (tmp_path / "out").mkdir()
    motion = str(tmp_path / "a.npy")
    assert cli.main(["compare", motion, motion, "--out", str(tmp_path / "out/x.errors")]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.errors"]


def test_an_import_that_was_killed_can_be_run_again(tmp_path):
    from mbjax.training.checkpoint import FOLDER

    half = tmp_path / "run" / FOLDER / "4800.orbax-checkpoint-tmp" / "params"
    half.mkdir(parents=True)
    assert cli.main(["import", "tiny", "--out", str(tmp_path / "run")]) == 0
    assert [path.name for path in (tmp_path / "run" / FOLDER).iterdir()] == ["4800"]
    assert cli.main(["import", "tiny", "--out", str(tmp_path / "run")]) == 1


def test_a_reader_that_stops_reading_is_no_traceback(tmp_path):
    process = commands.start("--help", folder=tmp_path)
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(timeout=60) in (0, 141, 120) and "Traceback" not in error
    assert sys.platform != "linux" or "BrokenPipe" not in error, error
