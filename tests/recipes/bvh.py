"""Small BVH files in the layout of the CMU conversion, and another way to their positions."""

import numpy as np

# name: (parent, offset). CMU's names, other numbers.
SKELETON = {
    "Hips": (None, (0.0, 0.0, 0.0)),
    "LeftUpLeg": ("Hips", (1.4, -1.8, 0.8)),
    "LeftLeg": ("LeftUpLeg", (2.4, -6.7, 0.0)),
    "LeftFoot": ("LeftLeg", (2.6, -7.0, 0.0)),
    "RightUpLeg": ("Hips", (-1.3, -1.8, 0.8)),
    "RightLeg": ("RightUpLeg", (-2.5, -7.0, 0.0)),
    "RightFoot": ("RightLeg", (-2.6, -7.1, 0.1)),
    "Spine": ("Hips", (0.0, 2.0, -0.2)),
    "Neck1": ("Spine", (0.0, 3.8, 0.1)),
    "Head": ("Neck1", (0.1, 1.8, -0.1)),
    "LeftArm": ("Spine", (3.4, 3.2, -0.3)),
    "LeftForeArm": ("LeftArm", (5.0, 0.0, 0.0)),
    "LeftHand": ("LeftForeArm", (3.5, 0.0, 0.0)),
    "RightArm": ("Spine", (-3.1, 3.4, -0.4)),
    "RightForeArm": ("RightArm", (-5.2, 0.0, 0.0)),
    "RightHand": ("RightForeArm", (-3.4, 0.0, 0.0)),
}
END_OF = {"Head": (0.0, 1.8, -0.1)}
_LEAF_END = (0.0, -1.0, 0.0)


def channel_order(i, orders):
    return orders[i % len(orders)]


def write(path, frames, *, seed=0, fps=120.0, orders=("ZYX", "XYZ", "YZX"), announce=None):
    """Writes smooth random motion of `frames` rows; returns the values (frames, channels).

    announce: the number of frames that the header claims.
    """
    names = list(SKELETON)
    lines, width = ["HIERARCHY"], 0

    def emit(name, depth):
        nonlocal width
        pad = "\t" * depth
        parent, offset = SKELETON[name]
        order = channel_order(names.index(name), orders)
        lines.append(f"{pad}{'JOINT' if parent else 'ROOT'} {name}")
        lines.append(pad + "{")
        lines.append(f"{pad}\tOFFSET {offset[0]} {offset[1]} {offset[2]}")
        rotations = " ".join(f"{axis}rotation" for axis in order)
        place = "Xposition Yposition Zposition " if parent is None else ""
        lines.append(f"{pad}\tCHANNELS {3 + 3 * (parent is None)} {place}{rotations}")
        width += 3 + 3 * (parent is None)
        children = [child for child in names if SKELETON[child][0] == name]
        for child in children:
            emit(child, depth + 1)
        if not children:
            end = END_OF.get(name, _LEAF_END)
            lines.append(f"{pad}\tEnd Site\n{pad}\t{{\n{pad}\t\tOFFSET {end[0]} {end[1]} {end[2]}")
            lines.append(pad + "\t}")
        lines.append(pad + "}")

    emit("Hips", 0)
    rng = np.random.default_rng(seed)
    # A few slow waves: no joint jumps.
    t = np.arange(frames)[:, None] / fps
    speed, phase = rng.uniform(0.5, 2, width), rng.uniform(0, 6, width)
    values = rng.uniform(5, 20, width) * np.sin(speed * t + phase)
    values[:, :3] = np.array([3.0, 18.0, -2.0]) + 4 * np.sin(t * [0.5, 0.1, 0.7])
    lines += ["MOTION", f"Frames: {frames if announce is None else announce}"]
    lines += [f"Frame Time: {1 / fps:.7f}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in values]
    path.write_text("\n".join(lines) + "\n")
    return values


def depth_first():
    """Names in the order of the file's channels: depth first."""
    found = []

    def visit(name):
        found.append(name)
        for child in SKELETON:
            if SKELETON[child][0] == name:
                visit(child)

    visit("Hips")
    return found


def positions(values, orders=("ZYX", "XYZ", "YZX")):
    """{name: (T, 3)}: by quaternions, where the reader uses matrices."""
    turns, places, column = {}, {}, 3
    for name in depth_first():
        parent, offset = SKELETON[name]
        turn = np.tile([1.0, 0, 0, 0], (len(values), 1))
        for axis in channel_order(list(SKELETON).index(name), orders):
            half = np.deg2rad(values[:, column]) / 2
            q = np.zeros((len(values), 4))
            q[:, 0], q[:, 1 + "XYZ".index(axis)] = np.cos(half), np.sin(half)
            turn, column = _times(turn, q), column + 1
        if parent is None:
            turns[name], places[name] = turn, values[:, :3]
            continue
        turns[name] = _times(turns[parent], turn)
        places[name] = places[parent] + rotate(turns[parent], np.array(offset))
        if name in END_OF:
            places[name + ".end"] = places[name] + rotate(turns[name], np.array(END_OF[name]))
            places[name + ".ahead"] = rotate(turns[name], np.array([0, 0, 1.0]))
    return places


def _times(p, q):
    pw, pv, qw, qv = p[:, :1], p[:, 1:], q[:, :1], q[:, 1:]
    scalar = pw * qw - np.sum(pv * qv, axis=1, keepdims=True)
    return np.concatenate([scalar, pw * qv + qw * pv + np.cross(pv, qv)], axis=1)


def rotate(q, vector):
    w, v = q[:, :1], q[:, 1:]
    across = 2 * np.cross(v, np.broadcast_to(vector, v.shape))
    return vector + w * across + np.cross(v, across)
