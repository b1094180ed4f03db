"""The training steps of all fine-tuning tasks on rows of zeros, for which no dataset is needed."""

import functools

import numpy as np

from mbjax.body import smpl, stand_in
from mbjax.data.plan import Source
from mbjax.pose.skeleton import NUM_JOINTS
from mbjax.tasks.action import task as action
from mbjax.tasks.mesh import task as mesh
from mbjax.tasks.mesh.evaluation import fields
from mbjax.tasks.oneshot import task as oneshot
from mbjax.tasks.pose3d import task as pose3d
from mbjax.training.task import Task, TrainSource

NOWHERE = "made up"
COUNT = 1_000_000  # records: as many as anyone may ask for
_CLASSES = 60  # of NTU RGB+D, where a config does not name its own
_MESH_FRAMES = 16  # of the clips that `mbjax prepare` makes


class Zeros:
    """Loads rows of zeros. shapes: {name: of one row}; whole numbers where the shape is ()."""

    fps = None

    def __init__(self, shapes: dict):
        self._rows = {
            name: np.zeros(shape, np.float32 if shape else np.int32)
            for name, shape in shapes.items()
        }
        clip = next(iter(shapes.values()))
        self.frames = clip[-3]

    def __len__(self):
        return COUNT

    def __call__(self, records, rows, random) -> dict:
        return {name: np.stack([row] * len(rows)) for name, row in self._rows.items()}

    def data_index(self) -> dict:
        return {}


def task(config, name: str = "", frames: int = 0) -> tuple[Task, str]:
    """(the config's task with one source of zeros, that source's name).

    name: '' for the first. frames: of a clip, 0 for the config's. Without SMPL a mesh net has the
    synthetic body. ValueError for a source that the config does not have.
    """
    if config.task in ("action", "oneshot"):
        names, settings = ["train"], {}
    else:
        names, settings = [n for n in config.pass_order if n in config.sources], config.sources
    name = name or names[0]
    if name not in names:
        raise ValueError(f"no source {name!r}; there are: {', '.join(names)}")
    make = {"pose3d": _pose3d, "action": _action, "oneshot": _oneshot, "mesh": _mesh}[config.task]
    return make(config, name, frames, settings.get(name)), name


def _sources(config, name, loader, loss):
    config.model.maxlen = max(config.model.maxlen, loader.frames)
    return {name: TrainSource(Source(name, len(loader), config.batch_size), loader, loss)}


def _pose3d(config, name, frames, settings):
    clip = (frames or settings.frames or config.model.maxlen, NUM_JOINTS, 3)
    loader = Zeros({"keypoints": clip, "pose": clip})
    return pose3d.bare_task(
        config, _sources(config, name, loader, functools.partial(pose3d.loss, config))
    )


def _recordings(config, frames):
    return Zeros(
        {"keypoints": (config.persons, frames or config.frames, NUM_JOINTS, 3), "label": ()}
    )


def _action(config, name, frames, settings):
    classes = len(config.get("classes") or ()) or _CLASSES
    loss = functools.partial(action.loss, config, np.ones(classes, np.float32))
    sources = _sources(config, name, _recordings(config, frames), loss)
    return action.bare_task(config, sources, classes)


def _oneshot(config, name, frames, settings):
    loss = functools.partial(oneshot.loss, config)
    return oneshot.bare_task(config, _sources(config, name, _recordings(config, frames), loss))


def _mesh(config, name, frames, settings):
    try:
        body = smpl.load(config.body)
    except FileNotFoundError:
        body = smpl.load(stand_in.NAME)
    frames = frames or min(_MESH_FRAMES, config.model.maxlen)
    shapes = {"keypoints": (frames, NUM_JOINTS, 3), "theta": (frames, 82)}
    shapes = {name: shapes.get(name, shapes["theta"]) for name in fields(config.kind)}
    loss = functools.partial(mesh.loss_of_clips, config, body.joints())
    return mesh.bare_task(config, _sources(config, name, Zeros(shapes), loss), body)
