"""3D pose from detected 2D: the pretraining's network and losses on pairs of 2D and 3D.

Paper, section 4.3. Shapes in names: B batch, T frames, J joints. Records hold `keypoints` (x, y
over half the image's width, confidence) and `pose` (the same, and depth over half the width).
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import numpy as np
from flax import nnx

from mbjax.atomic_files import written_beside
from mbjax.data import augment, detected_pairs
from mbjax.data.feed import ClipLoader
from mbjax.data.plan import Source
from mbjax.data.records import RecordReader
from mbjax.devices import sharding
from mbjax.models.dstformer import DSTformer, DSTformerConfig
from mbjax.pose import losses
from mbjax.pose.skeleton import NUM_JOINTS
from mbjax.remarks import remark
from mbjax.tasks import as_state, initial_weights, pose_targets, sources_in_order, writable
from mbjax.tasks.pose3d.evaluation import Evaluation
from mbjax.tasks.pose3d.h36m_protocol import QUANTITIES
from mbjax.training.task import Report, Task, TrainSource


def make_task(config) -> Task:
    """The task that configs/pose3d.py describes. ValueError or FileNotFoundError, one line."""
    if config.from_pretrained and not config.init:
        raise ValueError(
            "this config starts from a pretrained encoder: give --init CHECKPOINT (a work folder "
            "of 'mbjax pretrain', or a PyTorch file), or train from scratch with "
            "configs/pose3d.py:scratch"
        )
    network = DSTformerConfig(**config.model)
    if network.dim_in not in (2, 3):
        raise ValueError(f"model.dim_in is {network.dim_in}; it must be 3, or 2 for no confidence")
    if network.num_joints != NUM_JOINTS:
        raise ValueError(
            f"model.num_joints is {network.num_joints}; the corpora have {NUM_JOINTS} joints"
        )
    sources = {}
    for name, source in sources_in_order(config):
        reader = open_pairs(source.dir, source.split)
        loader = ClipLoader(reader, ["keypoints", "pose"], source.frames, source.frame_step)
        if loader.frames > network.maxlen:
            raise ValueError(
                f"sources.{name} has clips of {loader.frames} frames, the model takes "
                f"{network.maxlen}; set sources.{name}.frames or model.maxlen"
            )
        rows = Source(
            name, len(loader), config.batch_size, own_steps_per_epoch=source.steps_per_epoch
        )
        sources[name] = TrainSource(rows, loader, functools.partial(loss, config))
    if not sources:
        raise ValueError(
            "no source has a folder; give one, such as --config.sources.h36m.dir=DIR, made by "
            "'mbjax prepare h36m --raw RAW_FOLDER --out DIR'"
        )
    if config.init:
        _read_init(config.init, network)  # now, before anything is written
    evaluation = _evaluation(config, network.maxlen) if config.evaluation.dir else None
    trainable = _trainable(config, network)
    return Task(
        name="pose3d",
        make_model=lambda rngs: DSTformer(network, rngs=rngs),
        sources=sources,
        optimizer=lambda plan: pose_targets.release_optimizer(config, plan, trainable),
        describe={"kind": "dstformer", "dstformer": dict(config.model)},
        evaluate=evaluation,
        best="mpjpe_mm" if evaluation else None,
        initial=functools.partial(_initial, config.init, network) if config.init else None,
        trainable=trainable,
    )


def open_pairs(directory, split):
    """Records of pairs of 2D and 3D: a prepared dataset, or 'sample:pairs'."""
    if str(directory) == detected_pairs.NAME:
        return detected_pairs.open_split(split)
    return RecordReader(directory, split)


def _evaluation(config, maxlen):
    evaluation = Evaluation(config, open_pairs(config.evaluation.dir, config.evaluation.split))
    if evaluation.frames > maxlen:
        raise ValueError(
            f"the test clips have {evaluation.frames} frames, the model takes {maxlen}; set "
            f"--config.evaluation.frames={maxlen}"
        )
    return evaluation


def _trainable(config, network) -> Callable[[tuple], bool] | None:
    """`Task.trainable` of config.partial_train; ValueError for a name that nothing has."""
    names = config.partial_train
    if isinstance(names, str):
        names = (names,)
    trainable = initial_weights.named_subtrees(names)
    if trainable is None:
        return None
    model = nnx.eval_shape(lambda: DSTformer(network, rngs=nnx.Rngs(0)))
    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    paths = [tuple(entry.key for entry in p) for p, _ in jax.tree.leaves_with_path(params)]
    for name in names:
        if not any(map(initial_weights.named_subtrees([name]), paths)):
            raise ValueError(
                f"partial_train names {name!r}, which the network has not; it has: "
                + ", ".join(sorted({str(path[0]) for path in paths}))
            )
    return trainable


def _read_init(checkpoint, network):
    """The pretrained weights (convert.source.Source); ValueError if their network is not this."""
    from mbjax.convert import read as sources  # training from scratch needs no converters

    found = sources.read(checkpoint, backbone_only=True)
    free = ("dtype", "remat", "attention")
    theirs, ours = (
        {k: v for k, v in dataclasses.asdict(config).items() if k not in free}
        for config in (found.config, network)
    )
    wrong = [
        f"{name} {theirs[name]}, here {ours[name]}" for name in ours if theirs[name] != ours[name]
    ]
    if wrong:
        raise ValueError(
            f"{checkpoint} is a network of other sizes: {'; '.join(wrong)}; set them to the "
            "checkpoint's by --config.model.NAME=VALUE (a file that does not say its number of "
            "heads is taken to have 8; 'mbjax import --num-heads' says it)"
        )
    return found


def _initial(checkpoint, network, params):
    """`Task.initial`: the checkpoint's parameters instead of new ones."""
    found = _read_init(checkpoint, network)
    remark(f"starting from {found}")
    return found.params


