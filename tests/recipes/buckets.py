"""Buckets on this machine: servers that speak Google's and Amazon's protocols."""

import contextlib
import os
import socket
import subprocess
import sys
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


@contextlib.contextmanager
def gcs() -> Iterator[tuple[str, dict]]:
    """(gs://BUCKET, environment in which it is there) while the block runs."""
    port = free_port()
    place = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.recipes.gcs_server", str(port), BUCKET]
    with _running(command, f"{place}/storage/v1/b"):
        yield f"gs://{BUCKET}", gcs_environment(place)


def gcs_environment(place: str) -> dict:
    """What lets gcsfs, Google's own client, and TensorStore find a server."""
    return {
        "STORAGE_EMULATOR_HOST": place,
        "TENSORSTORE_GCS_HTTP_URL": place,
        # Whether a bucket is zonal is asked of another service, which no server here stands for.
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }


@contextlib.contextmanager
def s3() -> Iterator[tuple[str, dict]]:
    """(s3://BUCKET, environment in which it is there) while the block runs."""
    port = free_port()
    place = f"http://127.0.0.1:{port}"
    environment = {
        "AWS_ENDPOINT_URL": place,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with _running([sys.executable, "-m", "moto.server", "-p", str(port)], f"{place}/moto-api/"):
        request = urllib.request.Request(f"{place}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request, timeout=10).close()
        yield f"s3://{BUCKET}", environment


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


@contextlib.contextmanager
def environment(values: dict) -> Iterator[None]:
    """Variables of this process for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
