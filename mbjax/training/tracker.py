"""A run's metrics in Weights & Biases, MLflow or trackio: what metrics.jsonl gets, and when.

Where these go, and with which account, are settings of theirs (WANDB_MODE, MLFLOW_TRACKING_URI).
A tracker that fails in the middle is told once and left alone: it is never a reason to stop.
"""

import contextlib
import hashlib
import importlib
import os
from collections.abc import Callable, Mapping

from mbjax.remarks import one_line
from mbjax.storage.places import is_url

NAMES = ("wandb", "mlflow", "trackio")
PROJECT = "mbjax"


class Tracker:
    """workdir: names the run, so that another start of it goes on with the same one."""

    def __init__(self, name: str, workdir: str | os.PathLike, config: Mapping,
                 say: Callable[[str], None]):  # fmt: skip
        self._name, self._say, self._broken = name, say, False
        where = os.fspath(workdir)
        where = where.rstrip("/") if is_url(where) else os.path.abspath(where)
        short = hashlib.sha256(where.encode()).hexdigest()[:12]
        self._module = module(name)
        start = {"wandb": self._start_wandb, "mlflow": self._start_mlflow,
                 "trackio": self._start_trackio}[name]  # fmt: skip
        self._attempt(lambda: start(os.path.basename(where), short, dict(config)))

    def _start_wandb(self, name, short, config):
        run = self._module.init(
            project=PROJECT, name=name, id=short, resume="allow", config=config
        )  # fmt: skip
        self._log = lambda values, step: run.log(values, step=step)
        self._end = run.finish

    def _start_mlflow(self, name, short, config):
        mlflow = self._module
        mlflow.set_experiment(PROJECT)
        found = mlflow.search_runs(
            filter_string=f"tags.mbjax_id = '{short}'", output_format="list", max_results=1
        )
        if found:
            mlflow.start_run(run_id=found[0].info.run_id)
        else:
            mlflow.start_run(run_name=name, tags={"mbjax_id": short})
            # Its parameters are short texts.
            mlflow.log_params({key: str(value)[:500] for key, value in config.items()})
        self._log = lambda values, step: mlflow.log_metrics(values, step=step)
        self._end = mlflow.end_run

    def _start_trackio(self, name, short, config):
        run_name = f"{name}-{short}"
        self._module.init(project=PROJECT, name=run_name, config=config, resume="allow")
        self._log = lambda values, step: self._module.log(values, step=step)
        self._end = self._module.finish

    def write(self, kind: str, step: int, values: Mapping) -> None:
        """The numbers among `values`, as KIND/NAME."""
        numbers = {
            f"{kind}/{name}": value
            for name, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        self._attempt(lambda: self._log(numbers, step))

    def close(self) -> None:
        self._attempt(lambda: self._end())

    def _attempt(self, action):
        if self._broken:
            return
        try:
            # Their own remarks are not this command's results.
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                action()
        except Exception as error:  # noqa: BLE001  whatever a network and an account can cause
            self._broken = True
            what = f"{type(error).__name__}: {one_line(error, 200)}"
            self._say(f"{self._name} failed ({what}); the run goes on without it")


def module(name: str):
    """The tracker's own module; ImportError, in one line, where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImportError(
            f"--track {name} needs the package {name}: pip install 'mbjax[{name}]'"
        ) from None
