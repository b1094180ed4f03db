"""One training loop for all tasks, in the order in which things happen.

Shapes in names: B rows of a batch. A run's state is a dict of four entries: params, other
(BatchNorm statistics), opt_state, step. It is donated to each step and lives where `distributed`
puts it.
"""

import contextlib
import dataclasses
import json
import math
import pathlib
import signal
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from ml_collections import ConfigDict

from mbjax import distributed
from mbjax.checkpoint import Checkpoints
from mbjax.data.corrupt import row_keys
from mbjax.data.feed import device_batches
from mbjax.data.plan import Plan, Source
from mbjax.durations import Every
from mbjax.logs import Progress, RunLog
from mbjax.optimizer import names_of
from mbjax.tasks import Task, TrainSource
from mbjax.whole_files import written_beside

# Exit status of a run that was told to stop and saved: start it again and it continues.
EXIT_START_AGAIN = 75


class TrainingDiverged(RuntimeError):
    """The loss became NaN or infinite."""


class Stopped(Exception):
    """The run was asked to stop by a signal, and has saved."""

    def __init__(self, step: int, signal_number: int):
        super().__init__(f"stopped at step {step}, saved; start it again to continue")
        self.exit_status = 130 if signal_number == signal.SIGINT else EXIT_START_AGAIN


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


# --- the step ---------------------------------------------------------------------------------


def make_step(
    graphdef,
    source: TrainSource,
    optimizer,
    seed: int,
    total_steps: int,
    accumulate: int = 1,
    trainable: Callable[[tuple], bool] | None = None,
) -> Callable:
    """(state, batch) -> (state, metrics), a pure function of the two.

    Randomness comes from (seed, step, global row). accumulate: how many slices of the batch are
    passed through the network one after another, the gradient being their mean. trainable: as in
    `Task`; no gradient is computed for the other parameters.
    """

    def frozen_stopped(params):
        if trainable is None:
            return params
        return jax.tree.map_with_path(
            lambda path, leaf: leaf if trainable(names_of(path)) else jax.lax.stop_gradient(leaf),
            params,
        )

    def gradient(params, other, batch, keys_B, progress):
        def loss(params):
            model = nnx.merge(graphdef, frozen_stopped(params), other)
            model.train()
            total, terms = source.loss(model, batch, keys_B, progress)
            return total, (terms, nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param))))

        (total, (terms, other)), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return grads, other, {"loss": total, **terms}

    def step(state, batch):
        key = jax.random.fold_in(jax.random.key(seed), state["step"])
        keys_B = row_keys(key, 0, source.batch_size)
        progress = state["step"] / total_steps
        if accumulate == 1:
            grads, other, metrics = gradient(
                state["params"], state["other"], batch, keys_B, progress
            )
        else:
            # Slices take every n-th row, so that each holds rows of all devices.
            slices = jax.tree.map(
                lambda a: a.reshape(-1, accumulate, *a.shape[1:]).swapaxes(0, 1), (batch, keys_B)
            )

            def one_slice(carry, part):
                grads, other, metrics = gradient(state["params"], carry[1], *part, progress)
                return (jax.tree.map(jnp.add, carry[0], grads), other), metrics

            zeros = jax.tree.map(jnp.zeros_like, state["params"])
            (grads, other), metrics = jax.lax.scan(one_slice, (zeros, state["other"]), slices)
            grads = jax.tree.map(lambda g: g / accumulate, grads)
            metrics = jax.tree.map(jnp.mean, metrics)
        updates, opt_state = optimizer.update(grads, state["opt_state"], state["params"])
        metrics["gradient_norm"] = optax.tree.norm(grads)
        new_state = {
            "params": optax.apply_updates(state["params"], updates),
            "other": other,
            "opt_state": opt_state,
            "step": state["step"] + 1,
        }
        return new_state, metrics

    return step


def compiled_step(step: Callable, mesh, abstract_state) -> Callable:
    """The step as one compiled program on the mesh, with donated state and replicated metrics."""
    shardings = distributed.state_sharding(abstract_state, mesh)
    return jax.jit(
        step,
        in_shardings=(shardings, distributed.batch_sharding(mesh)),
        out_shardings=(shardings, distributed.replicated(mesh)),
        donate_argnums=0,
    )


def make_state(task: Task, optimizer, seed: int) -> tuple[nnx.GraphDef, Callable]:
    """The network's definition, and a function without arguments that makes a fresh state."""

    def split():
        return nnx.split(task.make_model(nnx.Rngs(seed)), nnx.Param, ...)

    def fresh():
        _, params, other = split()
        params = nnx.to_pure_dict(params)
        return {
            "params": params,
            "other": nnx.to_pure_dict(other),
            "opt_state": optimizer.init(params),
            "step": jnp.int32(0),
        }

    graphdef, _, _ = nnx.split(
        nnx.eval_shape(lambda: task.make_model(nnx.Rngs(seed))), nnx.Param, ...
    )
    return graphdef, fresh


