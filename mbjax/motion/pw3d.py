"""Recordings of 3DPW: a person of its `sequenceFiles/SPLIT/NAME.pkl` as a `Recording`.

Layout from the readme that comes with the dataset (von Marcard et al., ECCV 2018): lists by person
of poses, translations, shapes, genders and of which frames' camera is known, at the video's 30
frames a second; and the camera's matrices, from the world to the camera.
"""

import pathlib
from collections.abc import Mapping

import numpy as np

from mbjax.body.smpl import NUM_BETAS
from mbjax.motion.recorded_bodies import Recording
from mbjax.remarks import one_line

_SEXES = {"f": "female", "m": "male"}


def recording(path: pathlib.Path, found: Mapping, person: int | None) -> Recording:
    """Of one person, counted from 0, of what a file holds; ValueError, in one line, where that is
    something else, or holds several and person is None."""
    poses = found.get("poses")
    if isinstance(poses, np.ndarray):
        poses = list(np.atleast_1d(poses))
    if not isinstance(poses, (list, tuple)) or not poses:
        raise ValueError(f"{path} is not a sequence of 3DPW (no list of persons' poses)")
    persons = range(len(poses))
    if person is None and len(persons) == 1:
        person = 0
    if person not in persons:
        names = ", ".join(map(str, persons))
        raise ValueError(f"{path} holds persons {names}; --reference-person says which")
    try:
        of = {
            name: np.asarray(found[name][person], np.float64)
            for name in ("poses", "betas", "trans", "campose_valid")
        }
        sex = str(found["genders"][person])
        which = f", person {person}" if len(persons) > 1 else ""
        made = Recording(
            "3DPW", one_line(found["sequence"], 100) + which,
            _SEXES.get(sex, sex), of["campose_valid"] > 0, of["poses"], of["betas"][:NUM_BETAS],
            of["trans"], np.asarray(found["cam_poses"], np.float64),
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else one_line(error, 100)
        raise ValueError(f"{path} is not a sequence of 3DPW ({reason})") from None
    made.check(path)
    return made
