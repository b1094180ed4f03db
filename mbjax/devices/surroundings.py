"""What surrounds this process and says which one it is of a run's processes.

In this order: flags and MBJAX_* variables, mpirun, Slurm, SkyPilot, an indexed Job of Kubernetes,
TPU variables (GKE), a TPU VM's metadata server; else it is alone.
"""

import dataclasses
import importlib.util
import os
import pathlib
import re
import socket
import urllib.request
from collections.abc import Mapping

TPU_PORT = 8476
_JOB_SIZE = "MBJAX_JOB_COMPLETIONS"
_MOST_HOSTS = 100_000


@dataclasses.dataclass(frozen=True)
class Place:
    """This process among all of a run.

    hosts: the name of each process' host where the surroundings tell, else (). local_devices: the
    device numbers that belong to this process, None for all it sees.
    """

    found_by: str
    coordinator: str = ""
    processes: int = 1
    process: int = 0
    hosts: tuple[str, ...] = ()
    local_devices: tuple[int, ...] | None = None

    def name(self, process: int) -> str:
        known = process < len(self.hosts)
        return f"process {process}" + (f" (host {self.hosts[process]})" if known else "")


def find(flags: Mapping, environ: Mapping = os.environ) -> Place:
    """The place that flags and environment describe; ValueError where they are incomplete."""
    looks = (_explicit, _open_mpi, _slurm, _skypilot, _indexed_job, _tpu_variables, _tpu_vm)
    for look in looks:
        place = look(flags, environ)
        if place is not None:
            if not 0 <= place.process < place.processes:
                raise ValueError(
                    f"{place.found_by}: process id {place.process} of {place.processes} processes; "
                    "ids run from 0"
                )
            return place
    return Place("alone")


def _explicit(flags, environ):
    found_by = "flags or MBJAX variables"
    values = {
        "coordinator": flags.get("coordinator") or environ.get("MBJAX_COORDINATOR"),
        "num-processes": _first(flags.get("num_processes"), number(environ, "MBJAX_NUM_PROCESSES")),
        "process-id": _first(flags.get("process_id"), number(environ, "MBJAX_PROCESS_ID")),
    }
    if all(value in (None, "") for value in values.values()):
        return None
    if values["num-processes"] == 1:
        return Place(found_by, process=values["process-id"] or 0)
    missing = [f"--{name}" for name, value in values.items() if value in (None, "")]
    if missing:
        raise ValueError(
            f"a run of several processes needs {' and '.join(missing)} too "
            "(or MBJAX_COORDINATOR, MBJAX_NUM_PROCESSES, MBJAX_PROCESS_ID)"
        )
    host, _, port = values["coordinator"].rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"--coordinator is {values['coordinator']!r}; write it as HOST:PORT")
    return Place(
        "flags or MBJAX variables",
        values["coordinator"],
        values["num-processes"],
        values["process-id"],
    )


