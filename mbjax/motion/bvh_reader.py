"""Reads BVH motion capture: a skeleton of offsets, then one line of channel values per frame.

T frames, N nodes of the file's own skeleton (its joints and end sites). BVH has y up; positions
come out in the file's own unit and axes. The format: Meredith and Maddock, "Motion capture file
formats explained" (2001). Channels may stand in any order; rotations are in degrees and apply in
the order of their channels, each about the axes as turned by those before.
"""

import dataclasses
import pathlib

import numpy as np

_AXES = {"x": 0, "y": 1, "z": 2}


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """A joint or an end site. channels: (kind, axis, column of the motion), in the file's order."""

    name: str  # "JOINT.end" for the end site of JOINT
    parent: int  # place in Bvh.nodes, -1 for a root
    offset_3: np.ndarray
    channels: tuple[tuple[str, int, int], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Bvh:
    """A whole file: `nodes`, parents before children; `values_TxD` its numbers; `fps`."""

    nodes: list[Node]
    values_TxD: np.ndarray
    fps: float

    def place_of(self, name: str) -> int:
        """Where the node of this name stands; ValueError if the file has none."""
        for i, node in enumerate(self.nodes):
            if node.name == name:
                return i
        names = ", ".join(node.name for node in self.nodes)
        raise ValueError(f"no joint is called {name!r}; the file has {names}")

    def positions(self):
        """Where every node is (T, N, 3) in the file's unit, and how it is turned (T, N, 3, 3).

        A joint with position channels stands there (relative to its parent) instead of at its
        offset, as the programs that write such files mean it. float64.
        """
        T, N = len(self.values_TxD), len(self.nodes)
        places_TxNx3, turns_TxNx3x3 = np.empty((T, N, 3)), np.empty((T, N, 3, 3))
        for i, node in enumerate(self.nodes):
            offset_Tx3 = np.tile(node.offset_3, (T, 1))
            turn_Tx3x3 = np.tile(np.eye(3), (T, 1, 1))
            for kind, axis, column in node.channels:
                value_T = self.values_TxD[:, column]
                if kind == "position":
                    offset_Tx3[:, axis] = value_T
                else:
                    turn_Tx3x3 = turn_Tx3x3 @ _rotation(axis, np.deg2rad(value_T))
            if node.parent >= 0:
                parent_Tx3x3 = turns_TxNx3x3[:, node.parent]
                offset_Tx3 = np.einsum("tij,tj->ti", parent_Tx3x3, offset_Tx3)
                offset_Tx3 += places_TxNx3[:, node.parent]
                turn_Tx3x3 = parent_Tx3x3 @ turn_Tx3x3
            places_TxNx3[:, i], turns_TxNx3x3[:, i] = offset_Tx3, turn_Tx3x3
        return places_TxNx3, turns_TxNx3x3


def _rotation(axis, angle_T):
    """(T, 3, 3): turning by angle (radians) about one axis of a right-handed system."""
    cos, sin = np.cos(angle_T), np.sin(angle_T)
    turn = np.zeros((len(angle_T), 3, 3))
    turn[:, axis, axis] = 1
    a, b = (axis + 1) % 3, (axis + 2) % 3
    turn[:, a, a], turn[:, a, b], turn[:, b, a], turn[:, b, b] = cos, -sin, sin, cos
    return turn


def read_bvh(path) -> Bvh:
    """A BVH file. ValueError, with the line, for one that is cut off or is not BVH.

    Frames that a cut-off file lacks are an error too: what its last line says is not known.
    """
    text = pathlib.Path(path).read_text(encoding="utf-8-sig", errors="replace")
    if not text.strip():
        raise ValueError("the file is empty")
    header, found, motion = text.partition("MOTION")
    if not found:
        raise ValueError("no line MOTION: not a BVH file, or cut off before its motion")
    nodes, width = _hierarchy(header)
    lines = motion.split("\n")
    first_line = header.count("\n") + 1
    frames, seconds, start = _timing(lines)
    rows = [(i, line) for i, line in enumerate(lines[start:], start) if line.strip()]
    if len(rows) < frames:
        raise ValueError(f"cut off: {frames} frames announced, {len(rows)} there")
    if frames == 0:
        raise ValueError("no frames in it")
    values_TxD = np.empty((frames, width))
    for t, (i, line) in enumerate(rows[:frames]):
        fields = line.split()
        if len(fields) != width:
            raise ValueError(
                f"line {first_line + i}: {len(fields)} numbers, the skeleton has {width} channels"
            )
        try:
            values_TxD[t] = fields
        except ValueError:
            raise ValueError(f"line {first_line + i}: not a number") from None
    return Bvh(nodes, values_TxD, 1 / seconds)


def _timing(lines):
    """Frames, seconds of a frame, and the place of the first line of values."""
    frames = seconds = None
    for i, line in enumerate(lines):
        name, _, value = line.partition(":")
        name = " ".join(name.lower().split())
        try:
            if name == "frames":
                frames = int(value)
            elif name == "frame time":
                seconds = float(value)
        except ValueError:
            raise ValueError(f"{line.strip()!r} does not end in a number") from None
        if frames is not None and seconds is not None:
            if frames < 0 or not 0 < seconds < 10:
                raise ValueError(f"{frames} frames of {seconds} s make no sense")
            return frames, seconds, i + 1
    raise ValueError("no 'Frames:' and 'Frame Time:' after MOTION; cut off?")


def _hierarchy(header):
    """The nodes, and how many channels they have together."""
    nodes, open_nodes, column, pending = [], [], 0, None
    # Some programs put a brace at the end of the line before.
    for line in header.replace("{", "\n{\n").replace("}", "\n}\n").split("\n"):
        kind, *rest = line.split() or [""]
        kind = kind.lower()
        try:
            if kind in ("root", "joint"):
                pending = " ".join(rest)
            elif kind == "end":
                pending = f"{nodes[open_nodes[-1]].name}.end"
            elif kind == "{":
                nodes.append(Node(pending, open_nodes[-1] if open_nodes else -1, np.zeros(3), ()))
                open_nodes.append(len(nodes) - 1)
            elif kind == "}":
                open_nodes.pop()
            elif kind == "offset":
                offset = np.array([float(number) for number in rest])
                if offset.shape != (3,):
                    raise ValueError("an offset has three numbers")
                nodes[open_nodes[-1]] = dataclasses.replace(nodes[open_nodes[-1]], offset_3=offset)
            elif kind == "channels":
                count, *words = rest
                if int(count) != len(words):
                    raise ValueError("another number of channels than it says")
                channels = tuple((*_channel(word), column + k) for k, word in enumerate(words))
                nodes[open_nodes[-1]] = dataclasses.replace(
                    nodes[open_nodes[-1]], channels=channels
                )
                column += len(channels)
            elif kind not in ("", "hierarchy"):
                raise ValueError("not expected in a skeleton")
        except IndexError:
            raise ValueError("the braces of the skeleton do not match") from None
        except ValueError as error:
            raise ValueError(f"{line.strip()!r}: {error}") from None
    if open_nodes or not column:
        raise ValueError("the skeleton is cut off, or its braces do not match")
    return nodes, column


def _channel(word):
    axis, kind = _AXES.get(word[:1].lower()), word[1:].lower()
    if axis is None or kind not in ("position", "rotation"):
        raise ValueError(f"channel {word!r} is not one of X/Y/Zposition, X/Y/Zrotation")
    return kind, axis
