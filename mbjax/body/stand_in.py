"""A body with the layout of SMPL, made by formulas: for tests and demonstrations without licence.

24 joints, 10 shape coefficients, 6,890 vertices and 13,776 faces in one closed surface, pose blend
shapes, skinning weights, and a regressor of the 17 joints. It is the rounded union of capsules
round a skeleton in a T pose: y up, the face towards +z, the left arm towards +x, metres, origin
between the hips. Nothing of it is measured on people: no error on it says anything about them.

Shapes in names: V vertices, F faces, J joints (24), S segments (capsules), N points, P = 207.
"""

import functools

import numpy as np

from mbjax.body.triangles import closed_surface, decimate, vertex_normals

NAME = "synthetic"
NUM_VERTICES = 6890

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)

# Left joints and those in the middle, in the order of SMPL; right ones are their mirror image.
_PLACES = {
    0: (0.0, 0.0, 0.0), 1: (0.085, -0.07, 0.0), 3: (0.0, 0.11, -0.015), 4: (0.095, -0.48, 0.0),
    6: (0.0, 0.23, -0.015), 7: (0.095, -0.88, -0.025), 9: (0.0, 0.31, -0.005),
    10: (0.105, -0.935, 0.095), 12: (0.0, 0.50, -0.02), 13: (0.075, 0.42, -0.01),
    15: (0.0, 0.58, 0.005), 16: (0.175, 0.435, -0.015), 18: (0.445, 0.43, -0.025),
    20: (0.695, 0.435, -0.025), 22: (0.785, 0.43, -0.025),
}  # fmt: skip
_RIGHT_OF = {1: 2, 4: 5, 7: 8, 10: 11, 13: 14, 16: 17, 18: 19, 20: 21, 22: 23}

# Capsules: (joint that moves it, one end, its radius, other end, its radius); those with x > 0 have
# a mirror image.
_CAPSULES = (
    (0, (0.075, -0.045, -0.01), 0.095, (0.055, 0.11, 0.0), 0.092),
    (1, (0.085, -0.07, 0.0), 0.085, (0.095, -0.48, 0.005), 0.052),
    (4, (0.095, -0.48, 0.005), 0.052, (0.095, -0.88, -0.025), 0.037),
    (4, (0.095, -0.52, -0.015), 0.046, (0.095, -0.70, -0.02), 0.044),
    (7, (0.095, -0.88, -0.025), 0.037, (0.105, -0.935, 0.095), 0.034),
    (7, (0.095, -0.925, -0.035), 0.036, (0.105, -0.935, 0.06), 0.036),
    (10, (0.105, -0.938, 0.095), 0.033, (0.110, -0.945, 0.145), 0.026),
    (3, (0.055, 0.11, 0.0), 0.092, (0.060, 0.23, 0.0), 0.097),
    (6, (0.060, 0.23, 0.0), 0.097, (0.070, 0.31, 0.005), 0.100),
    (9, (0.070, 0.31, 0.005), 0.100, (0.075, 0.40, -0.005), 0.078),
    (12, (0.0, 0.44, -0.025), 0.058, (0.0, 0.58, 0.0), 0.056),
    (13, (0.075, 0.42, -0.01), 0.062, (0.175, 0.435, -0.015), 0.056),
    (16, (0.175, 0.435, -0.015), 0.056, (0.445, 0.43, -0.025), 0.041),
    (18, (0.445, 0.43, -0.025), 0.041, (0.695, 0.435, -0.025), 0.030),
    (20, (0.695, 0.435, -0.025), 0.030, (0.785, 0.43, -0.025), 0.037),
    (22, (0.785, 0.43, -0.025), 0.035, (0.855, 0.428, -0.02), 0.025),
    (15, (0.0, 0.635, 0.035), 0.072, (0.0, 0.725, 0.0), 0.092),
    (15, (0.0, 0.660, 0.105), 0.020, (0.0, 0.635, 0.115), 0.020),
)  # fmt: skip
_ROUNDING = 0.010  # metres over which capsules melt into each other
_CELL = 0.0182  # of the grid that the surface is cut from: a few vertices more than wanted

# The 17 joints on the body at rest; left ones and those in the middle, by their number there.
_SEVENTEEN = {
    0: (0.0, -0.07, 0.0), 4: _PLACES[1], 5: _PLACES[4], 6: _PLACES[7], 7: (0.0, 0.19, -0.015),
    8: (0.0, 0.47, -0.02), 9: (0.0, 0.655, 0.115), 10: (0.0, 0.80, -0.005), 11: _PLACES[16],
    12: _PLACES[18], 13: _PLACES[20],
}  # fmt: skip
_SEVENTEEN_RIGHT_OF = {4: 1, 5: 2, 6: 3, 11: 14, 12: 15, 13: 16}

