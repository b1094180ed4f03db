"""3D motion to files: .npy as the reference has it, .npz, CSV, TRC and BVH.

Shapes in names: T frames, J joints, R rows (frames of all persons, one after the other).
TRC and BVH are y-up: the camera's (x, y, z) becomes (x, -y, -z), which keeps hands right and left.
"""

import csv
import functools
import os
import pathlib

import numpy as np

from mbjax.motion import bvh_writer
from mbjax.motion.motion import Motion, PersonMotion
from mbjax.pose.skeleton import JOINTS

# Files that cannot be without a frame rate get this one, and the user is told.
DEFAULT_FPS = 30.0


def write_all(motion: Motion, folder: str | os.PathLike) -> list[pathlib.Path]:
    """Every format into `folder`, made if need be: the paths written.

    motion.npz and motion.csv hold all persons; X3D.npy, motion.trc and motion.bvh one: with several
    persons there is one of each per person, named by the number: X3D_person2.npy. All are written
    beside their places first and moved there when all are whole, so that a failure leaves nothing.
    """
    folder = pathlib.Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [("motion.npz", npz), ("motion.csv", table)]
    for one in motion:
        tail = "" if len(motion) == 1 else f"_person{one.person}"
        jobs += [
            (f"X3D{tail}.npy", functools.partial(x3d, one=one)),
            (f"motion{tail}.trc", functools.partial(trc, one=one)),
            (f"motion{tail}.bvh", functools.partial(bvh, one=one)),
        ]
    beside = {folder / name: folder / f".{name}.new" for name, _ in jobs}
    try:
        for (_, write), path in zip(jobs, beside.values(), strict=True):
            write(motion, path)
        for path, new in beside.items():
            new.replace(path)
    finally:
        for new in beside.values():
            new.unlink(missing_ok=True)
    return list(beside)


def x3d(motion: Motion, path: os.PathLike, one: PersonMotion) -> None:
    """(T, 17, 3) float32 in the motion's unit and the camera's axes, as the reference writes it."""
    with open(path, "wb") as file:
        np.save(file, one.pose_TxJx3)


def npz(motion: Motion, path: os.PathLike) -> None:
    """All there is, without pickles. Rows are frames of one person after another.

    person (R,), frame (R,), time (R,) in s (NaN where the rate is unknown), interpolated (R,), pose
    (R, 17, 3), keypoints (R, 17, 3) pixels and confidence; persons (M,), centre (M, 2),
    units_per_pixel (M,); unit, fps (NaN: unknown), layout, source, joints, root_relative, placed.
    """
    with open(path, "wb") as file:
        np.savez_compressed(
            file,
            person=np.concatenate([np.full(len(one.frames_T), one.person) for one in motion]),
            frame=np.concatenate([one.frames_T for one in motion]),
            time=np.concatenate([_times(motion, one) for one in motion]),
            interpolated=np.concatenate([one.interpolated_T for one in motion]),
            pose=np.concatenate([one.pose_TxJx3 for one in motion]),
            keypoints=np.concatenate([one.keypoints_TxJx3 for one in motion]),
            persons=np.array([one.person for one in motion]),
            centre=np.stack([one.centre_2 for one in motion]),
            units_per_pixel=np.array([one.units_per_pixel for one in motion]),
            unit=np.array(motion.unit),
            fps=np.array(motion.fps or np.nan),
            layout=np.array(motion.layout),
            source=np.array(pathlib.PurePath(motion.source).name),
            joints=np.array(JOINTS),
            root_relative=np.array(motion.root_relative),
            placed=np.array(motion.placed),
        )


def table(motion: Motion, path: os.PathLike) -> None:
    """CSV, a row per person and frame: person, frame, time, interpolated, unit, then of each joint
    x, y, z (the camera's axes) and the confidence of its 2D; time is empty where unknown.
    """
    columns = [f"{name}_{what}" for name in JOINTS for what in ("x", "y", "z", "confidence")]
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["person", "frame", "time", "interpolated", "unit", *columns])
        for one in motion:
            values_TxJx4 = np.concatenate([one.pose_TxJx3, one.confidence_TxJ[..., None]], axis=-1)
            for t, time in enumerate(_times(motion, one)):
                writer.writerow(
                    [
                        one.person, one.frames_T[t], "" if np.isnan(time) else f"{time:.6f}",
                        int(one.interpolated_T[t]), motion.unit,
                        *(f"{value:.6g}" for value in values_TxJx4[t].ravel()),
                    ]
                )  # fmt: skip


def trc(motion: Motion, path: os.PathLike, one: PersonMotion) -> None:
    """One person's joints as markers of a TRC file (OpenSim), y up, tab-separated.

    Units is the motion's: OpenSim takes 'm', which a height gives. Frames count from 1 without
    gaps, as the format demands; those left out for want of a detection leave a gap in time.
    """
    fps = motion.fps or DEFAULT_FPS
    T, rate = len(one.frames_T), f"{fps:g}"
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{pathlib.PurePath(path).name.strip('.').removesuffix('.new')}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame"
        "\tOrigNumFrames",
        f"{rate}\t{rate}\t{T}\t{len(JOINTS)}\t{motion.unit}\t{rate}\t1\t{T}",
        "Frame#\tTime\t" + "\t\t\t".join(JOINTS) + "\t\t",
        "\t\t" + "\t".join(f"X{j}\tY{j}\tZ{j}" for j in range(1, len(JOINTS) + 1)),
        "",
    ]
    for t, pose_Jx3 in enumerate(np.round(y_up(one.pose_TxJx3), 6) + 0.0):  # no "-0.000000"
        numbers = "\t".join(f"{value:.6f}" for value in pose_Jx3.ravel())
        lines.append(f"{t + 1}\t{one.frames_T[t] / fps:.6f}\t{numbers}")
    pathlib.Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def bvh(motion: Motion, path: os.PathLike, one: PersonMotion) -> None:
    """One person as BVH, y up, in the motion's unit; bones do not stretch (bvh_writer)."""
    text = bvh_writer.to_text(y_up(one.pose_TxJx3), motion.fps or DEFAULT_FPS)
    pathlib.Path(path).write_text(text, encoding="utf-8")


def y_up(pose_TxJx3: np.ndarray) -> np.ndarray:
    """The camera's axes (x right, y down, z away) to x right, y up, z towards it."""
    return pose_TxJx3 * np.array([1.0, -1.0, -1.0])


def _times(motion, one):
    times = motion.times(one)
    return np.full(len(one.frames_T), np.nan) if times is None else times
