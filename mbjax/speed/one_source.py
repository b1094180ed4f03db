"""A task cut down to one of its sources, for measuring and compiling its training step."""

import copy
import dataclasses
import functools
import math

import jax
import numpy as np

from mbjax import tasks
from mbjax.data.detector_noise import DetectionNoise
from mbjax.data.feed import ClipLoader
from mbjax.data.plan import Source
from mbjax.data.records import RecordReader
from mbjax.speed import made_up as made_up_tasks
from mbjax.tasks.pretrain import task as pretrain
from mbjax.training.task import Task, TrainSource

_SAMPLE = {"3d": "sample:motion3d", "2d": "sample:detected2d"}
_STEPS = made_up_tasks.COUNT  # long enough for any timing


class OneSource:
    """The training step's source: name, the loss, and the batches it takes.

    name: '' for the first 3D source of pretraining that has a folder (else the first 3D one), and
    the first of another task's. frames: clip length, of pretraining and of what is made up.
    made_up: clips are zeros and no dataset is read; otherwise pretraining's source without a folder
    reads the sample corpus, and other tasks what their config names.
    ValueError for a name that the config does not have.
    """

    def __init__(self, config, name: str = "", frames: int = 0, made_up: bool = False):
        self.config = config
        task_name = config.get("task", "pretrain")
        if task_name == "pretrain":
            self._task, self.name, self.folder = _pretraining(config, name, frames, made_up)
        elif made_up:
            self._task, self.name = made_up_tasks.task(config, name, frames)
            self.folder = made_up_tasks.NOWHERE
        else:
            self._task = tasks.find(task_name).make_task(config)
            self.name = name or next(iter(self._task.sources))
            if self.name not in self._task.sources:
                raise ValueError(
                    f"no source {name!r} with a folder; there are: {', '.join(self._task.sources)}"
                )
            self.folder = task_name
        self.load = self._task.sources[self.name].load

    def task(self, batch_size: int) -> Task:
        """The task with this source alone; its plan is endless."""
        source = self._task.sources[self.name]
        rows = Source(self.name, max(len(source.load), batch_size), batch_size, 0, _STEPS)
        # An evaluation would read its own dataset.
        only = {self.name: dataclasses.replace(source, rows=rows)}
        return dataclasses.replace(self._task, sources=only, evaluate=None, best=None)

    def settings(self):
        """The config for the task of one source: a single epoch, nothing else in the order."""
        settings = copy.deepcopy(self.config)
        settings.update(pass_order=(self.name,), order="sequential", epochs=1)
        return settings

    def rows(self, count: int) -> dict:
        """So many rows of a batch, from the source's first records."""
        records = np.arange(count) % len(self.load)
        return self.load(records, np.arange(count), np.random.default_rng(0))

    def batch_shapes(self, batch_size: int) -> dict:
        """A batch of the source, abstract."""
        return {
            name: jax.ShapeDtypeStruct((batch_size, *array.shape[1:]), array.dtype)
            for name, array in self.rows(1).items()
        }


def clips_and_frames(batch) -> tuple[int, int]:
    """How many clips of one person a batch has, and of how many frames; arrays may be abstract."""
    *leading, frames, _, _ = next(a for a in batch.values() if len(a.shape) >= 4).shape
    return math.prod(leading), frames


def _pretraining(config, name, frames, made_up):
    kinds = {each: source.kind for each, source in config.sources.items()}
    three = [each for each, kind in kinds.items() if kind == "3d"]
    name = name or next((n for n in three if config.sources[n].dir), (three or [""])[0])
    if name not in kinds:
        raise ValueError(f"no source {name!r}; there are: {', '.join(kinds)}")
    frames = frames or config.sources[name].frames or config.model.maxlen
    config.model.maxlen = max(config.model.maxlen, frames)
    kind = kinds[name]
    field, loss = {"3d": ("pose", pretrain.loss_3d), "2d": ("keypoints", pretrain.loss_2d)}[kind]
    if made_up:
        loader = made_up_tasks.Zeros({field: (frames, config.model.num_joints, 3)})
    else:
        reader = RecordReader(config.sources[name].dir or _SAMPLE[kind], "train")
        loader = ClipLoader(reader, [field], frames)
    noise = DetectionNoise.load(config.noise_table or None)
    loss = functools.partial(loss, config, config.sources[name], noise)
    source = TrainSource(Source(name, len(loader), config.batch_size), loader, loss)
    return (
        pretrain.bare_task(config, {name: source}),
        name,
        config.sources[name].dir or _SAMPLE[kind],
    )
