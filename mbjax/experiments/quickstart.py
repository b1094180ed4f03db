"""The first thing to try: pretrain a tiny model on the sample corpus and look at the result."""

import json
import os
import pathlib
import time
from collections.abc import Callable

import jax

from mbjax import configuration
from mbjax.atomic_files import written_beside
from mbjax.configuration import RUN_FILE
from mbjax.devices import sharding
from mbjax.pictures import skeletons as draw
from mbjax.storage.places import on_disk
from mbjax.tasks.pretrain import task as pretrain
from mbjax.training import loop
from mbjax.training.run_log import read_metrics
from mbjax.training.time_spent import format_time

_CORPUS = (
    "sample corpus: subject 1 of the CMU Graphics Lab motion capture database,\n"
    "  trained on recording 01_03 (37 s), tested on 01_01 (23 s), which is held out whole"
)


def run(workdir: str | os.PathLike, steps: int | None, say: Callable[[str], None]) -> dict:
    """Trains configs/pretrain.py:quickstart in `workdir`, continuing what is there; draws; sums up.

    steps: about so many training steps instead of the config's. ValueError for a folder that holds
    something else. Returns the final metrics.
    """
    begun = time.monotonic()
    workdir = on_disk(workdir, "work folder")
    if workdir.is_dir() and any(workdir.iterdir()) and not (workdir / RUN_FILE).exists():
        raise ValueError(f"{workdir} holds something else: give another folder as --workdir")
    config = configuration.load("pretrain:quickstart", [])
    if steps is not None:
        shorten(config, steps)
    say(_CORPUS)
    tasks = []

    def make_task(config):
        tasks.append(pretrain.make_task(config))
        return tasks[-1]

    result = loop.run(config, make_task, workdir)

    say("drawing ...")
    draw.curves(read_metrics(workdir), workdir / "curves.png", "pretraining on the sample corpus")
    mesh = sharding.make_mesh(config.fsdp)
    evaluation = tasks[-1].evaluate  # the run's own, which has been compiled
    # The camera that looks across the motion's first view: depth matters there.
    shown = evaluation.show(result.graphdef, result.state, mesh, clip=1, view=1)
    caption = f"held-out motion, {result.step} steps, {result.metrics['error_mm']:.0f} mm"
    seen, pose, target = shown.seen, shown.corrupted, shown.truth
    draw.poses(seen, pose, target, workdir / "poses.png", title=caption)
    every = slice(None, None, 4)  # 60 fps to 15
    draw.animate(seen[every], pose[every], target[every], workdir / "motion.gif", 15, caption)

    metrics = {**result.metrics, "clips_per_second": result.clips_per_second}
    summary = {"steps": result.step, "device": jax.devices()[0].device_kind, **metrics}
    with written_beside(workdir / "summary.json") as beside:
        beside.write_text(json.dumps(summary, indent=1))
    say(describe(summary, workdir, time.monotonic() - begun))
    return summary


def shorten(config, steps: int) -> None:
    """Scales the tiny run to about `steps` steps; the curriculum's switch keeps its place."""
    switch = max(source.from_epoch for source in config.sources.values()) / config.epochs
    per_epoch = sum(
        source.steps_per_epoch * (1 - source.from_epoch / config.epochs)
        for source in config.sources.values()
    )
    config.epochs = max(2, round(steps / per_epoch))
    for source in config.sources.values():
        if source.from_epoch:
            source.from_epoch = min(config.epochs - 1, round(switch * config.epochs))
    # Two epochs at least, which a run of very few steps has shorter.
    total = sum(s.steps_per_epoch * (config.epochs - s.from_epoch) for s in config.sources.values())
    if total > 1.2 * steps:
        for source in config.sources.values():
            source.steps_per_epoch = max(1, round(source.steps_per_epoch * steps / total))
    config.warmup_steps = min(config.warmup_steps, steps // 4)


def describe(summary: dict, workdir: pathlib.Path, seconds: float) -> str:
    error, flat = summary["error_mm"], summary["flat_mm"]
    took = format_time(seconds)
    below = (
        f"{100 * (1 - error / flat):.0f} % below the baseline"
        if error < flat
        else "the baseline is not reached yet"
    )
    return f"""
error on held-out motion     {error:6.1f} mm   root-relative, 8 cameras, flip-averaged; {below}
  with noise and masks       {summary["error_corrupted_mm"]:6.1f} mm
  after alignment            {summary["p_mpjpe_mm"]:6.1f} mm
baseline: true x, y, depth 0 {flat:6.1f} mm
speed                        {summary["clips_per_second"]:6.0f} clips/s; this start took {took}

in {workdir}/
  motion.gif     input, prediction and truth beside each other
  poses.png      a few frames of the same
  curves.png     errors in training and on held-out motion
  metrics.jsonl  every logged number   (tensorboard --logdir {workdir}/tensorboard)
  checkpoints/   Orbax

next:
  mbjax infer --checkpoint {workdir} --keypoints YOURS     2D keypoints of a detector to 3D motion
  mbjax pretrain --config pretrain:quickstart --workdir runs/longer --config.epochs=300
  mbjax bench --config pretrain:mb_lite --batch-size 4
  mbjax evaluate --checkpoint {workdir}
  mbjax prepare --help        datasets from AMASS, Human3.6M, PoseTrack, your own BVH files
"""  # noqa: E501  a table on the screen
