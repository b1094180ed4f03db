"""A body that walks before a moving camera: of such are the tests' recordings of EMDB and 3DPW."""

import pickle

import numpy as np
from scipy.spatial.transform import Rotation

from mbjax.motion import body_files
from mbjax.motion.body_motion import BodyMotion

FRAMES, BODY = 12, "synthetic"
BAD = (3, 4)  # frames that do not count
GOOD = [frame for frame in range(FRAMES) if frame not in BAD]


def walking():
    """In the camera's axes."""
    rng = np.random.default_rng(0)
    pose = rng.normal(0, 0.2, 72) + np.cumsum(rng.normal(0, 0.02, (FRAMES, 72)), axis=0)
    trans = np.array([0.3, 0.1, 3]) + np.cumsum(rng.normal(0, 0.03, (FRAMES, 3)), axis=0)
    return BodyMotion(1, np.arange(FRAMES), pose, rng.normal(0, 0.5, 10), trans)


def in_the_world(body, seen):
    """(to camera (FRAMES, 4, 4), root's rotations, translations): the same, the camera moving."""
    rng = np.random.default_rng(1)
    to_camera = np.tile(np.eye(4), (FRAMES, 1, 1))
    turns = Rotation.from_rotvec(np.cumsum(rng.normal(0, 0.1, (FRAMES, 3)), axis=0))
    to_camera[:, :3, :3] = turns.as_matrix()
    to_camera[:, :3, 3] = rng.normal(0, 0.5, (FRAMES, 3))
    roots = (turns.inv() * Rotation.from_rotvec(seen.pose_Tx72[:, :3])).as_rotvec()
    # The pelvis, about which a body turns, has to be where the camera sees it.
    rest = body.body(np.zeros(72), seen.betas_S)[1][0]
    trans = turns.inv().apply(rest + seen.trans_Tx3 - to_camera[:, :3, 3]) - rest
    return to_camera, roots, trans


def written(path, content):
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def amass(tmp_path, motion, body, fps=30.0):
    body_files.amass(motion, body, tmp_path / "smpl.npz", fps)
    return tmp_path / "smpl.npz"


def changed(motion):
    """Another body in another pose, elsewhere."""
    rng = np.random.default_rng(2)
    return BodyMotion(
        1, motion.frames_T, motion.pose_Tx72 + rng.normal(0, 0.05, motion.pose_Tx72.shape),
        motion.betas_S * 0.5, motion.trans_Tx3 * 1.1,
    )  # fmt: skip


def by_frame(body, motion, frame, regressor):
    """(vertices, joints of them) in the camera, float64."""
    verts = motion.verts(body)[frame].astype(np.float64)
    return verts, np.asarray(regressor, np.float64) @ verts


def distances(points, others):
    return [float(np.sqrt(((a - b) ** 2).sum())) for a, b in zip(points, others, strict=True)]


def in_the_camera(body, motion, seen, regressor, hips, measured):
    """(MPJPE, PVE, PA-MPJPE in mm, acceleration in m/s^2), worked out joint by joint."""
    mpjpe, pve, aligned, off = [], [], [], []
    for frame in GOOD:
        (verts, joints), (true_verts, true_joints) = (
            by_frame(body, one, frame, regressor) for one in (motion, seen)
        )
        middle, true_middle = joints[hips].mean(0), true_joints[hips].mean(0)
        ours, theirs = (joints - middle)[measured], (true_joints - true_middle)[measured]
        mpjpe += distances(ours, theirs)
        pve += distances(verts - middle, true_verts - true_middle)
        off.append(ours - theirs)
        ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
        turn, _ = Rotation.align_vectors(theirs, ours)
        ours = turn.apply(ours)
        aligned += distances(ours * (ours * theirs).sum() / (ours**2).sum(), theirs)
    off = np.array(off)
    second = [off[t] - 2 * off[t + 1] + off[t + 2] for t in range(len(off) - 2)][1:-1]
    acceleration = np.mean([np.linalg.norm(joint) for frame in second for joint in frame]) * 900
    return *(1000 * np.mean(one) for one in (mpjpe, pve, aligned)), acceleration
