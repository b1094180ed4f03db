"""3D motion to files: .npy as the release has it, npz, CSV, TRC, BVH, glTF, joint angles.

Shapes in names: T frames, J joints (17), B bones, M markers, S of them on the soles, R
rows (frames of all persons in turn).
X3D.npy and the npz hold what was lifted, in the camera's axes. All other files are in metres, y up,
floor at y = 0, each person where they walk (mbjax.motion.world).
"""

import contextlib
import csv
import functools
import os
import pathlib

import numpy as np

from mbjax.atomic_files import written_beside
from mbjax.motion import angles, bvh_writer, earlier_run, feet, gltf, rig, stick_body, world
from mbjax.motion.motion import Motion, PersonMotion
from mbjax.motion.world import DEFAULT_FPS, PersonInWorld, World
from mbjax.pose.rotations import matrix_to_axis_angle
from mbjax.pose.skeleton import INDEX, JOINTS

__all__ = ["DEFAULT_FPS", "write_all"]

# Points of the feet beside the 17 joints, in TRC.
FEET = ("ltoe", "lheel", "rtoe", "rheel")
_COLOURS = {"left": (0.12, 0.47, 0.71), "right": (0.84, 0.15, 0.16), "middle": (0.75, 0.72, 0.68)}


def write_all(
    motion: Motion,
    folder: str | os.PathLike,
    *,
    rig_names: str = "plain",
    smooth_hz: float | None = None,
    lock_feet: bool = True,
    frames: int | None = None,
    in_world: World | None = None,
) -> list[pathlib.Path]:
    """Every format into `folder`, made if need be: the paths written.

    motion.npz, motion.csv, motion_angles.csv and motion.glb hold all persons; X3D.npy, motion.trc
    and motion.bvh one: with several persons there is one of each per person, named by the number:
    X3D_person2.npy. All are written beside their places first and moved there when all are whole,
    so that a failure leaves nothing; then files of an earlier run go that this one did not write.

    rig_names: of the bones in BVH and glTF, one of mbjax.motion.rig.RIGS. smooth_hz, lock_feet: see
    mbjax.motion.world.of_motion; in_world: its result, instead of these. frames: of the video, all
    of which BVH and GLB cover; the others begin with the frame that a person is first seen in.
    """
    if rig_names not in rig.RIGS:
        raise ValueError(f"unknown rig {rig_names!r}; known: {', '.join(rig.RIGS)}")
    in_world = in_world or world.of_motion(motion, smooth_hz, lock_feet)
    folder = pathlib.Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    animations = {one.person: _animation(one) for one in in_world.persons}
    last = max(one.frames_T[-1] for one in in_world.persons)
    frames = max(frames or 0, int(last) + 1)
    jobs = [
        ("motion.npz", functools.partial(npz, motion, in_world)),
        ("motion.csv", functools.partial(table, motion, in_world)),
        ("motion_angles.csv", functools.partial(angle_table, motion, in_world)),
        ("motion.glb", functools.partial(glb, in_world, animations, frames, rig_names)),
    ]
    for one, placed in zip(motion, in_world.persons, strict=True):
        tail = "" if len(motion) == 1 else f"_person{one.person}"
        jobs += [
            (f"X3D{tail}.npy", functools.partial(x3d, one)),
            (f"motion{tail}.trc", functools.partial(
                trc, placed, in_world.fps, name=f"motion{tail}.trc")),
            (f"motion{tail}.bvh", functools.partial(
                bvh, placed, animations[one.person], in_world.fps, frames, rig_names)),
        ]  # fmt: skip
    paths = [folder / name for name, _ in jobs]
    with contextlib.ExitStack() as stack:
        beside = [stack.enter_context(written_beside(path)) for path in paths]
        for (_, write), path in zip(jobs, beside, strict=True):
            write(path)
    earlier_run.replaced_by(folder, [path.name for path in paths])
    return paths


def x3d(one: PersonMotion, path: os.PathLike) -> None:
    """(T, 17, 3) float32 in the motion's unit and the camera's axes, as the release writes it."""
    with open(path, "wb") as file:
        np.save(file, one.pose_TxJx3)


def npz(motion: Motion, in_world: World, path: os.PathLike) -> None:
    """All there is, without pickles. Rows are frames of one person after another.

    As lifted: person (R,), frame (R,), time (R,) in s (NaN where the rate is unknown), interpolated
    (R,), pose (R, 17, 3), keypoints (R, 17, 3) pixels and confidence; persons (M,), centre (M, 2),
    units_per_pixel (M,); unit, fps (NaN: unknown), layout, source, joints, root_relative, placed.
    In the world, metres and y up: world_person, world_frame (W,), world_joints (W, 17, 3) as
    lifted, world_body (W, 17, 3) with one skeleton, world_planted (W, 2) left and right foot. W is
    R, but for frames that were left out and are interpolated here.
    """
    persons = in_world.persons
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
            world_person=np.concatenate(
                [np.full(len(one.frames_T), one.person) for one in persons]
            ),
            world_frame=np.concatenate([one.frames_T for one in persons]),
            world_joints=np.concatenate([one.joints_TxJx3 for one in persons]).astype(np.float32),
            world_body=np.concatenate([one.body_TxJx3 for one in persons]).astype(np.float32),
            world_planted=np.concatenate([one.planted_Tx2 for one in persons]),
        )


