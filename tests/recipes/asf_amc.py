"""Small ASF and AMC files in the layout of the CMU database, and the same motion as BVH."""

import numpy as np
from scipy.spatial.transform import Rotation

# bone: (parent, direction, length, axis, channels, its name in the BVH conversion). The database's
# names, other numbers.
BONES = {
    "lhipjoint": ("root", (0.6, -0.7, 0.3), 2.4, (0, 0, 0), "", "LHipJoint"),
    "lfemur": ("lhipjoint", (0.34, -0.94, 0.0), 7.1, (0, 0, 20), "rx ry rz", "LeftUpLeg"),
    "ltibia": ("lfemur", (0.34, -0.94, 0.0), 7.4, (0, 0, 20), "rx", "LeftLeg"),
    "lfoot": ("ltibia", (0.1, -0.2, 0.97), 2.2, (-90, 0, 20), "rx rz", "LeftFoot"),
    "rhipjoint": ("root", (-0.6, -0.7, 0.3), 2.4, (0, 0, 0), "", "RHipJoint"),
    "rfemur": ("rhipjoint", (-0.34, -0.94, 0.0), 7.0, (0, 0, -20), "rx ry rz", "RightUpLeg"),
    "rtibia": ("rfemur", (-0.34, -0.94, 0.0), 7.5, (0, 0, -20), "rx", "RightLeg"),
    "rfoot": ("rtibia", (-0.1, -0.2, 0.97), 2.2, (-90, 0, -20), "rx rz", "RightFoot"),
    "lowerback": ("root", (0.0, 1.0, -0.05), 2.1, (0, 0, 0), "rx ry rz", "LowerBack"),
    "upperback": ("lowerback", (0.02, 1.0, 0.0), 2.0, (0, 0, 0), "rx ry rz", "Spine"),
    "thorax": ("upperback", (0.0, 1.0, 0.03), 2.0, (0, 0, 0), "rx ry rz", "Spine1"),
    "lowerneck": ("thorax", (0.0, 0.98, 0.1), 1.6, (0, 0, 0), "rx ry rz", "Neck"),
    "upperneck": ("lowerneck", (0.0, 1.0, -0.1), 1.7, (0, 0, 0), "rx ry rz", "Neck1"),
    "head": ("upperneck", (0.0, 1.0, 0.05), 1.7, (0, 0, 0), "rx ry rz", "Head"),
    "lclavicle": ("thorax", (0.9, 0.4, 0.0), 3.4, (0, 0, 0), "ry rz", "LeftShoulder"),
    "lhumerus": ("lclavicle", (1.0, 0.0, 0.05), 4.9, (180, 30, 90), "rx ry rz", "LeftArm"),
    "lradius": ("lhumerus", (1.0, 0.02, 0.0), 3.3, (180, 30, 90), "rx", "LeftForeArm"),
    "lwrist": ("lradius", (1.0, 0.0, 0.0), 1.6, (180, 30, 90), "ry", "LeftHand"),
    "rclavicle": ("thorax", (-0.9, 0.4, 0.0), 3.4, (0, 0, 0), "ry rz", "RightShoulder"),
    "rhumerus": ("rclavicle", (-1.0, 0.0, 0.05), 4.8, (180, -30, -90), "rx ry rz", "RightArm"),
    "rradius": ("rhumerus", (-1.0, 0.02, 0.0), 3.4, (180, -30, -90), "rx", "RightForeArm"),
    "rwrist": ("rradius", (-1.0, 0.0, 0.0), 1.6, (180, -30, -90), "ry", "RightHand"),
}  # fmt: skip


