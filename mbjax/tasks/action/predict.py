"""What a person does, along a new recording: classes over sliding windows.

Shapes in names: W windows, K classes, M persons, T frames, J joints, D channels of an embedding.
"""

import dataclasses
import functools
import json
import os
import pathlib

import jax
import numpy as np
from flax import nnx

from mbjax.atomic_files import make_folder, written_beside
from mbjax.convert import params as conversion
from mbjax.convert import read as sources
from mbjax.data.action.clips import even_frames, to_clip
from mbjax.data.action.persons import Persons, side_by_side
from mbjax.keypoints import read as keypoint_files
from mbjax.models.batched import in_batches
from mbjax.pictures import classes as draw_classes
from mbjax.tasks.action.files import softmax

# What a recording of NTU has on average; recordings are resampled to the frames of a clip.
WINDOW = 90
_BATCH = 8


@dataclasses.dataclass(frozen=True)
class Net:
    """A checkpoint's net and how its clips are made."""

    model: nnx.Module
    kind: str
    classes: tuple[str, ...]
    frames: int
    persons: int
    ratio: float
    score_order: str


@dataclasses.dataclass(frozen=True)
class Prediction:
    """scores: of each class in each window, probabilities or cosines. windows: first and last
    frame. fps: None if not known."""

    classes: tuple[str, ...]
    score: str
    windows_Wx2: np.ndarray
    scores_WxK: np.ndarray
    fps: float | None
    source: str
    notes: tuple[str, ...]

    def mean_K(self) -> np.ndarray:
        return self.scores_WxK.mean(axis=0)

    def as_json(self, top: int) -> dict:
        """The best classes of the whole recording and of each window."""

        def best(scores_K):
            order = np.argsort(-scores_K, kind="stable")[:top]
            return [{"class": self.classes[k], self.score: float(scores_K[k])} for k in order]

        windows = []
        for (first, last), scores_K in zip(self.windows_Wx2.tolist(), self.scores_WxK, strict=True):
            window = {"first_frame": first, "last_frame": last, "top": best(scores_K)}
            if self.fps:
                window |= {"from_s": first / self.fps, "to_s": (last + 1) / self.fps}
            windows.append(window)
        return {
            "source": self.source, "fps": self.fps, "top": best(self.mean_K()),
            "windows": windows, "notes": list(self.notes),
        }  # fmt: skip

    def draw(self, path: pathlib.Path) -> None:
        """A picture: classes along the recording."""
        spans_Wx2 = self.windows_Wx2 + [0, 1]
        unit = "s" if self.fps else "frames"
        best = self.classes[int(self.mean_K().argmax())]
        draw_classes.timeline(
            spans_Wx2 / (self.fps or 1), self.scores_WxK, self.classes, path, unit,
            f"{pathlib.Path(self.source).name}: {best}", self.score,
        )  # fmt: skip


def load(path: str, num_heads=None, classes=(), frames=0, score_order: str | None = None) -> Net:
    """The net of a checkpoint, an action classifier or a one-shot net.

    classes: names instead of the checkpoint's, or of numbers. frames: of a clip, where the
    checkpoint does not say. ValueError for another kind of network, or another number of names.
    """
    source = sources.read(path, num_heads)
    network = source.network
    if network.kind not in ("action", "embed"):
        raise ValueError(
            f"{path} holds a network of kind {network.kind!r}; give one that 'mbjax finetune "
            "action' or 'mbjax finetune oneshot' made, or one of the release's"
        )
    config = source.meta.get("config") or {}
    names = tuple(classes) or tuple(config.get("classes") or ())
    if network.kind == "action":
        count = network.head.classes
        names = names or tuple(f"A{number + 1:03d}" for number in range(count))
        if len(names) != count:
            raise ValueError(f"{path} distinguishes {count} classes, {len(names)} names were given")
    # The release's clips: 243 frames for classes, 100 for embeddings.
    usual = min(100 if network.kind == "embed" else 243, network.encoder.maxlen)
    frames = frames or config.get("frames") or usual
    if not 1 <= frames <= network.encoder.maxlen:
        raise ValueError(f"clips of {frames} frames; {path} takes 1 to {network.encoder.maxlen}")
    return Net(
        conversion.build(network, source.params, source.other), network.kind, names, frames,
        config.get("persons") or 2, config.get("test_ratio") or 2.0,
        score_order or config.get("score_order") or "joints",
    )  # fmt: skip


