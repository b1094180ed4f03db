"""Buckets on this machine: servers that speak Google's and Amazon's protocols."""

import contextlib
import dataclasses
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from tests.recipes.settings import ROOT

BUCKET = "mbjax-test"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Line:
    """A way through this machine to a server, which can be cut for a while.

    address: of its near end, host:port.
    """

    def __init__(self, port: int):
        self._far, self._cut = port, threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Ends all connections, and takes no new ones while the block runs."""
        self._cut.set()
        for one in self._open:
            _shut(one)
        try:
            yield
        finally:
            self._open.clear()
            self._cut.clear()

    def _accept(self):
        while True:
            near, _ = self._listener.accept()
            if self._cut.is_set():
                _shut(near)
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._far))
            except OSError:
                _shut(near)
                continue
            self._open += [near, far]
            for ends in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=ends, daemon=True).start()


def _copy(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    _shut(source)
    _shut(target)


def _shut(one):
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@dataclasses.dataclass(frozen=True)
class Bucket:
    """url: gs://BUCKET. line: what its requests pass. variables: that let programs find it."""

    url: str
    line: Line
    variables: dict[str, str]


@contextlib.contextmanager
def google() -> Iterator[Bucket]:
    """A bucket by Google's protocol while the block runs."""
    port = free_port()
    command = [sys.executable, "-m", "tests.recipes.gcs_server", str(port), BUCKET]
    with _running(command, f"http://127.0.0.1:{port}/storage/v1/b"):
        line = Line(port)
        # gcsfs and Google's own client read the first, TensorStore the second.
        place = f"http://{line.address}"
        variables = {
            "STORAGE_EMULATOR_HOST": place,
            "TENSORSTORE_GCS_HTTP_URL": place,
            # Whether a bucket is zonal is asked of another service, which no server here is.
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }
        yield Bucket(f"gs://{BUCKET}", line, variables)


@contextlib.contextmanager
def amazon() -> Iterator[Bucket]:
    """A bucket by Amazon's protocol while the block runs."""
    port = free_port()
    place = f"http://127.0.0.1:{port}"
    with _running([sys.executable, "-m", "moto.server", "-p", str(port)], place):
        request = urllib.request.Request(f"{place}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request, timeout=10).close()
        line = Line(port)
        variables = {
            "AWS_ENDPOINT_URL": f"http://{line.address}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        yield Bucket(f"s3://{BUCKET}", line, variables)


@contextlib.contextmanager
def _running(command, answers) -> Iterator[None]:
    silent = subprocess.DEVNULL
    server = subprocess.Popen(command, stdout=silent, stderr=silent, cwd=ROOT)
    try:
        _wait_for(answers, server)
        yield
    finally:
        server.kill()
        server.wait()


def _wait_for(address, server):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with status {server.returncode}")
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"nothing answers at {address}")