# In what a joint moves for one unit of a coefficient, metres, left side: {joint: (x, y, z)}; a
# joint moves those below it along.
_STRETCHES = {
    2: {4: (0, -0.016, 0), 7: (0, -0.016, 0)},  # legs
    3: {18: (0.012, 0, 0), 20: (0.012, 0, 0)},  # arms
    4: {3: (0, 0.006, 0), 6: (0, 0.006, 0), 9: (0, 0.006, 0)},  # trunk
    5: {13: (0.004, 0, 0), 16: (0.009, 0, 0)},  # shoulders
    6: {1: (0.009, 0, 0)},  # hips
}
# In what the surface moves outwards for one unit, metres: {joint: by so much}.
_TRUNK, _LIMBS = (0, 3, 6, 9), (1, 2, 4, 5, 16, 17, 18, 19)
_GIRTHS = {
    1: {**dict.fromkeys(_TRUNK, 0.012), **dict.fromkeys(_LIMBS, 0.004), 12: 0.003, 15: 0.002},
    8: {**dict.fromkeys(_LIMBS, 0.007), 13: 0.004, 14: 0.004},
    9: {15: 0.007},
}


@functools.lru_cache(maxsize=4)
def arrays(num_vertices: int = NUM_VERTICES) -> dict[str, np.ndarray]:
    """The arrays of an SMPL file by their published names, float64, and three more.

    J_regressor_h36m (17, V); mean_pose (144,), 6D, standing before the camera (whose y is down)
    with the arms lowered; mean_shape (10,), zero. num_vertices: 300 to 6,890; the surface is
    closed, with 2 V - 4 faces. The same on every call; not to be changed.
    """
    if not 300 <= num_vertices <= NUM_VERTICES:
        raise ValueError(f"{num_vertices} vertices; the synthetic body has 300 to {NUM_VERTICES}")
    owner_S, a_Sx3, b_Sx3, ra_S, rb_S = _segments()

    def distance(points_Nx3):
        apart_NxS = _distances(points_Nx3, a_Sx3, b_Sx3, ra_S, rb_S)
        nearest_Nx1 = apart_NxS.min(1, keepdims=True)
        melted = np.exp((nearest_Nx1 - apart_NxS) / _ROUNDING).sum(1)
        return nearest_Nx1[:, 0] - _ROUNDING * np.log(melted)

    verts, faces = closed_surface(distance, (-0.95, -1.03, -0.20), (0.95, 0.88, 0.22), _CELL)
    verts, faces = decimate(verts, faces, num_vertices)
    normals = vertex_normals(verts, faces)
    joints = _both_sides(_PLACES, _RIGHT_OF, 24)
    weights = _weights(_distances(verts, a_Sx3, b_Sx3, ra_S, rb_S), owner_S)
    shapes = _shapes(verts, normals, weights, joints)
    seventeen = _both_sides(_SEVENTEEN, _SEVENTEEN_RIGHT_OF, 17)
    result = {
        "v_template": verts,
        "shapedirs": shapes,
        "posedirs": _pose_shapes(normals, weights),
        "J_regressor": _regressor(verts, joints),
        "weights": weights,
        "kintree_table": np.stack([np.where(np.arange(24) > 0, PARENTS, 2**32 - 1), range(24)]),
        "f": faces.astype(np.uint32),
        "J_regressor_h36m": _regressor(verts, seventeen),
        "mean_pose": _mean_pose(),
        "mean_shape": np.zeros(10),
    }
    for array in result.values():
        array.setflags(write=False)
    return result


def _both_sides(left, right_of, count):
    places = np.zeros((count, 3))
    for number, place in left.items():
        places[number] = place
        if number in right_of:
            places[right_of[number]] = np.multiply(place, (-1, 1, 1))
    return places


def _segments():
    """Owner, ends and radii of all capsules."""
    rows = []
    for owner, a, ra, b, rb in _CAPSULES:
        rows.append((owner, a, b, ra, rb))
        if a[0] > 0:
            flip = [tuple(np.multiply(end, (-1, 1, 1))) for end in (a, b)]
            rows.append((_RIGHT_OF.get(owner, owner), *flip, ra, rb))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def _distances(points_Nx3, a_Sx3, b_Sx3, ra_S, rb_S):
    """From points to the surface of each capsule, (N, S); negative inside."""
    along_Sx3 = b_Sx3 - a_Sx3
    squared_S = (along_Sx3**2).sum(1)
    share = (points_Nx3 @ along_Sx3.T - (a_Sx3 * along_Sx3).sum(1)) / squared_S
    share_NxS = np.clip(share, 0, 1)
    apart = np.empty_like(share_NxS)
    for s in range(len(a_Sx3)):  # one capsule at a time: points are many
        nearest = a_Sx3[s] + share_NxS[:, s : s + 1] * along_Sx3[s]
        apart[:, s] = np.linalg.norm(points_Nx3 - nearest, axis=1)
    return apart - (ra_S + share_NxS * (rb_S - ra_S))


