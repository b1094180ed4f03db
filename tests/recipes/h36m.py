"""Small random pickles in the layouts of Human3.6M and of the mesh corpora."""

import os
import pickle

import numpy as np


def split(seed, recordings, mm=True):
    """The columns of one split. recordings: (source, frames, camera)."""
    rng = np.random.default_rng(seed)
    N = sum(frames for _, frames, _ in recordings)

    def of_each(value):
        return [value(r) for r in recordings for _ in range(r[1])]

    columns = {
        "joint_2d": rng.uniform(100, 900, (N, 17, 2)),
        "confidence": rng.uniform(0.2, 1, (N, 17, 1)),
        "joint3d_image": rng.uniform(-200, 900, (N, 17, 3)),
        "camera_name": of_each(lambda r: r[2]),
        "source": of_each(lambda r: r[0]),
    }
    if mm:
        columns["action"] = of_each(lambda r: "Walking" if "act_14" in r[0] else "Eating")
        columns["2.5d_factor"] = rng.uniform(3, 6, N)
        columns["joints_2.5d_image"] = (
            columns["joint3d_image"] * columns["2.5d_factor"][:, None, None]
        )
    return columns


def mesh_split(seed, recordings, predictions=False):
    """The columns of one split of a mesh corpus. Scores go a little past 1, as detectors' do."""
    columns = split(seed, recordings, mm=False)
    rng = np.random.default_rng(seed + 1000)
    N = len(columns["source"])
    del columns["joint3d_image"]
    columns["confidence"] = rng.uniform(0.2, 1.2, (N, 17, 1))
    for prefix in ("", "pred_") if predictions else ("",):
        columns[f"{prefix}smpl_pose"] = rng.normal(size=(N, 72)) * 0.5
        columns[f"{prefix}smpl_shape"] = rng.normal(size=(N, 10))
    return columns


def write(path, content, protocol=4):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol))
    return path


class Malicious:
    """Unpickled without care, it makes the folder that it names."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)
