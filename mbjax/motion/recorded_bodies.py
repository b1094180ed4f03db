"""A motion beside a recording of EMDB or 3DPW: errors in the camera, and of EMDB in the world.

What is measured, and on which frames, is as in WHAM's evaluation (Shin et al., CVPR 2024), whose
figures papers print. EMDB: SMPL's 24 joints by its own regressor. 3DPW: 14 of the 17 joints that
Human3.6M's regressor makes. Both aligned at the middle of the hips. The body of the reference is
the person's sex's, that of the motion the neutral one.
Shapes in names: T frames that count, J joints, V vertices, N frames of a recording.
"""

import dataclasses
import pathlib

import numpy as np

from mbjax.body import smpl
from mbjax.body.model import RegressedJoints
from mbjax.body.smpl import NUM_BETAS, Smpl
from mbjax.motion.body_files import Z_UP
from mbjax.motion.compare import read_motion, read_world
from mbjax.pose import metrics, world_metrics
from mbjax.pose.skeleton import FOURTEEN, INDEX, NUM_JOINTS, limb_lengths, root_relative
from mbjax.remarks import one_line
from mbjax.safe_files import numpy_files

FPS = 30.0
_HIPS = {24: [1, 2], NUM_JOINTS: [INDEX["rhip"], INDEX["lhip"]]}  # by how many joints there are
# Under the balls and heels of both feet; a foot of the reference that moves less than 1 cm from
# frame to frame stands.
_SOLES, _STANDS = [3216, 3387, 6617, 6787], 0.01
_VERTICES = 6890
_ONLY_SOLES = np.equal.outer(_SOLES, np.arange(_VERTICES))  # as a regressor
_FEWEST = 5  # second differences without the first and the last
_CHUNK = 128  # frames; each has 83 kB of vertices, and ten times that on the way to them


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """One person of a recording. Axes are the world's; to_camera: world to camera.

    dataset: EMDB or 3DPW. sex: female, male or neutral. good: the frames that count. parts: whether
    it is one of EMDB 1, of EMDB 2.
    """

    dataset: str
    name: str
    sex: str
    good_N: np.ndarray
    pose_Nx72: np.ndarray
    betas_S: np.ndarray
    trans_Nx3: np.ndarray
    to_camera_Nx4x4: np.ndarray
    parts: tuple[bool, bool] = (False, False)

    @property
    def of_smpl(self) -> bool:
        """Whether SMPL's own joints are measured."""
        return self.dataset == "EMDB"

    def check(self, path) -> None:
        """ValueError, with the file's name, for arrays not of its frames, or not finite."""
        if self.good_N.ndim != 1:
            raise ValueError(
                f"{path}: which frames count: shape {self.good_N.shape}; (frames,) was wanted"
            )
        frames = len(self.good_N)
        for what, array, wanted in (
            ("poses", self.pose_Nx72, (frames, 72)),
            ("betas", self.betas_S, (NUM_BETAS,)),
            ("trans", self.trans_Nx3, (frames, 3)),
            ("the camera's matrices", self.to_camera_Nx4x4, (frames, 4, 4)),
        ):
            _check_numbers(path, what, array, wanted)
        if self.sex not in ("female", "male", "neutral"):
            sex = one_line(repr(self.sex), 40)
            raise ValueError(f"{path}: gender {sex}; female, male or neutral was wanted")
        if not self.good_N.any():
            raise ValueError(f"{path}: of its {frames} frames none counts")


def _check_numbers(path, what, array, wanted):
    """ValueError for an array that is not of finite numbers in a shape; None: of any length."""
    fits = array.ndim == len(wanted) and all(
        size in (None, has) for size, has in zip(wanted, array.shape, strict=True)
    )
    if not fits:
        shape = ", ".join("any" if size is None else str(size) for size in wanted)
        raise ValueError(f"{path}: {what}: shape {array.shape}; ({shape}) was wanted")
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise ValueError(f"{path}: {what}: not all of it are finite numbers")


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

    def joints(self, of_smpl: bool) -> np.ndarray:
        """(T, J, 3): the 24 that SMPL's own regressor takes, or the 17 of Human3.6M's."""
        own = self.body.arrays["J_regressor"] if of_smpl else self.body.regressor_17xV
        return self.regressed(own)

    def verts(self, rows) -> np.ndarray:
        """(rows, V, 3) metres, float64."""
        verts, _ = self.body.body(self.pose_Tx72[rows], self.betas_S, trans=self.trans_Tx3[rows])
        return verts.astype(np.float64)


# --- reading the motion -----------------------------------------------------------------------


