"""A skinned mesh with an animated skeleton as binary glTF 2.0 (Khronos), written by hand.

Shapes in names: T frames, V vertices, F faces, J joints.
"""

import dataclasses
import json
import struct
from collections.abc import Sequence

import numpy as np

from mbjax.body.triangles import vertex_normals

_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_VERTICES, _INDICES = 34962, 34963  # what a buffer view is for


@dataclasses.dataclass(frozen=True, eq=False)
class Skin:
    """One body in motion. turns: axis-angles in radians, relative to the parent; times: seconds.

    rest: joints of the body at rest; trans moves all of it. bone_names: of the J joints. parts:
    [(faces (F, 3), colour (r, g, b))]. A vertex follows its four heaviest joints, as glTF has them;
    their weights are made to sum to 1.
    """

    name: str
    verts_Vx3: np.ndarray
    parts: Sequence[tuple[np.ndarray, tuple[float, float, float]]]
    weights_VxJ: np.ndarray
    rest_Jx3: np.ndarray
    parents: Sequence[int]
    bone_names: Sequence[str]
    turns_TxJx3: np.ndarray
    trans_Tx3: np.ndarray
    times_T: np.ndarray

    def held(self, until: float) -> "Skin":
        """With the first pose from 0 s on, and the last one up to `until`.

        So all players begin a file at the video's first frame and end it at its last.
        """
        times_T = self.times_T
        before, after = int(times_T[0] > 0), int(until > times_T[-1])
        rows = np.pad(np.arange(len(times_T)), (before, after), mode="edge")
        return dataclasses.replace(
            self, turns_TxJx3=self.turns_TxJx3[rows], trans_Tx3=self.trans_Tx3[rows],
            times_T=np.concatenate([[0.0] * before, times_T, [until] * after]),
        )  # fmt: skip


def animated_skins(skins: Sequence[Skin]) -> bytes:
    """The content of a .glb with these bodies, each with a skeleton and one animation of all."""
    file = _Buffer()
    content = {
        "asset": {"version": "2.0", "generator": "mbjax"},
        "scene": 0,
        "scenes": [{"nodes": []}],
        "nodes": [], "meshes": [], "materials": [], "skins": [],
        "animations": [{"name": "motion", "samplers": [], "channels": []}],
    }  # fmt: skip
    for skin in skins:
        _add_skin(file, content, skin)
    content |= {
        "accessors": file.accessors,
        "bufferViews": file.views,
        "buffers": [{"byteLength": len(file.data)}],
    }
    return _container(json.dumps(content).encode(), bytes(file.data))


def _add_skin(file, content, skin):
    nodes, J = content["nodes"], len(skin.parents)
    first = len(nodes)
    for joint, (parent, name) in enumerate(zip(skin.parents, skin.bone_names, strict=True)):
        offset = skin.rest_Jx3[joint] - (skin.rest_Jx3[parent] if parent >= 0 else 0)
        node = {"name": name, "translation": [float(x) for x in offset]}
        children = [first + child for child, p in enumerate(skin.parents) if p == joint]
        nodes.append({**node, "children": children} if children else node)
    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (J, 1, 1))
    inverse_bind[:, 3, :3] = -skin.rest_Jx3  # column-major: the translation is the last row
    content["skins"].append(
        {
            "name": skin.name, "joints": list(range(first, first + J)), "skeleton": first,
            "inverseBindMatrices": file.add(inverse_bind.reshape(J, 16)),
        }
    )  # fmt: skip
    mesh = {"name": skin.name, "primitives": _primitives(file, content, skin)}
    content["meshes"].append(mesh)
    nodes.append(
        {
            "name": skin.name, "mesh": len(content["meshes"]) - 1,
            "skin": len(content["skins"]) - 1,
        }
    )  # fmt: skip
    content["scenes"][0]["nodes"] += [first, first + J]
    times = file.add(np.asarray(skin.times_T, np.float32).reshape(-1, 1), bounds=True)
    moved = np.asarray(skin.trans_Tx3, np.float32) + np.asarray(skin.rest_Jx3[0], np.float32)
    outputs = [(first + joint, "rotation", file.add(_quaternions(skin.turns_TxJx3[:, joint])))
               for joint in range(J)]  # fmt: skip
    outputs.append((first, "translation", file.add(moved)))
    animation = content["animations"][0]
    for node, path, output in outputs:
        sampler = {"sampler": len(animation["samplers"]), "target": {"node": node, "path": path}}
        animation["samplers"].append({"input": times, "output": output})
        animation["channels"].append(sampler)


