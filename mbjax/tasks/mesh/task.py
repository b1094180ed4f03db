"""Human mesh recovery: SMPL's pose and shape from 2D clips, or from an image method's estimate.

Shapes in names: B batch, T frames, J joints, C channels. Records hold `keypoints` (T, 17, 3),
`theta` (T, 82): 72 axis-angles and 10 shape coefficients, and for the refiner `initial_theta`.
"""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from mbjax.body import smpl
from mbjax.data.feed import ClipLoader
from mbjax.data.plan import Source
from mbjax.data.records import RecordReader
from mbjax.models import mesh
from mbjax.models.dstformer import DSTformerConfig
from mbjax.models.networks import WITH_HEAD, Network
from mbjax.pose.skeleton import mirror
from mbjax.tasks.checks import check_config, check_length
from mbjax.tasks.initial_weights import initial_weights, named_subtrees, optimizer_for_net_with_head
from mbjax.tasks.mesh import losses as mesh_losses
from mbjax.tasks.mesh.evaluation import KINDS, Evaluation, fields
from mbjax.tasks.sources import check_given, sources_in_order
from mbjax.training.task import Task, TrainSource


def make_task(config) -> Task:
    """The task that configs/mesh.py describes. ValueError or FileNotFoundError, one line."""
    check_config(config, "mesh")
    network = _network(config)
    body = smpl.load(config.body)
    loss = functools.partial(loss_of_clips, config, body.joints())
    sources = {}
    for name, source in sources_in_order(config):
        if not source.train:
            continue
        loader = ClipLoader(RecordReader(source.dir, source.split), fields(config.kind), None)
        maxlen = network.encoder.maxlen
        check_length(loader.frames, maxlen, f"sources.{name} has", "model.maxlen")
        rows = Source(
            name,
            len(loader),
            source.batch_size or config.batch_size,
            source.from_epoch,
            source.steps_per_epoch,
            source.until_epoch,
        )
        sources[name] = TrainSource(rows, loader, loss)
    check_given(sources, corpus="pw3d", dataset="mesh_pw3d")
    evaluation = Evaluation(config, network, body)
    return bare_task(config, sources, body, evaluation if len(evaluation) else None)


def bare_task(config, sources, body: smpl.Smpl, evaluation=None) -> Task:
    """The task on sources that are made already."""
    network = _network(config)
    return Task(
        name="mesh",
        make_model=lambda rngs: _with_mean(network.make(rngs), body),
        sources=sources,
        optimizer=lambda plan: optimizer_for_net_with_head(config, plan),
        describe=network.meta(),
        evaluate=evaluation,
        best="mpjpe" if evaluation else None,
        initial=initial_weights(config, under=("backbone",)),
        trainable=named_subtrees(config.partial_train),
    )


def _network(config) -> Network:
    if config.kind not in KINDS:
        raise ValueError(f"kind is {config.kind!r}; it must be one of {', '.join(KINDS)}")
    head = WITH_HEAD[config.kind][1](**config.head)
    return Network(DSTformerConfig(**config.model), config.kind, head)


def _with_mean(model: nnx.Module, body: smpl.Smpl) -> nnx.Module:
    """The mesh head starts from the mean pose and shape; the refiner from what it is given."""
    if isinstance(model, mesh.MeshNet):
        pose, shape = body.mean_parameters()
        model.head.init_pose[...] = jnp.asarray(pose, jnp.float32)[None]
        model.head.init_shape[...] = jnp.asarray(shape, jnp.float32)[None]
    return model


def loss_of_clips(config, joints_of, model, batch, keys_B, progress):
    """The loss of a batch of clips, or of single frames; joints_of: `smpl.Smpl.joints()`."""
    keys_Bx2 = jax.vmap(jax.random.split)(keys_B)
    if config.mirror:
        batch = randomly_mirrored(keys_Bx2[:, 0], batch)
    inputs = [batch["keypoints"][..., : config.model.dim_in]]
    if config.kind == "mesh_refine":
        inputs.append(batch["initial_theta"])
    predicted = model(*inputs, keys_B=keys_Bx2[:, 1])
    target = mesh.from_theta(batch["theta"])
    # Never through the vertices: 6,890 of them for each frame are far larger than the network.
    joints_mm, target_mm = (1000 * joints_of(*each) for each in (predicted, target))
    return mesh_losses.mesh_loss(predicted, joints_mm, target, target_mm, config.loss)


def randomly_mirrored(keys_B, batch):
    """Each clip mirrored left to right, 2D and bodies, with probability one half."""

    def one_clip(key, clip):
        flipped = {
            name: mirror(value) if name == "keypoints" else mesh.mirror_theta(value)
            for name, value in clip.items()
        }
        mirrored = jax.random.bernoulli(key)
        return {name: jnp.where(mirrored, flipped[name], clip[name]) for name in clip}

    return jax.vmap(one_clip)(keys_B, batch)