# --- loss -------------------------------------------------------------------------------------


def loss(config, model, batch, keys_B, progress):
    pose_BxTxJx3, x_BxTxJx3 = batch["pose"], batch["keypoints"]
    if config.mirror:  # the same keys: 2D and 3D are mirrored together
        pose_BxTxJx3 = augment.random_mirror(keys_B, pose_BxTxJx3)
        x_BxTxJx3 = augment.random_mirror(keys_B, x_BxTxJx3)
    if config.gt_2d:
        x_BxTxJx3 = pose_targets.clean_input(pose_BxTxJx3[..., :2])
    target_BxTxJx3 = pose_targets.target(pose_BxTxJx3, config.root_relative)
    output = model(x_BxTxJx3[..., : config.model.dim_in])
    return losses.pose_loss(output, target_BxTxJx3, pose_targets.loss_weights(config, progress))


# --- evaluation -------------------------------------------------------------------------------


def evaluate_checkpoint(config, path, out=None) -> Report:
    """The protocol's numbers for the weights that mbjax.load(path) finds.

    out: a folder for errors.npz, per frame, and table.csv.
    """
    from mbjax.convert import load as loading  # here, so that training does not need the converters

    if not config.evaluation.dir:
        raise ValueError(
            "the config has no evaluation.dir; give --config.evaluation.dir=DATASET, made by "
            "'mbjax prepare h36m'"
        )
    folder = writable(out)
    model = loading.load(path, kinds=("dstformer",))
    if model.config.num_joints != NUM_JOINTS or model.config.dim_in not in (2, 3):
        raise ValueError(
            f"{path} takes {model.config.num_joints} joints of {model.config.dim_in} channels; "
            f"records have {NUM_JOINTS} joints of x, y and confidence"
        )
    config.model.dim_in = model.config.dim_in
    evaluation = _evaluation(config, model.config.maxlen)
    graphdef, state = as_state(model)
    frames = FrameErrors() if folder else None
    scores = evaluation.measure(
        graphdef, state, sharding.make_mesh(config.fsdp), frames.add if frames else None
    )
    rows = scores.rows()
    lines = [*evaluation.describe(), *_aligned(rows), f"{scores.frames:,} frames"]
    if folder and jax.process_index() == 0:
        with written_beside(folder / "errors.npz") as beside:
            np.savez_compressed(beside, **frames.arrays())
        with written_beside(folder / "table.csv") as beside:
            beside.write_text("\n".join(",".join(row) for row in rows) + "\n")
        lines.append(f"wrote {folder / 'errors.npz'} (per frame) and {folder / 'table.csv'}")
    found = {
        "protocol": " | ".join(evaluation.describe()),
        "frames": scores.frames,
        **scores.means(),
        "over_frames": scores.over_frames(),
        "actions": {action: scores.of_action(action) for action in scores.actions()},
    }
    return Report("\n".join(lines), found)


class FrameErrors:
    """Per-frame errors of every recording: float32 numbers, nothing else is kept of a frame."""

    def __init__(self):
        self._sources, self._actions, self._rows, self._scores = [], [], [], []

    def add(self, source, action, rows_N, scores_NxQ):
        self._sources.append(source)
        self._actions.append(action)
        self._rows.append(rows_N)
        self._scores.append(scores_NxQ.astype(np.float32))

    def arrays(self) -> dict[str, np.ndarray]:
        """By recording: `sources`, `actions`. By frame: `recording`, `frame`, every quantity."""
        scores = np.concatenate(self._scores)
        counts = [len(rows) for rows in self._rows]
        return {
            "sources": np.array(self._sources),
            "actions": np.array(self._actions),
            "recording": np.repeat(np.arange(len(counts)), counts),
            "frame": np.concatenate(self._rows),
            **{name: scores[:, i] for i, name in enumerate(QUANTITIES)},
        }


def _aligned(rows):
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
