"""Real processes of one run, for tests: forked from a process that has imported everything."""

import atexit
import functools
import hashlib
import json
import multiprocessing
import os
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tensorboardX.global_writer  # noqa: F401  slow to import; once is enough
from flax import nnx
from ml_collections import ConfigDict

from mbjax import configuration
from mbjax.data.plan import Source
from mbjax.devices import cluster, sharding
from mbjax.tasks.pretrain import task as pretrain
from mbjax.training import loop, preemption
from mbjax.training.task import Task, TrainSource
from tests.recipes.settings import QUICK_TO_COMPILE, ROOT

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["processes"])


class Run:
    """`processes` x `devices` that each call function(*args); status by process once they end."""

    def __init__(self, processes, devices, function, *args, log, variables=None):
        import importlib.util

        here = ROOT / "launch" / "local.py"
        spec = importlib.util.spec_from_file_location("local", here)
        local = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(local)
        environment = {
            "XLA_FLAGS": QUICK_TO_COMPILE,
            "MBJAX_HEARTBEAT_TIMEOUT": "10",
            **(variables or {}),
        }
        if processes > 1:
            environment["MBJAX_COORDINATOR"] = f"127.0.0.1:{local.free_port()}"
            environment["MBJAX_NUM_PROCESSES"] = str(processes)
        self.log = pathlib.Path(log)
        self.processes = []
        for number in range(processes):
            process = _context.Process(
                target=_child,
                args=({**environment, "MBJAX_PROCESS_ID": str(number)}, devices, function, args,
                      f"{log}.{number}"),
            )  # fmt: skip
            process.start()
            self.processes.append(process)

    def wait(self, timeout=180) -> list[int]:
        deadline = time.monotonic() + timeout
        for process in self.processes:
            process.join(max(0.1, deadline - time.monotonic()))
        statuses = [process.exitcode for process in self.processes]
        for process in self.processes:
            if process.exitcode is None:
                process.kill()
        assert None not in statuses, f"still running after {timeout} s: {statuses}\n{self.text()}"
        return statuses

    def text(self) -> str:
        return "".join(
            path.read_text()[-3000:] for path in sorted(self.log.parent.glob(self.log.name + ".*"))
        )

    def until(self, condition, timeout=120):
        """Waits for something to be seen from outside while all processes run."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, self.text()
            assert all(p.exitcode is None for p in self.processes), self.text()
            time.sleep(0.002)


def _child(environment, devices, function, args, log):
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.pop("MBJAX_COORDINATOR", None)
    os.environ.update(environment)
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    status = 1
    try:
        flags = {} if "MBJAX_COORDINATOR" in environment else {"num_processes": 1}
        with cluster.joined(flags):
            function(*args)
        status = 0
    except (preemption.Stopped, preemption.ProcessLost) as stopped:
        print(stopped)
        status = stopped.exit_status
    except Exception as error:  # noqa: BLE001  for whoever reads the log
        print("error:", type(error).__name__, error)
    sys.stdout.flush()
    atexit._run_exitfuncs()  # processes of multiprocessing leave without
    os._exit(status)


# --- what they run ----------------------------------------------------------------------------


def pretraining(jobs):
    """jobs: (settings, workdir, record); record, if any, gets a hash of each row block fed."""
    sharding.SMALLEST_SPLIT = 64  # so that small parameters are split, too
    for settings, workdir, record in jobs:
        config = configuration.load("configs/pretrain.py:tiny", list(settings))
        original = loop.device_batches
        hashes: list = []
        if record:
            loop.device_batches = functools.partial(_recorded, original, hashes)
        try:
            loop.run(config, pretrain.make_task, workdir)
        finally:
            loop.device_batches = original
        if record:
            path = pathlib.Path(f"{record}.{jax.process_index()}.json")
            path.write_text(json.dumps(hashes))


def _recorded(original, hashes, *args, **kwargs):
    for step, (source, batch) in enumerate(original(*args, **kwargs)):
        for name, array in batch.items():
            for shard in array.addressable_shards:
                rows = shard.index[0].indices(array.shape[0])[:2]
                digest = hashlib.sha256(np.asarray(shard.data).tobytes()).hexdigest()
                hashes.append([step, name, *rows, digest])
        yield source, batch


class _Numbers:
    """1,000 records of four numbers, a moment apart."""

    def __init__(self, pause):
        self.pause = pause

    def __len__(self):
        return 1000

    def data_index(self):
        return {"numbers": {"records": 1000, "shards": {}}}

    def __call__(self, records, rows, random):
        time.sleep(self.pause)
        x = np.random.Generator(np.random.Philox(key=[0, 1])).normal(size=(1000, 4))
        noise = random.normal(size=(len(records), 4))
        return {"x": (x[records[rows]] + 0.1 * noise[rows]).astype(np.float32)}


class _Small(nnx.Module):
    """One layer, and a number of parameters that only add to the state."""

    def __init__(self, more, rngs):
        self.layer = nnx.Linear(4, 2, rngs=rngs)
        self.more = nnx.List([nnx.Param(jnp.zeros(2)) for _ in range(more)])

    def __call__(self, x):
        return self.layer(x) + sum(parameter[...] for parameter in self.more)


def small_run(workdir, steps=40, pause=0.1, save_every=4, log_every="1 step", more=0, fsdp=1):
    """The real loop around a network of one layer, whose steps take about `pause` seconds."""
    config = small_config(steps, save_every, log_every, fsdp)
    loop.run(config, small_task(pause, more), workdir)


def small_config(steps=40, save_every=4, log_every="1 step", fsdp=1):
    return ConfigDict(
        {
            "seed": 0, "fsdp": fsdp, "accumulate": 1, "epochs": 1, "order": "sequential",
            "pass_order": ("numbers",), "feed_threads": 1, "log_every": log_every,
            "save_every": f"{save_every} steps", "evaluate_every": "", "keep_checkpoints": 3,
            "steps": steps,
        }
    )  # fmt: skip


def small_task(pause=0.0, more=0):
    """make_task for `small_config`."""

    def loss(model, batch, keys_B, progress):
        noise = jax.vmap(lambda key: jax.random.normal(key, (4,)))(keys_B)
        error = ((model(batch["x"] + 0.01 * noise) - batch["x"][:, :2]) ** 2).mean()
        return error, {"error": error}

    def make_task(config):
        return Task(
            name="small",
            make_model=lambda rngs: _Small(more, rngs),
            sources={
                "numbers": TrainSource(
                    Source("numbers", 1000, 8, 0, config.steps), _Numbers(pause), loss
                )
            },
            optimizer=lambda plan: (optax.adamw(1e-2), lambda step: 1e-2),
            describe={"kind": "small"},
        )

    return make_task
