"""The body that mesh recovery works with: where its files are, and what they hold.

SMPL is licensed and the user's; the folder that MBJAX_SMPL or a config's `body` names has

    SMPL_NEUTRAL.pkl               smpl.is.tue.mpg.de / smplify.is.tue.mpg.de, SMPL body licence
                                   (non-commercial research); also .npz, or its original name
    J_regressor_h36m_correct.npy   (17, 6890), comes with the data of the MotionBERT release
    smpl_mean_params.npz           pose (144,) 6D and shape (10,), with the same; only for
                                   training the mesh head

'synthetic' is `mbjax.body.stand_in`, 'synthetic-1000' the same with 1,000 vertices.
"""

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mbjax.body import files as body_files
from mbjax.body import stand_in
from mbjax.body.model import Body, RegressedJoints
from mbjax.pose.rotations import matrix_to_axis_angle
from mbjax.remarks import one_line
from mbjax.safe_files import numpy_files

VARIABLE = "MBJAX_SMPL"
REGRESSOR = "J_regressor_h36m_correct.npy"
MEAN = ("smpl_mean_params.npz", "h36m_mean_smpl.npz")
NUM_JOINTS, NUM_BETAS = 24, 10

_RELEASE = "it comes with the data of the MotionBERT release (docs/mesh.md there)"
_LICENCE = (
    "get it at smpl.is.tue.mpg.de (neutral: smplify.is.tue.mpg.de) under the SMPL body licence, "
    "for non-commercial research"
)
# What the authors of SMPL and its users call the files, and the sex of each.
_SEXES = {
    "neutral": re.compile(r"neutral", re.I),
    "female": re.compile(r"female|model_?f_", re.I),
    "male": re.compile(r"(?<!fe)male|model_?m_", re.I),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Smpl:
    """A body of 24 joints with 10 shape coefficients, and the regressor of the 17 joints.

    arrays: of the file, by their published names. regressor: (17, V). notes: what a user should
    know, one line each. mean: pose (144,), 6D, and shape (10,), or None where there is no file.
    """

    body: Body
    arrays: Mapping[str, np.ndarray]
    regressor_17xV: np.ndarray
    where: str
    notes: tuple[str, ...] = ()
    mean: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def faces_Fx3(self) -> np.ndarray:
        """ValueError where the file has none."""
        if self.body.faces_Fx3 is None:
            raise ValueError(f"{self.where}: no faces (f) in it; it cannot be drawn or written")
        return self.body.faces_Fx3.astype(np.int64)

    def joints(self) -> RegressedJoints:
        """theta to the 17 joints, without vertices."""
        return RegressedJoints(self.body, self.regressor_17xV)

    def mean_parameters(self) -> tuple[np.ndarray, np.ndarray]:
        """`mean`; FileNotFoundError, in one line, where it is not there."""
        if self.mean is None:
            raise FileNotFoundError(
                f"{Path(self.where).parent / MEAN[0]}: no such file; training the mesh head starts "
                f"from the mean pose and shape in it; {_RELEASE}"
            )
        return self.mean


def load(name: str = "") -> Smpl:
    """The body of a folder, of a file in it, or 'synthetic'; without a name, of $MBJAX_SMPL.

    A body of another sex, or one with more shape coefficients, is taken, and a note says so.
    ValueError or FileNotFoundError, in one line that says which file, from where, what licence.
    """
    name = name or os.environ.get(VARIABLE, "")
    if not name:
        raise FileNotFoundError(
            f"the SMPL files are needed: set {VARIABLE} (or --config.body, --body) to the folder "
            f"of SMPL_NEUTRAL.pkl and {REGRESSOR}: {_LICENCE}; 'synthetic' is a stand-in without "
            "licence"
        )
    if synthetic := _synthetic(name):
        size = int(synthetic[1]) if synthetic[1] else stand_in.NUM_VERTICES
        arrays = stand_in.arrays(size)
        return _checked(
            arrays,
            arrays["J_regressor_h36m"],
            name,
            [],
            (arrays["mean_pose"], arrays["mean_shape"]),
        )
    path = Path(name).expanduser()
    file = _body_file(path) if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file or folder; SMPL's: {_LICENCE}")
    arrays = body_files.read_smpl_arrays(file)
    regressor = file.parent / REGRESSOR
    if not regressor.is_file():
        raise FileNotFoundError(
            f"{regressor}: no such file; it makes the 17 joints from SMPL's vertices; {_RELEASE}"
        )
    mean = next((file.parent / n for n in MEAN if (file.parent / n).is_file()), None)
    notes = []
    sex = next((sex for sex, pattern in _SEXES.items() if pattern.search(file.name)), "neutral")
    if sex != "neutral":
        notes.append(f"{file.name} is the {sex} body; the release's nets expect the neutral one")
    return _checked(arrays, _read_npy(regressor), str(file), notes, mean and _read_mean(mean))


def load_sex(sex: str, name: str = "") -> Smpl:
    """The 'female', 'male' or 'neutral' body of the folder that `load` would take its body from.

    The synthetic one has no sex. FileNotFoundError, in one line, where that body is not there.
    """
    name = name or os.environ.get(VARIABLE, "")
    if not name or _synthetic(name):
        return load(name)
    path = Path(name).expanduser()
    folder = path.parent if path.is_file() else path
    found = [path for path in _body_files(folder) if _SEXES[sex].search(path.name)]
    if not found:
        raise FileNotFoundError(f"{folder / f'SMPL_{sex.upper()}.pkl'}: no such file; {_LICENCE}")
    return load(str(found[0]))


def _synthetic(name):
    return re.fullmatch(rf"{stand_in.NAME}(?:-(\d+))?", name)


def _checked(arrays, regressor, where, notes, mean) -> Smpl:
    body = Body.from_arrays(arrays, num_betas=NUM_BETAS, where=where)
    if body.num_joints != NUM_JOINTS:
        raise ValueError(
            f"{where}: a body of {body.num_joints} joints, {NUM_JOINTS} were wanted; SMPL has "
            f"{NUM_JOINTS}, SMPL+H 52, SMPL-X 55"
        )
    there = np.shape(arrays["shapedirs"])[-1]
    if there > NUM_BETAS:
        notes = [*notes, f"{there} shape coefficients in {where}, the first {NUM_BETAS} are used"]
    wanted = (17, body.num_vertices)
    if regressor.shape != wanted or not np.isfinite(regressor).all():
        raise ValueError(
            f"{REGRESSOR} has shape {regressor.shape}; finite numbers {wanted} were wanted, for "
            f"{where}"
        )
    return Smpl(body, arrays, regressor.astype(np.float32), where, tuple(notes), mean)


def _body_files(folder: Path) -> list[Path]:
    return sorted(
        path for path in [*folder.glob("*.pkl"), *folder.glob("*.npz")]
        if re.search(r"smpl|basicmodel", path.name, re.I) and path.name not in MEAN
    )  # fmt: skip


def _body_file(folder: Path) -> Path:
    """The file of the neutral body, or the only one there is."""
    found = _body_files(folder)
    neutral = [path for path in found if _SEXES["neutral"].search(path.name)]
    chosen = neutral or found
    if not chosen:
        raise FileNotFoundError(f"{folder / 'SMPL_NEUTRAL.pkl'}: no such file; {_LICENCE}")
    if len(chosen) > 1 and not neutral:
        raise ValueError(
            f"{folder} holds {' and '.join(p.name for p in chosen)}, and none is neutral; name the "
            "file that is meant"
        )
    return chosen[0]


def _read_npy(path):
    try:
        return np.asarray(numpy_files.read_npy(path), np.float64)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{path}: not an array of numbers ({one_line(error)}); {_RELEASE}"
        ) from None


