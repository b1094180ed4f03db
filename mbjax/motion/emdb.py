"""Recordings of EMDB: its `*_data.pkl` as a `Recording`.

Layout from dataset.md of github.com/eth-ait/emdb (Kaufmann et al., ICCV 2023).
"""

import pathlib
from collections.abc import Mapping

import numpy as np

from mbjax.motion.recorded_bodies import Recording
from mbjax.remarks import one_line


def recording(path: pathlib.Path, found: Mapping) -> Recording:
    """Of what a file holds; ValueError, in one line, where that is something else."""
    try:
        body, camera, good = found["smpl"], found["camera"], np.asarray(found["good_frames_mask"])
        pose = [np.asarray(body[name], np.float64) for name in ("poses_root", "poses_body")]
        made = Recording(
            "EMDB", one_line(found["name"], 100), str(found["gender"]), good.astype(bool),
            np.concatenate(pose, axis=1), np.asarray(body["betas"], np.float64),
            np.asarray(body["trans"], np.float64), np.asarray(camera["extrinsics"], np.float64),
            (bool(found["emdb1"]), bool(found["emdb2"])),
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else one_line(error)
        raise ValueError(f"{path} is not a *_data.pkl of EMDB ({reason})") from None
    made.check(path)
    return made
