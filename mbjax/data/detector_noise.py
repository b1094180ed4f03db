"""What makes a clean 2D clip look like a detector's: noise on joints, and masks (paper, 3.3).

Runs inside the training step, on the device. Shapes in names: B batch, T frames, J joints,
K key frames. Every function takes one key per row, so what a row gets depends on that row alone,
not on how many devices hold the batch; draws are per clip.
"""

import dataclasses
import json
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np

from mbjax.pose.skeleton import NUM_JOINTS
from mbjax.safe_files import json_files


@dataclasses.dataclass(frozen=True, eq=False)
class DetectionNoise:
    """How a 2D detector errs, in normalised image units (the short side of the image is 2).

    With probability weight_J a key frame's displacement is normal (mean_Jx2, std_Jx2), otherwise
    uniform in a square of side uniform_range; between num_keyframes key frames it is linear in
    time; every frame adds a normal of temporal_std. A displacement of length r gives confidence
    a / (r + a) + b r + Normal(m, s), clipped to [0, 1].
    """

    mean_Jx2: np.ndarray
    std_Jx2: np.ndarray
    weight_J: np.ndarray
    uniform_range: float
    confidence: dict
    num_keyframes: int
    temporal_std: float

    @classmethod
    def load(cls, path=None) -> "DetectionNoise":
        """From a JSON file as `mbjax fit-noise` writes it; without a path, the release's table."""
        source = path or resources.files("mbjax.data") / "detection_noise.json"
        table = json_files.read_object(source)
        try:
            noise = cls(
                mean_Jx2=np.asarray(table["mean"], np.float32),
                std_Jx2=np.asarray(table["std"], np.float32),
                weight_J=np.asarray(table["weight"], np.float32),
                uniform_range=float(table["uniform_range"]),
                confidence={k: float(table["confidence"][k]) for k in "abms"},
                num_keyframes=int(table["num_keyframes"]),
                temporal_std=float(table["temporal_std"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{source}: not a detection noise table ({error!r:.200})") from None
        shapes = (noise.mean_Jx2.shape, noise.std_Jx2.shape, noise.weight_J.shape)
        if shapes != ((NUM_JOINTS, 2), (NUM_JOINTS, 2), (NUM_JOINTS,)):
            raise ValueError(
                f"{source}: mean, std, weight have shapes {shapes}; expected 17 joints"
            )
        noise._check_ranges(source)
        return noise

    def _check_ranges(self, source):
        curve = self.confidence
        for name, values, low, high in (
            ("mean", self.mean_Jx2, -10, 10),
            ("std", self.std_Jx2, 0, 10),
            ("weight", self.weight_J, 0, 1),
            ("uniform_range", self.uniform_range, 0, 100),
            ("confidence.a", curve["a"], 1e-9, 1e9),
            ("confidence.b", curve["b"], -1e3, 1e3),
            ("confidence.m", curve["m"], -1e3, 1e3),
            ("confidence.s", curve["s"], 0, 1e3),
            ("num_keyframes", self.num_keyframes, 1, 10_000),
            ("temporal_std", self.temporal_std, 0, 10),
        ):
            values = np.asarray(values)
            if not ((values >= low) & (values <= high)).all():  # not so of NaN
                raise ValueError(
                    f"{source}: {name} has numbers outside {low:g} to {high:g}, in image units"
                )

    def to_json(self) -> str:
        """The text that load() reads."""
        return json.dumps(
            {
                "mean": self.mean_Jx2.tolist(),
                "std": self.std_Jx2.tolist(),
                "weight": self.weight_J.tolist(),
                "uniform_range": self.uniform_range,
                "confidence": self.confidence,
                "num_keyframes": self.num_keyframes,
                "temporal_std": self.temporal_std,
            },
            indent=1,
        )


def upsample(keyframes_KxJx2: jax.Array, frames: int) -> jax.Array:
    """Key frames to `frames` frames, linear in time, both ends aligned: (..., frames, J, 2)."""
    keys = keyframes_KxJx2.shape[-3]
    # The weights are the same for every clip and known before tracing; numpy keeps them exact.
    place = np.linspace(0, keys - 1, frames) if frames > 1 else np.zeros(1)
    before = np.clip(np.floor(place).astype(int), 0, max(keys - 2, 0))
    share = (place - before).astype(np.float32)[:, None, None]
    after = np.minimum(before + 1, keys - 1)
    return (
        keyframes_KxJx2[..., before, :, :] * (1 - share) + keyframes_KxJx2[..., after, :, :] * share
    )


def add_noise(keys_B: jax.Array, xy_BxTxJx2: jax.Array, noise: DetectionNoise) -> jax.Array:
    """Noisy x, y with the confidence a detector would report: (B, T, J, 3)."""

    def one_clip(key, xy_TxJx2):
        frames = xy_TxJx2.shape[0]
        pick, normal, uniform, jitter, confidence = jax.random.split(key, 5)
        shape_KxJx2 = (noise.num_keyframes, NUM_JOINTS, 2)
        gaussian = jax.random.normal(normal, shape_KxJx2) * noise.std_Jx2 + noise.mean_Jx2
        anywhere = (jax.random.uniform(uniform, shape_KxJx2) - 0.5) * noise.uniform_range
        is_normal = jax.random.uniform(pick, shape_KxJx2[:2]) < noise.weight_J
        offset_KxJx2 = jnp.where(is_normal[..., None], gaussian, anywhere)
        offset_TxJx2 = upsample(offset_KxJx2, frames)
        offset_TxJx2 += jax.random.normal(jitter, offset_TxJx2.shape) * noise.temporal_std
        r = jnp.linalg.norm(offset_TxJx2, axis=-1, keepdims=True)
        curve = noise.confidence
        conf_TxJx1 = curve["a"] / (r + curve["a"]) + curve["b"] * r
        conf_TxJx1 += curve["m"] + curve["s"] * jax.random.normal(confidence, r.shape)
        return jnp.concatenate([xy_TxJx2 + offset_TxJx2, jnp.clip(conf_TxJx1, 0, 1)], axis=-1)

    return jax.vmap(one_clip)(keys_B, xy_BxTxJx2)


def add_masks(keys_B: jax.Array, x_BxTxJx3: jax.Array, joint_ratio, frame_ratio) -> jax.Array:
    """Zeroes x, y and confidence of random joints, and of all joints of random frames.

    joint_ratio: share of (frame, joint) entries; frame_ratio: share of frames; either may be 0,
    and traced.
    """

    def one_clip(key, x_TxJx3):
        joint_key, frame_key = jax.random.split(key)
        keep_joint = jax.random.uniform(joint_key, (*x_TxJx3.shape[:2], 1)) >= joint_ratio
        keep_frame = jax.random.uniform(frame_key, (x_TxJx3.shape[0], 1, 1)) >= frame_ratio
        return x_TxJx3 * (keep_joint & keep_frame)

    return jax.vmap(one_clip)(keys_B, x_BxTxJx3)
