"""Meeting the other processes of a run before the first device is touched, and joining them."""

import atexit
import collections
import contextlib
import dataclasses
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping

from mbjax.devices import compilation_cache
from mbjax.devices.surroundings import Place, find, number


class ProcessesMissing(ValueError):
    """Processes of the run are missing, or do not agree about it."""


class Ended(Exception):
    """A run that ends before its plan does; exit_status: that of the process."""

    exit_status = 1


class EndedTogether(Ended):
    """All processes of the run raise it at the same step, so each may wait for the others' part of
    what is left."""


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

    timeout = flags.get("init_timeout") or number(environ, "MBJAX_INIT_TIMEOUT", float) or 300.0
    place = dataclasses.replace(place, hosts=meet(place, timeout))
    jax.distributed.initialize(
        place.coordinator,
        place.processes,
        place.process,
        local_device_ids=place.local_devices,
        cluster_detection_method="deactivate",
        initialization_timeout=max(30, int(timeout)),
        # A host that falls silent is given up after so many seconds, and with it the run.
        heartbeat_timeout_seconds=number(environ, "MBJAX_HEARTBEAT_TIMEOUT", int) or 100,
        shutdown_timeout_seconds=60,
    )
    if len(set(place.hosts)) == 1:
        compilation_cache.share_on_one_host()
    return place


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
