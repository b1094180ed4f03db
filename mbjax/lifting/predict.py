"""A model's poses of whole clips, window by window.

Shapes in names: T frames of a clip, J joints (17), N windows, L frames of a window.
"""

import dataclasses
import functools

import jax
import numpy as np
from flax import nnx

from mbjax.lifting import windows
from mbjax.models.batched import in_batches
from mbjax.models.flip import averaged
from mbjax.models.trained_on import TrainedOn, fill_of
from mbjax.pose.normalise import square
from mbjax.pose.skeleton import ROOT


def check_model(model, taker: str) -> None:
    """ValueError where `model` is not a network that gives poses. taker: who takes it."""
    if not isinstance(model, nnx.Module):
        raise ValueError(
            f"model is a {type(model).__name__}; {taker} takes what mbjax.load gives"
            + (f": mbjax.load({model!r})" if isinstance(model, str) else "")
        )
    if hasattr(model, "backbone"):
        raise ValueError(f"{type(model).__name__} gives no pose; {taker} takes a DSTformer")


_ORDINAL = {2: "nd", 3: "rd"}


@dataclasses.dataclass(frozen=True)
class Windowing:
    """window: frames seen together. frame_step: frames of the video between them. batch_size:
    windows computed at once. fill: how much of [-1, 1] the person in a window fills."""

    window: int
    frame_step: int = 1
    batch_size: int = 8
    fill: float = 1.0

    @classmethod
    def of(
        cls,
        model: nnx.Module,
        trained: TrainedOn | None,
        fps: float | None,
        window: int | None,
        frame_step: int | None,
        batch_size: int,
    ) -> "Windowing":
        """What is given; else what the model was trained on, else all it can, every frame.

        fps: of the video.
        """
        if window is None:
            maxlen = model.config.maxlen
            window = min(trained.frames, maxlen) if trained else maxlen
        if frame_step is None:
            frame_step = trained.frame_step(fps) if trained else 1
        return cls(int(window), frame_step, batch_size, fill_of(trained))

    def describe(self, trained: TrainedOn, fps: float | None) -> str:
        """In one line, for the user."""
        text = f"windows of {self.window} frames"
        if self.frame_step > 1:
            text += f", every {self.frame_step}{_ORDINAL.get(self.frame_step, 'th')} of the video"
        text += f": the checkpoint was trained on {trained}"
        if trained.fps and not fps:
            text += "; the video's frame rate is not known, taken as the same"
        elif trained.fps and fps and fps < 0.67 * trained.fps:
            text += f"; the video has {fps:g}, motion looks faster to it"
        return text


def smooth(
    model: nnx.Module,
    inputs: list[np.ndarray],
    windowing: Windowing,
    root_relative: bool | None,
    own_squares: bool,
) -> tuple[list[np.ndarray], bool]:
    """Poses (T, J, 3) of every clip, from overlapping windows of one length; and whether they are
    root-relative, found out where it is None.

    own_squares: each window is shown as large as the model is trained on (`windowing.fill`),
    however far the person goes in the whole clip; its poses come back in the clip's unit.
    """
    cut, plan = windows.cut_all(inputs, windowing.window, windowing.frame_step)
    squares = [_square(x_LxJx3, windowing.fill) if own_squares else (0.0, 1.0) for x_LxJx3 in cut]
    x_NxLxJx3 = np.stack([_into(x, *own) for x, own in zip(cut, squares, strict=True)])
    pose_NxLxJx3 = _predict(model, x_NxLxJx3, windowing.batch_size)
    if root_relative is None:
        if (x_NxLxJx3[:, :, ROOT, 2] > 0).any():
            root_relative = root_stays(x_NxLxJx3[:, :, ROOT], pose_NxLxJx3[:, :, ROOT])
        else:
            root_relative = root_stays_aside(lambda x: _predict(model, x, 1), windowing.window)
    if root_relative:
        pose_NxLxJx3 = pose_NxLxJx3 - pose_NxLxJx3[:, :, ROOT : ROOT + 1]
    pose_NxLxJx3 = pose_NxLxJx3.astype(np.float64)
    for pose_LxJx3, (centre, scale) in zip(pose_NxLxJx3, squares, strict=True):
        pose_LxJx3 /= scale
        if not root_relative:
            pose_LxJx3[..., :2] += centre
    joined = windows.join_all(plan, pose_NxLxJx3, global_depth=not root_relative)
    return [pose_TxJx3 - [0, 0, pose_TxJx3[0, ROOT, 2]] for pose_TxJx3 in joined], root_relative


