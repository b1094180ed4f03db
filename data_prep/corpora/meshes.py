"""2D keypoints with SMPL parameters: Human3.6M, 3DPW and COCO, as the MotionBERT release has them.

`mesh_det_h36m.pkl`, `mesh_det_pw3d.pkl` and `mesh_det_coco.pkl`; those that also hold an image
method's prediction, for the refiner, have `_w_hybrik_pred` in their names. In each of their splits
`train` and `test`: joint_2d (N, 17, 2) pixels, confidence (N, 17, 1), smpl_pose (N, 72) axis-angle
in radians, smpl_shape (N, 10), source [str]; Human3.6M also camera_name [str]; with predictions
pred_smpl_pose (N, 72) and pred_smpl_shape (N, 10).

T frames of a clip, N frames of a split, J = 17 joints.
"""

import dataclasses

import numpy as np

from data_prep import corpus, features, tables
from data_prep.corpora import h36m
from mbjax.body import smpl

POSE, SHAPE = 72, 10


@dataclasses.dataclass(frozen=True)
class StillOptions:
    initial: bool = corpus.option(
        False, "also the image method's predictions, for the refiner (*_w_hybrik_pred*.pkl)"
    )


@dataclasses.dataclass(frozen=True)
class VideoOptions(StillOptions):
    frames: int = corpus.option(16, "frames of a clip", low=1, high=100_000)
    stride: int = corpus.option(
        8, "frames between the starts of training clips", low=1, high=100_000
    )
    test_stride: int = corpus.option(
        16, "frames between the starts of test clips", low=1, high=100_000
    )
    clips: str = corpus.option(
        "cover",
        "cover: test clips hold every frame, the last one overlapping; reference: the release's",
        choices=("cover", "reference"),
    )


@dataclasses.dataclass(frozen=True)
class _Singles:
    """How stills are cut: every row a clip of its own."""

    frames: int = 1
    stride: int = 1
    test_stride: int = 1
    clips: str = "cover"


class _Mesh(corpus.Corpus, skip_registration=True):
    """What the three have in common."""

    STEM = ""
    FPS = 0.0  # stills, or a file that does not say which frames of the video it holds

    @classmethod
    def record_features(cls, options):
        return features.mesh(cls._cutting(options).frames, initial=options.initial)

    @classmethod
    def source_files(cls, raw, options):
        plain, predicted = f"{cls.STEM}.pkl", f"{cls.STEM}*_w_hybrik_pred*.pkl"
        if options.initial:
            # A plain name may hold predictions too; which it does is seen when it is read.
            named = sorted(path.name for path in raw.glob(predicted))
            if len(named) > 1:
                raise ValueError(
                    f"{raw} holds {' and '.join(named)}; leave one there, to say which is meant"
                )
            return tables.split_files(raw, named[0] if named else plain)
        return tables.split_files(raw, plain)

    @classmethod
    def records(cls, source, options, report):
        table = tables.Table(source.path, source.split)
        pixels = table.numbers("joint_2d", 17, 2)
        confidence = table.confidence()
        theta = [_theta(table, "", report)]
        if options.initial:
            theta.append(_theta(table, "pred_", report))
        image_size = cls._image_sizes(table, options)
        fps = cls._fps(options)
        report.read(len(table), fps)
        if "confidence" not in table:
            report.note("no confidence in the file, taken as 1")
        for clip in tables.cut_table(table, cls._cutting(options), report):
            rows = clip.rows_T
            key = f"{clip.source}/{clip.first_frame:08d}"
            try:
                width, height = image_size(clip)
            except ValueError as error:
                report.leave_out(key, str(error))
                continue
            # Detectors' scores go a little past 1; the release cuts them off here.
            sure = np.clip(confidence[rows], 0, 1)
            record = {
                "keypoints": h36m.keypoints_by_image(pixels[rows], sure, width, height),
                "frames": rows,
                "source": clip.source,
                "first_frame": clip.first_frame,
                "fps": fps,
            }
            for name, columns in zip(("theta", "initial_theta"), theta, strict=False):
                parts = [column[rows] for column in columns]
                record[name] = np.concatenate(parts, axis=-1).astype(np.float32)
            yield key, record

    @classmethod
    def _cutting(cls, options):
        return options

    @classmethod
    def _fps(cls, options):
        return cls.FPS

    @classmethod
    def _image_sizes(cls, table, options):
        """A function of a clip that gives the width and height its pixels are divided by."""
        raise NotImplementedError


