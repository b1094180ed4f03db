"""The error of lifted poses on held-out motion that cameras see, and of a checkpoint's poses.

Shapes in names: B batch, T frames, J joints, W windows.
"""

import functools
import itertools
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mbjax.atomic_files import make_folder
from mbjax.convert import load as loading
from mbjax.data import augment, detector_mistakes, detector_noise
from mbjax.data.records import RecordReader
from mbjax.data.windows import covering_windows, merge_windows
from mbjax.devices import sharding
from mbjax.models.flip import averaged
from mbjax.pose import metrics, skeleton
from mbjax.pose.normalise import crop_scale_3d
from mbjax.tasks import pose_targets
from mbjax.tasks.checks import check_config, check_length
from mbjax.tasks.evaluation import Compiled, as_state, config_for, walk
from mbjax.training.task import Report


def load_noise(config) -> detector_noise.DetectionNoise:
    """The config's table of 2D detection noise; FileNotFoundError where it is not there."""
    path = config.noise_table
    if path and not pathlib.Path(path).expanduser().is_file():
        raise FileNotFoundError(
            f"noise_table {path} does not exist; 'mbjax fit-noise' makes one, '' is the release's"
        )
    return detector_noise.DetectionNoise.load(path or None)


class Shown(NamedTuple):
    """One clip of the evaluation (T, J, 3): what the model saw; in mm, root-relative, the truth and
    the predictions from clean and from corrupted 2D."""

    seen: np.ndarray
    truth: np.ndarray
    clean: np.ndarray
    corrupted: np.ndarray


