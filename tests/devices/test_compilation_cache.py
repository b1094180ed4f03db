"""Compiled programs kept between runs: where, for whom, and what a killed run leaves."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from mbjax.devices import compilation_cache

SLOW_TO_COMPILE = """
import os
from mbjax.devices import compilation_cache
compilation_cache.enable(print)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
import jax, jax.numpy as jnp
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
print(float(jax.jit(lambda x: jnp.sin(x) @ x.T)(jnp.ones((5, 5))).sum()))
print(sum(name.endswith("cache_hits") for name in hits))
"""

OF_TWO_PROCESSES = """
import os, pathlib, sys, time
import numpy as np
from mbjax.devices import cluster, compilation_cache
compilation_cache.enable(print)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
number = int(sys.argv[1])
cluster.start({"coordinator": sys.argv[2], "num_processes": 2, "process_id": number})
import jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
events = []
jax.monitoring.register_event_listener(lambda name, **_: events.append(name.rsplit("/")[-1]))
mesh = jax.make_mesh((2,), ("data",))
x = jax.make_array_from_callback(
    (6,), NamedSharding(mesh, PartitionSpec("data")), lambda i: np.arange(6, dtype=np.float32)[i]
)
print("begins", flush=True)
while sys.argv[3:] and not pathlib.Path(sys.argv[3]).exists():
    time.sleep(0.1)
total = jax.jit(lambda x: jnp.sin(x).sum(), out_shardings=NamedSharding(mesh, PartitionSpec()))
print(f"{float(total(x)):.4f}", events.count("cache_misses"), events.count("cache_hits"))
"""


def environment(tmp_path, **changes):
    names = [name for name in os.environ if "COMPILATION_CACHE" not in name]
    return {name: os.environ[name] for name in names} | {
        "XDG_CACHE_HOME": str(tmp_path), **changes,
    }  # fmt: skip


def started(tmp_path, *arguments, script=SLOW_TO_COMPILE, **changes):
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], env=environment(tmp_path, **changes),
        text=True, stdout=subprocess.PIPE,
        cwd=pathlib.Path(compilation_cache.__file__).parents[2],
    )  # fmt: skip


def test_it_is_on_by_default_in_the_users_cache_folder_and_said_once(tmp_path):
    said, environ = [], environment(tmp_path)
    folder = compilation_cache.enable(said.append, environ)
    assert folder.parent == tmp_path / "mbjax" / "xla"
    assert environ["JAX_COMPILATION_CACHE_DIR"] == str(folder)
    assert folder.stat().st_mode & 0o077 == 0  # nobody else's programs
    assert len(said) == 1 and str(folder) in said[0] and "off" in said[0]
    compilation_cache.enable(said.append, environment(tmp_path))
    assert len(said) == 1


@pytest.mark.parametrize("value", ["off", "OFF", "0"])
def test_it_can_be_turned_off(tmp_path, value):
    environ = environment(tmp_path, MBJAX_COMPILATION_CACHE=value)
    assert compilation_cache.enable(print, environ) is None
    assert "JAX_COMPILATION_CACHE_DIR" not in environ and not list(tmp_path.iterdir())


def test_another_folder_and_jaxs_own_setting(tmp_path):
    environ = environment(tmp_path, MBJAX_COMPILATION_CACHE=str(tmp_path / "own"))
    assert compilation_cache.enable(print, environ).parent == tmp_path / "own"
    environ = environment(tmp_path, JAX_COMPILATION_CACHE_DIR="elsewhere")
    assert compilation_cache.enable(print, environ) is None
    assert environ["JAX_COMPILATION_CACHE_DIR"] == "elsewhere"


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    environ = environment(tmp_path, XDG_CACHE_HOME=str(tmp_path / "file"))
    assert compilation_cache.enable(print, environ) is None


def test_what_a_killed_run_left_is_removed(tmp_path):
    (tmp_path / "whole-cache").write_bytes(b"program")
    (tmp_path / "whole-atime").write_bytes(b"0" * 8)
    (tmp_path / "half-cache").write_bytes(b"pro")
    assert compilation_cache.remove_unfinished(tmp_path) == 1
    assert sorted(path.name for path in tmp_path.glob("*-*")) == ["whole-atime", "whole-cache"]


def test_processes_share_it_and_a_later_one_finds_it(tmp_path):
    together = [started(tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0].split("\n") for process in together]
    later = started(tmp_path).communicate(timeout=300)[0].split("\n")
    assert [process.returncode for process in together] == [0, 0]
    *_, value, hits, _ = later
    assert int(hits) >= 1
    assert {output[-3] for output in outputs} == {value}
    assert list(tmp_path.rglob("*-cache"))


def two_started(tmp_path, *first_waits_for):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    one_device = {"JAX_NUM_CPU_DEVICES": "1", "XLA_FLAGS": ""}
    return [
        started(tmp_path, str(number), coordinator, *extra, script=OF_TWO_PROCESSES, **one_device)
        for number, extra in enumerate((first_waits_for, ()))
    ]


def ended(both):
    """(value, misses, hits) of each."""
    outputs = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    # Programs of one process' own devices are small and have keys of their own.
    return [output.split("\n")[-2].split() for output in outputs]


VALUE = f"{np.sin(np.arange(6.0)).sum():.4f}"


def test_of_two_processes_of_a_host_the_first_compiles_for_both(tmp_path):
    (first, misses, _), (second, none, _) = ended(two_started(tmp_path))
    assert first == second == VALUE and int(misses) >= 1 and int(none) == 0
    (first, _, hits), (second, _, also_hits) = ended(two_started(tmp_path))
    assert first == second == VALUE and int(hits) >= 1 and int(also_hits) >= 1


@pytest.mark.slow
def test_a_program_that_another_run_has_put_there_meanwhile_keeps_nobody_waiting(tmp_path):
    """The second looks, finds nothing and waits; the first finds what another run compiled, and so
    compiles nothing that it would hand on."""
    go_on = tmp_path / "go on"
    late = two_started(tmp_path, str(go_on))
    assert any(line == "begins\n" for line in late[1].stdout)
    time.sleep(2)  # the second is at its program
    assert [value for value, *_ in ended(two_started(tmp_path))] == [VALUE, VALUE]
    go_on.touch()
    (first, _, hits), (second, _, _) = ended(late)
    assert first == second == VALUE and int(hits) >= 1


def test_a_bucket_that_all_hosts_of_a_pod_see(google, tmp_path):
    variables = {**google.variables, "MBJAX_COMPILATION_CACHE": f"{google.url}/compiled"}
    hits = []
    for _ in range(2):  # as on two hosts, whose disks share nothing
        output = started(tmp_path, **variables).communicate(timeout=300)[0]
        hits.append(int(output.split("\n")[-2]))
    assert hits[0] == 0 < hits[1]
    assert not list(tmp_path.iterdir())
