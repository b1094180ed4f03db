"""Somebody who walks on a floor, by formulas: where the feet stand is known."""

import numpy as np

from mbjax.motion.motion import Motion, PersonMotion
from mbjax.pose.skeleton import INDEX

# World axes: y up, floor at 0, metres. Of a person of about 1.73 m.
THIGH, SHIN, ANKLE, HIP = 0.42, 0.41, 0.067, 0.1
FPS, STRIDE, CYCLE = 30.0, 0.9, 1.0  # metres and seconds of two steps


def walker(frames=90, way=(1.0, 0.0, 0.0)):
    """(pose (T, 17, 3), planted (T, 2)): along `way`, each foot planted 0.6 of the time."""
    way = np.asarray(way, float)
    left = np.cross([0, 1, 0], way)  # of someone who looks along `way`
    time = np.arange(frames) / FPS / CYCLE
    pose, planted = np.zeros((frames, 17, 3)), np.zeros((frames, 2), bool)
    root = STRIDE * time[:, None] * way + [0, 0.82, 0]
    pose[:, 0] = root
    for side, (name, sign, offset) in enumerate((("l", 1, 0.0), ("r", -1, 0.5))):
        phase, step = np.modf(time + offset)
        swing = np.clip((phase - 0.6) / 0.4, 0, 1)
        planted[:, side] = phase < 0.6
        # Planted where the body is above it in the middle of the contact.
        along = (step - offset + 0.3 + (swing - np.sin(2 * np.pi * swing) / (2 * np.pi))) * STRIDE
        ankle = along[:, None] * way + HIP * sign * left
        ankle[:, 1] = ANKLE + 0.12 * np.sin(np.pi * swing) ** 2
        hip = root + HIP * sign * left
        knee = _knee(hip, ankle, way)
        for joint, place in (("hip", hip), ("knee", knee), ("ankle", ankle)):
            pose[:, INDEX[f"{name}{joint}"]] = place
        shoulder = root + [0, 0.48, 0] + 0.17 * sign * left
        pose[:, INDEX[f"{name}shoulder"]] = shoulder
        arm = 0.5 * np.sin(2 * np.pi * (time + offset))[:, None]
        elbow = shoulder + 0.29 * (np.sin(arm) * way - np.cos(arm) * np.array([0, 1, 0]))
        pose[:, INDEX[f"{name}elbow"]] = elbow
        wrist = elbow + 0.25 * (np.sin(arm + 0.4) * way - np.cos(arm + 0.4) * np.array([0, 1, 0]))
        pose[:, INDEX[f"{name}wrist"]] = wrist
    for name, up, ahead in (
        ("belly", 0.24, 0),
        ("neck", 0.5, 0),
        ("nose", 0.63, 0.1),
        ("head", 0.8, 0),
    ):
        pose[:, INDEX[name]] = root + [0, up, 0] + ahead * way
    return pose, planted


def _knee(hip, ankle, way):
    reach = np.linalg.norm(ankle - hip, axis=-1, keepdims=True)
    assert reach.max() < THIGH + SHIN  # else the recipe is wrong
    along = (THIGH**2 - SHIN**2 + reach**2) / (2 * reach)
    line = (ankle - hip) / reach
    across = way - (line @ way)[:, None] * line
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    return hip + along * line + np.sqrt(THIGH**2 - along**2) * across


def seen(pose, pixels_per_metre=200.0, centre=(640.0, 360.0)):
    """Keypoints (T, 17, 3) of a camera far away that looks along -z."""
    xy = pose[..., :2] * [1, -1] * pixels_per_metre + centre
    return np.concatenate([xy, np.full((*pose.shape[:2], 1), 0.9)], axis=-1)


def motion_of(*poses, unit="m", first=0, feet=None, **options):
    """A Motion of these world poses (T, 17, 3), root-relative, as a camera far away sees them."""
    persons = []
    for number, pose in enumerate(poses, 1):
        keypoints = seen(pose)
        lifted = (pose - pose[:, :1]) * [1, -1, -1]
        persons.append(
            PersonMotion(
                number, first + np.arange(len(pose)), lifted.astype(np.float32), keypoints,
                keypoints[..., 2], np.zeros(len(pose), bool), np.array([640.0, 360.0]), 1 / 300,
                feet,
            )
        )  # fmt: skip
    return Motion(tuple(persons), unit, FPS, "halpe26", "/some/where/a.json", True, **options)
