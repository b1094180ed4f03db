"""One training loop for all tasks, in the order in which things happen."""

import pathlib
from collections.abc import Callable

from ml_collections import ConfigDict

from mbjax.data.feed import device_batches
from mbjax.devices import sharding
from mbjax.storage.places import place
from mbjax.training import lock
from mbjax.training.preemption import Stopped, StopRequest, lost_processes_reported
from mbjax.training.run_log import write_line
from mbjax.training.session import Result, Session
from mbjax.training.step import prepared
from mbjax.training.task import Task
from mbjax.training.watching import Watching
from mbjax.training.workdir import claim_workdir, make_folder


def run(
    config: ConfigDict,
    make_task: Callable[[ConfigDict], Task],
    workdir: str | pathlib.Path,
    say: Callable[[str], None] | None = None,
    watching: Watching | None = None,
) -> Result:
    """Trains a task to the end of its plan in a work folder, continuing what is there.

    Raises ValueError for a config that cannot run or a folder that belongs to another config,
    TrainingDiverged where the loss is not finite, Stopped after a signal.
    """
    with StopRequest().listening() as stop, lost_processes_reported(lambda: "the start"):
        return _run(config, make_task, workdir, say, stop, watching or Watching())


def _run(config, make_task, workdir, say, stop, watching) -> Result:
    mesh = sharding.make_mesh(config.fsdp)
    task = make_task(config)
    config = config if task.config is None else task.config
    run_of_task = prepared(task, config, mesh)
    workdir = place(workdir)
    make_folder(workdir)
    with lock.held(workdir, say or write_line):
        claim_workdir(workdir, config, task.data_index())
        return _train(run_of_task, config, workdir, say, stop, watching)


def _train(run_of_task, config, workdir, say, stop, watching) -> Result:
    task = run_of_task.task
    session = Session(run_of_task, config, workdir, say, watching=watching)
    session.restore()
    session.report_start()
    feed = device_batches(
        run_of_task.plan,
        {name: source.load for name, source in task.sources.items()},
        sharding.batch_sharding(run_of_task.mesh),
        start=session.done,
        threads=config.feed_threads,
    )
    with session, lost_processes_reported(lambda: f"step {session.done}"):
        for source, batch in session.batches(feed):
            session.step(source, batch)
            if session.due("log_every"):
                session.write_log()
            evaluated = (
                session.evaluate() if task.evaluate and session.due("evaluate_every") else {}
            )
            stopping = stop.stops_now()
            if session.due("save_every") or evaluated or stopping:
                session.save(evaluated)
            if stopping and not session.finished:
                raise Stopped(session.done, stop.signal_number)
    return session.result()
