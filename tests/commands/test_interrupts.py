"""Ctrl-C: one line and status 130, while importing, while compiling, and a second time."""

import pathlib
import signal
import time

import pytest

from tests.recipes import commands

# Python does not run its handlers while C code computes: this stands for a compiler at work.
COMPILING = (
    "import hashlib, sys\n"
    "from mbjax import cli\n"
    "def run(args):\n"
    "    print('begun', flush=True)\n"
    "    hashlib.pbkdf2_hmac('sha256', b'x', b'x', 2_000_000_000)\n"
    "from mbjax.commands import compare\n"
    "compare._compare = run\n"
    "sys.exit(cli.entry())\n"
)


def interrupted(process, line):
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error == f"{line}\n"
    return time.monotonic() - began


@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.7, 1.2])
def test_while_it_imports(tmp_path, after_s):
    arguments = ("infer", "--checkpoint", "tiny", "--keypoints", "/dev/zero")
    process = commands.start(*arguments, folder=tmp_path, GLIBC_TUNABLES="glibc.malloc.hugetlb=1")
    # From the second thread on it is ours; before, Python itself is starting.
    status = pathlib.Path(f"/proc/{process.pid}/status")
    while "Threads:\t1\n" in status.read_text():
        time.sleep(0.001)
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error in ("mbjax: interrupted\n", "mbjax infer: interrupted\n")


def test_while_it_compiles(tmp_path):
    process = commands.start("compare", "a", "b", folder=tmp_path, how=("-P", "-c", COMPILING),
                             GLIBC_TUNABLES="glibc.malloc.hugetlb=1")  # fmt: skip
    assert process.stdout.readline() == "begun\n"
    assert interrupted(process, "mbjax compare: interrupted") < 20


def test_unfinished_files_are_removed_on_the_way_out(tmp_path):
    code = COMPILING.replace(
        "    hashlib",
        "    import mbjax.atomic_files as f\n"
        "    f.output_folder('new/out').__enter__()\n"
        "    w = f.written_beside('x.npz'); w.__enter__().write_bytes(b'half')\n"
        "    hashlib",
    )
    process = commands.start("compare", "a", "b", folder=tmp_path, how=("-P", "-c", code),
                             GLIBC_TUNABLES="glibc.malloc.hugetlb=1")  # fmt: skip
    process.stdout.readline()
    time.sleep(0.5)
    interrupted(process, "mbjax compare: interrupted")
    assert list(tmp_path.iterdir()) == []


def test_an_import_is_left_at_once_whatever_it_does_with_exceptions(tmp_path):
    (tmp_path / "swallows.py").write_text(
        "import time\nprint('begun', flush=True)\n"
        "while True:\n    try:\n        time.sleep(60)\n"
        "    except BaseException:\n        print('swallowed', flush=True)\n"
    )
    code = COMPILING.replace(
        "hashlib.pbkdf2_hmac('sha256', b'x', b'x', 2_000_000_000)",
        f"sys.path.append({str(tmp_path)!r}); import swallows",
    ).replace("    print('begun', flush=True)\n", "")
    process = commands.start("compare", "a", "b", folder=tmp_path, how=("-P", "-c", code),
                             GLIBC_TUNABLES="glibc.malloc.hugetlb=1")  # fmt: skip
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.3)
    interrupted(process, "mbjax compare: interrupted")


def test_an_exception_that_is_lost_is_not_the_end_of_it(tmp_path):
    """In a callback of the garbage collector Python ignores what is raised."""
    code = COMPILING.replace(
        "    hashlib.pbkdf2_hmac('sha256', b'x', b'x', 2_000_000_000)\n",
        "    import time\n"
        "    while True:\n        try:\n            time.sleep(60)\n"
        "        except KeyboardInterrupt:\n            pass\n",
    )
    process = commands.start("compare", "a", "b", folder=tmp_path, how=("-P", "-c", code),
                             GLIBC_TUNABLES="glibc.malloc.hugetlb=1")  # fmt: skip
    assert process.stdout.readline() == "begun\n"
    assert interrupted(process, "mbjax compare: interrupted") < 20
