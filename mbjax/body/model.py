"""SMPL and SMPL+H: shape and pose to vertices and joints, in plain array code.

The body model of Loper et al. (SIGGRAPH Asia 2015), its extension by hands (Romero et al., 2017)
and the soft-tissue coefficients of Dyna / AMASS. numpy in gives numpy, JAX in gives JAX.

Shapes in names: V vertices, J joints of the body, S shape coefficients, D soft-tissue
coefficients, P = 9 (J - 1) pose features, F faces, K joints of a regressor, Q pairs of (joint of
the regressor, bone), U vertices that a regressor uses, T frames; `...` is any batch. Lengths are in
metres, angles in radians.
"""

import dataclasses
import functools
import itertools

import numpy as np

from mbjax.pose.rotations import axis_angle_to_matrix, common_namespace, matmul

# The arrays of a published body model; the last one, the faces, may be absent.
PUBLISHED_NAMES = (
    "v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f",
)  # fmt: skip
_LARGEST_BODY = 100.0  # metres from the origin; a body in millimetres is beyond it
# Skin weights are written with few digits, and rounded when vertices are moved between bodies.
_SUM_TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class Body:
    """The arrays of one body model; made by `Body.from_arrays` or by `mbjax.body.files`.

    Shared by all forms: `restricted_to` keeps some vertices, `map` puts the arrays elsewhere
    (`body.map(jnp.asarray)` uploads them once). Joints at rest depend on shape linearly, so they
    are kept as their own blend shapes and need no vertices.
    """

    template_Vx3: np.ndarray
    shapes_Vx3xS: np.ndarray
    soft_Vx3xD: np.ndarray  # D = 0 without soft tissue
    pose_shapes_Vx3xP: np.ndarray
    weights_VxJ: np.ndarray
    joint_template_Jx3: np.ndarray
    joint_shapes_Jx3xS: np.ndarray
    joint_soft_Jx3xD: np.ndarray
    parents: tuple[int, ...]  # a parent comes before its children; the root's is -1
    faces_Fx3: np.ndarray | None = None

    @classmethod
    def from_arrays(cls, arrays, *, num_betas=10, soft_Vx3xD=None, dtype=np.float32, where="body"):
        """A body from the arrays of a published file, by their published names.

        arrays: v_template (V, 3), shapedirs (V, 3, >= num_betas), posedirs (V, 3, 9 (J - 1)),
        J_regressor (J, V), weights (V, J), kintree_table (2, J), and f (F, 3) where faces are
        wanted. The first num_betas shape coefficients are used. `dtype`, float32 or float64, is
        the precision of all that the body computes. A ValueError says in one line, beginning with
        `where`, which array is missing or wrong.
        """
        *names, _ = PUBLISHED_NAMES
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ValueError(
                f"{where}: {', '.join(missing)} missing; is it a whole SMPL or SMPL+H file?"
            )
        template, shapes, pose_shapes, regressor, weights, kintree = (
            np.asarray(arrays[name]) for name in names
        )
        V = len(template) if template.ndim else 0
        J = weights.shape[-1] if weights.ndim else 0
        S, soft = num_betas, soft_Vx3xD
        if shapes.ndim == 3 and shapes.shape[-1] > S:
            shapes = shapes[..., :S]
        soft = np.zeros((V, 3, 0)) if soft is None else np.asarray(soft)
        wanted = {
            "v_template": (template, (V, 3)),
            "shapedirs": (shapes, (V, 3, S)),
            "posedirs": (pose_shapes, (V, 3, 9 * (J - 1))),
            "J_regressor": (regressor, (J, V)),
            "weights": (weights, (V, J)),
            "soft-tissue directions": (soft, (V, 3, soft.shape[-1])),
        }
        for name, (array, shape) in wanted.items():
            if array.shape != shape or 0 in shape[:2]:
                raise ValueError(
                    f"{where}: {name} has shape {array.shape}, {shape} was wanted; is it the right"
                    " kind of body model, and whole?"
                )
            # False for NaN too.
            in_range = array.dtype.kind in "fiu" and (abs(array) <= np.finfo(dtype).max).all()
            if not in_range:
                raise ValueError(
                    f"{where}: {name} has entries that are not finite numbers; download the file"
                    " again"
                )
        faces = None
        if "f" in arrays:
            faces = np.asarray(arrays["f"])
            if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
                raise ValueError(f"{where}: f has shape {faces.shape}, whole numbers (F, 3) wanted")
            if faces.size and not (0 <= faces.min() and faces.max() < V):
                raise ValueError(
                    f"{where}: f names vertices {faces.min()} to {faces.max()} of {V}; download"
                    " the file again"
                )
        _check_sizes(template, weights, where)
        # In float64: sums over thousands of vertices.
        regressor = regressor.astype(np.float64)
        return cls(
            template_Vx3=template.astype(dtype),
            shapes_Vx3xS=shapes.astype(dtype),
            soft_Vx3xD=soft.astype(dtype),
            pose_shapes_Vx3xP=pose_shapes.astype(dtype),
            weights_VxJ=weights.astype(dtype),
            joint_template_Jx3=(regressor @ template).astype(dtype),
            joint_shapes_Jx3xS=_regress_directions(regressor, shapes).astype(dtype),
            joint_soft_Jx3xD=_regress_directions(regressor, soft).astype(dtype),
            parents=_parents(kintree, J, where),
            faces_Fx3=faces,
        )

    @property
    def num_vertices(self):
        return self.template_Vx3.shape[0]

    @property
    def num_joints(self):
        return len(self.parents)

    @property
    def num_betas(self):
        return self.shapes_Vx3xS.shape[-1]

    @property
    def num_dmpls(self):
        return self.soft_Vx3xD.shape[-1]

    def map(self, function):
        """The same body with function(array) in place of each floating array."""
        arrays = {
            field.name: function(getattr(self, field.name))
            for field in dataclasses.fields(self)
            if field.name not in ("parents", "faces_Fx3")
        }
        return dataclasses.replace(self, **arrays)

    def restricted_to(self, vertex_ids):
        """The body with these vertices alone, in this order; joints stay what they were.

        All costs of `__call__` fall with the number of vertices. Faces are dropped.
        """
        ids = np.asarray(vertex_ids)
        return dataclasses.replace(
            self,
            template_Vx3=self.template_Vx3[ids],
            shapes_Vx3xS=self.shapes_Vx3xS[ids],
            soft_Vx3xD=self.soft_Vx3xD[ids],
            pose_shapes_Vx3xP=self.pose_shapes_Vx3xP[ids],
            weights_VxJ=self.weights_VxJ[ids],
            faces_Fx3=None,
        )

    def __call__(self, pose, betas, *, trans=None, dmpls=None):
        """Vertices (..., V, 3) and joints (..., J, 3) in metres.

        pose: axis-angle (..., 3 J) or rotation matrices (..., J, 3, 3), each relative to its
        parent; betas (..., S); trans (..., 3) moves the whole body; dmpls (..., D). Batches
        broadcast: betas (S,) serve every frame of a pose (T, 3 J). Hand rotations are taken as
        they are, without the mean hand pose, as AMASS stores them. Computed in the body's dtype,
        at least float32, whatever the input's. ValueError for a wrong number of coefficients.
        """
        xp, rotations, betas, trans, dmpls = self._inputs(pose, betas, trans, dmpls)
        globals_, offsets, joints = self._bones(xp, rotations, betas, dmpls)
        features = pose_features(xp, rotations)
        verts = xp.asarray(self.template_Vx3) + _blend(betas, self.shapes_Vx3xS)
        if dmpls is not None:
            verts = verts + _blend(dmpls, self.soft_Vx3xD)
        verts = verts + _blend(features, self.pose_shapes_Vx3xP)
        # Linear blend skinning: every vertex by the weighted mean of its bones' transforms.
        flat = xp.concat([globals_.reshape(*globals_.shape[:-2], 9), offsets], axis=-1)
        blended = matmul(xp.asarray(self.weights_VxJ), flat)
        turns = blended[..., :9].reshape(*blended.shape[:-1], 3, 3)
        verts = xp.sum(turns * verts[..., None, :], axis=-1) + blended[..., 9:]
        if trans is not None:
            verts, joints = verts + trans[..., None, :], joints + trans[..., None, :]
        return verts, joints

    def _inputs(self, pose, betas, trans, dmpls):
        """The namespace, pose as matrices, and the rest in the body's dtype, checked."""
        xp = common_namespace(pose, betas, trans, dmpls, self.template_Vx3)
        J = self.num_joints
        # A body in less than float32 would be off by millimetres: never compute in less.
        dtype = xp.promote_types(self.template_Vx3.dtype, np.float32)
        pose, betas, trans, dmpls = (
            None if array is None else xp.asarray(array, dtype=dtype)
            for array in (pose, betas, trans, dmpls)
        )
        if pose.shape[-3:] == (J, 3, 3):
            rotations = pose
        elif pose.shape[-1:] == (3 * J,):
            rotations = axis_angle_to_matrix(pose.reshape(*pose.shape[:-1], J, 3))
        else:
            raise ValueError(
                f"pose has shape {pose.shape}; this body of {J} joints wants axis-angle"
                f" (..., {3 * J}) or matrices (..., {J}, 3, 3)"
            )
        given = {"betas": (betas, self.num_betas), "trans": (trans, 3)}
        given["dmpls"] = (dmpls, self.num_dmpls)
        for name, (array, size) in given.items():
            if array is not None and array.shape[-1:] != (size,):
                hint = "; read the body with its soft-tissue file" if name == "dmpls" else ""
                raise ValueError(
                    f"{name} has shape {array.shape}; this body wants (..., {size}){hint}"
                )
        return xp, rotations, betas, trans, dmpls

    def _bones(self, xp, rotations, betas, dmpls):
        """Rotation (..., J, 3, 3), offset (..., J, 3) and posed joint (..., J, 3) of every bone.

        A point p of the body at rest, fixed to bone k, is posed at rotation_k p + offset_k.
        """
        rest = xp.asarray(self.joint_template_Jx3) + _blend(betas, self.joint_shapes_Jx3xS)
        if dmpls is not None:
            rest = rest + _blend(dmpls, self.joint_soft_Jx3xD)
        batch = np.broadcast_shapes(rest.shape[:-2], rotations.shape[:-3])
        rest = xp.broadcast_to(rest, (*batch, self.num_joints, 3))
        rotations = xp.broadcast_to(rotations, (*batch, self.num_joints, 3, 3))
        # Joints of one depth in the tree at once: nine steps for SMPL instead of 24.
        levels, above = _levels(self.parents)
        turns = [rotations[..., levels[0], :, :]]
        places = [rest[..., levels[0], :]]
        for ids, parent in zip(levels[1:], above, strict=True):
            bones = rest[..., ids, :] - rest[..., np.array(self.parents)[ids], :]
            turn = turns[-1][..., parent, :, :]
            places.append(places[-1][..., parent, :] + xp.sum(turn * bones[..., None, :], axis=-1))
            # Sums of products, not a matrix product: 3 x 3 is far too small for one.
            own = rotations[..., ids, :, :]
            turns.append(xp.sum(turn[..., :, :, None] * own[..., None, :, :], axis=-2))
        order = np.argsort(np.concatenate(levels))
        turns = xp.concat(turns, axis=-3)[..., order, :, :]
        places = xp.concat(places, axis=-2)[..., order, :]
        offsets = places - xp.sum(turns * rest[..., None, :], axis=-1)
        return turns, offsets, places


