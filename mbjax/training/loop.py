"""One training loop for all tasks, in the order in which things happen."""

import contextlib
import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from mbjax.data.feed import device_batches
from mbjax.data.plan import Plan, Source
from mbjax.devices import sharding
from mbjax.training.checkpoint import Checkpoints
from mbjax.training.every import Every
from mbjax.training.preemption import Stopped, StopRequest, others_lost
from mbjax.training.run_log import Progress, RunLog
from mbjax.training.step import compiled_step, make_state, make_step, placed, whole_params
from mbjax.training.task import Task
from mbjax.training.workdir import claim_workdir, folder

# How many steps the host may be ahead of the devices: enough to keep them busy, few enough that
# their batches take little memory and that a stop comes soon.
_AHEAD = 8


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite."""

    on_all_processes = True


@dataclasses.dataclass(frozen=True)
class Result:
    """What is left of a finished run in memory."""

    state: dict
    graphdef: nnx.GraphDef
    step: int
    metrics: dict
    clips_per_second: float

    def model(self) -> nnx.Module:
        model = nnx.merge(self.graphdef, self.state["params"], self.state["other"])
        model.eval()
        return model


# --- the run ----------------------------------------------------------------------------------


def run(
    config: ConfigDict,
    make_task: Callable[[ConfigDict], Task],
    workdir: str | pathlib.Path,
    say: Callable[[str], None] | None = None,
) -> Result:
    """Trains a task to the end of its plan in a work folder, continuing what is there.

    Raises ValueError for a config that cannot run or a folder that belongs to another config,
    TrainingDiverged where the loss is no number, Stopped after a signal.
    """
    with StopRequest().listening() as stop, others_lost(lambda: "the start"):
        return _run(config, make_task, workdir, say, stop)


def _run(config, make_task, workdir, say, stop) -> Result:
    # --- devices, data, plan
    mesh = sharding.make_mesh(config.fsdp)
    first = jax.process_index() == 0
    task = make_task(config)
    for name, source in task.sources.items():
        sharding.check_batch(source.batch_size, mesh, config.accumulate, f"{name}: batch_size")
    plan = make_plan(task, config)
    workdir = folder(workdir)
    claim_workdir(workdir, config)
    optimizer, schedule = task.optimizer(plan)
    learning_rate = jax.jit(schedule)

    # --- state: fresh, or where the run left off
    graphdef, fresh = make_state(task, optimizer, config.seed)
    abstract = jax.eval_shape(fresh)
    shardings = sharding.state_sharding(abstract, mesh)
    checkpoints = Checkpoints(workdir, config.keep_checkpoints, task.best, task.best_mode)
    progress = None

    def report(text):
        if first:
            (say or (progress.say if progress else print))(text)

    def restore():
        targets = jax.tree.map(
            lambda leaf, leaf_sharding: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=leaf_sharding
            ),
            abstract,
            shardings,
        )
        found = checkpoints.restore(targets, report)
        if found is None:
            state = jax.jit(fresh, out_shardings=shardings)()
            if task.initial:
                state["params"] = placed(task.initial(whole_params(fresh)), shardings["params"])
            return state, 0, {}
        state, meta = found
        step = jax.device_put(jnp.int32(meta["step"]), shardings["step"])
        return {**state, "step": step}, meta["step"], meta.get("metrics", {})

    state, done, metrics = restore()
    report(
        f"{task.name}: {sharding.describe(mesh)}; batch "
        + ", ".join(
            f"{name} {s.batch_size} ({s.batch_size // mesh.size} a device)"
            for name, s in task.sources.items()
        )
    )
    parameters = sum(leaf.size for leaf in jax.tree.leaves(abstract["params"]))
    report(
        f"{parameters:,} parameters, {plan.total_steps:,} steps"
        + (f", continuing at step {done:,}" if done else "")
    )

    # --- the compiled steps, one per source
    steps = {
        name: compiled_step(
            make_step(
                graphdef,
                source,
                optimizer,
                config.seed,
                plan.total_steps,
                config.accumulate,
                task.trainable,
            ),
            mesh,
            abstract,
        )
        for name, source in task.sources.items()
    }
    every = {
        name: Every(config[name], plan.total_steps, plan.epoch_starts())
        for name in ("log_every", "save_every", "evaluate_every")
    }
    feed = device_batches(
        plan,
        {name: source.load for name, source in task.sources.items()},
        sharding.batch_sharding(mesh),
        start=done,
        threads=config.feed_threads,
    )
    log = RunLog(workdir, done, active=first)
    progress = Progress(plan.total_steps, done, task.name, active=first)
    pending: list = []  # (step, source, metrics on the device) since the last look
    unlogged: list = []  # the same, fetched, since the last line of the log
    clips = 0
    clock = time.monotonic()
    compiled: set[str] = set()
    rate = 0.0

    def look(keep_last: int):
        """Fetches metrics of pending steps but the newest; stops at a loss that is no number."""
        nonlocal pending
        ready, pending = pending[: len(pending) - keep_last], pending[len(pending) - keep_last :]
        values = jax.device_get([entry[2] for entry in ready])
        for (number, source, _), value in zip(ready, values, strict=True):
            if not math.isfinite(value["loss"]):
                raise TrainingDiverged(
                    f"the loss is {value['loss']} at step {number} ({source}); the last good "
                    f"checkpoint is {checkpoints.steps()[-1] if checkpoints.steps() else 'none'} "
                    f"in {workdir}; try a lower learning rate or clip_norm 1.0"
                )
            unlogged.append((number, source, value))

    def write_log():
        if not unlogged:
            return
        number, _, newest = unlogged[-1]
        means: dict = {}
        for _, source, value in unlogged:
            for term, x in value.items():
                means.setdefault(f"{source}/{term}", []).append(float(x))
        values = {name: float(np.mean(xs)) for name, xs in means.items()}
        values["learning_rate"] = float(learning_rate(number - 1))
        values["epoch"] = plan[number - 1].epoch
        values["clips_per_second"] = round(rate, 1)
        log.write("train", number, values)
        progress.update(number, f"loss {float(newest['loss']):.4f}, {rate:.0f} clips/s")
        unlogged.clear()

    def save(step_done, new_metrics=None):
        look(keep_last=0)  # never a checkpoint after a loss that was no number
        meta = {
            "step": step_done,
            "epoch": plan[step_done - 1].epoch,
            "learning_rate": float(learning_rate(step_done - 1)),
            "task": task.name,
            "network": dict(task.describe),
            "config": json.loads(config.to_json_best_effort()),
            "metrics": metrics,
        }
        checkpoints.save(state, meta, new_metrics)

    # --- the loop
    with (
        contextlib.closing(progress),
        contextlib.closing(log),
        checkpoints,
        others_lost(lambda: f"step {done}"),
    ):
        for source, batch in feed:
            state, step_metrics = steps[source](state, batch)
            if source not in compiled:  # compiling is not part of the speed
                compiled.add(source)
                jax.block_until_ready(step_metrics)
                clock, clips = time.monotonic(), 0
            else:
                clips += task.sources[source].batch_size
            done += 1
            pending.append((done, source, step_metrics))
            if len(pending) > _AHEAD:
                jax.block_until_ready(pending[-_AHEAD][2])
            progress.update(done)
            last = done == plan.total_steps
            if every["log_every"].due(done) or last:
                # The newest step still runs; it counts in the next interval.
                look(keep_last=0 if last else 1)
                if clips:
                    rate = clips / max(time.monotonic() - clock, 1e-9)
                write_log()
                clock, clips = time.monotonic(), 0
            evaluated = None
            if task.evaluate and (every["evaluate_every"].due(done) or last):
                look(keep_last=0)
                evaluated = metrics = task.evaluate(graphdef, state, mesh)
                log.write("evaluate", done, metrics)
                report(f"step {done}: " + format_metrics(metrics))
                clock, clips = time.monotonic(), 0
            stopping = stop.here()
            if every["save_every"].due(done) or last or evaluated or stopping:
                save(done, evaluated)
            if stopping and not last:
                raise Stopped(done, stop.signal_number)
    return Result(state, graphdef, done, metrics, rate)


def make_plan(task: Task, config) -> Plan:
    """The plan of a task's sources, in the order of config.pass_order."""
    sources = [
        Source(
            name,
            records=len(task.sources[name].load),
            batch_size=task.sources[name].batch_size,
            from_epoch=task.sources[name].from_epoch,
            own_steps_per_epoch=task.sources[name].steps_per_epoch,
            until_epoch=task.sources[name].until_epoch,
            labels=task.sources[name].labels,
            per_class=task.sources[name].per_class,
        )
        for name in config.pass_order
        if name in task.sources
    ]
    return Plan(sources, config.seed, config.epochs, config.order)


def format_metrics(metrics: dict) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in metrics.items()
    )
