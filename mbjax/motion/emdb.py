"""EMDB's recordings as what a motion is compared with: camera (EMDB 1) and world (EMDB 2).

Layout of `*_data.pkl` from dataset.md of github.com/eth-ait/emdb (Kaufmann et al., ICCV 2023); what
is measured, and on which frames, from WHAM's evaluation (Shin et al., CVPR 2024), whose figures
papers print: SMPL's 24 joints by its own regressor, aligned at the middle of the hips. The body of
the reference is the person's sex's, that of the motion the neutral one.
Shapes in names: T frames that count, J joints, V vertices, N frames of a recording.
"""

import dataclasses
import os
import pathlib

import numpy as np

from mbjax import safe_pickle
from mbjax.body import smpl
from mbjax.body.model import RegressedJoints
from mbjax.body.smpl import NUM_BETAS, Smpl
from mbjax.motion.body_files import Z_UP
from mbjax.motion.compare import read_motion, read_world
from mbjax.pose import metrics, world_metrics
from mbjax.pose.skeleton import NUM_JOINTS, limb_lengths, root_relative
from mbjax.remarks import one_line
from mbjax.safe_files import numpy_files

FPS = 30.0
_HIPS = [1, 2]
# Under the balls and heels of both feet; a foot of the reference that moves less than 1 cm from
# frame to frame stands.
_SOLES, _STANDS = [3216, 3387, 6617, 6787], 0.01
_VERTICES = 6890
_ONLY_SOLES = np.equal.outer(_SOLES, np.arange(_VERTICES))  # as a regressor
_FEWEST = 5  # second differences without the first and the last
_CHUNK = 128  # frames; each has 83 kB of vertices, and ten times that on the way to them


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """One `*_data.pkl`. Axes are the world's; to_camera: world to camera; good: what counts."""

    name: str
    sex: str
    parts: tuple[bool, bool]  # whether it belongs to EMDB 1, to EMDB 2
    good_N: np.ndarray
    pose_Nx72: np.ndarray
    betas_S: np.ndarray
    trans_Nx3: np.ndarray
    to_camera_Nx4x4: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Moving:
    """A body in motion: of a recording, or of a smpl.npz of `mbjax infer`."""

    body: Smpl
    pose_Tx72: np.ndarray
    betas_S: np.ndarray
    trans_Tx3: np.ndarray

    def regressed(self, regressor_KxV) -> np.ndarray:
        """(T, K, 3) metres, float64, of the vertices that a regressor takes."""
        points = RegressedJoints(self.body.body, regressor_KxV)
        found = points.of_sequence(self.pose_Tx72, self.betas_S, trans_Tx3=self.trans_Tx3)
        return found.astype(np.float64)

    def joints(self) -> np.ndarray:
        """(T, 24, 3): those that SMPL's own regressor takes."""
        return self.regressed(self.body.arrays["J_regressor"])

    def verts(self, rows) -> np.ndarray:
        """(rows, V, 3) metres, float64."""
        verts, _ = self.body.body(self.pose_Tx72[rows], self.betas_S, trans=self.trans_Tx3[rows])
        return verts.astype(np.float64)


# --- reading ----------------------------------------------------------------------------------


def is_recording(path: str | os.PathLike) -> bool:
    """Whether a file is taken for one by its name."""
    return pathlib.Path(path).suffix == ".pkl"


