"""`mbjax.pipeline`: from a video, a file of keypoints or an array to 3D motion, in one call."""

import dataclasses
import html
import os
import pathlib
import tempfile

import numpy as np
from flax import nnx

from mbjax.convert.load import load
from mbjax.lifting.lift import lift
from mbjax.motion.motion import Motion, PersonMotion
from mbjax.pictures import of_motion


class Pipeline:
    """What `mbjax.pipeline` gives: call it with a source."""

    def __init__(self, model: nnx.Module):
        self.model = model

    def __call__(self, source: str | os.PathLike | np.ndarray | list, **options) -> "Lifted":
        """3D motion of everybody in `source`: its forms, options and errors are mbjax.lift's."""
        return Lifted(lift(self.model, source, **options))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Lifted:
    """Motion of all persons of one source."""

    motion: Motion

    @property
    def persons(self) -> tuple[PersonMotion, ...]:
        """Each with `pose_TxJx3` in motion.unit, `frames_T`, `keypoints_TxJx3` and their number."""
        return self.motion.persons

    def save(self, folder: str | os.PathLike, **options) -> list[pathlib.Path]:
        """Writes what `mbjax infer --picture none` writes, and motion.html: the paths.

        options: those of mbjax.motion.files.write_all, such as rig_names="mixamo".
        """
        paths = self.motion.save(folder, **options)
        return [*paths, of_motion.page(self.motion, pathlib.Path(folder).expanduser())]

    def show(self, height: int = 480) -> "Shown":
        """The motion to be played and turned, in the cell of a notebook. height: pixels."""
        with tempfile.TemporaryDirectory() as folder:
            page = of_motion.page(self.motion, pathlib.Path(folder)).read_text(encoding="utf-8")
        return Shown(page, height)

    def __repr__(self) -> str:
        return repr(self.motion).replace("Motion(", "Lifted(", 1)


@dataclasses.dataclass(frozen=True, repr=False)
class Shown:
    """A page that notebooks draw; `html` is all of it, for anything else."""

    html: str
    height: int

    def _repr_html_(self) -> str:
        # In a frame of its own, where the page's scripts reach nothing of the notebook.
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" sandbox="allow-scripts" width="100%" '
            f'height="{self.height}" style="border:0"></iframe>'
        )

    def __repr__(self) -> str:
        return "Shown(a page that turns the motion; in a notebook it is drawn)"


def pipeline(checkpoint: str | os.PathLike = "tiny", **options) -> Pipeline:
    """A function from a source to 3D motion.

    checkpoint, options: as mbjax.load takes them, which says what it raises.

    >>> import mbjax, numpy
    >>> to_3d = mbjax.pipeline("tiny", verbose=False)
    >>> keypoints = numpy.random.default_rng(0).uniform(100, 400, (30, 17, 3))
    >>> keypoints[..., 2] = 1  # confidence
    >>> lifted = to_3d(keypoints, layout="h36m17", fps=30, height=1.75)
    >>> lifted
    Lifted(1 person, frames 0 to 29, unit m, 30 fps)
    >>> lifted.persons[0].pose_TxJx3.shape
    (30, 17, 3)

    `lifted.save("motion")` writes files, `lifted.show()` turns it in a notebook.
    """
    return Pipeline(load(checkpoint, **options))