class RegressedJoints:
    """The joints that a regressor takes from a body's vertices, without making the vertices.

    regressor_KxV @ body(...)[0], by exact algebra: a joint is a sum over vertices of a sum over
    bones of (rotation of the bone) (vertex at rest) + offset; exchanging the sums, the regressor
    and the skinning weights fold into one set of blend shapes per pair of joint and bone that
    meet in some vertex. A sparse regressor on SMPL+H leaves about a hundred pairs, a dense one
    K J at most.

    Measured with `pytest -s -k frames_per_second tests/test_body.py` (SMPL+H with soft tissue, 17
    joints from 642 vertices) on two cores of an x86-64 server: 33,000 to 48,000 frames/s (13,000
    while other work kept both cores busy), against 8,000 to 11,000 by skinning the touched
    vertices alone and about 1,000 by skinning all. Reading the body and then 40,000 frames took
    0.25 GB at most.
    """

    def __init__(self, body, regressor_KxV):
        """ValueError if the regressor is not (K, V) of finite numbers for this body."""
        regressor = np.asarray(regressor_KxV, dtype=np.float64)
        V = body.num_vertices
        if regressor.ndim != 2 or regressor.shape[1] != V or not np.isfinite(regressor).all():
            raise ValueError(
                f"the joint regressor has shape {regressor.shape}; finite numbers (K, {V}) were"
                " wanted"
            )
        touched = np.flatnonzero(regressor.any(axis=0))
        body, regressor = body.restricted_to(touched), regressor[:, touched]
        weights = np.asarray(body.weights_VxJ, dtype=np.float64)
        share_KxJ = regressor @ weights
        joint_of_Q, bone_of_Q = np.nonzero(abs(regressor) @ abs(weights))
        pair_QxU = regressor[joint_of_Q] * weights.T[bone_of_Q]
        dtype = body.template_Vx3.dtype

        def fold(directions):
            directions = np.asarray(directions, dtype=np.float64)
            return _regress_directions(pair_QxU, directions).astype(dtype)

        self._body = body
        self._template_Qx3 = (pair_QxU @ np.asarray(body.template_Vx3)).astype(dtype)
        self._shapes_Qx3xS = fold(body.shapes_Vx3xS)
        self._soft_Qx3xD = fold(body.soft_Vx3xD)
        self._pose_shapes_Qx3xP = fold(body.pose_shapes_Vx3xP)
        self._bone_of_Q = bone_of_Q
        self._sum_KxQ = (joint_of_Q == np.arange(len(regressor))[:, None]).astype(dtype)
        self._share_KxJ = share_KxJ.astype(dtype)
        # A row need not sum to 1, and then moves by as much of the body's translation.
        self._row_sums_K = regressor.sum(axis=1).astype(dtype)

    def __call__(self, pose, betas, *, trans=None, dmpls=None):
        """Joints (..., K, 3) in metres; arguments and errors as those of `Body.__call__`."""
        body = self._body
        xp, rotations, betas, trans, dmpls = body._inputs(pose, betas, trans, dmpls)
        turns, offsets, _ = body._bones(xp, rotations, betas, dmpls)
        rest = xp.asarray(self._template_Qx3) + _blend(betas, self._shapes_Qx3xS)
        if dmpls is not None:
            rest = rest + _blend(dmpls, self._soft_Qx3xD)
        rest = rest + _blend(pose_features(xp, rotations), self._pose_shapes_Qx3xP)
        turned = xp.sum(turns[..., self._bone_of_Q, :, :] * rest[..., None, :], axis=-1)
        joints = matmul(xp.asarray(self._sum_KxQ), turned)
        joints = joints + matmul(xp.asarray(self._share_KxJ), offsets)
        if trans is not None:
            joints = joints + xp.asarray(self._row_sums_K)[:, None] * trans[..., None, :]
        return joints

    def of_sequence(self, pose_TxR, betas, *, trans_Tx3=None, dmpls_TxD=None, chunk=512):
        """Joints (T, K, 3) of a whole recording, `chunk` frames at a time to bound memory.

        pose (T, 3 J) axis-angle, one betas (S,) for all frames. T = 0 is legal.
        """
        parts = [np.zeros((0, len(self._row_sums_K), 3), self._template_Qx3.dtype)]
        for start in range(0, len(pose_TxR), chunk):
            now = slice(start, start + chunk)
            parts.append(
                self(
                    pose_TxR[now],
                    betas,
                    trans=None if trans_Tx3 is None else trans_Tx3[now],
                    dmpls=None if dmpls_TxD is None else dmpls_TxD[now],
                )
            )
        return common_namespace(*parts).concat(parts)


