"""Meeting the other processes of a run. No JAX in here."""

import concurrent.futures
import dataclasses
import socket

import pytest

from mbjax.devices import cluster
from mbjax.devices.cluster import ProcessesMissing
from mbjax.devices.surroundings import Place


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
