"""Runs whose work folder is in a bucket: what holds on a disk holds there."""

import http.server
import json
import os
import threading
import time

import numpy as np
import pytest

from mbjax.storage import objects
from mbjax.storage.places import place
from mbjax.training import checkpoint, fetched, lock, loop
from mbjax.training.fetched import committed_steps
from mbjax.training.run_log import read_metrics
from tests.recipes import commands, processes

RUN = (40, 0.0, 10)  # steps, seconds that one takes, a checkpoint every


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    """The small run, undisturbed, on a disk."""
    workdir = tmp_path_factory.mktemp("run") / "disk"
    processes.small_run(workdir, *RUN)
    return workdir


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same in a process of its own, whose one device adds in another order."""
    folder = tmp_path_factory.mktemp("alone")
    run = processes.Run(1, 1, processes.small_run, folder / "disk", *RUN, log=folder / "log")
    assert run.wait() == [0], run.text()
    return folder / "disk"


def arrays(workdir):
    _, found = checkpoint.read(fetched.fetch(workdir), checkpoint.ARRAYS)
    return checkpoint.leaves(found)


def log(workdir):
    return [
        {name: value for name, value in row.items() if name != "clips_per_second"}
        for row in read_metrics(workdir)
        if row["kind"] != "time"
    ]


def steps(workdir):
    return committed_steps(place(workdir) / checkpoint.FOLDER)


def same(workdir, other):
    for mine, theirs in zip(arrays(workdir), arrays(other), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    return log(workdir) == log(other)


@pytest.mark.slow
def test_a_run_that_is_continued_ends_as_on_a_disk(bucket, on_disk):
    workdir = f"{bucket.url}/continued"
    processes.small_run(workdir, *RUN)
    assert steps(workdir) == [20, 30, 40]
    # As if it had been killed after step 30: the log has lines that the next start writes again.
    objects.remove_folder(f"{workdir}/checkpoints/40")
    processes.small_run(workdir, *RUN)
    assert same(workdir, on_disk)
    assert objects.names(f"{workdir}/tensorboard")
    assert "lock" not in objects.names(workdir)


@pytest.mark.slow
def test_the_newest_that_is_damaged_is_passed_over(bucket, on_disk):
    workdir = f"{bucket.url}/damaged"
    processes.small_run(workdir, *RUN)
    newest = f"{workdir}/checkpoints/40/params"
    for name, (size, _) in objects.listing(newest).items():
        if name.startswith("d/"):
            objects.write(f"{newest}/{name}", bytes(size))
    said = []
    loop.run(processes.small_config(save_every=10), processes.small_task(), workdir, said.append)
    assert any("cannot be read" in line and "trying the one before" in line for line in said)
    assert same(workdir, on_disk)


def test_one_run_a_folder(bucket, monkeypatch):
    monkeypatch.setattr(lock, "SETTLES_S", 0.0)
    monkeypatch.setattr(lock, "PATIENCE_S", 1.0)
    workdir = place(f"{bucket.url}/held")
    with lock.held(workdir):
        mine = json.loads(objects.read_bytes(workdir / lock.FILE))
        assert mine["pid"] == os.getpid()
    assert not objects.exists(workdir / lock.FILE)

    parent = {**mine, "pid": os.getppid(), "started": lock.started(os.getppid()), "id": "theirs"}
    objects.write(workdir / lock.FILE, json.dumps(parent).encode())
    with pytest.raises(lock.FolderInUse, match=f"work folder {workdir} is in use by process"):
        with lock.held(workdir):
            pass
    assert json.loads(objects.read_bytes(workdir / lock.FILE)) == parent
    # Of another host, and not written to: its process is gone.
    objects.write(workdir / lock.FILE, json.dumps({**parent, "host": "other"}).encode())
    with lock.held(workdir):
        assert json.loads(objects.read_bytes(workdir / lock.FILE))["pid"] == os.getpid()


@pytest.mark.slow
def test_a_network_that_goes_away_costs_nothing(bucket, alone, tmp_path):
    """It is away for two seconds, twice, while the run saves every tenth step."""
    workdir = f"{bucket.url}/cut"
    run = processes.Run(
        1, 1, processes.small_run, workdir, 40, 0.1, 10, log=tmp_path / "log",
        variables=bucket.variables,
    )  # fmt: skip
    for step in (10, 30):
        run.until(lambda step=step: max(steps(workdir), default=0) >= step)
        with bucket.line.cut():
            time.sleep(2)
    assert run.wait() == [0], run.text()
    assert same(workdir, alone)


@pytest.mark.slow
def test_kills_while_it_saves_lose_no_checkpoint(bucket, alone, tmp_path):
    """Killed three times, while a checkpoint is on its way, then let to its end."""
    workdir = f"{bucket.url}/killed"
    random = np.random.default_rng(0)
    for kill in range(3):
        kept = steps(workdir)
        run = processes.Run(
            1, 1, processes.small_run, workdir, 40, 0.02, 4, log=tmp_path / "log",
            variables=bucket.variables,
        )  # fmt: skip
        names = set(objects.names(f"{workdir}/checkpoints"))
        run.until(lambda before=names: set(objects.names(f"{workdir}/checkpoints")) - before)
        time.sleep(random.uniform(0, 0.3))
        run.processes[0].kill()
        run.processes[0].join()
        assert not kept or max(steps(workdir)) >= max(kept), f"kill {kill}"
        for step in steps(workdir):  # whatever is taken for whole can be read
            checkpoint.read(fetched.fetch(workdir, str(step)), checkpoint.ARRAYS)
    run = processes.Run(
        1, 1, processes.small_run, workdir, *RUN, log=tmp_path / "log",
        variables=bucket.variables,
    )  # fmt: skip
    assert run.wait() == [0], run.text()
    assert same(workdir, alone)


@pytest.mark.slow
def test_two_processes_share_a_bucket(google, on_disk, tmp_path):
    workdir = f"{google.url}/shared"
    run = processes.Run(
        2, 1, processes.small_run, workdir, *RUN, log=tmp_path / "log",
        variables=google.variables,
    )  # fmt: skip
    assert run.wait() == [0, 0], run.text()
    assert steps(workdir) == [20, 30, 40]
    nearly_same(workdir, on_disk)


@pytest.mark.slow
def test_two_processes_that_hold_half_of_each_array_write_whole_ones(amazon, on_disk, tmp_path):
    """fsdp 2, by way of process 0's disk. Both are killed, the newest checkpoint is damaged, and
    the same command goes on from the one before."""
    workdir = f"{amazon.url}/shared"

    def start(pause):
        return processes.Run(
            2, 1, processes.small_run, workdir, 40, pause, 10, "1 step", 0, 2,
            log=tmp_path / "log", variables=amazon.variables,
        )  # fmt: skip

    run = start(0.1)
    run.until(lambda: max(steps(workdir), default=0) >= 20)
    for process in run.processes:
        process.kill()
    run.wait()
    newest = steps(workdir)[-1]
    arrays_of_it = f"{workdir}/checkpoints/{newest}/params"
    for name, (size, _) in objects.listing(arrays_of_it).items():
        if "d/" in name:
            objects.write(f"{arrays_of_it}/{name}", bytes(size))
    run = start(0.0)
    assert run.wait() == [0, 0], run.text()
    assert f"{newest} cannot be read" in run.text() and "trying the one before" in run.text()
    assert steps(workdir) == [20, 30, 40]
    nearly_same(workdir, on_disk)


def nearly_same(workdir, other):
    # Sums over a batch are in another order with two devices.
    for mine, theirs in zip(arrays(workdir), arrays(other), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


class _Forbidden(http.server.BaseHTTPRequestHandler):
    def _answer(self):
        text = json.dumps({"error": {"code": 403, "message": "no access to the bucket"}}).encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer

    def log_message(self, format, *args):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gs", "s3"])
def test_without_the_right_to_write_it_is_one_line(kind, tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Forbidden)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = f"http://127.0.0.1:{server.server_address[1]}"
    status, out, error = commands.run(
        "pretrain", "--config", "pretrain:tiny", "--workdir", f"{kind}://mbjax-test/run",
        folder=tmp_path, STORAGE_EMULATOR_HOST=place, AWS_ENDPOINT_URL=place,
        GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT="false", AWS_ACCESS_KEY_ID="a",
        AWS_SECRET_ACCESS_KEY="b", AWS_DEFAULT_REGION="us-east-1",
    )  # fmt: skip
    server.shutdown()
    assert status == 1 and len(error.splitlines()) == 1, error
    assert (
        f"{kind}://mbjax-test/run" in error
        and "these credentials may not read or write there" in error
    )