def read(path: str | os.PathLike) -> Recording:
    """A `*_data.pkl`; nothing in it is run. ValueError or FileNotFoundError in one line."""
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        found = safe_pickle.load(path)
        body, camera, good = found["smpl"], found["camera"], np.asarray(found["good_frames_mask"])
        names = ("poses_root", "poses_body", "trans", "betas")
        arrays = {name: np.asarray(body[name], np.float64) for name in names}
        arrays["extrinsics"] = np.asarray(camera["extrinsics"], np.float64)
        sex, name = str(found["gender"]), str(found["name"])
        parts = bool(found["emdb1"]), bool(found["emdb2"])
    except (ValueError, TypeError, KeyError, OSError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else one_line(error)
        raise ValueError(f"{path} is not a *_data.pkl of EMDB ({reason})") from None
    frames = len(good) if good.ndim == 1 else 0
    shapes = ((frames, 3), (frames, 69), (frames, 3), (NUM_BETAS,), (frames, 4, 4))
    for (array_name, array), wanted in zip(arrays.items(), shapes, strict=True):
        if array.shape != wanted or not np.isfinite(array).all():
            raise ValueError(
                f"{path}: {array_name} has shape {array.shape}; finite numbers {wanted} were wanted"
            )
    if sex not in ("female", "male", "neutral") or not good.astype(bool).any():
        raise ValueError(f"{path}: gender {sex!r}, {int(good.sum())} good frames")
    return Recording(
        name, sex, parts, good.astype(bool),
        np.concatenate([arrays["poses_root"], arrays["poses_body"]], axis=1),
        arrays["betas"], arrays["trans"], arrays["extrinsics"],
    )  # fmt: skip


def _read_body(path, recording: Recording) -> tuple | None:
    """(pose, betas, trans) of the frames that count, z up, from a smpl.npz; None for joints."""
    path = pathlib.Path(path).expanduser()
    names = ("smpl_poses", "betas", "trans", "frames", "mocap_framerate")
    if path.suffix != ".npz":
        return None
    try:
        found = numpy_files.read_npz(path, names)
        pose, trans, frames = (np.asarray(found[n]) for n in ("smpl_poses", "trans", "frames"))
        betas, fps = np.asarray(found["betas"])[:NUM_BETAS], float(found["mocap_framerate"])
    except (ValueError, OSError, KeyError):
        return None
    pose = smpl.as_axis_angles(pose, f"{path}: smpl_poses")
    if frames.dtype.kind not in "iu" or not frames.shape == pose.shape[:1] == trans.shape[:1]:
        raise ValueError(f"{path}: frames, smpl_poses and trans are not of the same frames")
    if abs(fps - FPS) > 0.5:
        raise ValueError(f"{path} has {fps:g} frames a second, EMDB {FPS:g}")
    if not frames.size or not 0 <= frames.min() <= frames.max() < len(recording.good_N):
        raise ValueError(f"{path} has other frames than {recording.name}'s {len(recording.good_N)}")
    kept = recording.good_N[frames]
    _all_there(path, recording, int(kept.sum()))
    return pose[kept], betas, trans[kept]


def _all_there(path, recording, found):
    wanted = int(recording.good_N.sum())
    if found != wanted:
        raise ValueError(f"{path} has {found:,} of the {wanted:,} frames of {recording.name}")


def _read_joints(path, recording, world, person):
    """(T, 17, 3) of the frames that count, from a file with all frames or with those alone."""
    if not world and pathlib.Path(path).suffix == ".npz":
        raise ValueError(
            f"{path} is not a smpl.npz of 'mbjax infer'; of joints take its X3D.npy, in the "
            "camera's axes"
        )
    joints = (read_world(path, person) if world else read_motion(path)).astype(np.float64)
    if joints.ndim != 3 or joints.shape[1:] != (NUM_JOINTS, 3):
        raise ValueError(f"{path} has shape {joints.shape}; (frames, 17, 3) was wanted")
    if len(joints) == len(recording.good_N):
        return joints[recording.good_N]
    _all_there(path, recording, len(joints))
    return joints


# --- comparing --------------------------------------------------------------------------------


def compare(
    path, recording: Recording, body: str, world: bool, person: int | None = None
) -> tuple[dict[str, np.ndarray], bool]:
    """({name: errors}, whether of bodies): of EMDB 2 where `world`, else of EMDB 1.

    body: of SMPL, as `smpl.load` takes it. person: of a motion.npz that holds several.
    path: smpl.npz of 'mbjax infer', whose 24 joints and vertices are measured; or its X3D.npy (in
    the world: motion.npz), whose 17 joints are, against those that the regressor of Human3.6M makes
    of the reference. X3D.npy has no unit and is brought to the reference's mean bone length.
    """
    good = recording.good_N
    if good.sum() < _FEWEST:
        raise ValueError(
            f"{recording.name} has {good.sum()} frames that count; {_FEWEST} are needed"
        )
    reference = Moving(
        smpl.load_sex(recording.sex, body),
        recording.pose_Nx72[good], recording.betas_S, recording.trans_Nx3[good],
    )  # fmt: skip
    to_camera = recording.to_camera_Nx4x4[good][:, :3, :3]
    found = _read_body(path, recording)
    if found is None:
        joints = _read_joints(path, recording, world, person)
        return _of_joints(joints, reference, None if world else to_camera), False
    motion = Moving(smpl.load(body), *found)
    if world:
        return _bodies_in_world(motion, reference), True
    return _bodies_in_camera(motion, reference, to_camera), True


def _in_camera(motion_TxJx3, reference_TxJx3):
    return {
        "mpjpe_mm": 1000 * metrics.mpjpe(motion_TxJx3, reference_TxJx3),
        "p_mpjpe_mm": 1000 * metrics.p_mpjpe(motion_TxJx3, reference_TxJx3),
        "acceleration_m_s2": _acceleration(motion_TxJx3, reference_TxJx3),
    }


def _acceleration(motion_TxJx3, reference_TxJx3):
    """(T-4,) m/s^2 of the difference's second differences, without the first and the last."""
    second = np.diff(motion_TxJx3 - reference_TxJx3, n=2, axis=0) * FPS**2
    return np.linalg.norm(second, axis=-1).mean(-1)[1:-1]


def _turned(points_TxNx3, turns_Tx3x3):
    return np.einsum("tij,tnj->tni", turns_Tx3x3, points_TxNx3)


def _bodies_in_camera(motion, reference, to_camera_Tx3x3):
    # A camera turns with its picture, of which the motion's axes are.
    ours, theirs = motion.joints() @ Z_UP, _turned(reference.joints(), to_camera_Tx3x3)
    hips, true_hips = (joints[:, _HIPS].mean(1, keepdims=True) for joints in (ours, theirs))
    pve = []
    for start in range(0, len(ours), _CHUNK):
        rows = slice(start, start + _CHUNK)
        verts = motion.verts(rows) @ Z_UP - hips[rows]
        true_verts = _turned(reference.verts(rows), to_camera_Tx3x3[rows]) - true_hips[rows]
        pve.append(1000 * metrics.mpjpe(verts, true_verts))
    return {**_in_camera(ours - hips, theirs - true_hips), "pve_mm": np.concatenate(pve)}


def _bodies_in_world(motion, reference):
    paths = motion.trans_Tx3[:, None], reference.trans_Tx3[:, None]
    found = world_metrics.errors(motion.joints(), reference.joints(), FPS, paths)
    if motion.body.body.num_vertices == reference.body.body.num_vertices == _VERTICES:
        moved, stays = (
            np.linalg.norm(np.diff(one.regressed(_ONLY_SOLES), axis=0), axis=-1)
            for one in (motion, reference)
        )
        found["foot_sliding_mm"] = 1000 * moved[stays < _STANDS]
    return found


def _of_joints(joints_TxJx3, reference, to_camera_Tx3x3):
    """to_camera: None in the world."""
    theirs = reference.regressed(reference.body.regressor_17xV)
    if to_camera_Tx3x3 is None:
        return world_metrics.errors(joints_TxJx3, theirs, FPS)
    ours, theirs = root_relative(joints_TxJx3), root_relative(_turned(theirs, to_camera_Tx3x3))
    return _in_camera(ours * (limb_lengths(theirs).mean() / limb_lengths(ours).mean()), theirs)