def _primitives(file, content, skin):
    heaviest = np.argsort(-skin.weights_VxJ, axis=1, kind="stable")[:, :4]
    weights = np.take_along_axis(np.asarray(skin.weights_VxJ, np.float32), heaviest, axis=1)
    # Where a vertex follows fewer than four, the rest point at joint 0, as the format wants.
    heaviest = np.where(weights > 0, heaviest, 0)
    weights = weights / weights.sum(1, keepdims=True)
    faces_Fx3 = np.concatenate([faces for faces, _ in skin.parts])
    normals_Vx3 = vertex_normals(np.asarray(skin.verts_Vx3, np.float64), faces_Fx3)
    attributes = {
        "POSITION": file.add(np.asarray(skin.verts_Vx3, np.float32), _VERTICES, bounds=True),
        "NORMAL": file.add(normals_Vx3.astype(np.float32), _VERTICES),
        "JOINTS_0": file.add(heaviest.astype(np.uint16), _VERTICES),
        "WEIGHTS_0": file.add(weights, _VERTICES),
    }
    primitives = []
    for faces, colour in skin.parts:
        indices = file.add(faces.astype(np.uint32).reshape(-1, 1), _INDICES)
        surface = {"baseColorFactor": [*colour, 1], "metallicFactor": 0, "roughnessFactor": 0.9}
        content["materials"].append({"pbrMetallicRoughness": surface})
        material = len(content["materials"]) - 1
        primitives.append({"attributes": attributes, "indices": indices, "material": material})
    return primitives


class _Buffer:
    """One binary buffer and the accessors into it."""

    def __init__(self):
        self.data, self.views, self.accessors = bytearray(), [], []

    def add(self, array, target=None, bounds=False) -> int:
        """array (N, components); returns the accessor's number."""
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        self.views.append({**view, "target": target} if target else view)
        self.data += np.ascontiguousarray(array).tobytes()
        self.data += bytes(-len(self.data) % 4)
        kind = {"f": _FLOAT, "u": _USHORT if array.itemsize == 2 else _UINT}[array.dtype.kind]
        accessor = {
            "bufferView": len(self.views) - 1, "componentType": kind, "count": len(array),
            "type": _TYPES[array.shape[1]],
        }  # fmt: skip
        if bounds:
            accessor |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _quaternions(turns_Tx3):
    """(T, 4) x, y, z, w, each next to the one before, so that players go the short way."""
    turns = np.asarray(turns_Tx3, np.float64)
    angle = np.linalg.norm(turns, axis=1, keepdims=True)
    share = np.where(angle > 1e-8, np.sin(angle / 2) / np.where(angle > 1e-8, angle, 1), 0.5)
    quaternions = np.concatenate([turns * share, np.cos(angle / 2)], axis=1)
    same_way = np.sum(quaternions[1:] * quaternions[:-1], axis=1) >= 0
    signs = np.cumprod(np.concatenate([[1], np.where(same_way, 1, -1)]))
    return (quaternions * signs[:, None]).astype(np.float32)


def _container(text: bytes, data: bytes) -> bytes:
    text += b" " * (-len(text) % 4)
    chunks = [(b"JSON", text), (b"BIN\0", data)]
    body = b"".join(struct.pack("<I", len(c)) + kind + c for kind, c in chunks)
    return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body
