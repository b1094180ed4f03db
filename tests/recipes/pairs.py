"""Motion in front of a camera: pixels and millimetres."""

import numpy as np

FOCAL, WIDTH, HEIGHT = 1500.0, 2048, 2048


def motion(frames, seed=0, joints=17):
    """Camera millimetres about 4 m away, and their perspective 2D in pixels."""
    rng = np.random.default_rng(seed)
    pose = rng.uniform(-700, 700, (1, joints, 3)) + 50 * rng.normal(size=(frames, joints, 3))
    pose += [0, 0, 4000]
    pixels = FOCAL * pose[..., :2] / pose[..., 2:] + [WIDTH / 2, HEIGHT / 2]
    return pixels, pose
