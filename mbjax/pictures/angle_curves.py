"""Joint angles over time as curves: left blue, right red, a column per person.

Shapes in names: T frames.
"""

import os

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mbjax.atomic_files import written_beside
from mbjax.motion import angles
from mbjax.motion.world import World

_SIDED = (
    ("hip_flexion", "hip\nflexion"), ("knee_flexion", "knee\nflexion"),
    ("ankle_dorsiflexion", "ankle\ndorsiflexion"), ("shoulder_flexion", "shoulder\nflexion"),
    ("elbow_flexion", "elbow\nflexion"),
)  # fmt: skip
_TRUNK = (("trunk_forward_lean", "forward"), ("trunk_right_lean", "to the right"))
_LEFT, _RIGHT = "tab:blue", "tab:red"
_PERSONS = 4  # more do not fit a picture


def draw(in_world: World, path: str | os.PathLike, fps: float | None) -> None:
    """A PNG of the angles of the persons seen longest, four at most.

    fps: of the time axis; None where it is not known, and the axis has frames.
    """
    longest = sorted(in_world.persons, key=lambda one: -len(one.frames_T))[:_PERSONS]
    persons = sorted(longest, key=lambda one: one.person)
    figure, axes = plt.subplots(
        len(_SIDED) + 1, len(persons), figsize=(2 + 6 * len(persons), 11), sharex="col",
        sharey="row", squeeze=False, layout="constrained",
    )  # fmt: skip
    for column, one in zip(axes.T, persons, strict=True):
        found = angles.joint_angles(one.body_TxJx3, one.feet_Tx2x3x3)
        of = dict(zip(angles.NAMES, found.T, strict=True))
        time = one.frames_T / fps if fps else one.frames_T
        for axis, (name, label) in zip(column, _SIDED, strict=False):
            for side, colour in (("left", _LEFT), ("right", _RIGHT)):
                axis.plot(time, of[f"{side}_{name}"], color=colour, label=side, linewidth=1.2)
            axis.set_ylabel(f"{label}, °")
        for (name, label), style in zip(_TRUNK, ("-", ":"), strict=True):
            column[-1].plot(time, of[name], style, color="black", label=label, linewidth=1.2)
        column[-1].set_ylabel("trunk\nlean, °")
        column[-1].set_xlabel("s" if fps else "frame")
        column[0].set_title(f"person {one.person}")
        for axis in column:
            axis.axhline(0, color="#d5d8de", linewidth=0.8, zorder=0)
    axes[0, 0].legend(loc="upper right")
    axes[-1, 0].legend(loc="upper right")
    with written_beside(path) as beside:
        figure.savefig(beside, dpi=80, format="png")
    plt.close(figure)