def pose_features(xp, rotations):
    """What drives the pose blend shapes: (..., J, 3, 3) -> (..., P), R - I row by row, no root."""
    features = rotations[..., 1:, :, :] - xp.eye(3, dtype=rotations.dtype)
    return features.reshape(*features.shape[:-3], 9 * features.shape[-3])


@functools.lru_cache(maxsize=16)
def _levels(parents):
    """Joints by depth in the tree, and where in the depth above each one's parent stands."""
    depth = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    levels = [np.flatnonzero(np.array(depth) == d) for d in range(max(depth) + 1)]
    above = [
        np.array([upper.tolist().index(parents[k]) for k in ids])
        for upper, ids in itertools.pairwise(levels)
    ]
    return levels, above


def _blend(coefficients, directions_Nx3xC):
    """Coefficients (..., C) times directions (N, 3, C) -> (..., N, 3)."""
    xp = common_namespace(coefficients, directions_Nx3xC)
    N, _, C = directions_Nx3xC.shape
    flat = matmul(coefficients, xp.asarray(directions_Nx3xC).reshape(3 * N, C).T)
    return flat.reshape(*flat.shape[:-1], N, 3)


def _check_sizes(template_Vx3, weights_VxJ, where):
    """ValueError for numbers that fit the arrays' shapes but not a person."""
    farthest = float(abs(template_Vx3).max())
    if farthest > _LARGEST_BODY:
        raise ValueError(
            f"{where}: v_template reaches {farthest:,.0f} m; it is a person's surface in metres"
        )
    sums_V = weights_VxJ.sum(axis=1, dtype=np.float64)
    worst = int(abs(sums_V - 1).argmax())
    if abs(sums_V[worst] - 1) > _SUM_TOLERANCE or weights_VxJ.min() < -_SUM_TOLERANCE:
        raise ValueError(
            f"{where}: weights of vertex {worst} sum to {sums_V[worst]:.3f}, smallest"
            f" {weights_VxJ.min():.3f}; the shares of a vertex's bones are 0 to 1 and sum to 1"
        )


def _regress_directions(regressor_NxV, directions_Vx3xC):
    V, _, C = directions_Vx3xC.shape
    flat = regressor_NxV @ directions_Vx3xC.reshape(V, 3 * C)
    return flat.reshape(len(regressor_NxV), 3, C)


def _parents(kintree_2xJ, J, where):
    """Parents from a kintree_table, whose root is marked by 2^32 - 1 (or -1 once signed)."""
    if kintree_2xJ.shape != (2, J) or kintree_2xJ.dtype.kind not in "iuf":
        raise ValueError(f"{where}: kintree_table has shape {kintree_2xJ.shape}, {(2, J)} wanted")
    parents, ids = kintree_2xJ.astype(np.int64).tolist()
    in_order = all(0 <= parent < k for k, parent in enumerate(parents[1:], start=1))
    if ids != list(range(J)) or parents[0] not in (-1, 2**32 - 1) or not in_order:
        raise ValueError(
            f"{where}: kintree_table is not a tree from joint 0 with parents before children"
        )
    return (-1, *parents[1:])
