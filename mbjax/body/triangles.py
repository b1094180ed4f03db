"""Triangle meshes: a closed surface from a distance function, normals, fewer vertices.

Shapes in names: V vertices, F faces, N points. Faces are counter-clockwise seen from outside.
"""

import heapq
from collections.abc import Callable

import numpy as np


def closed_surface(
    distance: Callable[[np.ndarray], np.ndarray], low, high, cell: float
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and faces (F, 3) of where `distance` is zero, by surface nets.

    distance: points (N, 3) -> signed distances (N,), negative inside, nowhere greater than the
    true one. low, high: corners of a box that holds the surface. cell: edge of the grid's cells.
    (Gibson, MICCAI 1998: a vertex in each cell that the surface passes, a quad across each edge
    that it cuts.)
    """
    axes = [np.arange(a, b + cell, cell) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    values = _near_surface(distance, grid, cell)
    inside = values < 0
    shape = tuple(n - 1 for n in inside.shape)  # of the cells
    total, count = np.zeros((*shape, 3)), np.zeros(shape)
    cuts = []
    for axis in range(3):
        first = [slice(None)] * 3
        second = [slice(None)] * 3
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        a, b = values[tuple(first)], values[tuple(second)]
        cut = inside[tuple(first)] != inside[tuple(second)]
        share = np.where(cut, a / np.where(cut, a - b, 1), 0)
        points = grid[tuple(first)].copy()
        points[..., axis] += share * cell
        cuts.append((cut, inside[tuple(first)]))
        # An edge along `axis` belongs to the four cells round it.
        u, v = ((axis + 1) % 3, (axis + 2) % 3)
        for du in (0, 1):
            for dv in (0, 1):
                edge, place = [slice(None)] * 3, [slice(None)] * 3
                for other, offset in ((u, du), (v, dv)):
                    edge[other] = slice(offset, inside.shape[other] - 1 + offset)
                    place[other] = slice(0, shape[other])
                some = cut[tuple(edge)]
                total[tuple(place)] += points[tuple(edge)] * some[..., None]
                count[tuple(place)] += some
    number = np.full(shape, -1)
    used = count > 0
    number[used] = np.arange(used.sum())
    verts = total[used] / count[used][:, None]
    faces = []
    for axis, (cut, first_inside) in enumerate(cuts):
        u, v = ((axis + 1) % 3, (axis + 2) % 3)
        place = np.argwhere(cut)
        place = place[(place[:, u] > 0) & (place[:, v] > 0)]
        outward = first_inside[tuple(place.T)]
        corners = []
        for du, dv in ((1, 1), (0, 1), (0, 0), (1, 0)):
            index = place.copy()
            index[:, u] -= du
            index[:, v] -= dv
            corners.append(number[tuple(index.T)])
        quads = np.stack(corners, axis=1)
        quads = np.where(outward[:, None], quads, quads[:, ::-1])
        faces.append(_halved(verts, quads))
    for _ in range(4):  # the nets' vertices lie near the surface: bring them onto it
        verts = _onto(distance, verts, cell)
    return verts, np.concatenate(faces)


def _near_surface(distance, grid, cell):
    """Distances at the grid's points; far from the surface those of a point near by."""
    places = [np.minimum((np.arange(n) + 2) // 4 * 4, (n - 1) // 4 * 4) for n in grid.shape[:3]]
    coarse = grid[::4, ::4, ::4]
    rough = distance(coarse.reshape(-1, 3)).reshape(coarse.shape[:3])
    values = rough[np.ix_(*(place // 4 for place in places))]
    # At most 3 cells away along each axis (at the far ends), where the distance differs by less.
    near = abs(values) < 3 * 3**0.5 * cell
    values[near] = distance(grid[near])
    return values


def _halved(verts, quads):
    """Each quad as two triangles, along its shorter diagonal."""
    a, b, c, d = (verts[quads[:, i]] for i in range(4))
    straight = np.linalg.norm(a - c, axis=1) <= np.linalg.norm(b - d, axis=1)
    one = np.where(straight[:, None], quads[:, [0, 1, 2]], quads[:, [1, 2, 3]])
    two = np.where(straight[:, None], quads[:, [0, 2, 3]], quads[:, [1, 3, 0]])
    return np.concatenate([one, two])


def _onto(distance, verts, cell):
    step = 0.05 * cell
    slope = np.stack(
        [(distance(verts + e) - distance(verts - e)) / (2 * step) for e in step * np.eye(3)], axis=1
    )
    by = distance(verts) / np.maximum((slope**2).sum(1), 1e-6)
    return verts - np.clip(by, -cell / 2, cell / 2)[:, None] * slope


def vertex_normals(verts_Vx3: np.ndarray, faces_Fx3: np.ndarray) -> np.ndarray:
    """Unit normals (V, 3), faces weighing by their area; zero where a vertex has no face."""
    a, b, c = (verts_Vx3[faces_Fx3[:, i]] for i in range(3))
    normals = np.zeros((len(verts_Vx3), 3))
    across = np.cross(b - a, c - a)
    for i in range(3):
        np.add.at(normals, faces_Fx3[:, i], across)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 0, normals / np.where(length > 0, length, 1), 0)


def decimate(verts_Vx3, faces_Fx3, num_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """The mesh with num_vertices vertices: its shortest edges, one after another, become a point.

    The surface stays closed and of the same genus (an edge whose ends have more than two
    neighbours in common is kept), and no face turns over. ValueError where that cannot be done.
    """
    if num_vertices < 4:
        raise ValueError(f"a closed surface cannot be brought to {num_vertices} vertices")
    verts = [v for v in np.asarray(verts_Vx3, np.float64)]
    faces = [tuple(f) for f in np.asarray(faces_Fx3).tolist()]
    round_ = [set() for _ in verts]  # faces of each vertex
    for number, face in enumerate(faces):
        for v in face:
            round_[v].add(number)

    def neighbours(v):
        return {w for number in round_[v] for w in faces[number]} - {v}

    def length(a, b):
        return float(np.linalg.norm(verts[a] - verts[b]))

    heap = [
        (length(a, b), a, b)
        for f in faces
        for a, b in ((f[0], f[1]), (f[1], f[2]), (f[2], f[0]))
        if a < b
    ]
    heapq.heapify(heap)
    left = len(verts)
    while left > num_vertices:
        if not heap:
            raise ValueError(f"the mesh cannot be brought to {num_vertices} vertices")
        was, a, b = heapq.heappop(heap)
        if not round_[a] or not round_[b] or not round_[a] & round_[b] or was != length(a, b):
            continue  # gone, or its ends have moved since
        if len(neighbours(a) & neighbours(b)) != 2:
            continue
        middle = (verts[a] + verts[b]) / 2
        shared = round_[a] & round_[b]
        if any(
            _turns_over(verts, faces[f], (a, b), middle) for f in (round_[a] | round_[b]) - shared
        ):
            continue
        for f in shared:
            for v in faces[f]:
                round_[v].discard(f)
        for f in round_[b]:
            faces[f] = tuple(a if v == b else v for v in faces[f])
        round_[a] |= round_[b]
        round_[b] = set()
        verts[a] = middle
        left -= 1
        for v in neighbours(a):
            heapq.heappush(heap, (length(a, v), min(a, v), max(a, v)))
    kept = [v for v in range(len(verts)) if round_[v]]
    number = {v: i for i, v in enumerate(kept)}
    live = sorted({f for v in kept for f in round_[v]})
    return (
        np.array([verts[v] for v in kept]),
        np.array([[number[v] for v in faces[f]] for f in live]),
    )


def _turns_over(verts, face, moved, place):
    old = [verts[v] for v in face]
    new = [place if v in moved else verts[v] for v in face]
    before, after = (_across(*corners) for corners in (old, new))
    return sum(x * y for x, y in zip(before, after, strict=True)) <= 0


def _across(a, b, c):
    (ux, uy, uz), (vx, vy, vz) = (b - a).tolist(), (c - a).tolist()
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