def _weights(apart_VxS, owner_S):
    """Smooth skinning weights: of the nearest joint and its neighbours, four at most, as SMPL."""
    per_joint = np.stack([
        apart_VxS[:, owner_S == j].min(1) if (owner_S == j).any() else np.full(len(apart_VxS), 1e3)
        for j in range(24)
    ], axis=1)  # fmt: skip
    near = np.eye(24, dtype=bool)
    for child, parent in enumerate(PARENTS):
        if parent >= 0:
            near[child, parent] = near[parent, child] = True
    best = per_joint.argmin(1)
    share = np.exp(-np.maximum(per_joint - per_joint.min(1, keepdims=True), 0) / 0.018)
    share = share * near[best]
    fourth = np.sort(share, axis=1)[:, -4:-3]
    share = np.where(share >= np.maximum(fourth, 1e-3), share, 0)
    return share / share.sum(1, keepdims=True)


def _moved_joints(stretch):
    """What every joint moves when some do, their descendants along, both sides: (24, 3)."""
    own = _both_sides(stretch, _RIGHT_OF, 24)
    moved = np.zeros((24, 3))
    for joint, parent in enumerate(PARENTS):
        moved[joint] = own[joint] + (moved[parent] if parent >= 0 else 0)
    return moved


def _shapes(verts, normals, weights, joints):
    """Blend shapes (V, 3, 10): size, girth, lengths, widths, belly, limbs, head."""
    shapes = np.zeros((len(verts), 3, 10))
    shapes[..., 0] = 0.035 * verts
    for number, stretch in _STRETCHES.items():
        shapes[..., number] = _along_bones(verts, weights, joints, _moved_joints(stretch))
    for number, girth in _GIRTHS.items():
        by = np.array([girth.get(j, 0.0) for j in range(24)])
        shapes[..., number] = normals * (weights @ by)[:, None]
    belly = np.exp(-(((verts[:, 1] - 0.10) / 0.11) ** 2)) * np.maximum(normals[:, 2], 0)
    shapes[:, 2, 7] = 0.02 * belly * weights[:, _TRUNK].sum(1)
    return shapes


_NEXT = {0: 3, 3: 6, 6: 9, 9: 12, 12: 15}  # the way up, where a joint has several children


def _along_bones(verts, weights, joints, moved):
    """A vertex moves as the points of its bones do, between one joint and the next."""
    result = np.zeros_like(verts)
    for joint in range(24):
        children = [c for c, p in enumerate(PARENTS) if p == joint]
        following = _NEXT.get(joint, children[0] if children else joint)
        bone = joints[following] - joints[joint]
        share = np.zeros(len(verts))
        if following != joint:
            share = np.clip((verts - joints[joint]) @ bone / (bone @ bone), 0, 1)
        by = moved[joint] + share[:, None] * (moved[following] - moved[joint])
        result += weights[:, joint : joint + 1] * by
    return result


def _pose_shapes(normals, weights):
    """Pose blend shapes (V, 3, 207): skin at a bent joint stands out, where blending thins it.

    They follow the diagonal of R - I, whose sum is -2 (1 - cos angle).
    """
    shapes = np.zeros((*normals.shape, 23, 9))
    for joint in range(1, 24):
        shared = 4 * weights[:, joint] * weights[:, PARENTS[joint]]
        shapes[:, :, joint - 1, ::4] = (-0.006 * shared[:, None] * normals)[..., None]
    return shapes.reshape(len(normals), 3, 207)


def _regressor(verts, places):
    """Rows that give these places from the vertices round them, sums 1: least squares of weights
    away from a smooth cap."""
    regressor = np.zeros((len(places), len(verts)))
    for row, place in zip(regressor, places, strict=True):
        apart = np.linalg.norm(verts - place, axis=1)
        near = np.argsort(apart)[: max(24, len(verts) // 60)]
        cap = np.maximum(1.2 * apart[near].max() - apart[near], 0)
        cap /= cap.sum()
        wanted = np.concatenate([[1.0], place])
        ways = np.concatenate([np.ones((1, len(near))), verts[near].T])
        row[near] = cap + np.linalg.pinv(ways) @ (wanted - ways @ cap)
    return regressor


def _mean_pose():
    """6D (144,): upright where y is down, arms lowered by 65 degrees."""
    turns = np.broadcast_to(np.eye(3), (24, 3, 3)).copy()
    turns[0] = np.diag([1.0, -1.0, -1.0])
    for joint, angle in ((16, -65), (17, 65)):
        c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        turns[joint, :2, :2] = [[c, -s], [s, c]]
    return turns[..., :2].reshape(-1)