def _read_mean(path):
    try:
        arrays = numpy_files.read_npz(path, ("pose", "shape"))
        pose, shape = (np.asarray(arrays[n], np.float64).reshape(-1) for n in ("pose", "shape"))
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"{path}: pose and shape cannot be read ({one_line(error)}); {_RELEASE}"
        ) from None
    if pose.shape != (144,) or shape.shape != (NUM_BETAS,):
        raise ValueError(
            f"{path}: pose has {pose.size} numbers and shape {shape.size}; 144 (24 rotations, 6D) "
            f"and {NUM_BETAS} were wanted"
        )
    return pose, shape


# --- theta ------------------------------------------------------------------------------------

_MOST_RADIANS = 4 * np.pi  # fits wind up a turn or two; degrees go far beyond


def as_axis_angles(
    pose: np.ndarray, where: str = "pose", allow_missing: bool = False
) -> np.ndarray:
    """Poses (..., 72), axis-angles in radians, from the forms that they come in.

    Taken: axis-angles (..., 72) or (..., 24, 3), rotation matrices (..., 24, 3, 3) or (..., 216).
    Refused with a ValueError in one line: another number of joints, degrees, matrices that are no
    rotations; entries that are no finite numbers, unless allow_missing: they stay as they are.
    """
    pose = np.asarray(pose)
    if pose.dtype.kind not in "fiu" or not (allow_missing or np.isfinite(pose).all()):
        raise ValueError(f"{where}: not finite numbers")
    J = NUM_JOINTS
    if pose.shape[-3:] == (J, 3, 3) or pose.shape[-1:] == (9 * J,):
        lead = pose.shape[:-3] if pose.shape[-3:] == (J, 3, 3) else pose.shape[:-1]
        matrices = pose.reshape(*lead, J, 3, 3).astype(np.float64)
        there = matrices[np.isfinite(matrices).all((-2, -1))]
        off = abs(there @ np.swapaxes(there, -1, -2) - np.eye(3)).max(initial=0)
        if off > 0.02 or (np.linalg.det(there) < 0).any():
            raise ValueError(f"{where}: {J} matrices of 3 x 3 that are not rotations")
        return matrix_to_axis_angle(matrices).reshape(*lead, 3 * J).astype(pose.dtype)
    if pose.shape[-2:] == (J, 3):
        pose = pose.reshape(*pose.shape[:-2], 3 * J)
    if pose.shape[-1:] != (3 * J,):
        counts = {69: "23 joints: the root's rotation is left out", 156: "SMPL+H (52 joints)",
                  165: "SMPL-X (55 joints)", 66: "22 joints, without the hands"}  # fmt: skip
        size = pose.shape[-1] if pose.ndim < 2 or pose.shape[-1] != 3 else 3 * pose.shape[-2]
        hint = f" ({counts[size]})" if size in counts else ""
        raise ValueError(
            f"{where} has shape {pose.shape}{hint}; {J} joints were wanted, (..., {3 * J}) or "
            f"(..., {J}, 3) radians or (..., {J}, 3, 3) rotation matrices"
        )
    angles = np.linalg.norm(pose.reshape(*pose.shape[:-1], J, 3), axis=-1)
    largest = angles[np.isfinite(angles)].max(initial=0)
    if largest > _MOST_RADIANS:
        raise ValueError(
            f"{where}: rotations by up to {largest:.0f}; are these degrees? Radians are wanted"
        )
    return pose