def predict(
    net: Net, keypoints, window: int = WINDOW, stride: int = 0, fps=None, image_size=None
) -> Prediction:
    """Probabilities of an action classifier's classes in every window of a recording.

    keypoints: what mbjax.keypoints.read.read gives. window, stride: in frames of the recording;
    stride 0: a third of the window. A shorter recording is one window. fps: instead of the file's.
    image_size: (width, height); without it what the keypoints reach, which matters for the absent
    second person's place in a released network's input alone.
    """
    if net.kind != "action":
        raise ValueError("a one-shot net knows no classes; give examples of them: --gallery DIR")
    persons, windows_Wx2, outputs = _outputs(net, keypoints, window, stride, image_size)
    return Prediction(
        net.classes, "probability", windows_Wx2 + persons.first_frame, softmax(outputs),
        fps or keypoints.fps, keypoints.source, persons.notes,
    )  # fmt: skip


def predict_by_gallery(
    net: Net, keypoints, gallery: dict, window=WINDOW, stride=0, fps=None, image_size=None
) -> Prediction:
    """Cosines of every window with one example of each class.

    gallery: {name of a class: its example, what mbjax.keypoints.read.read gives}; an example is
    seen whole.
    """
    if net.kind != "embed":
        raise ValueError(
            "this checkpoint is a classifier, which has its classes; leave out --gallery"
        )
    examples_KxD, notes = [], []
    for name, example in gallery.items():
        persons, _, outputs = _outputs(net, example, None, 0, image_size)
        examples_KxD.append(outputs[0])
        notes += [f"example {name}: {note}" for note in persons.notes if note not in example.notes]
    persons, windows_Wx2, outputs = _outputs(net, keypoints, window, stride, image_size)
    cosines_WxK = np.clip(outputs @ np.stack(examples_KxD).T, -1, 1)
    return Prediction(
        tuple(gallery), "cosine", windows_Wx2 + persons.first_frame, cosines_WxK,
        fps or keypoints.fps, keypoints.source, (*persons.notes, *notes),
    )  # fmt: skip


def read_gallery(folder: str | os.PathLike, layout=None, image_size=None) -> dict:
    """{name of the file without its ending: keypoints}; ValueError for fewer than two examples."""
    folder = pathlib.Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"the gallery {folder} is not a folder; give one with a file per class"
        )
    paths = sorted(
        path for path in folder.iterdir()
        if path.is_dir() or path.suffix.lower() in (".json", ".npy", ".npz")
    )  # fmt: skip
    names = [path.stem for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{folder} has several examples of {', '.join(twice)}; one of each class")
    if len(paths) < 2:
        raise ValueError(
            f"{folder} has {len(paths)} examples (.json, .npy, .npz, or folders of OpenPose's "
            "files); a choice takes two, each named by its class"
        )
    return {
        name: keypoint_files.read(path, layout, image_size)
        for name, path in zip(names, paths, strict=True)
    }


def _outputs(net, keypoints, window, stride, size) -> tuple[Persons, np.ndarray, np.ndarray]:
    """(persons, first and last frame of each window from 0, the net's outputs (W, ...))."""
    persons = side_by_side(keypoints, size, net.score_order)
    length = persons.keypoints_MxTxJx3.shape[1]
    windows_Wx2 = windows(length, window or length, stride)
    clips = []
    for first, last in windows_Wx2:
        frames = first + even_frames(last - first + 1, net.frames)
        clip = to_clip(persons.keypoints_MxTxJx3, *persons.size, frames, net.ratio, net.persons)
        clips.append(clip[..., : net.model.config.dim_in])
    return persons, windows_Wx2, _forward(net.model, np.stack(clips))


def windows(length: int, window: int, stride: int = 0) -> np.ndarray:
    """First and last frames (W, 2) of windows `stride` apart that cover a recording."""
    if window < 1 or stride < 0:
        raise ValueError(f"window is {window} and stride {stride}; they are at least 1")
    stride = stride or max(1, window // 3)
    starts = list(range(0, max(1, length - window + 1), stride))
    if starts[-1] + window < length:
        starts.append(length - window)
    return np.array([[start, min(start + window, length) - 1] for start in starts])


def _forward(model, clips_WxMxTxJxC):
    graphdef, state = nnx.split(model)
    return in_batches(functools.partial(_apply, graphdef, state), clips_WxMxTxJxC, _BATCH)


@jax.jit
def _apply(graphdef, state, clips):
    return nnx.merge(graphdef, state)(clips)


def write(prediction: Prediction, out: str, top: int) -> list[pathlib.Path]:
    """actions.json and actions.png in the folder `out`, made if need be; their paths."""
    folder = make_folder(out or ".")
    with written_beside(folder / "actions.json") as beside:
        beside.write_text(json.dumps(prediction.as_json(top), indent=1), encoding="utf-8")
    prediction.draw(folder / "actions.png")
    return [folder / "actions.json", folder / "actions.png"]
