"""One run, one folder."""

import itertools
import json
import multiprocessing
import os
import socket
import threading

import pytest

from mbjax.training import lock


def of_process(pid, host, **more):
    return json.dumps({"host": host, "pid": pid, "started": "1", "id": "x", "beats": 0, **more})


def test_a_folder_in_use_is_refused_and_is_free_afterwards(tmp_path):
    with lock.held(tmp_path):
        theirs = json.loads((tmp_path / lock.FILE).read_text())
        # As another process would be: this one's parent, which is alive.
        theirs["pid"], theirs["started"] = os.getppid(), lock.started(os.getppid())
        (tmp_path / lock.FILE).write_text(json.dumps(theirs))
        with (
            pytest.raises(lock.FolderInUse, match=f"in use by process {os.getppid()} on "),
            lock.held(tmp_path),
        ):
            pass
    (tmp_path / lock.FILE).unlink(missing_ok=True)
    with lock.held(tmp_path):
        pass
    assert not (tmp_path / lock.FILE).exists()


def _nothing():
    pass


@pytest.mark.parametrize("left", ["dead", "another", "own pid", "damaged"])
def test_what_a_dead_process_left_is_taken_over(tmp_path, left):
    host = socket.gethostname()
    process = multiprocessing.get_context("forkserver").Process(target=_nothing)
    process.start()
    process.join()
    (tmp_path / lock.FILE).write_text(
        {
            "dead": of_process(process.pid, host),
            "another": of_process(os.getppid(), host),  # its number came again
            "own pid": of_process(os.getpid(), host),  # a container's first process
            "damaged": "{",
        }[left]
    )
    with lock.held(tmp_path):
        assert json.loads((tmp_path / lock.FILE).read_text())["pid"] == os.getpid()


def test_a_lock_of_another_host_counts_while_it_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE_S", 0.5)
    path = tmp_path / lock.FILE
    path.write_text(of_process(1, "elsewhere"))
    said = []
    with lock.held(tmp_path, said.append):
        pass
    assert "process 1 on elsewhere; watching" in said[0]

    done = threading.Event()

    def beat():
        for beats in itertools.count():
            lock._write(path, json.loads(of_process(1, "elsewhere")), beats)
            if done.wait(0.02):
                return

    beating = threading.Thread(target=beat)
    lock._write(path, json.loads(of_process(1, "elsewhere")), 0)
    beating.start()
    try:
        with pytest.raises(lock.FolderInUse, match="process 1 on elsewhere"), lock.held(tmp_path):
            pass
    finally:
        done.set()
        beating.join()


def test_the_holder_shows_that_it_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT_S", 0.02)
    with lock.held(tmp_path):
        done = threading.Event()
        for _ in range(200):
            if json.loads((tmp_path / lock.FILE).read_text())["beats"] > 1:
                break
            done.wait(0.02)
        else:
            pytest.fail("no beat")
