"""MPI-INF-3DHP to pairs of true 2D and true 3D.

Mehta et al., 3DV 2017. As its authors publish it: for training S1 ... S8 / Seq1, Seq2 / annot.mat,
where `annot2` and `univ_annot3` (or `annot3`) hold for each of 14 cameras (N, 56) pixels and
(N, 84) mm in camera axes, of 28 joints; for testing TS1 ... TS6 / annot_data.mat with `annot2`
(N, 1, 17, 2), `univ_annot3` (N, 1, 17, 3) and `valid_frame` (N, 1), of 17 joints. Images are
2048 x 2048, those of TS5 and TS6 1920 x 1080. univ_annot3 is scaled to one height for all people,
and is what the benchmark's own script measures against.

Or as P-STMO (Shan et al., ECCV 2022) converted it, which later work trains and tests on:
data_train_3dhp.npz, `data`: {"S1 Seq1": [{"0": {"data_2d", "data_3d"}, ...}], ...}, and
data_test_3dhp.npz, `data`: {"TS1": {"data_2d", "data_3d", "valid"}, ...}; both of the 17 joints.

The layout is reproduced from its documentation and from readers of it; no file of the dataset
itself was at hand. 2D is the dataset's own, not a detector's: errors compare with those of "GT 2D".

N frames of a recording, T frames of a clip, J = 17 joints of mbjax.pose.skeleton.
"""

import dataclasses

import numpy as np

from data_prep import corpus, mat_files, windows
from data_prep.corpora.pairs import pair_features, pair_record
from mbjax.pose.skeleton import JOINTS
from mbjax.safe_files import numpy_files

# Of the 28 joints of training, and of the 17 of testing, those that ours are taken from. Their
# `head` lies inside the head, where our nose is not quite; nothing nearer to it is marked.
_OF_TRAINING = {
    "root": 4, "rhip": 23, "rknee": 24, "rankle": 25, "lhip": 18, "lknee": 19, "lankle": 20,
    "belly": 3, "neck": 5, "nose": 6, "head": 7, "lshoulder": 9, "lelbow": 10, "lwrist": 11,
    "rshoulder": 14, "relbow": 15, "rwrist": 16,
}  # fmt: skip
_OF_TESTING = {
    "root": 14, "rhip": 8, "rknee": 9, "rankle": 10, "lhip": 11, "lknee": 12, "lankle": 13,
    "belly": 15, "neck": 1, "nose": 16, "head": 0, "lshoulder": 5, "lelbow": 6, "lwrist": 7,
    "rshoulder": 2, "relbow": 3, "rwrist": 4,
}  # fmt: skip
_WIDE = ("TS5", "TS6")


@dataclasses.dataclass(frozen=True)
class MpiInf3dhpOptions:
    frames: int = corpus.option(243, "frames of a clip", low=1, high=100_000)
    stride: int = corpus.option(
        81, "frames between the starts of training clips", low=1, high=100_000
    )
    cameras: str = corpus.option("0,1,2,4,5,6,7,8", "of training: those at about eye level")
    universal: bool = corpus.option(True, "3D scaled to one height (univ_annot3), else annot3")


class MpiInf3dhp(corpus.Corpus):
    """MPI-INF-3DHP: true 2D with true 3D in camera millimetres; the test split's valid frames."""

    TREE = (
        "S1/Seq1/annot.mat ... and TS1/annot_data.mat ..., or data_train_3dhp.npz and "
        "data_test_3dhp.npz"
    )
    OPTIONS = MpiInf3dhpOptions

    @classmethod
    def record_features(cls, options):
        return pair_features(options)

    @classmethod
    def source_files(cls, raw, options):
        _cameras(options)
        sources = []
        for split, own in (
            ("train", "S[1-8]/Seq[12]/annot.mat"),
            ("test", "TS[1-6]/annot_data.mat"),
        ):
            found = [
                corpus.found(raw, f"**/{files}", split) for files in (own, f"data_{split}_3dhp.npz")
            ]
            if all(found):
                raise ValueError(
                    f"{raw} holds {found[0][0].name} and {found[1][0].name}, which are of the same "
                    "recordings; keep one of the two outside it"
                )
            if found[1] and not options.universal:
                raise ValueError(
                    f"{found[1][0].path} holds univ_annot3 alone; --no-universal needs the "
                    "dataset's own annot.mat files"
                )
            sources += found[0] + found[1]
        return sources

    @classmethod
    def records(cls, source, options, report):
        truth = "univ_annot3" if options.universal else "annot3"
        if source.path.suffix == ".npz":
            yield from _converted(source, options, report)
        elif source.split == "test":
            yield from _testing(source, options, report, truth)
        else:
            yield from _training(source, options, report, truth)


def _cameras(options):
    try:
        return [int(camera) for camera in options.cameras.split(",")]
    except ValueError:
        raise ValueError(f"cameras is {options.cameras!r}; write it as 0,1,2") from None


