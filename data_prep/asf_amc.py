"""Reads Acclaim's motion capture, as the CMU database has it: a skeleton (ASF) and motions (AMC).

A bone has a direction and a length in the world's axes while the body stands in its zero pose, and
axes of its own, in which an AMC file turns it. T frames, N nodes: each bone's start, and its end as
"BONE.end". The formats: Acclaim's specification as M. Schafer's notes give it (University of
Wisconsin, 1994), and the database's own files.
"""

import dataclasses
import functools
import pathlib

import numpy as np
from scipy.spatial.transform import Rotation

_ROTATIONS = {"rx": 0, "ry": 1, "rz": 2}
_ROOT_ORDER = ("tx", "ty", "tz", "rx", "ry", "rz")


@dataclasses.dataclass(frozen=True, eq=False)
class Bone:
    """direction: of unit length. axes: turns the bone's own axes into the world's, (3, 3)."""

    name: str
    parent: str
    direction_3: np.ndarray
    length: float
    axes_3x3: np.ndarray
    channels: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Skeleton:
    """bones: parents before children, the root (of length 0) first. metres: of a unit of length."""

    bones: tuple[Bone, ...]
    metres: float


@dataclasses.dataclass(frozen=True, eq=False)
class Motion:
    """A recording: values of each bone's channels, {bone: (T, channels)}, angles in degrees."""

    skeleton: Skeleton
    values: dict[str, np.ndarray]

    def __len__(self):
        return len(self.values["root"])

    @functools.cached_property
    def names(self) -> list[str]:
        return [name for bone in self.skeleton.bones for name in (bone.name, f"{bone.name}.end")]

    def place_of(self, name: str) -> int:
        """Where a node stands; ValueError if the skeleton has none of the name."""
        if name not in self.names:
            raise ValueError(f"no bone is called {name!r}; there are {', '.join(self.names[::2])}")
        return self.names.index(name)

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Where every node is, (T, N, 3) in units of length, and how its bone is turned out of the
        zero pose, (T, N, 3, 3)."""
        T, places, turns = len(self), {}, {}
        for bone in self.skeleton.bones:
            angles_Tx3, shift_Tx3 = np.zeros((T, 3)), np.zeros((T, 3))
            for column, channel in enumerate(bone.channels):
                into = angles_Tx3 if channel in _ROTATIONS else shift_Tx3
                into[:, "xyz".index(channel[1])] = self.values[bone.name][:, column]
            # About the bone's x, then y, then z, none of which turns with the others.
            own_Tx3x3 = Rotation.from_euler("xyz", angles_Tx3, degrees=True).as_matrix()
            turn_Tx3x3 = bone.axes_3x3 @ own_Tx3x3 @ bone.axes_3x3.T
            start_Tx3 = shift_Tx3
            if bone.parent:
                turn_Tx3x3 = turns[bone.parent] @ turn_Tx3x3
                start_Tx3 = places[f"{bone.parent}.end"]
            places[bone.name], turns[bone.name] = start_Tx3, turn_Tx3x3
            places[f"{bone.name}.end"] = start_Tx3 + turn_Tx3x3 @ (bone.length * bone.direction_3)
        turns_TxNx3x3 = np.stack([turns[name.removesuffix(".end")] for name in self.names], axis=1)
        return np.stack([places[name] for name in self.names], axis=1), turns_TxNx3x3


def read_asf(path) -> Skeleton:
    """A skeleton. ValueError, with the line, where it is not one."""
    lines = _Lines(path)
    unit, bones, parents, root_axes = 1.0, {}, {}, np.eye(3)
    section = ""
    while (words := lines.next()) is not None:
        if words[0].startswith(":"):
            section = words[0][1:].lower()
        elif section == "units" and words[0] == "length":
            unit = lines.number(words, 1)
        elif section == "units" and words[0] == "angle" and words[1:] != ["deg"]:
            lines.fail("angles are read in degrees alone")
        elif section == "root" and words[0] == "orientation":
            root_axes = _axes(lines.numbers(words, 3))
        elif section == "root" and words[0] == "order":
            order = tuple(word.lower() for word in words[1:])
            if order != _ROOT_ORDER:
                lines.fail(
                    f"the root's order is {' '.join(order)}; {' '.join(_ROOT_ORDER)} is read"
                )
        elif section == "bonedata" and words == ["begin"]:
            bone = _bone(lines)
            bones[bone.name] = bone
        elif section == "hierarchy" and words not in (["begin"], ["end"]):
            for child in words[1:]:
                if child not in bones or (words[0] != "root" and words[0] not in parents):
                    lines.fail(f"{child} or {words[0]} is no bone that came before")
                parents[child] = words[0]
    if not bones or set(parents) != set(bones) or not unit > 0:
        raise ValueError("no whole skeleton in it: :units, :bonedata and :hierarchy are needed")
    root = Bone("root", "", np.zeros(3), 0.0, root_axes, _ROOT_ORDER)
    below = (dataclasses.replace(bones[name], parent=parent) for name, parent in parents.items())
    # A unit is 1 / length inch: 0.45 in the database.
    return Skeleton((root, *below), 0.0254 / unit)


def _bone(lines) -> Bone:
    found: dict = {"axes": np.eye(3), "channels": ()}
    while (words := lines.next()) != ["end"]:
        if words is None:
            lines.fail("a bone does not end")
        match words[0]:
            case "name":
                found["name"] = words[-1]
            case "direction":
                found["direction"] = np.array(lines.numbers(words, 3))
            case "length":
                found["length"] = lines.number(words, 1)
            case "axis":
                if words[4:] not in ([], ["XYZ"]):
                    lines.fail(f"axes in the order {words[-1]}; XYZ is read")
                found["axes"] = _axes(lines.numbers(words, 3))
            case "dof":
                if not set(words[1:]) <= set(_ROTATIONS):
                    lines.fail(f"channels {' '.join(words[1:])}; rx, ry and rz are read")
                found["channels"] = tuple(words[1:])
    missing = [name for name in ("name", "direction", "length") if name not in found]
    if missing:
        lines.fail(f"a bone without {' and '.join(missing)}")
    size = np.linalg.norm(found["direction"])
    direction_3 = found["direction"] / size if size else found["direction"]
    return Bone(found["name"], "", direction_3, found["length"], found["axes"], found["channels"])


def _axes(degrees) -> np.ndarray:
    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


def read_amc(path, skeleton: Skeleton) -> Motion:
    """A motion of a skeleton. ValueError, with the line, where it is cut off or another's."""
    lines = _Lines(path)
    wanted = {bone.name: len(bone.channels) for bone in skeleton.bones if bone.channels}
    frames: list[dict] = []
    while (words := lines.next()) is not None:
        if words[0].startswith(":"):
            if words[0].upper() == ":RADIANS":
                lines.fail("angles are read in degrees alone")
        elif len(words) == 1 and words[0].isdigit():
            _check_whole(lines, frames, wanted)
            frames.append({})
        elif not frames or words[0] not in wanted or words[0] in frames[-1]:
            lines.fail(f"{words[0]!r} is no bone of the skeleton, or comes twice in a frame")
        else:
            frames[-1][words[0]] = lines.numbers(words, wanted[words[0]])
    _check_whole(lines, frames, wanted)
    if not frames:
        raise ValueError("no frames in it")
    values = {name: np.array([frame[name] for frame in frames]) for name in wanted}
    return Motion(skeleton, values)


def _check_whole(lines, frames, wanted):
    if frames and len(frames[-1]) != len(wanted):
        missing = sorted(set(wanted) - set(frames[-1]))
        lines.fail(f"frame {len(frames)} is without {', '.join(missing[:3])}; cut off?")


class _Lines:
    """The words of each line that has some; errors name the line."""

    def __init__(self, path):
        text = pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
        self._lines = enumerate(text.splitlines(), start=1)
        self._number = 0

    def next(self) -> list[str] | None:
        for number, line in self._lines:
            self._number = number
            words = line.partition("#")[0].split()
            if words:
                return words
        return None

    def fail(self, why: str):
        raise ValueError(f"line {self._number}: {why}")

    def numbers(self, words, count) -> list[float]:
        try:
            found = [float(word) for word in words[1 : 1 + count]]
        except ValueError:
            found = []
        if len(found) != count or not np.isfinite(found).all():
            self.fail(f"{words[0]} wants {count} numbers")
        return found

    def number(self, words, place) -> float:
        return self.numbers(words[place - 1 :], 1)[0]