def table(motion: Motion, in_world: World, path: os.PathLike) -> None:
    """CSV, a row per person and frame: person, frame, time, interpolated, unit, then of each joint
    x, y, z (metres, y up, floor at 0, as lifted) and the confidence of its 2D; time is empty where
    unknown.
    """
    columns = [f"{name}_{what}" for name in JOINTS for what in ("x", "y", "z", "confidence")]

    def values(one, placed):
        found_T = np.isin(placed.frames_T, one.frames_T)
        confidence_TxJ = np.zeros(placed.joints_TxJx3.shape[:2])
        confidence_TxJ[found_T] = one.confidence_TxJ
        interpolated_T = ~found_T
        interpolated_T[found_T] = one.interpolated_T
        row_TxJx4 = np.concatenate([placed.joints_TxJx3, confidence_TxJ[..., None]], axis=-1)
        for t, row in enumerate(row_TxJx4.reshape(len(row_TxJx4), -1)):
            yield [int(interpolated_T[t]), "m", *(f"{value:.6g}" for value in row)]

    _rows(motion, in_world, path, ["interpolated", "unit", *columns], values)


def angle_table(motion: Motion, in_world: World, path: os.PathLike) -> None:
    """CSV, a row per person and frame: the angles of mbjax.motion.angles.NAMES in degrees."""

    def values(_, placed):
        for row in angles.joint_angles(placed.body_TxJx3, placed.feet_Tx2x3x3):
            yield [f"{value:.2f}" for value in row]

    _rows(motion, in_world, path, [f"{name}_deg" for name in angles.NAMES], values)


def _rows(motion, in_world, path, columns, values):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["person", "frame", "time", *columns])
        for one, placed in zip(motion, in_world.persons, strict=True):
            for frame, row in zip(placed.frames_T, values(one, placed), strict=True):
                time = "" if motion.fps is None else f"{frame / motion.fps:.6f}"
                writer.writerow([one.person, frame, time, *row])


def trc(one: PersonInWorld, fps: float, path: os.PathLike, name: str = "") -> None:
    """One person's joints, of one skeleton, and toes and heels as markers of a TRC file (OpenSim).

    Metres, y up, tab-separated. Frames count from 1 without gaps, as the format demands; Time is
    the video's, so that someone who comes in later has times that begin later, and
    OrigDataStartFrame the number, from 1, of the video's frame at which the file begins.
    """
    names = (*JOINTS, *FEET)
    soles_TxSx3 = feet.points(one.body_TxJx3, one.feet_Tx2x3x3, one.height)
    markers_TxMx3 = np.concatenate([one.body_TxJx3, soles_TxSx3], axis=1)
    T, rate, first = len(one.frames_T), f"{fps:g}", one.frames_T[0] + 1
    lines = [
        f"PathFileType\t4\t(X/Y/Z)\t{name or pathlib.PurePath(path).name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame"
        "\tOrigNumFrames",
        f"{rate}\t{rate}\t{T}\t{len(names)}\tm\t{rate}\t{first}\t{T}",
        "Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t",
        "\t\t" + "\t".join(f"X{j}\tY{j}\tZ{j}" for j in range(1, len(names) + 1)),
        "",
    ]
    for t, row_Mx3 in enumerate(np.round(markers_TxMx3, 6) + 0.0):  # no "-0.000000"
        numbers = "\t".join(f"{value:.6f}" for value in row_Mx3.ravel())
        lines.append(f"{t + 1}\t{one.frames_T[t] / fps:.6f}\t{numbers}")
    pathlib.Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def bvh(
    one: PersonInWorld, animation: rig.Animation, fps: float, frames: int, rig_names: str,
    path: os.PathLike,
) -> None:  # fmt: skip
    """One person as BVH, y up, metres. The file's frame n is the video's: before the person comes
    and after they go, the first and the last pose are held, up to `frames` in all.
    """
    rows = np.clip(np.arange(frames) - one.frames_T[0], 0, len(one.frames_T) - 1)
    held = rig.Animation(
        animation.offsets_Bx3, animation.ends_Bx3, animation.turns_TxBx3x3[rows],
        animation.root_Tx3[rows],
    )  # fmt: skip
    pathlib.Path(path).write_text(bvh_writer.to_text(held, fps, rig_names), encoding="utf-8")


def glb(
    in_world: World, animations: dict, frames: int, rig_names: str, path: os.PathLike
) -> None:  # fmt: skip
    """Everybody's rig with a plain body in one binary glTF, y up, metres, at the video's times.

    From 0 to its last of `frames`, the first and the last pose held as in BVH.
    """
    skins = []
    for one in in_world.persons:
        animation = animations[one.person]
        verts_Vx3, bones_V, parts = stick_body.mesh(animation, one.height)
        rest_Bx3 = animation.rest_positions()
        skins.append(
            gltf.Skin(
                f"person_{one.person}", verts_Vx3,
                [(parts[side], _COLOURS[side]) for side in parts],
                np.eye(len(rig.BONES))[bones_V], rest_Bx3, rig.PARENTS, rig.RIGS[rig_names],
                matrix_to_axis_angle(animation.turns_TxBx3x3), animation.root_Tx3 - rest_Bx3[0],
                one.frames_T / in_world.fps,
            ).held((frames - 1) / in_world.fps)
        )  # fmt: skip
    pathlib.Path(path).write_bytes(gltf.animated_skins(skins))


def rig_errors(one: PersonInWorld) -> np.ndarray:
    """How far (T, 15) the rig of BVH and glTF has joints from where they were lifted, in m."""
    bones, joints = zip(*rig.JOINT_OF_BONE.items(), strict=True)
    starts = _animation(one).positions()[:, [rig.BONE[bone] for bone in bones]]
    return np.linalg.norm(starts - one.joints_TxJx3[:, [INDEX[name] for name in joints]], axis=-1)


def _animation(one):
    return rig.animate(one.body_TxJx3, one.feet_Tx2x3x3, one.lengths_J, one.height)


def _times(motion, one):
    times = motion.times(one)
    return np.full(len(one.frames_T), np.nan) if times is None else times