def _whole(fresh) -> dict:
    """A fresh state's parameters as numpy arrays, on every host the same."""
    return jax.tree.map(np.asarray, jax.jit(lambda: fresh()["params"])())


def _placed(params, shardings):
    """Host arrays, the same on every host, as arrays of the mesh."""
    return jax.tree.map(
        lambda array, sharding: jax.make_array_from_callback(
            array.shape, sharding, lambda index: array[index]
        ),
        params,
        shardings,
    )


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
    with stop_signals() as stop:
        return _run(config, make_task, workdir, say, stop)


def _run(config, make_task, workdir, say, stop) -> Result:
    # --- devices, data, plan
    mesh = distributed.make_mesh(config.fsdp)
    first = jax.process_index() == 0
    task = make_task(config)
    for name, source in task.sources.items():
        distributed.check_batch(source.batch_size, mesh, config.accumulate, f"{name}: batch_size")
    plan = make_plan(task, config)
    workdir = pathlib.Path(workdir).expanduser()
    if first:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"work folder {workdir} cannot be made: {error.strerror}") from None
        claim_workdir(workdir, config)
    optimizer, schedule = task.optimizer(plan)

    # --- state: fresh, or where the run left off
    graphdef, fresh = make_state(task, optimizer, config.seed)
    abstract = jax.eval_shape(fresh)
    shardings = distributed.state_sharding(abstract, mesh)
    checkpoints = Checkpoints(workdir, config.keep_checkpoints, task.best, task.best_mode)
    progress = None

    def report(text):
        (say or (progress.say if progress else print))(text)

    def restore():
        targets = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            abstract,
            shardings,
        )
        found = checkpoints.restore(targets, report)
        if found is None:
            state = jax.jit(fresh, out_shardings=shardings)()
            if task.initial:
                state["params"] = _placed(task.initial(_whole(fresh)), shardings["params"])
            return state, 0, {}
        state, meta = found
        step = jax.device_put(jnp.int32(meta["step"]), shardings["step"])
        return {**state, "step": step}, meta["step"], meta.get("metrics", {})

    state, done, metrics = restore()
    if first:
        report(
            f"{task.name}: {jax.process_count()} host(s), {jax.device_count()} "
            f"{jax.devices()[0].device_kind} device(s), mesh "
            + " x ".join(f"{axis} {size}" for axis, size in mesh.shape.items())
            + "; batch "
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
        distributed.batch_sharding(mesh),
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
        values["learning_rate"] = float(schedule(number - 1))
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
            "learning_rate": float(schedule(step_done - 1)),
            "task": task.name,
            "network": dict(task.describe),
            "config": json.loads(config.to_json_best_effort()),
            "metrics": metrics,
        }
        checkpoints.save(state, meta, new_metrics)

    # --- the loop
    with contextlib.closing(progress), contextlib.closing(log):
        try:
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
                if every["save_every"].due(done) or last or evaluated or stop:
                    save(done, evaluated)
                if stop and not last:
                    raise Stopped(done, stop[0])
        finally:
            checkpoints.wait()
            checkpoints.close()
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


# Settings that may change between two starts of one run without making it another.
_FREE_SETTINGS = ("log_every", "save_every", "evaluate_every", "keep_checkpoints", "feed_threads")


def claim_workdir(workdir: pathlib.Path, config: ConfigDict) -> None:
    """Writes the config into a new work folder; ValueError where the folder has another one."""
    path = workdir / "config.json"
    mine = json.loads(config.to_json_best_effort())
    if path.exists():
        theirs = json.loads(path.read_text())
        for settings in (mine, theirs):
            for name in _FREE_SETTINGS:
                settings.pop(name, None)
        changes = _differences(theirs, mine)
        if changes:
            raise ValueError(
                f"work folder {workdir} belongs to another config: "
                + "; ".join(changes)
                + "; use another --workdir, or the settings it was begun with"
            )
        return
    with written_beside(path) as beside:
        beside.write_text(json.dumps(mine, indent=1))


def _differences(old, new, where="") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        names = sorted(set(old) | set(new))
        return [
            line
            for name in names
            for line in _differences(old.get(name), new.get(name), f"{where}.{name}".lstrip("."))
        ]
    return [] if old == new else [f"{where} was {old!r}, now {new!r}"]


@contextlib.contextmanager
def stop_signals():
    """A list that SIGTERM or SIGINT puts its number into; a second SIGINT interrupts at once."""
    caught: list[int] = []

    def handle(number, _frame):
        if caught and number == signal.SIGINT:
            raise KeyboardInterrupt
        caught.append(number)

    try:
        before = {n: signal.signal(n, handle) for n in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not in the main thread: whoever runs us handles signals
        before = {}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
