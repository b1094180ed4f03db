"""A motion of persons who turn, bend and let their limbs change length, as no body does."""

import numpy as np

from mbjax.motion.motion import Motion, PersonMotion

FRAMES = 25


def person(number=1, frames=FRAMES, first=4, seed=0):
    """Someone in metres who turns, bends and lets their limbs change length a little."""
    rng = np.random.default_rng(seed)
    rest = np.array([
        (0, 0), (-15, 0), (-20, 44), (-25, 88), (15, 0), (18, 45), (17, 90), (0, -30), (0, -60),
        (3, -78), (0, -92), (20, -60), (35, -35), (40, -5), (-20, -60), (-40, -30), (-45, 2),
    ]) / 100  # fmt: skip
    pose = np.concatenate([rest, np.zeros((17, 1))], axis=1)[None].repeat(frames, 0)
    pose += 0.15 * np.cumsum(rng.normal(0, 0.3, pose.shape), axis=0)
    turn = np.linspace(0, 3 * np.pi, frames)  # one and a half turns about the vertical
    x, z = pose[..., 0].copy(), pose[..., 2].copy()
    pose[..., 0] = x * np.cos(turn)[:, None] + z * np.sin(turn)[:, None] + 0.5
    pose[..., 2] = z * np.cos(turn)[:, None] - x * np.sin(turn)[:, None]
    confidence = rng.uniform(0.1, 1, (frames, 17))
    keypoints = np.concatenate([300 * pose[..., :2] + 400, confidence[..., None]], axis=-1)
    missed = np.zeros(frames, bool)
    missed[min(3, frames - 1)] = True
    return PersonMotion(
        number, first + np.arange(frames), pose.astype(np.float32), keypoints, confidence, missed,
        np.array([400.0, 400.0]), 1 / 300,
    )  # fmt: skip


def motion(*persons, fps=25.0, unit="m"):
    return Motion(persons or (person(),), unit, fps, "halpe26", "/some/where/a.json", False)