def _read_body(path, recording: Recording) -> tuple | None:
    """(pose, betas, trans) of the frames that count, z up, from a smpl.npz; None for joints."""
    path = pathlib.Path(path).expanduser()
    names = ("smpl_poses", "betas", "trans", "frames", "mocap_framerate")
    if path.suffix != ".npz":
        return None
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        found = numpy_files.read_npz(path, names)
        pose, betas, trans, frames, fps = (np.asarray(found[name]) for name in names)
    except (ValueError, OSError, KeyError):
        return None
    pose = smpl.as_axis_angles(pose, f"{path}: smpl_poses")
    for what, array, wanted in (
        ("smpl_poses", pose, (None, 72)), ("betas", betas, (None,)), ("trans", trans, (None, 3)),
        ("mocap_framerate", fps, ()),
    ):  # fmt: skip
        _check_numbers(path, what, array, wanted)
    if len(betas) < NUM_BETAS:
        raise ValueError(f"{path} has {len(betas)} betas; {NUM_BETAS} are needed")
    if frames.dtype.kind not in "iu" or not frames.shape == pose.shape[:1] == trans.shape[:1]:
        raise ValueError(f"{path}: frames, smpl_poses and trans are not of the same frames")
    if abs(fps - FPS) > 0.5:
        raise ValueError(f"{path} has {fps:g} frames a second, {recording.dataset} {FPS:g}")
    if (np.diff(frames.astype(np.int64)) <= 0).any():
        raise ValueError(f"{path}: frames: the same frame twice, or not in order")
    if not frames.size or not 0 <= frames.min() <= frames.max() < len(recording.good_N):
        raise ValueError(f"{path} has other frames than {recording.name}'s {len(recording.good_N)}")
    kept = recording.good_N[frames]
    _all_there(path, recording, int(kept.sum()))
    return pose[kept], betas[:NUM_BETAS], trans[kept]


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
        joints = joints[recording.good_N]
    _all_there(path, recording, len(joints))
    if not limb_lengths(joints).mean() > 0:
        raise ValueError(f"{path}: its bones have no length")
    return joints


# --- comparing --------------------------------------------------------------------------------


def compare(
    path, recording: Recording, body: str, world: bool, person: int | None = None
) -> tuple[dict[str, np.ndarray], bool]:
    """({name: errors}, whether of bodies), in the camera or, of EMDB 2, in the world.

    body: of SMPL, as `smpl.load` takes it. person: of a motion.npz that holds several.
    path: smpl.npz of 'mbjax infer', whose joints and vertices are measured; or its X3D.npy (in the
    world: motion.npz), whose 17 joints are (beside 3DPW 14 of them), against those that the
    regressor of Human3.6M makes of the reference. X3D.npy has no unit and is brought to the
    reference's mean bone length.
    """
    good = recording.good_N
    if good.sum() < _FEWEST:
        raise ValueError(
            f"{recording.name} has {good.sum()} frames that count; {_FEWEST} are needed"
        )
    if world and recording.dataset != "EMDB":
        raise ValueError(f"{recording.dataset} is measured in the camera: leave --world out")
    reference = Moving(
        smpl.load_sex(recording.sex, body),
        recording.pose_Nx72[good], recording.betas_S, recording.trans_Nx3[good],
    )  # fmt: skip
    to_camera = recording.to_camera_Nx4x4[good][:, :3, :3]
    found = _read_body(path, recording)
    if found is None:
        joints = _read_joints(path, recording, world, person)
        if world:
            theirs = reference.joints(of_smpl=False)
            return world_metrics.errors(joints, theirs, FPS), False
        return _joints_in_camera(joints, reference, to_camera, recording.of_smpl), False
    motion = Moving(smpl.load(body), *found)
    if world:
        return _bodies_in_world(motion, reference), True
    return _bodies_in_camera(motion, reference, to_camera, recording.of_smpl), True


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


def _hips(joints_TxJx3):
    """(T, 1, 3): the middle of the hips."""
    return joints_TxJx3[:, _HIPS[joints_TxJx3.shape[1]]].mean(1, keepdims=True)


def _measured(joints_TxJx3, of_smpl):
    """Those that the dataset is measured by."""
    return joints_TxJx3 if of_smpl else joints_TxJx3[:, list(FOURTEEN)]


def _bodies_in_camera(motion, reference, to_camera_Tx3x3, of_smpl):
    # A camera turns with its picture, of which the motion's axes are.
    ours = motion.joints(of_smpl) @ Z_UP
    theirs = _turned(reference.joints(of_smpl), to_camera_Tx3x3)
    hips, true_hips = _hips(ours), _hips(theirs)
    pve = []
    for start in range(0, len(ours), _CHUNK):
        rows = slice(start, start + _CHUNK)
        verts = motion.verts(rows) @ Z_UP - hips[rows]
        true_verts = _turned(reference.verts(rows), to_camera_Tx3x3[rows]) - true_hips[rows]
        pve.append(1000 * metrics.mpjpe(verts, true_verts))
    ours, theirs = _measured(ours - hips, of_smpl), _measured(theirs - true_hips, of_smpl)
    return {**_in_camera(ours, theirs), "pve_mm": np.concatenate(pve)}


def _bodies_in_world(motion, reference):
    paths = motion.trans_Tx3[:, None], reference.trans_Tx3[:, None]
    joints = motion.joints(of_smpl=True), reference.joints(of_smpl=True)
    found = world_metrics.errors(*joints, FPS, paths)
    if motion.body.body.num_vertices == reference.body.body.num_vertices == _VERTICES:
        moved, stays = (
            np.linalg.norm(np.diff(one.regressed(_ONLY_SOLES), axis=0), axis=-1)
            for one in (motion, reference)
        )
        found["foot_sliding_mm"] = 1000 * moved[stays < _STANDS]
    return found


def _joints_in_camera(ours_TxJx3, reference, to_camera_Tx3x3, of_smpl):
    """Of 17 joints: all from the root beside EMDB, 14 from the middle of the hips beside 3DPW."""
    theirs_TxJx3 = _turned(reference.joints(of_smpl=False), to_camera_Tx3x3)
    ours_TxJx3 = ours_TxJx3 * (limb_lengths(theirs_TxJx3).mean() / limb_lengths(ours_TxJx3).mean())
    if of_smpl:
        return _in_camera(root_relative(ours_TxJx3), root_relative(theirs_TxJx3))
    return _in_camera(
        *(_measured(one - _hips(one), of_smpl=False) for one in (ours_TxJx3, theirs_TxJx3))
    )
