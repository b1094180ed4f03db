"""Human3.6M (detected 2D and true 3D) to clips normalised by the image.

Ionescu et al., PAMI 2014, as the MotionBERT release packs it: one pickle of everything,
`h36m_sh_conf_cam_source_final.pkl`, 2D by a stacked hourglass. In each of its splits `train` and
`test`: joint_2d (N, 17, 2) pixels, confidence (N, 17, 1) or (N, 17) or absent (then 1),
joint3d_image (N, 17, 3) pixels, camera_name and source [str]; in `test` also action [str],
2.5d_factor (N,) mm per pixel and joints_2.5d_image (N, 17, 3) mm.

The pickle is read whole, and the records of a split are kept until it is done. Estimated for the
published N = 1,559,752 and 566,920 frames, with the arrays above in float64: a file of 2.1 GB,
prepared within 5 GB of memory (measured on generated files of a twentieth, a tenth and a third of
it: 0.8, 1.0 and 1.9 GiB). In float32 about half.

T frames of a clip, N frames of a split, J = 17 joints.
"""

import dataclasses

import numpy as np
import tensorflow_datasets as tfds

from data_prep import corpus, features, tables, windows
from mbjax.pose.normalise import by_image_size
from mbjax.pose.skeleton import NUM_JOINTS

FILE = "h36m_sh_conf_cam_source_final.pkl"
FPS = 50.0

# Width and height in pixels of what each of the four cameras recorded.
IMAGE_SIZES = {
    "54138969": (1000, 1002),
    "60457274": (1000, 1002),
    "55011271": (1000, 1000),
    "58860488": (1000, 1000),
}


@dataclasses.dataclass(frozen=True)
class Options:
    frames: int = corpus.option(243, "frames of a clip", low=1, high=100_000)
    stride: int = corpus.option(
        81, "frames between the starts of training clips", low=1, high=100_000
    )
    test_stride: int = corpus.option(
        243, "frames between the starts of test clips", low=1, high=100_000
    )
    clips: str = corpus.option(
        "cover",
        "cover: test clips hold every frame, the last one overlapping; reference: the release's",
        choices=("cover", "reference"),
    )
    without_factor: bool = corpus.option(
        False, "accept a test split without 2.5d_factor, for evaluation in camera millimetres"
    )


def camera_of(cameras: list[str], clip: windows.Clip) -> tuple[str, int, int]:
    """(camera, width, height) of a clip; ValueError for an unknown camera, or several."""
    names = {cameras[row] for row in clip.rows_T}
    unknown = sorted(names - set(IMAGE_SIZES))
    if unknown:
        raise ValueError(f"unknown camera {', '.join(unknown)}; known: {', '.join(IMAGE_SIZES)}")
    if len(names) > 1:
        raise ValueError(f"several cameras in one recording: {', '.join(sorted(names))}")
    (name,) = names
    return name, *IMAGE_SIZES[name]


def keypoints_by_image(pixels_TxJx2, confidence_TxJ, width, height) -> np.ndarray:
    """(T, J, 3) float32: x, y over half the image's width, centred; then confidence."""
    stacked = np.concatenate([pixels_TxJx2, confidence_TxJ[..., None]], axis=-1)
    return by_image_size(stacked, width, height).astype(np.float32)


def pose_by_image(pose_TxJx3, width, height) -> np.ndarray:
    """(T, J, 3) float32 of joints in pixels on all three axes: depth too is over half the width."""
    pose = by_image_size(pose_TxJx3, width, height)
    pose[..., 2] = pose_TxJx3[..., 2] / width * 2
    return pose.astype(np.float32)


def _has_factor(table, options, report):
    """Whether the split says mm per pixel; ValueError where it does not and must."""
    if "2.5d_factor" in table:
        return True
    if not options.without_factor:
        raise ValueError(
            "missing key 2.5d_factor in test, which the protocol needs; --without-factor accepts "
            "that, for evaluation.millimetres 'camera'"
        )
    report.note("no 2.5d_factor in the file")
    return False


class H36m(corpus.Corpus):
    """Human3.6M: pairs of detected 2D and true 3D, with what its evaluation protocol needs.

    `frames` are rows of the split in the file (so a row that stands in several clips is known),
    `first_frame` counts within the recording `source`. In the test split factor_2_5d (T,) is mm
    per pixel and pose_mm (T, 17, 3) the truth that the protocol measures against, in mm; in the
    training split both are empty; so is factor_2_5d where the file has none (--without-factor).
    """

    TREE = FILE
    OPTIONS = Options

    @classmethod
    def record_features(cls, options):
        def some_or_no_frames(*shape):
            return tfds.features.Tensor(
                shape=(None, *shape), dtype=np.float32, encoding=tfds.features.Encoding.BYTES
            )

        return features.lifting(
            options.frames,
            camera=tfds.features.Text(),
            action=tfds.features.Text(),
            width=np.int64,
            height=np.int64,
            factor_2_5d=some_or_no_frames(),
            pose_mm=some_or_no_frames(NUM_JOINTS, 3),
        )

    @classmethod
    def source_files(cls, raw, options):
        return tables.split_files(raw, FILE)

    @classmethod
    def records(cls, source, options, report):
        test = source.split == "test"
        table = tables.Table(source.path, source.split)
        pixels = table.numbers("joint_2d", NUM_JOINTS, 2)
        confidence = table.confidence()
        pose = table.numbers("joint3d_image", NUM_JOINTS, 3)
        cameras = table.texts("camera_name")
        actions = table.texts("action") if test or "action" in table else [""] * len(table)
        # mm are wanted for testing alone; empty arrays cost training nothing.
        with_factor = test and _has_factor(table, options, report)
        factor = table.numbers("2.5d_factor") if with_factor else np.zeros(0)
        pose_mm = table.numbers("joints_2.5d_image", NUM_JOINTS, 3) if test else None
        report.read(len(table), FPS)
        if "confidence" not in table:
            report.note("no confidence in the file, taken as 1")
        for clip in tables.cut_table(table, options, report):
            rows = clip.rows_T
            key = f"{clip.source}/{clip.first_frame:08d}"
            try:
                camera, width, height = camera_of(cameras, clip)
            except ValueError as error:
                report.leave_out(key, str(error))
                continue
            yield (
                key,
                {
                    "keypoints": keypoints_by_image(pixels[rows], confidence[rows], width, height),
                    "pose": pose_by_image(pose[rows], width, height),
                    "frames": rows,
                    "source": clip.source,
                    "first_frame": clip.first_frame,
                    "fps": FPS,
                    "camera": camera,
                    "action": actions[rows[0]],
                    "width": width,
                    "height": height,
                    "factor_2_5d": factor[rows if with_factor else ()].astype(np.float32),
                    "pose_mm": (pose_mm[rows] if test else np.zeros((0, NUM_JOINTS, 3))).astype(
                        np.float32
                    ),
                },
            )
