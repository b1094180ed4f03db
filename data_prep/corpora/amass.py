"""AMASS (SMPL+H G) to clips of 17 joints in camera axes, at 60 frames a second.

Mahmood et al., ICCV 2019. A recording holds the parameters of a body model; its joints come from
the model's surface by the 17-joint regressor of Human3.6M, through
`mbjax.body.model.RegressedJoints`, which makes them without making the surface.

Measured on generated recordings and bodies of SMPL+H's size by the command below, on
two busy cores of an x86-64 server: 24,000 frames a second read and 17,000 at 60 fps made, files
at 120, 100 and 60 fps mixed, in 0.3 GiB. All of `mbjax prepare`: 8,500 and 6,000 in 0.7 GiB, or
1.7 GiB where the dataset is larger than TFDS's buffer for shuffling, 1 GB.

    pytest -s -k "frames_per_second or moves_the_joints" tests/data_prep/test_prepare_amass.py

Hands and soft tissue both stay in, as leaving either out saves 3 % of the time. On a random body,
whose surface is scattered more widely round its bones than a person's, still hands move the wrists
by 36 mm in the mean, the elbows by 12 and other joints by 2; no soft tissue moves all by 2.8.

T frames as recorded, N frames at 60 fps, J = 17 joints.
"""

import dataclasses
import functools
import pathlib

import numpy as np

from data_prep import corpus, features, windows
from data_prep.mocap import UNITS_PER_METRE
from data_prep.resampling import interpolate, positions
from mbjax.body.files import read_smplh
from mbjax.body.model import RegressedJoints
from mbjax.pose.skeleton import NUM_JOINTS
from mbjax.safe_files import numpy_files

FPS = 60.0
CLIP, STRIDE = 243, 81  # 4 s; in training two thirds are shared with the next clip
REGRESSOR = "J_regressor_h36m_correct.npy"

_ADVICE = "download the extended SMPL+H model from mano.is.tue.mpg.de"

# The test split by AMASS's own recommendation, under the names of its older and newer archives.
# Its validation part (HumanEva, MPI_HDM05, SFU, MPI_mosh) trains here, as nothing else uses it.
TEST_DATASETS = "Transitions_mocap,Transitions,SSM_synced,SSM"


@dataclasses.dataclass(frozen=True)
class Options:
    body_models: str = corpus.option(
        "", "folder with smplh/, dmpls/ and " + REGRESSOR + "; default: RAW/body_models"
    )
    test_datasets: str = corpus.option(
        TEST_DATASETS, "names of the dataset folders that are the test split, with commas between"
    )
    resample: str = corpus.option(
        "true",
        "true: 60 fps from any rate; reference: every n-th frame, n rounded, below 60 fps left out",
        choices=("true", "reference"),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """What one *_poses.npz says: angles in radians, lengths in metres."""

    poses_Tx156: np.ndarray  # axis-angle: root, 21 of the body, 30 of the hands
    trans_Tx3: np.ndarray
    betas_16: np.ndarray
    dmpls_Tx8: np.ndarray | None
    gender: str  # male, female or neutral
    fps: float


def read_recording(path: pathlib.Path) -> Recording:
    """One recording. ValueError in one line, without the path, for a file that is not one."""
    needed = ("poses", "trans", "betas", "gender", "mocap_framerate")
    try:
        found = numpy_files.read_npz(path, (*needed, "dmpls"))
    except ValueError as error:
        raise ValueError(
            f"not an .npz archive of numbers and text ({error}); download it again"
        ) from error
    missing = [name for name in needed if name not in found]
    if missing:
        raise ValueError(f"missing key {', '.join(missing)}; is it AMASS in SMPL+H G?")
    T = len(found["poses"]) if found["poses"].ndim else 0
    if T == 0:
        raise ValueError("a recording of no frames")
    if found["betas"].ndim == 1 and len(found["betas"]) > 16:
        found["betas"] = found["betas"][:16]
    shapes = {"poses": (T, 156), "trans": (T, 3), "betas": (16,), "dmpls": (T, 8)}
    for name, shape in shapes.items():
        array = found.get(name)
        if array is None:
            continue
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, {shape} was wanted")
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise ValueError(f"{name} holds entries that are not finite numbers")
    return Recording(
        found["poses"], found["trans"], found["betas"], found.get("dmpls"),
        _gender(found["gender"]), _rate(found["mocap_framerate"]),
    )  # fmt: skip


def _gender(value):
    item = value.item() if value.size == 1 else ""
    text = item.decode("latin1") if isinstance(item, bytes) else str(item)
    return text.lower() if text.lower() in ("male", "female") else "neutral"


def _rate(value):
    rate = float(value.item()) if value.size == 1 and value.dtype.kind in "fiu" else 0.0
    if not 1 <= rate <= 10_000:
        raise ValueError("mocap_framerate is not a rate between 1 and 10,000 fps")
    return rate


class BodyModels:
    """The joints of bodies of each gender, from a folder in AMASS's layout; read when needed."""

    def __init__(self, folder: pathlib.Path):
        """FileNotFoundError or ValueError, in one line, if the joint regressor cannot be read."""
        self.folder = pathlib.Path(folder)
        path = self.folder / REGRESSOR
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing; it comes with the data of the MotionBERT release, and "
                "--body-models names its folder"
            )
        try:
            self._regressor_Jx6890 = numpy_files.read_npy(path)
        except (ValueError, OSError) as error:
            raise ValueError(f"{path} is not a numpy array; download it again") from error
        if self._regressor_Jx6890.ndim != 2 or len(self._regressor_Jx6890) != NUM_JOINTS:
            raise ValueError(
                f"{path} has shape {self._regressor_Jx6890.shape}, ({NUM_JOINTS}, 6890) was wanted"
            )
        if not any(self._body(gender).is_file() for gender in ("male", "female", "neutral")):
            raise FileNotFoundError(f"{self._body('GENDER')}: no such body model; {_ADVICE}")
        self._of = {}

    def joints_of(self, gender: str) -> tuple[RegressedJoints, bool, str]:
        """(joints, with soft tissue?, gender used): the neutral body where the gender's is absent.

        FileNotFoundError if there is neither, ValueError for a broken file.
        """
        if gender not in self._of:
            used = gender if self._body(gender).is_file() else "neutral"
            if not self._body(used).is_file():
                raise FileNotFoundError(
                    f"{self._body(gender)} is missing, and so is a neutral body; {_ADVICE}"
                )
            soft = self.folder / "dmpls" / used / "model.npz"
            soft = soft if soft.is_file() else None
            body = read_smplh(self._body(used), soft)
            joints = RegressedJoints(body, self._regressor_Jx6890)
            self._of[gender] = joints, soft is not None, used
        return self._of[gender]

    def _body(self, gender):
        return self.folder / "smplh" / gender / "model.npz"