def _training(source, options, report, truth):
    subject, sequence = source.path.parts[-3:-1]
    content = mat_files.read(source.path, ("annot2", truth))
    order = [_OF_TRAINING[joint] for joint in JOINTS]
    for camera in _cameras(options):
        if not 0 <= camera < len(content["annot2"]):
            raise ValueError(f"no camera {camera}; the file has {len(content['annot2'])}")
        pixels = _array(content["annot2"][camera], 28, 2)[:, order]
        pose = _array(content[truth][camera], 28, 3)[:, order]
        recording = f"{subject}_{sequence}"
        yield from _of_camera(recording, sequence, camera, pixels, pose, options, report)


def _of_camera(recording, sequence, camera, pixels, pose, options, report):
    report.read(len(pixels), 25.0)
    name = f"{recording}_{camera}"
    clips = windows.cut_source(name, len(pixels), options.frames, options.stride)
    yield from _clips(clips, name, sequence, str(camera), (2048, 2048), pixels, pose, report)


def _testing(source, options, report, truth):
    name = source.path.parts[-2]
    content = mat_files.read(source.path, ("annot2", truth, "valid_frame"))
    given = (content["annot2"], content[truth], content["valid_frame"])
    yield from _valid_frames(name, *given, options, report)


def _valid_frames(name, pixels, pose, valid, options, report):
    order = [_OF_TESTING[joint] for joint in JOINTS]
    pixels, pose = _array(pixels, 17, 2)[:, order], _array(pose, 17, 3)[:, order]
    valid = np.asarray(valid).reshape(-1) != 0
    if not len(valid) == len(pixels) == len(pose):
        raise ValueError(
            f"{name}: there are {len(pixels)} rows of 2D, {len(pose)} of 3D and {len(valid)} that "
            "say which are valid"
        )
    report.read(len(pixels), 25.0)
    if not valid.all():
        report.note("frames marked as not valid, in test", int((~valid).sum()))
    labels = [name if one else "" for one in valid]
    clips = [
        clip
        for clip in windows.cut(labels, options.frames, options.frames, cover=True)
        if clip.source
    ]
    size = (1920, 1080) if name in _WIDE else (2048, 2048)
    yield from _clips(clips, name, name, "", size, pixels, pose, report)


def _converted(source, options, report):
    """From P-STMO's .npz: all recordings of a split in one file, of the 17 joints of testing."""
    data = numpy_files.read_npz(source.path, objects=True).get("data")
    data = data.item() if data is not None and data.shape == () else None
    if not isinstance(data, dict) or not data:
        raise corpus.BadFile("has no `data`, a dict of recordings")
    order = [_OF_TESTING[joint] for joint in JOINTS]
    for name, content in data.items():
        for key, record in _of_recording(name, content, source.split, order, options, report):
            yield f"{name}/{key}", record


def _of_recording(name, content, split, order, options, report):
    if split == "test":
        given = _entries(name, content, ("data_2d", "data_3d", "valid"))
        yield from _valid_frames(name, *given, options, report)
        return
    cameras = content[0] if isinstance(content, (list, tuple)) and content else content
    recording, sequence = name.replace(" ", "_"), name.rpartition(" ")[2]
    for camera in _cameras(options):
        (of_camera,) = _entries(name, cameras, (str(camera),))
        pixels, pose = _entries(name, of_camera, ("data_2d", "data_3d"))
        pixels, pose = _array(pixels, 17, 2)[:, order], _array(pose, 17, 3)[:, order]
        yield from _of_camera(recording, sequence, camera, pixels, pose, options, report)


def _entries(name, content, keys):
    if not isinstance(content, dict) or any(key not in content for key in keys):
        raise corpus.BadFile(f"{name} has no {', '.join(keys)}")
    return [content[key] for key in keys]


def _clips(clips, name, action, camera, size, pixels, pose, report):
    for clip in clips:
        rows = clip.rows_T
        first = int(rows[0])
        key = f"{camera}/{first:08d}"
        try:
            record = pair_record(
                pixels[rows], np.ones(pixels[rows].shape[:2]), pose[rows], rows, *size,
                source=name, first_frame=first, fps=0.0, camera=camera, action=action,
            )  # fmt: skip
        except ValueError as error:
            report.leave_out(key, str(error))
            continue
        yield key, record


def _array(value, joints, channels):
    """(N, joints, channels) from what MATLAB's cells and HDF5's turned axes leave."""
    array = np.squeeze(np.asarray(value, np.float64))
    if array.ndim == 2 and array.shape[1] == joints * channels:
        return array.reshape(-1, joints, channels)
    if array.ndim == 3 and array.shape[1:] == (joints, channels):
        return array
    raise ValueError(f"an array of shape {np.shape(value)}, (N, {joints}, {channels}) was wanted")
