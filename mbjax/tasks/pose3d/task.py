"""3D pose from detected 2D: the pretraining's network and losses on pairs of 2D and 3D.

Paper, section 4.3. Shapes in names: B batch, T frames, J joints. Records hold `keypoints` (x, y
over half the image's width, confidence) and `pose` (the same, and depth over half the width).
"""

import functools
from collections.abc import Callable

import jax
from flax import nnx

from mbjax.convert import read as weights
from mbjax.data import augment
from mbjax.data.feed import ClipLoader
from mbjax.data.plan import Source
from mbjax.models.dstformer import RUN_SETTINGS, DSTformer, DSTformerConfig
from mbjax.pose import losses
from mbjax.pose.skeleton import NUM_JOINTS
from mbjax.remarks import remark
from mbjax.tasks import initial_weights, pose_targets
from mbjax.tasks.checks import check_config, check_encoder, check_length
from mbjax.tasks.pose3d.evaluation import open_evaluation, open_pairs
from mbjax.tasks.sources import check_given, sources_in_order
from mbjax.training.task import Task, TrainSource


def make_task(config) -> Task:
    """The task that configs/pose3d.py describes. ValueError or FileNotFoundError, one line."""
    check_config(config, "pose3d")
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
        settings = f"sources.{name}.frames or model.maxlen"
        check_length(loader.frames, network.maxlen, f"sources.{name} has", settings)
        rows = Source(
            name, len(loader), config.batch_size, own_steps_per_epoch=source.steps_per_epoch
        )
        sources[name] = TrainSource(rows, loader, functools.partial(loss, config))
    check_given(sources, corpus="h36m", dataset="h36m")
    if config.init:
        read_init(config.init, network)  # now, before anything is written
    evaluation = open_evaluation(config, network.maxlen) if config.evaluation.dir else None
    return bare_task(config, sources, evaluation)


def bare_task(config, sources, evaluation=None) -> Task:
    """The task on sources that are made already."""
    network = DSTformerConfig(**config.model)
    trainable = _trainable(config, network)
    return Task(
        name="pose3d",
        make_model=lambda rngs: DSTformer(network, rngs=rngs),
        sources=sources,
        optimizer=lambda plan: pose_targets.release_optimizer(config, plan, trainable),
        describe=pose_targets.described(config, sources),
        evaluate=evaluation,
        best="mpjpe_mm" if evaluation else None,
        initial=functools.partial(_initial, config.init, network) if config.init else None,
        trainable=trainable,
    )


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
                f"partial_train names {name!r}, which the network does not have; it has: "
                + ", ".join(sorted({str(path[0]) for path in paths}))
            )
    return trainable


def read_init(checkpoint: str, network: DSTformerConfig) -> weights.Source:
    """The pretrained weights; ValueError where their network is another."""
    found = weights.read(checkpoint, backbone_only=True)
    check_encoder(checkpoint, found.config, network, free=("dtype", *RUN_SETTINGS))
    return found


def _initial(checkpoint, network, params):
    """`Task.initial`: the checkpoint's parameters instead of new ones."""
    found = read_init(checkpoint, network)
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
