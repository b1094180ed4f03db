"""Pretraining: recover 3D motion from corrupted 2D (paper, section 3.3).

Shapes in names: B batch, T frames, J joints, W windows. 3D sources hold `pose` clips whose 2D is
their own orthographic projection; 2D sources hold `keypoints` clips.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mbjax.data import augment, detector_mistakes, detector_noise
from mbjax.data.feed import ClipLoader
from mbjax.data.plan import Source, folded
from mbjax.data.records import RecordReader
from mbjax.models.dstformer import DSTformer, DSTformerConfig
from mbjax.pose import losses, skeleton
from mbjax.tasks import pose_targets
from mbjax.tasks.checks import check_config, check_length
from mbjax.tasks.pretrain.evaluation import Evaluation, load_noise
from mbjax.tasks.sources import check_given, sources_in_order
from mbjax.training.task import Task, TrainSource

_FIELD = {"3d": "pose", "2d": "keypoints"}


def make_task(config) -> Task:
    """The task that configs/pretrain.py describes. ValueError or FileNotFoundError, one line."""
    check_config(config, "pretrain")
    network = DSTformerConfig(**config.model)
    noise = load_noise(config)
    sources = {}
    for name, source in sources_in_order(config):
        if source.kind not in _FIELD:
            raise ValueError(f"sources.{name}.kind is {source.kind!r}; it must be '3d' or '2d'")
        reader = RecordReader(source.dir, source.split)
        loader = ClipLoader(reader, [_FIELD[source.kind]], source.frames, source.frame_step)
        settings = f"sources.{name}.frames or model.maxlen"
        check_length(loader.frames, network.maxlen, f"sources.{name} has", settings)
        if source.kind == "3d":
            loss = functools.partial(
                loss_3d, config, source, noise, metres_per_unit=_metres_per_unit(reader)
            )
        else:
            loss = functools.partial(loss_2d, config, source, noise)
        rows = Source(
            name,
            len(loader),
            source.batch_size or config.batch_size,
            source.from_epoch,
            source.steps_per_epoch,
        )
        sources[name] = TrainSource(rows, loader, loss)
    check_given(sources, corpus="amass", dataset="amass")
    return bare_task(config, sources, Evaluation(config, noise) if config.evaluation.dir else None)


def bare_task(config, sources, evaluate=None) -> Task:
    """The pretraining task on sources that are made already."""
    network = DSTformerConfig(**config.model)
    return Task(
        name="pretrain",
        make_model=lambda rngs: DSTformer(network, rngs=rngs),
        sources=sources,
        optimizer=lambda plan: pose_targets.release_optimizer(config, plan),
        describe=pose_targets.described(config, sources),
        evaluate=evaluate,
        best="error_mm" if evaluate else None,
        progress=progress_text,
    )


def progress_text(means, evaluated) -> str:
    """The errors of a run in mm, as far as they are known; the loss is no measure of them.

    Its corruption and the weights of its terms come in over the run, so it grows as errors shrink.
    """
    parts = []
    if "error_mm" in evaluated:
        parts.append(f"held-out {evaluated['error_mm']:.1f} mm")
    joints = [value for name, value in means.items() if name.endswith("/joint_mm")]
    if joints:
        parts.append(f"training joints {sum(joints) / len(joints):.1f} mm")
    else:
        totals = [value for name, value in means.items() if name.endswith("/loss")]
        parts.append(f"loss {totals[-1]:.4f}")
    return ", ".join(parts)


# --- losses -----------------------------------------------------------------------------------


def _corrupted(config, source, noise, keys_Bx2, clean_BxTxJx3, ramp):
    """Noise, then mistakes, then masks, each as the source has it, brought in by the ramp."""
    x = clean_BxTxJx3
    if config.noise and source.noise:
        noisy = detector_noise.add_noise(keys_Bx2[:, 0], x[..., :2], noise)
        # What was not seen stays unseen: noise moves joints, it does not find them.
        x = jnp.where(x[..., 2:] > 0, x + ramp * (noisy - x), 0.0)
    if mistakes := config.get("mistakes"):  # configs of older runs have none
        x = detector_mistakes.add(keys_Bx2[:, 1], x, mistakes, ramp)
    if config.mask_joints or config.mask_frames:
        x = detector_noise.add_masks(
            keys_Bx2[:, 1], x, ramp * config.mask_joints, ramp * config.mask_frames
        )
    return x[..., : config.model.dim_in]


def loss_3d(config, source, noise, model, batch, keys_B, progress, metres_per_unit=None):
    """metres_per_unit: of the clips as they are stored; with it the joint error is given in mm."""
    keys_Bx6 = jax.vmap(lambda key: jax.random.split(key, 6))(keys_B)
    ramp = pose_targets.ramp(config, progress)
    pose_BxTxJx3 = augmented(config.augment, keys_Bx6[:, :4], batch["pose"])
    seen_BxTxJx2 = _seen(config.augment, keys_B, pose_BxTxJx3)
    x = pose_targets.clean_input(seen_BxTxJx2)
    x = _corrupted(config, source, noise, keys_Bx6[:, 4:], x, ramp)
    target = pose_targets.target(pose_BxTxJx3, config.root_relative)
    weights = pose_targets.loss_weights(config, progress)
    loss, terms = losses.pose_loss(model(x), target, weights)
    if metres_per_unit:
        stored, seen = (
            skeleton.limb_lengths(pose).mean() for pose in (batch["pose"], pose_BxTxJx3)
        )
        terms = {**terms, "joint_mm": terms["joint"] * (1000 * metres_per_unit) * stored / seen}
    return loss, terms


def _metres_per_unit(reader):
    """The mean over the first records; None where one does not know it."""
    known = [reader[number].get("metres_per_unit") for number in range(min(8, len(reader)))]
    return float(np.mean(known)) if all(known) else None


def augmented(options, keys_Bx4, pose_BxTxJx3):
    """Mirror, limbs, bone lengths, camera, scale, in this order, each only if the config asks."""
    if options.mirror:
        pose_BxTxJx3 = augment.random_mirror(keys_Bx4[:, 0], pose_BxTxJx3)
    if options.get("limb_swap"):
        keys_B = folded(keys_Bx4[:, 1], 2)
        pose_BxTxJx3 = augment.random_limb_swaps(keys_B, pose_BxTxJx3, options.limb_swap)
    if options.bone_std or options.get("part_std"):
        pose_BxTxJx3 = augment.random_bones(
            keys_Bx4[:, 1], pose_BxTxJx3, options.bone_std, options.get("part_std", 0.0)
        )
    if options.yaw or options.pitch:
        pose_BxTxJx3 = augment.random_camera(
            keys_Bx4[:, 2], pose_BxTxJx3, options.yaw, options.pitch
        )
    if options.scale_high:
        pose_BxTxJx3 = augment.random_scale(
            keys_Bx4[:, 3], pose_BxTxJx3, options.scale_low, options.scale_high
        )
    return pose_BxTxJx3


def _seen(options, keys_B, pose_BxTxJx3):
    """(B, T, J, 2): the 2D of clips, from afar unless the config says how far."""
    if not options.get("far"):
        return pose_BxTxJx3[..., :2]
    return augment.random_perspective(folded(keys_B, 1), pose_BxTxJx3, options.near, options.far)


def loss_2d(config, source, noise, model, batch, keys_B, progress):
    keys_Bx3 = jax.vmap(lambda key: jax.random.split(key, 3))(keys_B)
    keypoints_BxTxJx3 = batch["keypoints"]
    if config.augment.mirror:
        keypoints_BxTxJx3 = augment.random_mirror(keys_Bx3[:, 0], keypoints_BxTxJx3)
    ramp = pose_targets.ramp(config, progress)
    x = _corrupted(config, source, noise, keys_Bx3[:, 1:], keypoints_BxTxJx3, ramp)
    target_BxTxJx2 = keypoints_BxTxJx3[..., :2]
    if config.root_relative:
        target_BxTxJx2 = skeleton.root_relative(target_BxTxJx2)
    loss = losses.weighted_2d_error(model(x), target_BxTxJx2, keypoints_BxTxJx3[..., 2:])
    return loss, {"joint_2d": loss}