def camera_axes(joints_TxJx3: np.ndarray) -> np.ndarray:
    """AMASS's metres, z up, to a camera that looks along y: (x, -z, y) in normalised units."""
    x, y, z = np.moveaxis(joints_TxJx3, -1, 0)
    return (np.stack([x, -z, y], axis=-1) * UNITS_PER_METRE).astype(np.float32)


def joints_at_60(recording: Recording, joints: RegressedJoints, with_soft: bool) -> np.ndarray:
    """(N, J, 3) metres at 60 fps in the recording's axes.

    Only the frames that are needed go through the body; `with_soft` says whether it has soft
    tissue, without which the recording's is not used.
    """
    places_N = positions(len(recording.poses_Tx156), recording.fps, FPS)
    if (places_N == np.floor(places_N)).all():
        return _joints(recording, joints, with_soft, places_N.astype(np.int64))
    return interpolate(_joints(recording, joints, with_soft, slice(None)), places_N)


def joints_by_index(recording: Recording, joints: RegressedJoints, with_soft: bool) -> np.ndarray:
    """The release's way to 60 fps: every n-th frame, n = rate / 60 rounded, called 60 fps.

    So 100 fps becomes 50 that passes for 60. ValueError below 60 fps, which it drops.
    """
    if recording.fps < FPS:
        raise ValueError("below 60 fps, which the release's resampling drops")
    step = round(recording.fps / FPS)
    return _joints(recording, joints, with_soft, slice(None, None, step))


def _joints(recording, joints, with_soft, rows):
    dmpls = recording.dmpls_Tx8
    return joints.of_sequence(
        recording.poses_Tx156[rows],
        recording.betas_16,
        trans_Tx3=recording.trans_Tx3[rows],
        dmpls_TxD=dmpls[rows] if dmpls is not None and with_soft else None,
    )


class Amass(corpus.Corpus):
    """AMASS: human motion capture, as 3D clips of 17 joints in camera axes at 60 fps."""

    TREE = "<dataset>/<subject>/*_poses.npz (SMPL+H G)"
    OPTIONS = Options

    @classmethod
    def record_features(cls, options):
        return features.mocap(CLIP)

    @classmethod
    def source_files(cls, raw, options):
        files = corpus.found(raw, "*/*/*_poses.npz", "train")
        if files:
            _models(_body_folder(raw, options))  # missing bodies stop everything, before it starts
        test = {name.strip() for name in options.test_datasets.split(",")}
        return [
            dataclasses.replace(file, split="test") if file.name.split("/")[0] in test else file
            for file in files
        ]

    @classmethod
    def companions(cls, raw, options):
        folder = _body_folder(raw, options)
        bodies = [*folder.glob("smplh/*/model.npz"), *folder.glob("dmpls/*/model.npz")]
        return [folder / REGRESSOR, *sorted(bodies)]

    @classmethod
    def records(cls, source, options, report):
        raw = source.path.parents[2]
        models = _models(_body_folder(raw, options))
        recording = read_recording(source.path)
        joints, with_soft, used = models.joints_of(recording.gender)
        if used != recording.gender:
            report.note(f"neutral body used, no {recording.gender} one in the folder of bodies")
        if recording.dmpls_Tx8 is None:
            report.note("no soft tissue in the file")
        elif not with_soft:
            report.note(f"soft tissue not used, no dmpls/{used}/model.npz")
        to_60 = joints_at_60 if options.resample == "true" else joints_by_index
        pose_TxJx3 = camera_axes(to_60(recording, joints, with_soft))
        report.read(len(pose_TxJx3), FPS)
        name = source.name.removesuffix("_poses.npz")
        test = source.split == "test"
        stride = CLIP if test else STRIDE
        clips = windows.cut_source(name, len(pose_TxJx3), CLIP, stride, cover=test)
        if left_out := windows.count_left_out(clips, len(pose_TxJx3)):
            report.note("frames of tails too short for a clip, in training", left_out)
        for clip in clips:
            yield (
                f"{clip.first_frame:08d}",
                {
                    "pose": pose_TxJx3[clip.rows_T],
                    "metres_per_unit": 1 / UNITS_PER_METRE,
                    "source": clip.source,
                    "first_frame": clip.first_frame,
                    "fps": FPS,
                },
            )


def _body_folder(raw, options):
    return pathlib.Path(options.body_models or raw / "body_models").expanduser()


# Bodies are read once in a run, not once a recording.
_models = functools.lru_cache(maxsize=2)(BodyModels)