def _slurm(_, environ):
    # The step's variables, which only srun sets: a batch script's own process is no task.
    if not {"SLURM_STEP_NODELIST", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"} <= set(environ):
        return None
    nodes = expand_hosts(environ["SLURM_STEP_NODELIST"])
    tasks = []
    for part in environ.get("SLURM_STEP_TASKS_PER_NODE", "1").split(","):
        found = re.fullmatch(r"(\d{1,6})(?:\(x(\d{1,6})\))?", part)
        if not found or not nodes:
            raise ValueError(
                f"SLURM_STEP_TASKS_PER_NODE is {environ.get('SLURM_STEP_TASKS_PER_NODE')!r} and "
                f"SLURM_STEP_NODELIST {environ['SLURM_STEP_NODELIST']!r}; srun sets them as in "
                "'2(x3),1' and 'node[1-4]'"
            )
        tasks += [int(found[1])] * int(found[2] or 1)
    processes = _needed(environ, "SLURM_STEP_NUM_TASKS")
    hosts = tuple(node for node, n in zip(nodes, tasks, strict=False) for _ in range(n))
    visible = environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    shared = max(tasks) > 1 and len(visible) > 1  # tasks of one node that see all its devices
    job = number(environ, "SLURM_JOB_ID") or 0
    return Place(
        f"Slurm job {job}",
        f"{nodes[0]}:{61440 + job % 4096}",  # a port that jobs on one node do not share
        processes,
        _needed(environ, "SLURM_PROCID"),
        hosts if len(hosts) == processes else (),
        (_needed(environ, "SLURM_LOCALID"),) if shared else None,
    )


def _open_mpi(_, environ):
    # Before Slurm, whose variables are then those of the daemons that mpirun started.
    if "OMPI_COMM_WORLD_SIZE" not in environ:
        return None
    processes, process = (_needed(environ, f"OMPI_COMM_WORLD_{n}") for n in ("SIZE", "RANK"))
    if processes == 1:
        return Place("mpirun")
    # JOB.0;tcp://ADDRESS,ADDRESS:PORT;... of mpirun itself, whose host has rank 0 by default.
    address = re.search(r"^(\d+)\.\d+;tcp://([\d.]+)", environ.get("OMPI_MCA_orte_hnp_uri", ""))
    if not address:
        raise ValueError(
            "mpirun does not say where its first process is (OMPI_MCA_orte_hnp_uri, which Open MPI "
            "4 sets): give --coordinator HOST:PORT, --num-processes and --process-id"
        )
    shared = _needed(environ, "OMPI_COMM_WORLD_LOCAL_SIZE") > 1
    seen = len(environ.get("CUDA_VISIBLE_DEVICES", "").split(",")) > 1
    local = (_needed(environ, "OMPI_COMM_WORLD_LOCAL_RANK"),) if shared and seen else None
    port = 61440 + int(address[1]) // 65536 % 4096
    return Place("mpirun", f"{address[2]}:{port}", processes, process, local_devices=local)


def _skypilot(_, environ):
    # Of a task's `run` part, which each node runs once.
    if "SKYPILOT_NODE_RANK" not in environ:
        return None
    hosts = tuple(environ.get("SKYPILOT_NODE_IPS", "").split())
    processes = _needed(environ, "SKYPILOT_NUM_NODES")
    if processes == 1:
        return Place("SkyPilot")
    if len(hosts) != processes:
        raise ValueError(
            f"SKYPILOT_NODE_IPS names {len(hosts)} nodes, SKYPILOT_NUM_NODES is {processes}"
        )
    first = f"{hosts[0]}:{TPU_PORT}"
    return Place("SkyPilot", first, processes, _needed(environ, "SKYPILOT_NODE_RANK"), hosts)


def _indexed_job(_, environ):
    # Of a Kubernetes Job with completionMode Indexed. TPU node pools have variables of their own.
    if "JOB_COMPLETION_INDEX" not in environ or "TPU_WORKER_ID" in environ:
        return None
    process, processes = _needed(environ, "JOB_COMPLETION_INDEX"), number(environ, _JOB_SIZE)
    if processes is None:
        raise ValueError(
            f"this is pod {process} of an indexed Job, which does not say how many there are: set "
            f"{_JOB_SIZE} to its completions (1 where its pods do not belong together)"
        )
    if processes == 1:
        return Place("indexed Job")
    # JOB-INDEX.SUBDOMAIN.NAMESPACE.svc..., where the Job names a headless service as subdomain.
    name, _, domain = socket.getfqdn().partition(".")
    if not domain or not name.endswith(f"-{process}"):
        raise ValueError(
            f"pod {process} of an indexed Job is called {socket.getfqdn()}: give the Job a "
            "headless service as 'subdomain', so that its pods find the first one"
        )
    first = f"{name.removesuffix(f'-{process}')}-0.{domain}"
    return Place("indexed Job", f"{first}:{TPU_PORT}", processes, process)


def _tpu_variables(_, environ):
    names = environ.get("TPU_WORKER_HOSTNAMES", "")
    if not names or "TPU_WORKER_ID" not in environ:
        return None
    hosts = tuple(name.split(":")[0] for name in names.split(","))
    slices = number(environ, "MEGASCALE_NUM_SLICES") or 1
    process = (number(environ, "MEGASCALE_SLICE_ID") or 0) * len(hosts)
    first = environ.get("MEGASCALE_COORDINATOR_ADDRESS", "").split(":")[0] or hosts[0]
    return Place(
        "TPU variables",
        f"{first}:{TPU_PORT}",
        len(hosts) * slices,
        process + _needed(environ, "TPU_WORKER_ID"),
        hosts if slices == 1 else (),
    )


def _tpu_vm(_, environ):
    devices = [*pathlib.Path("/dev").glob("accel*"), *pathlib.Path("/dev/vfio").glob("[0-9]*")]
    asked = environ.get("GCE_METADATA_IP")
    if environ.get("TPU_SKIP_MDS_QUERY") or not importlib.util.find_spec("libtpu"):
        return None
    if not devices and not asked:
        return None
    url = f"http://{asked or 'metadata.google.internal'}/computeMetadata/v1/instance/attributes/"

    def attribute(key):
        request = urllib.request.Request(url + key, headers={"Metadata-Flavor": "Google"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    number, workers = attribute("agent-worker-number"), attribute("worker-network-endpoints")
    if not number.isdigit() or not workers:
        return None
    # Either a host's name, or name:id:address.
    hosts = tuple(worker.split(":")[-1] for worker in workers.split(","))
    return Place("TPU VM", f"{hosts[0]}:{TPU_PORT}", len(hosts), int(number), hosts)


def expand_hosts(names: str) -> list[str]:
    """'a[01-03,7],b' as Slurm writes it: ['a01', 'a02', 'a03', 'a7', 'b']."""
    hosts = []
    for prefix, ranges, suffix in re.findall(r"([^,\[\]]+)(?:\[([^\]]*)\])?([^,\[\]]*)", names):
        if not ranges:
            hosts.append(prefix + suffix)
            continue
        for part in ranges.split(","):
            low, _, high = part.partition("-")
            numbers = range(0)
            if (low + (high or low)).isdecimal() and len(low + high) < 20:
                numbers = range(int(low), int(high or low) + 1)
            if not 0 < len(numbers) <= _MOST_HOSTS:
                raise ValueError(f"SLURM_STEP_NODELIST is {names!r}; srun writes 'node[1-4],login'")
            for number in numbers:
                hosts.append(f"{prefix}{number:0{len(low)}d}{suffix}")
    return hosts


def number(environ: Mapping, name: str, kind=int):
    """A variable as a number; None where it is not set or empty."""
    text = environ.get(name)
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}; it must be a number") from None


def _needed(environ, name):
    found = number(environ, name)
    if found is None:
        raise ValueError(f"{name} is not set or empty; it must be a number")
    return found


def _first(*values):
    return next((value for value in values if value is not None), None)
