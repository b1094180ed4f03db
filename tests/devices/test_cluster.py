"""Finding the place among the processes of a run, and meeting the others. No JAX in here."""

import concurrent.futures
import dataclasses
import http.server
import importlib.util
import socket
import threading

import pytest

from mbjax.devices import cluster
from mbjax.devices.cluster import Place, ProcessesMissing


def test_alone_where_nothing_says_otherwise():
    assert cluster.find({}, {}) == Place("alone")
    # A batch script's own process, which is no task of srun.
    assert cluster.find({}, {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0"}).found_by == "alone"


def test_flags_come_before_variables():
    environ = {
        "MBJAX_COORDINATOR": "a:1",
        "MBJAX_NUM_PROCESSES": "4",
        "MBJAX_PROCESS_ID": "3",
        "TPU_WORKER_HOSTNAMES": "x,y",
        "TPU_WORKER_ID": "1",
    }
    place = cluster.find({"process_id": 0}, environ)
    assert (place.coordinator, place.processes, place.process) == ("a:1", 4, 0)


@pytest.mark.parametrize(
    "environ, message",
    [
        ({"MBJAX_NUM_PROCESSES": "4"}, "needs --coordinator and --process-id too"),
        ({"MBJAX_NUM_PROCESSES": "four"}, "MBJAX_NUM_PROCESSES is 'four'"),
        (
            {"MBJAX_COORDINATOR": "a", "MBJAX_NUM_PROCESSES": "2", "MBJAX_PROCESS_ID": "0"},
            "write it as HOST:PORT",
        ),
        (
            {"MBJAX_COORDINATOR": "a:1", "MBJAX_NUM_PROCESSES": "2", "MBJAX_PROCESS_ID": "2"},
            "process id 2 of 2 processes",
        ),
    ],
)
def test_settings_that_do_not_fit_are_named(environ, message):
    with pytest.raises(ValueError, match=message):
        cluster.find({}, environ)


def test_slurm():
    environ = {
        "SLURM_JOB_ID": "70001",
        "SLURM_STEP_NODELIST": "gpu[009-010],login",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
        "SLURM_STEP_NUM_TASKS": "5",
        "SLURM_PROCID": "3",
        "SLURM_LOCALID": "1",
        "CUDA_VISIBLE_DEVICES": "0,1",
    }
    place = cluster.find({}, environ)
    assert place.hosts == ("gpu009", "gpu009", "gpu010", "gpu010", "login")
    assert (place.processes, place.process, place.local_devices) == (5, 3, (1,))
    host, port = place.coordinator.split(":")
    assert host == "gpu009" and 1024 < int(port) < 65536
    # One task a node: it has all the devices it sees.
    environ["SLURM_STEP_TASKS_PER_NODE"] = "1(x5)"
    assert cluster.find({}, environ).local_devices is None


SLURM = {
    "SLURM_STEP_NODELIST": "gpu[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_PROCID": "0",
}


@pytest.mark.parametrize(
    "name, value",
    [
        ("SLURM_STEP_TASKS_PER_NODE", "1(x"),
        ("SLURM_STEP_TASKS_PER_NODE", ""),
        ("SLURM_STEP_NODELIST", ""),
        ("SLURM_STEP_NODELIST", "gpu[1-x]"),
        ("SLURM_STEP_NODELIST", "gpu[1-99999999]"),
        ("SLURM_STEP_NODELIST", "gpu[3-1]"),
        ("SLURM_STEP_NUM_TASKS", ""),
        ("SLURM_STEP_NUM_TASKS", "two"),
        ("SLURM_PROCID", ""),
        ("SLURM_JOB_ID", "x"),
    ],
)
def test_variables_of_slurm_that_make_no_sense_are_named(name, value):
    assert cluster.find({}, SLURM).processes == 2
    with pytest.raises(ValueError, match=f"{name} (is|not|'')"):
        cluster.find({}, {**SLURM, name: value})


def test_a_tpu_worker_without_a_number_is_named():
    with pytest.raises(ValueError, match="TPU_WORKER_ID is not set or empty"):
        cluster.find({}, {"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": ""})


def test_host_lists_as_slurm_writes_them():
    assert cluster.expand_hosts("a") == ["a"]
    assert cluster.expand_hosts("a,b") == ["a", "b"]
    assert cluster.expand_hosts("n[1,08-10],m[2-3]x") == ["n1", "n08", "n09", "n10", "m2x", "m3x"]


def test_tpu_variables_of_gke():
    environ = {"TPU_WORKER_HOSTNAMES": "t-0.svc,t-1.svc", "TPU_WORKER_ID": "1"}
    place = cluster.find({}, environ)
    assert (place.processes, place.process, place.hosts) == (2, 1, ("t-0.svc", "t-1.svc"))
    assert place.coordinator.startswith("t-0.svc:")
    slices = {
        **environ,
        "MEGASCALE_NUM_SLICES": "3",
        "MEGASCALE_SLICE_ID": "2",
        "MEGASCALE_COORDINATOR_ADDRESS": "first:8080",
    }
    place = cluster.find({}, slices)
    assert (place.processes, place.process) == (6, 5) and place.coordinator.startswith("first:")


@pytest.mark.parametrize("workers", ["10.0.0.4,10.0.0.5", "w:0:10.0.0.4,w:1:10.0.0.5"])
def test_tpu_vm_asks_the_metadata_server(workers, monkeypatch):
    answers = {"agent-worker-number": "1", "worker-network-endpoints": workers}

    class Metadata(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.headers["Metadata-Flavor"] == "Google"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[self.path.rsplit("/", 1)[1]].encode())

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "libtpu")
    place = cluster.find({}, {"GCE_METADATA_IP": f"127.0.0.1:{server.server_port}"})
    server.shutdown()
    assert (place.found_by, place.processes, place.process) == ("TPU VM", 2, 1)
    assert place.coordinator.startswith("10.0.0.4:")


# --- meeting ----------------------------------------------------------------------------------


@pytest.fixture
def address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def meet_all(places, timeout=20.0):
    """What each got: its hosts, or the text of the error."""

    def one(place):
        try:
            return cluster.meet(place, timeout)
        except ProcessesMissing as error:
            return str(error)

    with concurrent.futures.ThreadPoolExecutor(len(places)) as pool:
        return list(pool.map(one, places))


def test_all_meet_and_the_port_is_free_again(address):
    for _ in range(2):
        results = meet_all([Place("test", address, 4, process) for process in (3, 1, 0, 2)])
        assert results == [(socket.gethostname(),) * 4] * 4


def test_who_did_not_come_is_named_to_all_in_bounded_time(address):
    hosts = ("alpha", "beta", "gamma", "delta")
    results = meet_all([Place("test", address, 4, i, hosts) for i in (0, 2)], timeout=1.0)
    for text in results:
        assert "2 of 4 processes did not come up within 1 s" in text
        assert "process 1 (host beta), process 3 (host delta)" in text


def test_without_process_0_the_others_say_so(address):
    (text,) = meet_all([Place("test", address, 2, 1, ("alpha", "beta"))], timeout=0.5)
    assert f"found no process 0 at {address}" in text and "process 0 (host alpha) running" in text


def test_processes_that_disagree_are_told(address):
    first = Place("test", address, 3, 0)
    for other, message in ((1, "two processes have the id 1"), (2, "expects 2 processes")):
        second = Place("test", address, 3 if other == 1 else 2, 1)
        third = dataclasses.replace(second, processes=3)
        results = meet_all([first, second, third], timeout=2.0)
        # Process 0 and the second of the two know; the third finds nobody any more.
        assert message in results[0]
        assert sum(message in text for text in results) >= 2


def test_strangers_at_the_port_do_no_harm(address):
    host, port = address.split(":")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(cluster.meet, Place("test", address, 2, 0), 20.0)
        for text in (b"GET / HTTP/1.1\r\n\r\n", b"\n", b'{"process": []}\n'):
            while True:
                try:
                    with socket.create_connection((host, int(port)), timeout=1) as stranger:
                        stranger.sendall(text)
                    break
                except ConnectionRefusedError:
                    continue
        second = pool.submit(cluster.meet, Place("test", address, 2, 1), 20.0)
        assert first.result() == second.result()
