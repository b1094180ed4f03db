"""The builders of the sample corpus: 3D motion, 2D as annotated, 2D as detected, from two files.

01_03 is for training; 01_01 is held out whole. Every random number is drawn by the clip's name.

T frames, J = 17 joints, K key frames of the noise.
"""

import dataclasses
import json
from importlib import resources

import numpy as np

from data_prep import corpus, features
from data_prep.corpora.bvh import Bvh, BvhOptions, read_motion
from data_prep.resampling import generator
from data_prep.windows import window_starts
from mbjax.pose import skeleton
from mbjax.pose.normalise import crop_scale

TRAIN, TEST = "01_03", "01_01"
# Points that a detector is less sure of than this are as good as unseen.
_LEAST_CONFIDENCE = 0.3


@dataclasses.dataclass(frozen=True)
class Motion3dOptions(BvhOptions):
    naming: str = corpus.option("cmu", "which node is which joint")
    test: str = corpus.option(TEST, "files of the test split")


class Motion3d(Bvh):
    """Two recordings of the CMU Graphics Lab Motion Capture Database, 17 joints at 60 fps."""

    OPTIONS = Motion3dOptions

    @classmethod
    def source_files(cls, raw, options):
        sources = super().source_files(raw, options)
        return [source for source in sources if source.path.stem in (TRAIN, TEST)]


@dataclasses.dataclass(frozen=True)
class AnnotatedOptions:
    frames: int = corpus.option(30, "frames of a clip")
    stride: int = corpus.option(11, "frames from one clip to the next")
    fps: float = corpus.option(30.0, "frame rate of the clips")


@dataclasses.dataclass(frozen=True)
class DetectedOptions:
    frames: int = corpus.option(81, "frames of a clip")
    stride: int = corpus.option(36, "frames from one clip to the next")
    fps: float = corpus.option(60.0, "frame rate of the clips")


class Annotated2d(corpus.Corpus):
    """CMU motion through random cameras, every joint known: like annotated video."""

    TREE = f"{TRAIN}.bvh"
    OPTIONS = AnnotatedOptions

    @classmethod
    def record_features(cls, options):
        return features.keypoints(options.frames)

    @classmethod
    def source_files(cls, raw, options):
        return corpus.found(raw, f"**/{TRAIN}.bvh", "train")

    @classmethod
    def records(cls, source, options, report):
        pose_TxJx3 = read_motion(source.path, BvhOptions(naming="cmu", fps=options.fps), report)
        report.read(len(pose_TxJx3), options.fps)
        name = source.path.stem
        for start in window_starts(len(pose_TxJx3), options.frames, options.stride):
            rng = generator(cls.__name__, name, start)
            clip = seen_by_random_camera(pose_TxJx3[start : start + options.frames], rng)
            yield (
                f"{start:08d}",
                {
                    "keypoints": cls.as_known(clip, rng).astype(np.float32),
                    "source": name,
                    "first_frame": start,
                    "fps": options.fps,
                },
            )

    @classmethod
    def as_known(cls, keypoints_TxJx3, rng):
        """What is known of the true keypoints: here all."""
        return keypoints_TxJx3


class Detected2d(Annotated2d):
    """CMU motion through random cameras with the errors of a detector: like detected video."""

    OPTIONS = DetectedOptions

    @classmethod
    def as_known(cls, keypoints_TxJx3, rng):
        return detect(keypoints_TxJx3, rng)


def seen_by_random_camera(pose_TxJx3, rng) -> np.ndarray:
    """A clip (T, J, 3) as 2D (T, J, 3): x, y in [-1, 1] and confidence 1.

    Another person (bones about 5 % longer or shorter, the same left and right), mirrored or not,
    seen orthographically from any side at up to 15 degrees up or down, filling half of the image's
    longer side at least.
    """
    pose = with_bones_scaled(pose_TxJx3, 1 + 0.05 * rng.standard_normal(skeleton.NUM_JOINTS))
    if rng.random() < 0.5:
        pose = skeleton.mirror(pose)
    yaw, pitch = rng.uniform(-np.pi, np.pi), np.deg2rad(rng.uniform(-15, 15))
    x, y, z = np.moveaxis(pose, -1, 0)
    across, away = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
    down = y * np.cos(pitch) - away * np.sin(pitch)
    return crop_scale(np.stack([across, down, np.ones_like(x)], axis=-1), rng.uniform(1, 2))


def with_bones_scaled(pose_TxJx3, factor_J):
    """The same motion of a body whose bones (by the joint at their far end) are so much longer.

    The right side takes the left side's factors.
    """
    factor_J = np.array(factor_J)
    factor_J[list(skeleton.RIGHT)] = factor_J[list(skeleton.LEFT)]
    scaled = pose_TxJx3.copy()
    for parent, joint in sorted(skeleton.LIMBS, key=lambda limb: limb[1]):
        bone_Tx3 = pose_TxJx3[:, joint] - pose_TxJx3[:, parent]
        scaled[:, joint] = scaled[:, parent] + factor_J[joint] * bone_Tx3
    return scaled


def detect(keypoints_TxJx3, rng) -> np.ndarray:
    """Keypoints with a detector's errors and confidence (mbjax/data/detection_noise.json)."""
    table = json.loads((resources.files("mbjax.data") / "detection_noise.json").read_text())
    T, J, _ = keypoints_TxJx3.shape
    K = table["num_keyframes"]
    normal_KxJx2 = rng.standard_normal((K, J, 2)) * table["std"] + table["mean"]
    anywhere_KxJx2 = (rng.random((K, J, 2)) - 0.5) * table["uniform_range"]
    is_normal_KxJ = rng.random((K, J)) < table["weight"]
    keys_KxJx2 = np.where(is_normal_KxJ[..., None], normal_KxJx2, anywhere_KxJx2)
    place_T = np.linspace(0, K - 1, T)
    before_T = np.minimum(place_T.astype(int), K - 2)
    share = (place_T - before_T)[:, None, None]
    error_TxJx2 = keys_KxJx2[before_T] * (1 - share) + keys_KxJx2[before_T + 1] * share
    error_TxJx2 += table["temporal_std"] * rng.standard_normal((T, J, 2))
    length_TxJ = np.linalg.norm(error_TxJx2, axis=-1)
    curve = table["confidence"]
    sure_TxJ = curve["a"] / (length_TxJ + curve["a"]) + curve["b"] * length_TxJ
    sure_TxJ += curve["m"] + curve["s"] * rng.standard_normal((T, J))
    xy_TxJx2 = np.clip(keypoints_TxJx3[..., :2] + error_TxJx2, -1, 1)
    found = np.concatenate([xy_TxJx2, np.clip(sure_TxJ, 0, 1)[..., None]], axis=-1)
    return np.where(sure_TxJ[..., None] < _LEAST_CONFIDENCE, 0.0, found)
