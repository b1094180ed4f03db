"""Your own pairs of 2D keypoints and 3D truth: one .npz for each recording seen by one camera.

    keypoints  (T, K, 2 or 3) pixels, then confidence (1 where there is none), in any --layout
    pose       (T, 17, 3) camera axes (x right, y down, z away), mm (--unit m: metres), any root
    image_size (2,) width and height in pixels
    fps        a number, may be absent
    action     a word to sum errors up by, may be absent (then the file's name)

T frames, K keypoints of the layout, J = 17 joints of mbjax.pose.skeleton.
"""

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from data_prep import corpus, features, windows
from data_prep.corpora.h36m import keypoints_by_image, pose_by_image
from data_prep.weak_perspective import over_image
from mbjax.keypoints.layouts import LAYOUTS, from_layout
from mbjax.pose.skeleton import NUM_JOINTS
from mbjax.safe_files import numpy_files

_PER_MM = {"mm": 1.0, "m": 1000.0}


@dataclasses.dataclass(frozen=True)
class PairsOptions:
    frames: int = corpus.option(243, "frames of a clip", low=1, high=100_000)
    stride: int = corpus.option(
        81, "frames between the starts of training clips", low=1, high=100_000
    )
    layout: str = corpus.option("h36m17", "of the keypoints", tuple(LAYOUTS))
    unit: str = corpus.option("mm", "of the 3D", tuple(_PER_MM))
    test: str = corpus.option("", "names of test files, by commas, besides those in test/")


def pair_features(options) -> tfds.features.FeaturesDict:
    """Records of pairs with the truth in mm, as Human3.6M's test split has them."""

    def by_frame(*shape):
        return tfds.features.Tensor(
            shape=(options.frames, *shape),
            dtype=np.float32,
            encoding=tfds.features.Encoding.BYTES,
        )

    return features.lifting(
        options.frames,
        camera=tfds.features.Text(),
        action=tfds.features.Text(),
        width=np.int64,
        height=np.int64,
        factor_2_5d=by_frame(),
        pose_mm=by_frame(NUM_JOINTS, 3),
    )


def pair_record(pixels_TxJx2, confidence_TxJ, pose_mm_TxJx3, rows_T, width, height, **origin):
    """One clip's record. origin: source, first_frame, fps, camera, action. ValueError as
    weak_perspective.over_image."""
    pose, mm_per_pixel_T = over_image(pixels_TxJx2, pose_mm_TxJx3)
    return {
        "keypoints": keypoints_by_image(pixels_TxJx2, confidence_TxJ, width, height),
        "pose": pose_by_image(pose, width, height),
        "frames": rows_T,
        "width": width,
        "height": height,
        "factor_2_5d": mm_per_pixel_T.astype(np.float32),
        "pose_mm": np.asarray(pose_mm_TxJx3, np.float32),
        **origin,
    }


class Pairs(corpus.Corpus):
    """Your own pairs of 2D keypoints and 3D truth in camera millimetres.

    factor_2_5d is the mm per pixel that fits each frame's 2D to its 3D; pose_mm is the 3D as given.
    """

    TREE = "train/*.npz and test/*.npz, or *.npz (--test says which are for testing)"
    OPTIONS = PairsOptions

    @classmethod
    def record_features(cls, options):
        return pair_features(options)

    @classmethod
    def source_files(cls, raw, options):
        test = {name.removesuffix(".npz") for name in options.test.split(",") if name}
        sources = []
        for source in corpus.found(raw, "**/*.npz", "train"):
            inside = source.path.relative_to(raw)
            if inside.parts[0] == "test" or inside.stem in test:
                source = dataclasses.replace(source, split="test")
            sources.append(source)
        unknown = sorted(test - {source.path.stem for source in sources})
        if unknown:
            raise ValueError(f"--test names {unknown[0]!r}, but there is no {unknown[0]}.npz")
        return sources

    @classmethod
    def records(cls, source, options, report):
        given = _read(source.path)
        pixels = from_layout(given["keypoints"], options.layout)
        pose = given["pose"] * _PER_MM[options.unit]
        if pose.shape != (len(pixels), NUM_JOINTS, 3):
            raise ValueError(
                f"pose has shape {pose.shape}; ({len(pixels)}, {NUM_JOINTS}, 3) was wanted, to go "
                "with the keypoints"
            )
        width, height = (int(value) for value in given["image_size"])
        if pixels.shape[-1] == 2:
            pixels = np.concatenate([pixels, np.ones_like(pixels[..., :1])], axis=-1)
            report.note("no confidence in the file, taken as 1")
        fps = float(given["fps"].item())
        report.read(len(pixels), fps or 30.0)
        name = source.name.removesuffix(".npz")
        test = source.split == "test"
        stride = options.frames if test else options.stride
        for clip in windows.cut_source(name, len(pixels), options.frames, stride, cover=test):
            rows = clip.rows_T
            key = f"{clip.first_frame:08d}"
            try:
                record = pair_record(
                    pixels[rows, :, :2], pixels[rows, :, 2], pose[rows], rows, width, height,
                    source=name, first_frame=clip.first_frame, fps=fps, camera="",
                    action=str(given.get("action", source.path.stem)),
                )  # fmt: skip
            except ValueError as error:
                report.leave_out(key, str(error))
                continue
            yield key, record


def _read(path):
    """The arrays of a file; ValueError, in one line, for what is missing or no number."""
    try:
        given = numpy_files.read_npz(path)
    except (ValueError, OSError) as error:
        raise corpus.BadFile(f"not an .npz of plain arrays ({error})") from None
    missing = [name for name in ("keypoints", "pose", "image_size") if name not in given]
    if missing:
        raise corpus.BadFile(
            f"has no {', '.join(missing)}; it holds: {', '.join(given) or 'nothing'}"
        )
    for name in ("keypoints", "pose"):
        if given[name].dtype.kind not in "fiu" or given[name].ndim != 3:
            raise corpus.BadFile(f"{name} is no array of numbers with three axes")
        given[name] = given[name].astype(np.float64)
    size = given["image_size"]
    if size.shape != (2,) or size.dtype.kind not in "fiu" or not _within(size, 1, 1e6):
        raise corpus.BadFile("image_size is not (width, height)")
    fps = given.setdefault("fps", np.zeros(()))
    if fps.size != 1 or fps.dtype.kind not in "fiu" or not _within(fps, 0, 1e5):
        raise corpus.BadFile("fps is not a frame rate")
    return given


def _within(array, low, high):
    return bool(((array >= low) & (array <= high)).all())  # not so of NaN
