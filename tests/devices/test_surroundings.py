"""Finding the place of this process among those of a run. No JAX in here."""

import http.server
import importlib.util
import shutil
import subprocess
import sys
import threading

import pytest

from mbjax.devices import surroundings
from mbjax.devices.surroundings import Place
from tests.recipes import commands
from tests.recipes.settings import QUICK_TO_COMPILE, TINY_SETTINGS


def test_alone_where_nothing_says_otherwise():
    assert surroundings.find({}, {}) == Place("alone")
    # A batch script's own process, which is no task of srun.
    assert surroundings.find({}, {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0"}).found_by == "alone"


def test_flags_come_before_variables():
    environ = {
        "MBJAX_COORDINATOR": "a:1",
        "MBJAX_NUM_PROCESSES": "4",
        "MBJAX_PROCESS_ID": "3",
        "TPU_WORKER_HOSTNAMES": "x,y",
        "TPU_WORKER_ID": "1",
    }
    place = surroundings.find({"process_id": 0}, environ)
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
        surroundings.find({}, environ)


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
    place = surroundings.find({}, environ)
    assert place.hosts == ("gpu009", "gpu009", "gpu010", "gpu010", "login")
    assert (place.processes, place.process, place.local_devices) == (5, 3, (1,))
    host, port = place.coordinator.split(":")
    assert host == "gpu009" and 1024 < int(port) < 65536
    # One task a node: it has all the devices it sees.
    environ["SLURM_STEP_TASKS_PER_NODE"] = "1(x5)"
    assert surroundings.find({}, environ).local_devices is None


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
    assert surroundings.find({}, SLURM).processes == 2
    with pytest.raises(ValueError, match=f"{name} (is|not|'')"):
        surroundings.find({}, {**SLURM, name: value})


MPI = {
    "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_MCA_orte_hnp_uri": "2117271552.0;tcp://192.0.2.2,10.0.0.1:59303;tcp6://[fd00::2]:39569",
}  # fmt: skip


def test_open_mpi():
    slurm = {"SLURM_STEP_NODELIST": "a", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}
    place = surroundings.find({}, {**MPI, **slurm})
    assert (place.found_by, place.processes, place.process) == ("mpirun", 4, 3)
    host, port = place.coordinator.split(":")
    assert host == "192.0.2.2" and 61440 <= int(port) < 65536
    assert place.local_devices is None
    shared = surroundings.find({}, {**MPI, "CUDA_VISIBLE_DEVICES": "0,1"})
    assert shared.local_devices == (1,)
    assert surroundings.find({}, {**MPI, "OMPI_COMM_WORLD_SIZE": "1"}).processes == 1
    with pytest.raises(ValueError, match="mpirun does not say where its first process is"):
        surroundings.find({}, {**MPI, "OMPI_MCA_orte_hnp_uri": ""})


def test_an_indexed_job(monkeypatch):
    job = {"JOB_COMPLETION_INDEX": "3", "MBJAX_JOB_COMPLETIONS": "4"}
    monkeypatch.setattr(
        surroundings.socket, "getfqdn", lambda: "mb-3.pods.default.svc.cluster.local"
    )
    place = surroundings.find({}, job)
    assert place.coordinator == "mb-0.pods.default.svc.cluster.local:8476"
    assert (place.processes, place.process) == (4, 3)
    assert surroundings.find({}, {**job, "MBJAX_JOB_COMPLETIONS": "1"}).processes == 1
    with pytest.raises(ValueError, match="set MBJAX_JOB_COMPLETIONS to its completions"):
        surroundings.find({}, {"JOB_COMPLETION_INDEX": "3"})
    monkeypatch.setattr(surroundings.socket, "getfqdn", lambda: "mb-3")
    with pytest.raises(ValueError, match="give the Job a headless service"):
        surroundings.find({}, job)


@pytest.mark.slow
def test_skypilot():
    sky = {"SKYPILOT_NODE_RANK": "1", "SKYPILOT_NUM_NODES": "2",
           "SKYPILOT_NODE_IPS": "10.0.0.7\n10.0.0.9"}  # fmt: skip
    place = surroundings.find({}, sky)
    assert (place.found_by, place.processes, place.process) == ("SkyPilot", 2, 1)
    assert (place.coordinator, place.name(1)) == ("10.0.0.7:8476", "process 1 (host 10.0.0.9)")
    alone = {**sky, "SKYPILOT_NUM_NODES": "1", "SKYPILOT_NODE_RANK": "0"}
    assert surroundings.find({}, alone).processes == 1
    with pytest.raises(ValueError, match="names 1 nodes, SKYPILOT_NUM_NODES is 2"):
        surroundings.find({}, {**sky, "SKYPILOT_NODE_IPS": "10.0.0.7"})


@pytest.mark.skipif(not shutil.which("mpirun"), reason="apt-get install openmpi-bin")
def test_mpirun_starts_a_run(tmp_path):
    command = [
        "mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n", "2",
        sys.executable, "-P", "-m", "mbjax", "pretrain", "--config",
        "pretrain:tiny", "--workdir", tmp_path / "run", *TINY_SETTINGS,
        "--config.sources.annotated.dir=", "--config.model.structure=st", "--config.epochs=2",
    ]  # fmt: skip
    environment = commands.environment(JAX_NUM_CPU_DEVICES="1", XLA_FLAGS=QUICK_TO_COMPILE)
    done = subprocess.run(
        list(map(str, command)), env=environment,
        cwd=tmp_path, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "mpirun: 2 processes" in done.stdout and "mesh data 2 x fsdp 1" in done.stdout


def test_a_tpu_worker_without_a_number_is_named():
    with pytest.raises(ValueError, match="TPU_WORKER_ID is not set or empty"):
        surroundings.find({}, {"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": ""})


def test_host_lists_as_slurm_writes_them():
    assert surroundings.expand_hosts("a") == ["a"]
    assert surroundings.expand_hosts("a,b") == ["a", "b"]
    assert surroundings.expand_hosts("n[1,08-10],m[2-3]x") == [
        "n1",
        "n08",
        "n09",
        "n10",
        "m2x",
        "m3x",
    ]


def test_tpu_variables_of_gke():
    environ = {"TPU_WORKER_HOSTNAMES": "t-0.svc,t-1.svc", "TPU_WORKER_ID": "1"}
    place = surroundings.find({}, environ)
    assert (place.processes, place.process, place.hosts) == (2, 1, ("t-0.svc", "t-1.svc"))
    assert place.coordinator.startswith("t-0.svc:")
    slices = {
        **environ,
        "MEGASCALE_NUM_SLICES": "3",
        "MEGASCALE_SLICE_ID": "2",
        "MEGASCALE_COORDINATOR_ADDRESS": "first:8080",
    }
    place = surroundings.find({}, slices)
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
    place = surroundings.find({}, {"GCE_METADATA_IP": f"127.0.0.1:{server.server_port}"})
    server.shutdown()
    assert (place.found_by, place.processes, place.process) == ("TPU VM", 2, 1)
    assert place.coordinator.startswith("10.0.0.4:")
