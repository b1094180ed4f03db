"""Which process of which run this is, and meeting the others before the first device is touched.

Where that stands, in the order in which it is looked for: flags and MBJAX_* variables, Slurm, TPU
variables (GKE), a TPU VM's metadata server; else this process is alone.
"""

import atexit
import collections
import contextlib
import dataclasses
import importlib.util
import json
import os
import pathlib
import re
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping

_TPU_PORT = 8476
_MOST_HOSTS = 100_000


class ProcessesMissing(ValueError):
    """Processes of the run are missing, or do not agree about it."""


class Ended(Exception):
    """A run that ends before its plan does; exit_status: that of the process."""

    exit_status = 1


class EndedTogether(Ended):
    """All processes of the run raise it at the same step, so each may wait for the others' part of
    what is left."""


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


@contextlib.contextmanager
def joined(flags: Mapping, say: Callable[[str], None] = lambda text: None):
    """`start`; leaves without waiting for the others when this process fails alone."""
    place = start(flags)
    if place.processes > 1 and place.process == 0:
        say(f"{place.found_by}: {place.processes} processes, on {_hosts_of(place)}")
    try:
        yield place
    except BaseException as error:
        if place.processes > 1 and not isinstance(error, EndedTogether):
            # JAX would wait for the others at exit; those notice that this one is gone.
            atexit.register(_leave, error.exit_status if isinstance(error, Ended) else 1)
        raise


def _hosts_of(place) -> str:
    counts = collections.Counter(place.hosts)
    return _some([f"{host} ({n})" if n > 1 else host for host, n in counts.items()])


def _leave(status):
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def start(flags: Mapping, environ: Mapping = os.environ) -> Place:
    """Finds the place, meets the other processes and joins them into one JAX run.

    flags: coordinator, num_processes, process_id, init_timeout, each possibly None. Raises
    ValueError for a setting that does not fit, ProcessesMissing within the timeout.
    """
    place = find(flags, environ)
    if place.processes == 1:
        return place
    import jax  # here, so that reading arguments stays quick

    timeout = flags.get("init_timeout") or _number(environ, "MBJAX_INIT_TIMEOUT", float) or 300.0
    place = dataclasses.replace(place, hosts=meet(place, timeout))
    jax.distributed.initialize(
        place.coordinator,
        place.processes,
        place.process,
        local_device_ids=place.local_devices,
        cluster_detection_method="deactivate",
        initialization_timeout=max(30, int(timeout)),
        # A host that falls silent is given up after so many seconds, and with it the run.
        heartbeat_timeout_seconds=_number(environ, "MBJAX_HEARTBEAT_TIMEOUT", int) or 100,
        shutdown_timeout_seconds=60,
    )
    return place


# --- where ------------------------------------------------------------------------------------


def find(flags: Mapping, environ: Mapping = os.environ) -> Place:
    """The place that flags and environment describe; ValueError where they are incomplete."""
    for look in (_explicit, _slurm, _tpu_variables, _tpu_vm):
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
        "num-processes": _first(
            flags.get("num_processes"), _number(environ, "MBJAX_NUM_PROCESSES")
        ),
        "process-id": _first(flags.get("process_id"), _number(environ, "MBJAX_PROCESS_ID")),
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
    job = _number(environ, "SLURM_JOB_ID") or 0
    return Place(
        f"Slurm job {job}",
        f"{nodes[0]}:{61440 + job % 4096}",  # a port that jobs on one node do not share
        processes,
        _needed(environ, "SLURM_PROCID"),
        hosts if len(hosts) == processes else (),
        (_needed(environ, "SLURM_LOCALID"),) if shared else None,
    )


def _tpu_variables(_, environ):
    names = environ.get("TPU_WORKER_HOSTNAMES", "")
    if not names or "TPU_WORKER_ID" not in environ:
        return None
    hosts = tuple(name.split(":")[0] for name in names.split(","))
    slices = _number(environ, "MEGASCALE_NUM_SLICES") or 1
    process = (_number(environ, "MEGASCALE_SLICE_ID") or 0) * len(hosts)
    first = environ.get("MEGASCALE_COORDINATOR_ADDRESS", "").split(":")[0] or hosts[0]
    return Place(
        "TPU variables",
        f"{first}:{_TPU_PORT}",
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
    return Place("TPU VM", f"{hosts[0]}:{_TPU_PORT}", len(hosts), int(number), hosts)


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


def _number(environ, name, kind=int):
    text = environ.get(name)
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}; it must be a number") from None


