"""A skinned mesh with an animated skeleton as binary glTF 2.0 (Khronos), written by hand.

Shapes in names: T frames, V vertices, F faces, J joints.
"""

import json
import struct

import numpy as np

from mbjax.body.triangles import vertex_normals

_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_VERTICES, _INDICES = 34962, 34963  # what a buffer view is for


def animated_skin(
    verts_Vx3, faces_Fx3, weights_VxJ, rest_Jx3, parents, turns_TxJx3, trans_Tx3, times_T
) -> bytes:
    """The file's content. turns: axis-angles in radians, relative to the parent; times: seconds.

    rest: joints of the body at rest; trans moves all of it. A vertex follows its four heaviest
    joints, as glTF has them; their weights are made to sum to 1.
    """
    file = _Buffer()
    J = len(parents)
    heaviest = np.argsort(-weights_VxJ, axis=1, kind="stable")[:, :4]
    weights = np.take_along_axis(np.asarray(weights_VxJ, np.float32), heaviest, axis=1)
    weights = weights / weights.sum(1, keepdims=True)
    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (J, 1, 1))
    inverse_bind[:, 3, :3] = -rest_Jx3  # column-major: the translation is the last row
    attributes = {
        "POSITION": file.add(np.asarray(verts_Vx3, np.float32), _VERTICES, bounds=True),
        "NORMAL": file.add(
            vertex_normals(np.asarray(verts_Vx3, np.float64), faces_Fx3).astype(np.float32),
            _VERTICES,
        ),
        "JOINTS_0": file.add(heaviest.astype(np.uint16), _VERTICES),
        "WEIGHTS_0": file.add(weights, _VERTICES),
    }
    indices = file.add(faces_Fx3.astype(np.uint32).reshape(-1, 1), _INDICES)
    nodes = []
    for joint, parent in enumerate(parents):
        offset = rest_Jx3[joint] - (rest_Jx3[parent] if parent >= 0 else 0)
        node = {"name": f"joint_{joint}", "translation": [float(x) for x in offset]}
        children = [child for child, p in enumerate(parents) if p == joint]
        nodes.append({**node, "children": children} if children else node)
    nodes.append({"name": "body", "mesh": 0, "skin": 0})
    times = file.add(np.asarray(times_T, np.float32).reshape(-1, 1), bounds=True)
    outputs = [(joint, "rotation", file.add(_quaternions(turns_TxJx3[:, joint])))
               for joint in range(J)]  # fmt: skip
    moved = np.asarray(trans_Tx3, np.float32) + np.asarray(rest_Jx3[0], np.float32)
    outputs.append((0, "translation", file.add(moved)))
    content = {
        "asset": {"version": "2.0", "generator": "mbjax"},
        "scene": 0,
        "scenes": [{"nodes": [0, J]}],
        "nodes": nodes,
        "meshes": [{"primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [0.77, 0.67, 0.59, 1],
                                                "metallicFactor": 0, "roughnessFactor": 0.9}}],
        "skins": [{"joints": list(range(J)), "skeleton": 0,
                   "inverseBindMatrices": file.add(inverse_bind.reshape(J, 16))}],
        "animations": [{
            "samplers": [{"input": times, "output": output} for _, _, output in outputs],
            "channels": [{"sampler": i, "target": {"node": node, "path": path}}
                         for i, (node, path, _) in enumerate(outputs)],
        }],
        "accessors": file.accessors,
        "bufferViews": file.views,
        "buffers": [{"byteLength": len(file.data)}],
    }  # fmt: skip
    return _container(json.dumps(content).encode(), bytes(file.data))


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
