"""A run of a task in this process: its state, its checkpoints, its log, and what is still to fetch.

The methods are what the loop does, in its order. Nothing in `step` waits for the devices, but for
the host to be no more than a few steps ahead.
"""

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from flax import nnx
from flax.traverse_util import flatten_dict

from mbjax.devices import sharding
from mbjax.devices.cluster import EndedTogether
from mbjax.models import attention
from mbjax.storage.places import Place
from mbjax.training.checkpoint import Checkpoints
from mbjax.training.every import Every
from mbjax.training.fingerprint import Fingerprints
from mbjax.training.run_log import Means, Progress, RunLog, format_metrics
from mbjax.training.signed_meta import NotFinite
from mbjax.training.staged import checkpoints_of
from mbjax.training.step import Prepared
from mbjax.training.time_spent import account
from mbjax.training.tracker import Tracker
from mbjax.training.watching import Watching

# How many steps the host may be ahead of the devices: enough to keep them busy, few enough that
# their batches take little memory and that a stop comes soon.
_AHEAD = 8


class TrainingDiverged(EndedTogether, ValueError):
    """The loss, the gradient or a parameter became NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class Result:
    """The final state of a run."""

    state: dict
    graphdef: nnx.GraphDef
    step: int
    metrics: dict
    clips_per_second: float

    def model(self) -> nnx.Module:
        model = nnx.merge(self.graphdef, self.state["params"], self.state["other"])
        model.eval()
        return model


class Session:
    """To be restored, then entered, then stepped through what is left of the plan.

    done: the steps so far; metrics: the last evaluation's; log: where lines go, the work folder's
    own unless it is set before entering.
    """

    def __init__(
        self,
        run: Prepared,
        config,
        workdir: Place,
        say: Callable[[str], None] | None,
        checkpoints: Checkpoints | None = None,
        watching: Watching | None = None,
    ):
        self._run, self._config, self._workdir, self._say = run, config, workdir, say
        self._first = jax.process_index() == 0
        self._learning_rate = jax.jit(run.schedule)
        self._every = {
            name: Every(config[name], run.plan.total_steps, run.plan.epoch_starts())
            for name in ("log_every", "save_every", "evaluate_every")
        }
        self._checkpoints = checkpoints or checkpoints_of(
            workdir, config.keep_checkpoints, run.task.best, run.task.best_mode
        )
        self._progress = Progress(run.plan.total_steps, run.task.name, active=self._first)
        self._state: dict = {}
        self.done, self.metrics = 0, {}
        self.log: RunLog | None = None
        self._pending: list = []  # (step, source, metrics on the device) since the last fetch
        self._means = Means()  # of what is fetched, since the last line of the log
        self._newest_loss = math.nan
        self._prints: Fingerprints | None = None  # of the parameters after step _prints_step
        self._prints_step = -1
        self._compiled: set[str] = set()
        self._watching = watching or Watching()
        self._spent, self._profile = self._watching.spent, self._watching.profile
        self._resumed_at = 0
        self._rate, self._clips, self._clock = 0.0, 0, 0.0

    @property
    def finished(self) -> bool:
        return self.done == self._run.plan.total_steps

    def due(self, what: str) -> bool:
        """Whether the config's duration `what` ends at this step; everything does at the last."""
        return self._due(what, self.done)

    def _due(self, what, step):
        return self._every[what].due(step) or step == self._run.plan.total_steps

    def report(self, text: str) -> None:
        if self._first:
            (self._say or self._progress.say)(text)

    # --- the start ----------------------------------------------------------------------------

    def restore(self) -> None:
        """The state of the newest checkpoint, or a fresh one."""
        run = self._run
        with self._spent.doing("restoring"):
            found = self._checkpoints.restore(run.targets(), self.report)
            if found is not None:
                self._go_on_from(*found)
                return
        self._state = run.new_state()

    def restore_step(self, step: int) -> dict:
        """The state of one checkpoint; returns its meta. DamagedCheckpoint where it is damaged."""
        state, meta = self._checkpoints.restore_step(step, self._run.targets())
        self._go_on_from(state, meta)
        return meta

    def _go_on_from(self, state, meta):
        run = self._run
        step = jax.device_put(jnp.int32(meta["step"]), run.shardings["step"])
        self._state = {**state, "step": step}
        self.done, self.metrics = meta["step"], meta.get("metrics", {})
        self._means = Means(meta.get("unlogged"))
        self._begin_prints()

    def report_start(self) -> None:
        run, size = self._run, self._run.mesh.size
        self.report(
            f"{run.task.name}: {sharding.describe(run.mesh)}; batch "
            + ", ".join(
                f"{name} {source.batch_size} ({source.batch_size // size} a device)"
                for name, source in run.task.sources.items()
            )
        )
        parameters = sum(leaf.size for leaf in jax.tree.leaves(run.abstract["params"]))
        form = ""
        if "model" in self._config:  # the network of every task of the package, not of every test
            asked = self._config.model.get("attention", "auto")
            form = f"attention form '{attention.choose(asked, sharding.platform_of(run.mesh))}', "
        self.report(
            f"{parameters:,} parameters, {form}{run.plan.total_steps:,} steps"
            + (f", continuing at step {self.done:,}" if self.done else "")
        )

    def __enter__(self):
        self.log = self.log or RunLog(
            self._workdir, self.done, active=self._first, unlogged=self._means.step > 0
        )
        self._resumed_at = self.done
        if self.log.folder and not self.finished:
            self._spent.keep_in(self.log.folder, self.done)
            if self._profile:
                self._profile.keep_in(self.log.folder, self._workdir)
            if self._watching.track:
                settings = json.loads(self._config.to_json_best_effort())
                settings = flatten_dict(settings, sep=".")
                self.log.tracker = Tracker(
                    self._watching.track, self._workdir, settings, self.report
                )
        self._progress.start(self.done)
        self._restart_clock()
        return self

    def __exit__(self, kind, error, trace):
        try:
            with self._spent.doing("saving"):
                self._checkpoints.__exit__(kind, error, trace)
            if error is None:
                self._account()
        except NotFinite as found:
            raise self._diverged(str(found)) from None
        finally:
            if self._profile:
                self._profile.close()
            self.log.close()
            self._progress.close()

    def _account(self):
        """What the run's time was spent on, at its end."""
        self._spent.write(self.done)
        if self.finished and self.done > self._resumed_at and self.log.folder:
            if found := account(self.log.folder):
                self.log.write("time", self.done, found.row())
                self.report(str(found))

    # --- in the loop --------------------------------------------------------------------------

    def batches(self, feed: Iterator) -> Iterator:
        """What a feed gives; the time until it gives it, where the devices had run dry."""
        self._spent.switch("training")
        for source, batch in feed:
            newest = self._pending[-1][2] if self._pending else {}
            if all(value.is_ready() for value in newest.values()):
                self._spent.was("waiting")
            yield source, batch
            self._spent.switch("training")

    def step(self, source: str, batch) -> None:
        """Begins a step on a batch; waits for the one `_AHEAD` before it."""
        if self._profile and self.done + 1 == self._profile.first:
            jax.block_until_ready(self._pending[-1:])  # what came before is not of this trace
            self._profile.begin_trace()
        if source not in self._compiled:
            metrics = self._first_step(source, batch)
        else:
            self._state, metrics = self._run.steps[source](self._state, batch)
            self._clips += self._run.task.sources[source].batch_size
        self.done += 1
        if self._profile and (traced := self._profile.after(self.done, metrics)):
            self.report(traced)
        self._pending.append((self.done, source, metrics))
        self._begin_prints()
        if len(self._pending) > _AHEAD:
            jax.block_until_ready(self._pending[-_AHEAD][2])
        self._progress.update(self.done)
        self._spent.write(self.done, unless_recent=True)

    def _first_step(self, source, batch):
        """Compiling is not part of the speed."""
        self.report(f"compiling the step of {source} ...")
        with self._spent.doing("compiling"):
            self._state, metrics = self._run.steps[source](self._state, batch)
            jax.block_until_ready(metrics)
        self._compiled.add(source)
        self._restart_clock()
        return metrics

    def _begin_prints(self):
        """Fingerprints of the parameters where the next line of the log will need them.

        It is written a step later, and last at the end; see `write_log`.
        """
        if self.finished or self._due("log_every", self.done + 1):
            self._prints_now()

    def _prints_now(self) -> Fingerprints:
        """Those of the parameters after this step, begun once."""
        if self._prints is None or self._prints_step != self.done:
            self._prints, self._prints_step = Fingerprints(self._state["params"]), self.done
        return self._prints

    def check_losses(self, keep_last: int = 0) -> None:
        """Fetches metrics of pending steps but the newest; stops where one is not finite."""
        cut = len(self._pending) - keep_last
        ready, self._pending = self._pending[:cut], self._pending[cut:]
        values = jax.device_get([metrics for _, _, metrics in ready])
        for (number, source, _), value in zip(ready, values, strict=True):
            for name in ("loss", "gradient_norm"):
                if not math.isfinite(value[name]):
                    what = "the loss" if name == "loss" else "the norm of the gradient"
                    raise self._diverged(f"{what} is {value[name]} at step {number} ({source})")
            self._means.add(number, source, value)
            self._newest_loss = float(value["loss"])

    def _diverged(self, what):
        with contextlib.suppress(NotFinite):
            self._checkpoints.wait()
        steps = self._checkpoints.steps()
        return TrainingDiverged(
            f"{what}; the last good checkpoint is {steps[-1] if steps else 'none'} "
            f"in {self._workdir}; try a lower learning rate or clip_norm 1.0"
        )

    def write_log(self) -> None:
        """A line with the means since the last one."""
        # The newest step still runs; it counts in the next interval.
        self.check_losses(keep_last=0 if self.finished else 1)
        if self._clips:
            self._rate = self._clips / max(time.monotonic() - self._clock, 1e-9)
        number = self._means.step
        if number:
            values = self._means.values()
            values["learning_rate"] = float(self._learning_rate(number - 1))
            values["epoch"] = self._run.plan[number - 1].epoch
            if self._prints_step == number:
                for name in self._prints.broken():
                    raise self._diverged(f"{name} holds NaN or infinite values at step {number}")
                values["params_checksum"] = self._prints.combined()
            values["clips_per_second"] = round(self._rate, 1)
            self.log.write("train", number, values)
            tell = self._run.task.progress
            loss = "" if math.isnan(self._newest_loss) else f"loss {self._newest_loss:.4f}"
            note = tell(values, self.metrics) if tell else loss
            self._progress.update(number, f"{note}, {self._rate:.0f} clips/s")
            self._means = Means()
        self._restart_clock()

    def evaluate(self) -> dict:
        """The task's evaluation of the state, into the log."""
        self.check_losses()
        for name in self._prints_now().broken():
            raise self._diverged(f"{name} holds NaN or infinite values after step {self.done}")
        with self._spent.doing("evaluating"):
            self.metrics = self._run.task.evaluate(self._run.graphdef, self._state, self._run.mesh)
        self.log.write("evaluate", self.done, self.metrics)
        self.report(f"step {self.done}: " + format_metrics(self.metrics))
        self._restart_clock()
        return self.metrics

    def save(self, evaluated: dict) -> None:
        """Begins a checkpoint. evaluated: metrics of this very step, if any."""
        self.check_losses()  # never a checkpoint after a loss that is not finite
        meta = {
            "step": self.done,
            "epoch": self._run.plan[self.done - 1].epoch,
            "learning_rate": float(self._learning_rate(self.done - 1)),
            "task": self._run.task.name,
            "network": dict(self._run.task.describe),
            "config": json.loads(self._config.to_json_best_effort()),
            "metrics": self.metrics,
            "layout": layout(self._run.mesh),
            "unlogged": self._means.kept(),
        }
        try:
            with self._spent.doing("saving"):
                self._spent.write(self.done)
                self.log.sync()  # a run that goes on from a checkpoint has the lines before it
                self._checkpoints.save(self._state, meta, evaluated or None)
        except NotFinite as error:
            raise self._diverged(str(error)) from None

    def items(self) -> dict:
        """What of the state is kept in checkpoints, by item."""
        names = ("params", "other", "opt_state")
        return {name: self._state[name] for name in names if jax.tree.leaves(self._state[name])}

    def result(self) -> Result:
        return Result(self._state, self._run.graphdef, self.done, self.metrics, self._rate)

    def _restart_clock(self):
        self._clock, self._clips = time.monotonic(), 0


def layout(mesh) -> str:
    """What sums over a batch depend on: the devices and how they share the work."""
    return f"{sharding.describe(mesh)}; JAX {jax.__version__}"
