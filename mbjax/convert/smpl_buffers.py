"""The body model as the release's mesh nets keep it among their weights, under 'head.smpl.'.

They hold a module of the package smplx (0.1.28) with two regressors added: its loading is strict,
so a checkpoint for the release's code has to have all of it. Only files of the user's make it.
"""

from pathlib import Path

import numpy as np

from mbjax.body import smpl
from mbjax.safe_files import numpy_files

PREFIX = "head.smpl."
EXTRA = "J_regressor_extra.npy"
# smplx's module keeps a pose and a shape of its own, trainable but never used; the release makes it
# for 64 bodies at once.
PARAMETERS = {"betas": (64, 10), "global_orient": (64, 3), "body_pose": (64, 69)}
# Vertices that smplx adds to the joints: nose, eyes, ears, toes and heels, fingertips.
_VERTICES = (
    332, 6260, 2800, 4071, 583, 3216, 3226, 3387, 6617, 6624, 6787, 2746, 2319, 2445, 2556, 2673,
    6191, 5782, 5905, 6016, 6133,
)  # fmt: skip


def tensors(body: smpl.Smpl) -> dict[str, np.ndarray]:
    """{name under the state dict: array}. FileNotFoundError or ValueError, in one line."""
    path = Path(body.where).parent / EXTRA
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; the release's mesh nets keep it among their weights; it comes "
            "with the data of the MotionBERT release"
        )
    try:
        extra = numpy_files.read_npy(path).astype(np.float32)
    except (ValueError, OSError):
        raise ValueError(f"{path}: not an array of numbers; get it again") from None
    arrays = body.arrays
    pose_shapes = np.asarray(arrays["posedirs"])
    parents = np.asarray(arrays["kintree_table"])[0].astype(np.int64)
    parents[0] = -1
    own = {
        **{name: np.zeros(shape) for name, shape in PARAMETERS.items()},
        "shapedirs": np.asarray(arrays["shapedirs"])[..., : smpl.NUM_BETAS],
        "v_template": arrays["v_template"],
        "J_regressor": arrays["J_regressor"],
        "posedirs": pose_shapes.reshape(-1, pose_shapes.shape[-1]).T,
        "lbs_weights": arrays["weights"],
        "J_regressor_extra": extra,
        "J_regressor_h36m": body.regressor_17xV,
    }
    whole = {
        "faces_tensor": body.faces_Fx3,
        "parents": parents,
        "vertex_joint_selector.extra_joints_idxs": np.array(_VERTICES),
    }
    return {
        **{PREFIX + name: np.ascontiguousarray(a, np.float32) for name, a in own.items()},
        **{PREFIX + name: np.ascontiguousarray(a, np.int64) for name, a in whole.items()},
    }
