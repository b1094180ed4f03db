"""A plain body round a rig: one capsule to a bone, which moves with that bone alone.

Shapes in names: B bones (mbjax.motion.rig.BONES), V vertices, F faces. y up, metres, in the T-pose.
"""

import numpy as np

from mbjax.motion.rig import BONE, BONES, Animation

# Radius where a bone begins and where it ends, in thousandths of stature.
_RADII = {
    "hips": (62, 62), "spine": (62, 66), "chest": (66, 60), "neck": (30, 30), "head": (50, 42),
    "shoulder": (36, 34), "upper_arm": (29, 24), "forearm": (23, 17), "hand": (18, 14),
    "thigh": (48, 33), "shin": (32, 21), "foot": (22, 22), "toes": (21, 14),
}  # fmt: skip
_AROUND, _CAP = 12, 3  # corners of a ring, rings of each rounded end


def mesh(animation: Animation, height: float):
    """Vertices (V, 3), the bone of each (V,), and {"left", "right", "middle": faces (F, 3)}."""
    rest_Bx3 = animation.rest_positions()
    pieces = []
    for bone, name in enumerate(BONES):
        start_3, radii = rest_Bx3[bone], _RADII[name.split("_", 1)[-1] if "_" in name else name]
        pieces.append((bone, start_3, start_3 + animation.ends_Bx3[bone], *radii))
    hips = [rest_Bx3[BONE[f"{side}_thigh"]] for side in ("left", "right")]
    pieces.append((BONE["hips"], *hips, 50, 50))
    verts, bones, faces, count = [], [], {"left": [], "right": [], "middle": []}, 0
    for bone, start_3, end_3, begin, finish in pieces:
        verts_Vx3, faces_Fx3 = _capsule(
            start_3, end_3, begin * height / 1000, finish * height / 1000
        )
        side = BONES[bone].partition("_")[0]
        faces[side if side in faces else "middle"].append(faces_Fx3 + count)
        verts.append(verts_Vx3)
        bones.append(np.full(len(verts_Vx3), bone))
        count += len(verts_Vx3)
    return (
        np.concatenate(verts), np.concatenate(bones),
        {side: np.concatenate(parts) for side, parts in faces.items()},
    )  # fmt: skip


def _capsule(start_3, end_3, begin, finish):
    """A rod from start to end, as thick as `begin` and `finish`, with rounded ends, closed."""
    along_3 = end_3 - start_3
    length = np.linalg.norm(along_3)
    along_3 = along_3 / length if length > 1e-9 else np.array([0.0, 1.0, 0.0])
    across_3 = np.cross(along_3, np.eye(3)[np.abs(along_3).argmin()])
    across_3 /= np.linalg.norm(across_3)
    ring = 2 * np.pi * np.arange(_AROUND) / _AROUND
    circle_Nx3 = np.outer(np.cos(ring), across_3) + np.outer(
        np.sin(ring), np.cross(along_3, across_3)
    )
    angles = np.linspace(0, np.pi / 2, _CAP + 1)[1:]
    rings = [start_3 - begin * along_3]
    rings += [
        start_3 - begin * np.cos(a) * along_3 + begin * np.sin(a) * circle_Nx3 for a in angles
    ]
    rings += [end_3 + finish * np.cos(a) * along_3 + finish * np.sin(a) * circle_Nx3
              for a in angles[::-1]]  # fmt: skip
    rings.append(end_3 + finish * along_3)
    verts_Vx3 = np.concatenate([np.atleast_2d(part) for part in rings])
    last, faces = len(verts_Vx3) - 1, []
    for i in range(_AROUND):
        j = (i + 1) % _AROUND
        faces.append((0, 1 + j, 1 + i))
        for row in range(2 * _CAP - 1):
            a, b = 1 + row * _AROUND, 1 + (row + 1) * _AROUND
            faces += [(a + i, a + j, b + i), (a + j, b + j, b + i)]
        a = 1 + (2 * _CAP - 1) * _AROUND
        faces.append((a + i, a + j, last))
    return verts_Vx3, np.array(faces)
