"""Files of recordings that a motion is compared with: EMDB's and 3DPW's pickles."""

import os
import pathlib

from mbjax import safe_pickle
from mbjax.motion import emdb, pw3d
from mbjax.motion.recorded_bodies import Recording


def is_recording(path: str | os.PathLike) -> bool:
    """Whether a file is taken for one by its name."""
    return pathlib.Path(path).suffix == ".pkl"


def read(path: str | os.PathLike, person: int | None = None) -> Recording:
    """A `*_data.pkl` of EMDB or a sequence of 3DPW; nothing in it is run.

    person: of 3DPW, counted from 0; None where there is one. ValueError or FileNotFoundError, in
    one line.
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        found = safe_pickle.load(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is not a recording of EMDB or 3DPW ({error})") from None
    if not isinstance(found, dict) or not {"smpl", "cam_poses"} & found.keys():
        raise ValueError(
            f"{path} is not a recording: neither a *_data.pkl of EMDB nor a sequence of 3DPW"
        )
    if "cam_poses" in found:
        return pw3d.recording(path, found, person)
    if person is not None:
        raise ValueError(f"{path} is of EMDB, which has one person: leave --reference-person out")
    return emdb.recording(path, found)
