"""Pretraining: recover 3D motion from corrupted 2D (paper, section 3.3).

Shapes in names: B batch, T frames, J joints, W windows. 3D sources hold `pose` clips whose 2D is
their own orthographic projection; 2D sources hold `keypoints` clips.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mbjax.data import augment, detector_noise
from mbjax.data.feed import ClipLoader, every_example, to_devices
from mbjax.data.plan import Source
from mbjax.data.records import RecordReader
from mbjax.data.windows import covering_windows, merge_windows
from mbjax.devices import sharding
from mbjax.models.dstformer import DSTformer, DSTformerConfig
from mbjax.pose import losses, metrics, skeleton
from mbjax.pose.normalise import crop_scale_3d
from mbjax.tasks import as_state, pose_targets, sources_in_order
from mbjax.training.task import Report, Task, TrainSource

_FIELD = {"3d": "pose", "2d": "keypoints"}


def make_task(config) -> Task:
    """The task that configs/pretrain.py describes. ValueError or FileNotFoundError, one line."""
    network = DSTformerConfig(**config.model)
    noise = detector_noise.DetectionNoise.load(config.noise_table or None)
    sources = {}
    for name, source in sources_in_order(config):
        if source.kind not in _FIELD:
            raise ValueError(f"sources.{name}.kind is {source.kind!r}; it must be '3d' or '2d'")
        reader = RecordReader(source.dir, source.split)
        loader = ClipLoader(reader, [_FIELD[source.kind]], source.frames, source.frame_step)
        if loader.frames > network.maxlen:
            raise ValueError(
                f"sources.{name} has clips of {loader.frames} frames, the model takes "
                f"{network.maxlen}; set sources.{name}.frames or model.maxlen"
            )
        loss = functools.partial(loss_3d if source.kind == "3d" else loss_2d, config, source, noise)
        rows = Source(
            name,
            len(loader),
            source.batch_size or config.batch_size,
            source.from_epoch,
            source.steps_per_epoch,
        )
        sources[name] = TrainSource(rows, loader, loss)
    if not sources:
        raise ValueError(
            "no source has a folder; give one, such as --config.sources.amass.dir=DIR, made by "
            "'mbjax prepare amass --raw RAW_FOLDER --out DIR'"
        )
    return bare_task(config, sources, Evaluation(config, noise) if config.evaluation.dir else None)


def bare_task(config, sources, evaluate=None) -> Task:
    """The pretraining task on sources that are made already."""
    network = DSTformerConfig(**config.model)
    return Task(
        name="pretrain",
        make_model=lambda rngs: DSTformer(network, rngs=rngs),
        sources=sources,
        optimizer=lambda plan: pose_targets.release_optimizer(config, plan),
        describe={"kind": "dstformer", "dstformer": dict(config.model)},
        evaluate=evaluate,
        best="error_mm" if evaluate else None,
    )


# --- losses -----------------------------------------------------------------------------------


def _corrupted(config, source, noise, keys_Bx2, clean_BxTxJx3, ramp):
    """Noise, then masks, each as the source has it, brought in by the ramp."""
    x = clean_BxTxJx3
    if config.noise and source.noise:
        noisy = detector_noise.add_noise(keys_Bx2[:, 0], x[..., :2], noise)
        # What was not seen stays unseen: noise moves joints, it does not find them.
        x = jnp.where(x[..., 2:] > 0, x + ramp * (noisy - x), 0.0)
    if config.mask_joints or config.mask_frames:
        x = detector_noise.add_masks(
            keys_Bx2[:, 1], x, ramp * config.mask_joints, ramp * config.mask_frames
        )
    return x[..., : config.model.dim_in]


def loss_3d(config, source, noise, model, batch, keys_B, progress):
    keys_Bx6 = jax.vmap(lambda key: jax.random.split(key, 6))(keys_B)
    ramp = pose_targets.ramp(config, progress)
    pose_BxTxJx3 = augmented(config.augment, keys_Bx6[:, :4], batch["pose"])
    x = pose_targets.clean_input(pose_BxTxJx3[..., :2])
    x = _corrupted(config, source, noise, keys_Bx6[:, 4:], x, ramp)
    target = pose_targets.target(pose_BxTxJx3, config.root_relative)
    return losses.pose_loss(model(x), target, pose_targets.loss_weights(config, progress))


def augmented(options, keys_Bx4, pose_BxTxJx3):
    """Mirror, bone lengths, camera and scale, in this order, each only if the config asks."""
    if options.mirror:
        pose_BxTxJx3 = augment.random_mirror(keys_Bx4[:, 0], pose_BxTxJx3)
    if options.bone_std:
        pose_BxTxJx3 = augment.random_bones(keys_Bx4[:, 1], pose_BxTxJx3, options.bone_std)
    if options.yaw or options.pitch:
        pose_BxTxJx3 = augment.random_camera(
            keys_Bx4[:, 2], pose_BxTxJx3, options.yaw, options.pitch
        )
    if options.scale_high:
        pose_BxTxJx3 = augment.random_scale(
            keys_Bx4[:, 3], pose_BxTxJx3, options.scale_low, options.scale_high
        )
    return pose_BxTxJx3


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


# --- evaluation -------------------------------------------------------------------------------


class Evaluation:
    """Error on held-out motion, every frame of every clip seen by every camera exactly once.

    Returns, in mm over root-relative joints: error_mm (clean 2D), error_corrupted_mm (noise and
    masks as in training), p_mpjpe_mm, and flat_mm, what true x and y with depth 0 would score.
    """

    def __init__(self, config, noise):
        options = config.evaluation
        self._config, self._noise, self._batch_size = config, noise, options.batch_size
        reader = RecordReader(options.dir, options.split)
        self._views = [(yaw, pitch) for yaw in options.yaws for pitch in options.pitches]
        # Clips are read when their turn comes; a few stay, since their windows come together.
        self._clip = functools.lru_cache(maxsize=64)(reader.__getitem__)
        self._length = len(reader[0]["pose"])
        self._windows = covering_windows(self._length, options.frames, options.frame_step)
        self._examples = list(
            itertools.product(
                range(len(reader)), range(len(self._views)), range(len(self._windows))
            )
        )
        self._compiled = {}

    def __len__(self):
        return len(self._examples)

    def _predict(self, graphdef, mesh):
        """Compiled once: windows and cameras in; targets and both predictions out, in metres."""
        config = self._config
        whole = sharding.replicated(mesh)

        def predict(params, other, batch):
            model = nnx.merge(graphdef, params, other)
            model.eval()

            def see(motion_TxJx3, yaw_pitch):
                seen = augment.view(motion_TxJx3, *jnp.radians(yaw_pitch))
                if config.augment.scale_high:
                    return crop_scale_3d(seen)
                return seen, jnp.float32(1)

            pose, scale_B = jax.vmap(see)(batch["pose"], batch["view"])
            clean = pose_targets.clean_input(pose[..., :2])

            def example_keys(number):  # of the example: the same whatever the batch size
                return jax.random.split(jax.random.fold_in(jax.random.key(0), number))

            keys_Bx2 = jax.vmap(example_keys)(batch["number"])
            noisy = detector_noise.add_noise(keys_Bx2[:, 0], pose[..., :2], self._noise)
            noisy = detector_noise.add_masks(
                keys_Bx2[:, 1], noisy, config.mask_joints, config.mask_frames
            )

            def lift(x):
                x = x[..., : config.model.dim_in]
                if not config.evaluation.flip:
                    return model(x)
                return pose_targets.mirror_averaged(model, x)

            outputs = (pose, lift(clean), lift(noisy))
            unit_B = (batch["metres"] / scale_B)[:, None, None, None]
            in_mm = tuple(skeleton.root_relative(output) * unit_B * 1000 for output in outputs)
            return noisy, *in_mm

        return jax.jit(sharding.traced_on(mesh, predict), out_shardings=whole)

    def _batches(self, graphdef, state, mesh, examples):
        """(example numbers, noisy input, target, prediction, prediction from the noisy input)."""
        if mesh not in self._compiled:
            self._compiled[mesh] = self._predict(graphdef, mesh)
        row_sharding = sharding.batch_sharding(mesh)
        size = -(-self._batch_size // mesh.size) * mesh.size
        rows = sharding.local_rows(row_sharding, size)
        for places, real in every_example(len(examples), size):
            numbers = np.asarray(examples)[places]
            local = [self._examples[number] for number in numbers[rows]]
            batch = {
                "pose": np.stack([self._clip(c)["pose"][self._windows[w]] for c, _, w in local]),
                "view": np.array([self._views[v] for _, v, _ in local], np.float32),
                "metres": np.array(
                    [self._clip(c)["metres_per_unit"] or 1.0 for c, _, _ in local], np.float32
                ),
                "number": numbers[rows].astype(np.int32),
            }
            outputs = self._compiled[mesh](
                state["params"], state["other"], to_devices(batch, row_sharding, size)
            )
            yield numbers[real], *(np.asarray(output, np.float64)[real] for output in outputs)

    def show(self, graphdef, state, mesh, clip: int, view: int):
        """One clip: what the model saw (T, J, 3), and prediction and truth in mm (T, J, 3)."""
        wanted = [i for i, (c, v, _) in enumerate(self._examples) if (c, v) == (clip, view)]
        parts = list(zip(*self._batches(graphdef, state, mesh, wanted), strict=True))
        _, seen, target, _, noisy = (np.concatenate(part) for part in parts)
        return tuple(merge_windows(self._windows, a, self._length) for a in (seen, noisy, target))

    def __call__(self, graphdef, state, mesh) -> dict[str, float]:
        frames: dict = {}
        everything = range(len(self._examples))
        for numbers, _, target, clean, noisy in self._batches(graphdef, state, mesh, everything):
            flat = target * [1, 1, 0]
            errors = np.stack(
                [
                    metrics.mpjpe(clean, target),
                    metrics.mpjpe(noisy, target),
                    metrics.p_mpjpe(clean, target),
                    metrics.mpjpe(flat, target),
                ],
                axis=-1,
            )
            for number, error in zip(numbers, errors, strict=True):
                frames.setdefault(self._examples[number][:2], []).append(error)
        means = np.concatenate(
            [merge_windows(self._windows, np.stack(e), self._length) for e in frames.values()]
        ).mean(axis=0)
        names = ("error_mm", "error_corrupted_mm", "p_mpjpe_mm", "flat_mm")
        return {name: float(value) for name, value in zip(names, means, strict=True)}


def evaluate_checkpoint(config, path, out=None) -> Report:
    """What `Evaluation` says of the weights that mbjax.load(path) finds; `out` is not used."""
    from mbjax.convert import load as loading  # here, so that training does not need the converters

    if not config.evaluation.dir:
        raise ValueError("the config has no evaluation.dir; give --config.evaluation.dir=DATASET")
    model = loading.load(path, kinds=("dstformer",))
    if config.evaluation.frames > model.config.maxlen:
        raise ValueError(
            f"{path} takes {model.config.maxlen} frames, evaluation.frames is "
            f"{config.evaluation.frames}; set --config.evaluation.frames={model.config.maxlen}"
        )
    config.model.dim_in = model.config.dim_in
    noise = detector_noise.DetectionNoise.load(config.noise_table or None)
    graphdef, state = as_state(model)
    found = Evaluation(config, noise)(graphdef, state, sharding.make_mesh(config.fsdp))
    lines = [f"{config.evaluation.dir} ({config.evaluation.split}), root-relative:"]
    lines += [f"  {name:20s} {value:8.2f}" for name, value in found.items()]
    return Report("\n".join(lines), found)