def as_reference(
    model: nnx.Module, x_TxJx3: np.ndarray, windowing: Windowing, root_relative: bool
) -> np.ndarray:
    """What the release's in-the-wild script computes for one person's detections."""
    poses = []
    for start in range(0, len(x_TxJx3), windowing.window):
        window_1xLxJx3 = x_TxJx3[None, start : start + windowing.window]
        pose_LxJx3 = _predict(model, window_1xLxJx3, windowing.batch_size)[0]
        if root_relative:
            pose_LxJx3[:, ROOT] = 0
        else:
            pose_LxJx3[0, ROOT, 2] = 0  # the root's alone: its other joints stay
        poses.append(pose_LxJx3)
    return np.concatenate(poses)


def root_stays(input_NxLx3: np.ndarray, root_NxLx3: np.ndarray) -> bool:
    """Whether predicted roots are nearer to the origin than to where the input has them.

    input: x, y and confidence of the root. root: as predicted, (N, L, 2 or 3).
    """
    seen = input_NxLx3[..., 2] > 0
    apart = np.linalg.norm(root_NxLx3[..., :2] - input_NxLx3[..., :2], axis=-1)
    from_origin = np.linalg.norm(root_NxLx3[..., :2], axis=-1)
    return bool((from_origin * seen).sum() < (apart * seen).sum())


# Somebody who stands, as tall as [-1, 1].
_STANDING = np.array([
    (0, 0), (-0.1, 0), (-0.12, 0.48), (-0.12, 0.95), (0.1, 0), (0.12, 0.48), (0.12, 0.95),
    (0, -0.27), (0, -0.55), (0, -0.72), (0, -0.95), (0.18, -0.52), (0.25, -0.2), (0.27, 0.08),
    (-0.18, -0.52), (-0.25, -0.2), (-0.27, 0.08),
])  # fmt: skip


def root_stays_aside(forward, window: int) -> bool:
    """`root_stays` of one person shown aside. forward: (1, L, J, 3) to poses of as many."""
    x_LxJx3 = np.zeros((window, len(_STANDING), 3), np.float32)
    x_LxJx3[..., :2] = _STANDING / 2 + [0.5, 0.3]
    x_LxJx3[..., 2] = 1
    root_Lx2 = np.asarray(forward(x_LxJx3[None]))[0, :, ROOT, :2]
    return root_stays(x_LxJx3[None, :, ROOT], root_Lx2[None])


@functools.partial(jax.jit, static_argnums=0)
def _forward(graphdef, state, x_NxLxJx3):
    return averaged(nnx.merge(graphdef, state), x_NxLxJx3)


def _predict(model, x_NxLxJx3, batch_size):
    """The poses (N, L, J, 3) of windows of one length, in batches of one size."""
    graphdef, state = nnx.split(model)
    return in_batches(functools.partial(_forward, graphdef, state), x_NxLxJx3, batch_size)


def _square(x_LxJx3, fill):
    """Middle (2,) and scale that make the square round all visible joints of a window fill so much
    of [-1, 1]."""
    centre_2, side = square(x_LxJx3)
    return (centre_2, 2 * fill / float(side)) if side > 0 else (0.0, 1.0)


def _into(x_LxJx3, centre, scale):
    moved_LxJx2 = (x_LxJx3[..., :2] - centre) * scale
    # Masked, as of a joint that no frame has, is 0 wherever the square is.
    masked_LxJx1 = ~x_LxJx3.any(-1, keepdims=True)
    xy_LxJx2 = np.where(masked_LxJx1, 0, moved_LxJx2)
    return np.concatenate([xy_LxJx2, x_LxJx3[..., 2:]], axis=-1).astype(np.float32)