def _theta(table, prefix, report):
    """Pose as axis-angles (N, 72) and shape (N, 10) of what a file has."""
    name = f"{prefix}smpl_pose"
    pose = table.rows(name)
    # A frame that is broken costs its clips alone; that is seen when they are written.
    plain = smpl.as_axis_angles(pose, f"{table.split}: {name}", allow_missing=True)
    if pose.shape[-1] != POSE and pose.shape[-2:] != (24, 3):
        report.note(f"{name} are rotation matrices; turned into axis-angles")
    shape = table.rows(f"{prefix}smpl_shape")
    if shape.ndim != 2 or shape.shape[1] < SHAPE:
        raise ValueError(
            f"{table.split}: {prefix}smpl_shape has shape {shape.shape}, (N, {SHAPE}) was wanted"
        )
    if shape.shape[1] > SHAPE:
        report.note(f"{prefix}smpl_shape has {shape.shape[1]} numbers, the first {SHAPE} are used")
    return plain, shape[:, :SHAPE]


class MeshH36m(_Mesh):
    """Human3.6M with SMPL fitted to its markers: clips of 2D keypoints and body parameters."""

    STEM = "mesh_det_h36m"
    TREE = f"{STEM}.pkl, or {STEM}*_w_hybrik_pred*.pkl with predictions"
    OPTIONS = VideoOptions

    @classmethod
    def _image_sizes(cls, table, options):
        cameras = table.texts("camera_name")
        return lambda clip: h36m.camera_of(cameras, clip)[1:]


class MeshPw3d(_Mesh):
    """3DPW (von Marcard et al., ECCV 2018): clips of 2D keypoints and body parameters, outdoors."""

    STEM, FPS = "mesh_det_pw3d", 30.0
    TREE = f"{STEM}.pkl, or {STEM}*_w_hybrik_pred*.pkl with predictions"
    OPTIONS = VideoOptions

    @classmethod
    def _image_sizes(cls, table, options):
        # Upright and level videos alike are divided by their longer side, and not centred.
        return lambda clip: (1920, 1920)


@dataclasses.dataclass(frozen=True)
class OwnOptions(VideoOptions):
    width: int = corpus.option(1920, "of the image, pixels")
    height: int = corpus.option(1080, "of the image, pixels")
    fps: float = corpus.option(0.0, "frames per second; 0 where it is not known")


class MeshOwn(_Mesh):
    """Videos of one's own with SMPL, all of one image size: clips of 2D and body parameters."""

    STEM = "mesh_det_own"
    TREE = f"{STEM}.pkl, in the layout of the release's mesh files"
    OPTIONS = OwnOptions

    @classmethod
    def _fps(cls, options):
        return options.fps

    @classmethod
    def _image_sizes(cls, table, options):
        if options.width < 1 or options.height < 1:
            raise ValueError(f"an image of {options.width} x {options.height} pixels")
        return lambda clip: (options.width, options.height)


class MeshCoco(_Mesh):
    """COCO stills with fitted SMPL: clips of one frame."""

    STEM = "mesh_det_coco"
    TREE = f"{STEM}.pkl, or {STEM}*_w_hybrik_pred*.pkl with predictions"
    OPTIONS = StillOptions

    @classmethod
    def _cutting(cls, options):
        return _Singles()

    @classmethod
    def _image_sizes(cls, table, options):
        return lambda clip: (640, 640)