def _needed(environ, name):
    number = _number(environ, name)
    if number is None:
        raise ValueError(f"{name} is not set or empty; it must be a number")
    return number


def _first(*values):
    return next((value for value in values if value is not None), None)


# --- meeting ----------------------------------------------------------------------------------


def meet(place: Place, timeout: float) -> tuple[str, ...]:
    """The host of each process, once all are here; ProcessesMissing, with their names, otherwise.

    JAX waits for the others too, but says only DEADLINE_EXCEEDED and aborts the process. Process 0
    listens at the coordinator's address, which is free again afterwards; the others tell it who
    they are, and it tells all of them how it went.
    """
    deadline = time.monotonic() + timeout
    if place.process == 0:
        return _gather(place, deadline, timeout)
    return _report_to_first(place, deadline, timeout)


def _gather(place, deadline, timeout):
    here = {0: socket.gethostname()}
    connections: dict[int, socket.socket] = {}
    port = int(place.coordinator.rsplit(":", 1)[1])
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        listener = socket.create_server(("", port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise ProcessesMissing(
            f"process 0 cannot listen at port {port} of {here[0]}: {error.strerror}; "
            "give --coordinator another port"
        ) from None
    problem = ""
    with listener:
        while len(here) < place.processes and not problem:
            listener.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                connection, _ = listener.accept()
                connection.settimeout(10)
                hello = json.loads(_line(connection))
                number, count, host = hello["process"], hello["processes"], hello["host"]
            except TimeoutError:
                if time.monotonic() >= deadline:
                    problem = _who_is_missing(place, here, timeout)
                continue
            except (OSError, ValueError, KeyError, TypeError):
                continue  # not one of our processes
            if count != place.processes:
                problem = (
                    f"process {number} on {host} expects {count} processes, process 0 expects "
                    f"{place.processes}; start all with the same --num-processes"
                )
            elif number in here and not (number in connections and _gone(connections[number])):
                problem = f"two processes have the id {number}: on {here[number]} and on {host}"
            # Where an id came twice the second gets the answer too, in its own connection.
            connections[number if number not in connections else -len(here)] = connection
            here[number] = host
        hosts = [host for _, host in sorted(here.items())]
        answer = (json.dumps({"problem": problem, "hosts": hosts}) + "\n").encode()
        for connection in connections.values():
            with contextlib.suppress(OSError), connection:
                connection.settimeout(5)
                connection.sendall(answer)
                # They close first: a port whose closing we began would stay taken for a while.
                connection.recv(1)
    if problem:
        raise ProcessesMissing(problem)
    return tuple(hosts)


def _who_is_missing(place, here, timeout):
    missing = [place.name(i) for i in range(place.processes) if i not in here]
    present = [f"{i} ({host})" for i, host in sorted(here.items())]
    return (
        f"{len(missing)} of {place.processes} processes did not come up within {timeout:g} s: "
        f"{_some(missing)}; here are {_some(present)}"
    )


def _report_to_first(place, deadline, timeout):
    host, port = place.coordinator.rsplit(":", 1)
    hello = {"process": place.process, "processes": place.processes}
    hello["host"] = socket.gethostname()
    reason = "no answer"
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=5) as connection:
                connection.sendall((json.dumps(hello) + "\n").encode())
                # Process 0 may have begun to wait after us, and waits as long as we do.
                connection.settimeout(max(1.0, deadline - time.monotonic()) + timeout + 10)
                answer = json.loads(_line(connection))
                problem, hosts = answer["problem"], answer["hosts"]
        except (OSError, ValueError, KeyError) as error:
            reason = str(error) or type(error).__name__
            time.sleep(0.2)
            continue
        if problem:
            raise ProcessesMissing(problem)
        return tuple(hosts)
    raise ProcessesMissing(
        f"{place.name(place.process)} found no process 0 at {place.coordinator} within "
        f"{timeout:g} s ({reason}); is {place.name(0)} running, and the port open between hosts?"
    )


def _line(connection) -> bytes:
    """One line of at most 64 KB; ValueError where the connection ends before it does."""
    with connection.makefile("rb") as stream:
        line = stream.readline(65536)
    if not line.endswith(b"\n"):
        raise ValueError("the connection ended")
    return line


def _gone(connection) -> bool:
    """Whether the process at the other end has closed its connection."""
    try:
        connection.setblocking(False)
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _some(names, most: int = 8) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