class Evaluation:
    """Error on held-out motion, every frame of every clip seen by every camera exactly once.

    reader: records with `pose` and `metres_per_unit`; those that config.evaluation names unless
    given. Returns, in mm over root-relative joints: error_mm (clean 2D), error_corrupted_mm (noise
    and masks as in training), p_mpjpe_mm, and flat_mm, what true x and y with depth 0 would score;
    error_mistakes_mm where config.evaluation.mistakes has any, with them, noise and masks.
    """

    def __init__(self, config, noise, reader=None):
        options = config.evaluation
        self._config, self._noise = config, noise
        if reader is None:
            reader = RecordReader(options.dir, options.split)
        self._reader = reader
        mistakes = options.get("mistakes")  # configs of older runs have none
        self._mistakes = mistakes if mistakes and any(mistakes.values()) else None
        self._views = [(yaw, pitch) for yaw in options.yaws for pitch in options.pitches]
        # Clips are read when they are due; a few stay, since their windows come together.
        self._clip = functools.lru_cache(maxsize=64)(reader.__getitem__)
        self._length = len(reader[0]["pose"])
        self._windows = covering_windows(self._length, options.frames, options.frame_step)
        self._examples = list(
            itertools.product(
                range(len(reader)), range(len(self._views)), range(len(self._windows))
            )
        )
        self._compiled = Compiled(self._predict)

    def data_index(self) -> dict:
        """{split: what its shards hold}, see `RecordReader.index`."""
        return {self._reader.split: self._reader.index()}

    def __len__(self):
        return len(self._examples)

    def _predict(self, model, batch):
        """Windows and cameras in; what was seen, targets and all predictions out, in mm."""
        config = self._config

        def see(motion_TxJx3, yaw_pitch):
            seen = augment.view(motion_TxJx3, *jnp.radians(yaw_pitch))
            if config.augment.scale_high:
                return crop_scale_3d(seen, config.evaluation.get("fill") or 1.0)
            return seen, jnp.float32(1)

        pose, scale_B = jax.vmap(see)(batch["pose"], batch["view"])
        seen_BxTxJx2 = pose[..., :2]
        if metres := config.evaluation.get("distance"):
            seen_BxTxJx2 = jax.vmap(augment.perspective, in_axes=(0, None))(pose, metres)
        clean = pose_targets.clean_input(seen_BxTxJx2)

        def example_keys(number):  # of the example: the same whatever the batch size
            return jax.random.split(jax.random.fold_in(jax.random.key(0), number))

        keys_Bx2 = jax.vmap(example_keys)(batch["number"])
        noisy = detector_noise.add_noise(keys_Bx2[:, 0], seen_BxTxJx2, self._noise)

        def masked(x):
            return detector_noise.add_masks(
                keys_Bx2[:, 1], x, config.mask_joints, config.mask_frames
            )

        inputs = [clean, masked(noisy)]
        if self._mistakes:
            mistaken = detector_mistakes.add(keys_Bx2[:, 1], noisy, self._mistakes)
            inputs.append(masked(mistaken))

        def lift(x):
            x = x[..., : config.model.dim_in]
            return averaged(model, x) if config.evaluation.flip else model(x)

        # One network in the program instead of two or three, for the compiler's time.
        outputs = (pose, *jax.lax.map(lift, jnp.stack(inputs)))
        unit_Bx1x1x1 = (batch["metres"] / scale_B)[:, None, None, None]
        in_mm = tuple(skeleton.root_relative(output) * unit_Bx1x1x1 * 1000 for output in outputs)
        return inputs[1], *in_mm

    def _make_batch(self, numbers):
        local = [self._examples[number] for number in numbers]
        return {
            "pose": np.stack([self._clip(c)["pose"][self._windows[w]] for c, _, w in local]),
            "view": np.array([self._views[v] for _, v, _ in local], np.float32),
            "metres": np.array(
                [self._clip(c)["metres_per_unit"] or 1.0 for c, _, _ in local], np.float32
            ),
            "number": numbers.astype(np.int32),
        }

    def _walk(self, graphdef, state, devices, examples):
        """(example numbers, (noisy input, target, predictions from clean, noisy, mistaken 2D))."""
        predict = self._compiled.on(graphdef, state, devices)
        batch_size = self._config.evaluation.batch_size
        for numbers, outputs in walk(examples, self._make_batch, predict, batch_size, devices):
            yield numbers, tuple(output.astype(np.float64) for output in outputs)

    def show(self, graphdef, state, devices, clip: int, view: int) -> Shown:
        """One clip as one camera sees it."""
        wanted = [i for i, (c, v, _) in enumerate(self._examples) if (c, v) == (clip, view)]
        parts = [outputs for _, outputs in self._walk(graphdef, state, devices, wanted)]
        whole = (np.concatenate(part) for part in zip(*parts, strict=True))
        merged = [merge_windows(self._windows, a, self._length) for a in whole]
        return Shown(*merged[: len(Shown._fields)])

    def __call__(self, graphdef, state, devices) -> dict[str, float]:
        frames: dict = {}
        of_frames: dict = {}
        everything = range(len(self._examples))
        for numbers, outputs in self._walk(graphdef, state, devices, everything):
            _, target, clean, noisy, *mistaken = outputs
            of_frames = {
                "error_mm": metrics.mpjpe(clean, target),
                "error_corrupted_mm": metrics.mpjpe(noisy, target),
                "p_mpjpe_mm": metrics.p_mpjpe(clean, target),
                "flat_mm": metrics.mpjpe(target * [1, 1, 0], target),
            }
            if mistaken:
                of_frames["error_mistakes_mm"] = metrics.mpjpe(mistaken[0], target)
            errors = np.stack(list(of_frames.values()), axis=-1)
            for number, error in zip(numbers, errors, strict=True):
                frames.setdefault(self._examples[number][:2], []).append(error)
        means = np.concatenate(
            [merge_windows(self._windows, np.stack(e), self._length) for e in frames.values()]
        ).mean(axis=0)
        return {name: float(value) for name, value in zip(of_frames, means, strict=True)}


def evaluate_checkpoint(config, path, out=None) -> Report:
    """What `Evaluation` measures of the weights that mbjax.load(path) finds.

    out: a folder for poses.png, the first clip as the last camera sees it.
    """
    check_config(config, "pretrain")
    options = config.evaluation
    if not options.dir:
        raise ValueError("the config has no evaluation.dir; give --config.evaluation.dir=DATASET")
    model = loading.load(path, kinds=("dstformer",))
    maxlen = model.config.maxlen
    check_length(options.frames, maxlen, "evaluation has", f"--config.evaluation.frames={maxlen}")
    evaluation = Evaluation(config_for(config, model), load_noise(config))
    folder, devices = make_folder(out), sharding.make_mesh(config.fsdp)
    found = evaluation(*as_state(model), devices)
    lines = [f"{options.dir} ({options.split}), root-relative:"]
    lines += [f"  {name:20s} {value:8.2f}" for name, value in found.items()]
    if folder:
        view = len(options.yaws) * len(options.pitches) - 1
        shown = evaluation.show(*as_state(model), devices, clip=0, view=view)
        caption = f"held-out motion, {found['error_corrupted_mm']:.0f} mm with noise and masks"
        if jax.process_index() == 0:
            from mbjax.pictures.skeletons import poses  # Matplotlib: 0.3 s of each start

            poses(shown.seen, shown.corrupted, shown.truth, folder / "poses.png", title=caption)
        lines.append(f"wrote {folder / 'poses.png'}")
    return Report("\n".join(lines), found)