def write_asf(path):
    lines = ["# made up", ":version 1.10", ":name VICON", ":units", "  mass 1.0", "  length 0.45",
             "  angle deg", ":documentation", "   none", ":root", "   order TX TY TZ RX RY RZ",
             "   axis XYZ", "   position 0 0 0", "   orientation 0 0 0", ":bonedata"]  # fmt: skip
    for number, (name, (_, way, length, axis, dof, _)) in enumerate(BONES.items(), start=1):
        lines += ["  begin", f"     id {number}", f"     name {name}",
                  "     direction " + " ".join(map(str, way)), f"     length {length}",
                  f"    axis {axis[0]} {axis[1]} {axis[2]}  XYZ"]  # fmt: skip
        if dof:
            lines += [f"    dof {dof}", "    limits (-160.0 20.0)"]
            lines += ["           (-70.0 70.0)"] * (len(dof.split()) - 1)
        lines.append("  end")
    lines += [":hierarchy", "  begin"]
    for parent in ("root", *BONES):
        children = [name for name, bone in BONES.items() if bone[0] == parent]
        if children:
            lines.append(f"    {parent} {' '.join(children)}")
    path.write_text("\n".join([*lines, "  end"]) + "\n")


def values(frames, seed=0):
    """Smooth angles of each bone in degrees, and the root's way, {bone: (frames, channels)}."""
    rng, t = np.random.default_rng(seed), np.arange(frames)[:, None] / 120
    found = {
        "root": np.concatenate([[[1.0, 17, 0]] + t * [5, 0.2, 3], 20 * np.sin(t + [0, 1, 2])], 1)
    }
    for name, (*_, dof, _) in BONES.items():
        count = len(dof.split())
        if count:
            found[name] = 15 * np.sin(t * rng.uniform(1, 3, count) + rng.uniform(0, 6, count))
    return found


def write_amc(path, found):
    lines = ["#!OML:ASF made up", ":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(len(found["root"])):
        lines.append(str(frame + 1))
        for name, rows in found.items():
            lines.append(f"{name} {' '.join(f'{value:.10g}' for value in rows[frame])}")
    path.write_text("\n".join(lines) + "\n")


def _turned(name, rows):
    """How a bone's own channels turn what hangs on it, by the definition, (frames, 3, 3)."""
    turns = np.tile(np.eye(3), (len(rows), 1, 1))
    if name == "root":
        axis, channels, rows = (0, 0, 0), ("rx", "ry", "rz"), rows[:, 3:]
    else:
        axis, channels = BONES[name][3], BONES[name][4].split()
    for channel, degrees in zip(channels, rows.T, strict=True):
        turns = Rotation.from_euler(channel[1], degrees[:, None], degrees=True).as_matrix() @ turns
    own = np.eye(3)
    for letter, degrees in zip("xyz", axis, strict=True):
        own = Rotation.from_euler(letter, degrees, degrees=True).as_matrix() @ own
    return own @ turns @ own.T


def write_bvh(path, found, fps=120.0):
    """The same motion under the conversion's names, with a calibration pose before it."""
    lines, columns, frames = ["HIERARCHY"], [], len(found["root"])

    def emit(name, offset, depth):
        pad, bvh = "  " * depth, BONES[name][5] if name != "root" else "Hips"
        lines.extend([f"{pad}{'JOINT' if depth else 'ROOT'} {bvh}", pad + "{"])
        lines.append(f"{pad}  OFFSET {' '.join(f'{value:.10g}' for value in offset)}")
        place = "" if depth else "Xposition Yposition Zposition "
        count = 3 if depth else 6
        lines.append(f"{pad}  CHANNELS {count} {place}Zrotation Yrotation Xrotation")
        if not depth:
            columns.append(found["root"][:, :3])
        turns = _turned(name, found[name]) if name in found else np.tile(np.eye(3), (frames, 1, 1))
        columns.append(Rotation.from_matrix(turns).as_euler("ZYX", degrees=True))
        end = np.zeros(3)
        if depth:
            way = np.array(BONES[name][1])
            end = BONES[name][2] * way / np.linalg.norm(way)
        children = [child for child, bone in BONES.items() if bone[0] == name]
        for child in children:
            emit(child, end, depth + 1)
        if not children:
            numbers = " ".join(f"{value:.10g}" for value in end)
            lines.extend(
                [f"{pad}  End Site", f"{pad}  {{", f"{pad}    OFFSET {numbers}", f"{pad}  }}"]
            )
        lines.append(pad + "}")

    emit("root", np.zeros(3), 0)
    rows = np.concatenate(columns, axis=1)
    rows = np.concatenate([np.zeros((1, rows.shape[1])), rows])
    lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / fps:.8f}"]
    lines += [" ".join(f"{value:.10g}" for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")
