"""Rotations, their conversions and mirror, and the similarity alignment behind P-MPJPE.

Shapes in names: J joints, P points; `...` is any batch.
Every function takes numpy arrays and returns numpy, or takes JAX arrays and returns JAX: the
arrays' own namespace is used and neither library is preferred. Conversions keep the dtype of
floating input; they and their JAX gradients are finite and right at angle 0 and up to pi.
"""

import numpy as np

# SMPL joint that stands at each SMPL joint's place in a mirror.
SMPL_MIRROR = (
    0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22,
)  # fmt: skip

# Below this squared angle (0.03 rad) the power series is used. Its first left-out term is there
# 1e-12 / 9!, under the rounding of float64, and above it the closed forms have no cancellation
# that float32 would notice.
_SMALL_SQUARED_ANGLE = 1e-3


def common_namespace(*arrays):
    """The namespace for a computation over these arrays: JAX's as soon as one is a JAX array.

    Entries that are None are passed over. numpy for numpy arrays alone.
    """
    for array in arrays:
        if array is not None and not isinstance(array, (np.ndarray, np.generic)):
            return array.__array_namespace__()
    return np


def matmul(a, b):
    """a @ b at full precision of its dtype, for numpy or JAX arrays.

    JAX multiplies float32 matrices on accelerators in fewer bits unless told otherwise, which
    moves vertices by millimetres; numpy has no such option.
    """
    xp = common_namespace(a, b)
    return np.matmul(a, b) if xp is np else xp.matmul(a, b, precision="highest")


def rot6d_to_matrix(rot6d):
    """6D rotations (..., 6) to rotation matrices (..., 3, 3).

    Read as (3, 2): the six numbers are the first two columns, interleaved row by row, made
    orthonormal by Gram-Schmidt (Zhou et al., CVPR 2019). A column without a direction (of length
    zero, or parallel to the first) gives a zero column, with zero gradient, and not NaN.
    """
    xp = common_namespace(rot6d)
    columns = rot6d.reshape(*rot6d.shape[:-1], 3, 2)
    first, second = columns[..., 0], columns[..., 1]
    # What is left of a parallel second column is rounding: a few eps of its length.
    rounding = 8 * float(xp.finfo(rot6d.dtype).eps)
    x = _normalise(xp, first)
    across = second - xp.sum(x * second, axis=-1, keepdims=True) * x
    y = _normalise(xp, across, rounding**2 * xp.sum(second * second, axis=-1, keepdims=True))
    return xp.stack([x, y, _cross(xp, x, y)], axis=-1)


def matrix_to_rot6d(matrix):
    """Rotation matrices (..., 3, 3) to 6D rotations (..., 6), the inverse of rot6d_to_matrix."""
    return matrix[..., :2].reshape(*matrix.shape[:-2], 6)


def axis_angle_to_matrix(axis_angle):
    """Axis-angle vectors (..., 3), radians, to rotation matrices (..., 3, 3) (Rodrigues).

    R = cos(t) I + sin(t)/t [v]x + (1 - cos(t))/t^2 v v^T. Any angle is legal.
    """
    xp = common_namespace(axis_angle)
    squared = xp.sum(axis_angle * axis_angle, axis=-1)
    small = squared < _SMALL_SQUARED_ANGLE
    # The branch not taken still gets a gradient: give it an argument where that is finite.
    angle = xp.sqrt(xp.where(small, xp.ones_like(squared), squared))
    sin_over_angle = xp.where(
        small,
        1 - squared / 6 * (1 - squared / 20 * (1 - squared / 42)),
        xp.sin(angle) / angle,
    )
    # (1 - cos t) / t^2 as a square of sines: 1 - cos t itself cancels.
    versine = xp.where(
        small,
        0.5 - squared / 24 * (1 - squared / 30 * (1 - squared / 56)),
        2 * (xp.sin(angle / 2) / angle) ** 2,
    )
    cosine = 1 - versine * squared
    x, y, z = (axis_angle[..., i] for i in range(3))
    sx, sy, sz = sin_over_angle * x, sin_over_angle * y, sin_over_angle * z
    vx, vy, vz = versine * x, versine * y, versine * z
    rows = [
        [cosine + vx * x, vx * y - sz, vx * z + sy],
        [vx * y + sz, cosine + vy * y, vy * z - sx],
        [vx * z - sy, vy * z + sx, cosine + vz * z],
    ]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_axis_angle(matrix):
    """Rotation matrices (..., 3, 3) to axis-angle vectors (..., 3), radians, angle in [0, pi].

    By way of the quaternion, whose four numerically different formulas are chosen between by the
    largest component, so that no angle loses accuracy. At exactly pi both v and -v are right and
    one of them is given; the gradient is that of the side chosen.
    """
    xp = common_namespace(matrix)
    m = [[matrix[..., i, j] for j in range(3)] for i in range(3)]
    trace = m[0][0] + m[1][1] + m[2][2]
    # Row i is the quaternion (w, x, y, z) times four times its i-th component.
    wx, wy, wz = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[1][0] + m[0][1], m[0][2] + m[2][0], m[2][1] + m[1][2]
    ww = 1 + trace
    xx, yy, zz = (1 + 2 * m[i][i] - trace for i in range(3))
    rows = [(ww, wx, wy, wz), (wx, xx, xy, xz), (wy, xy, yy, yz), (wz, xz, yz, zz)]
    largest = xp.argmax(xp.stack([ww, xx, yy, zz], axis=-1), axis=-1)
    w, *v = (
        xp.where(largest == 0, c0, xp.where(largest == 1, c1, xp.where(largest == 2, c2, c3)))
        for c0, c1, c2, c3 in zip(*rows, strict=True)
    )
    # q and -q are one rotation: the one with w >= 0 has its angle in [0, pi].
    sign = xp.where(w < 0, -xp.ones_like(w), xp.ones_like(w))
    w, v = w * sign, xp.stack(v, axis=-1) * sign[..., None]

    # What follows needs no unit quaternion: the angle is 2 atan2(|v|, w) at any scale of it.
    squared = xp.sum(v * v, axis=-1)
    small = squared < _SMALL_SQUARED_ANGLE * w * w
    one = xp.ones_like(w)
    norm = xp.sqrt(xp.where(small, one, squared))
    w_safe = xp.where(small, w, one)
    tan2 = xp.where(small, squared, 0 * one) / (w_safe * w_safe)
    # 2 atan(t) / t with t = |v| / w
    series = 2 / w_safe * (1 - tan2 * (1 / 3 - tan2 * (1 / 5 - tan2 * (1 / 7 - tan2 / 9))))
    scale = xp.where(small, series, 2 * xp.arctan2(norm, w) / norm)
    return v * scale[..., None]


def mirror_axis_angles(axis_angles):
    """Left-right mirror of a body's 24 SMPL rotations: (..., 72) or (..., 24, 3), same shape out.

    Left and right joints change places and the rotation turns the other way about y and z
    (mirror plane x = 0). Twice is the identity, bit for bit. ValueError for another shape.
    """
    xp = common_namespace(axis_angles)
    joints = len(SMPL_MIRROR)
    if axis_angles.shape[-1] == 3 * joints:
        per_joint = axis_angles.reshape(*axis_angles.shape[:-1], joints, 3)
    elif axis_angles.shape[-2:] == (joints, 3):
        per_joint = axis_angles
    else:
        raise ValueError(
            f"24 SMPL rotations, (..., 72) or (..., 24, 3), were wanted; got {axis_angles.shape}"
        )
    signs = xp.asarray(np.array([1, -1, -1]), dtype=axis_angles.dtype)
    return (per_joint[..., np.array(SMPL_MIRROR), :] * signs).reshape(axis_angles.shape)


def similarity_transform(source_Px3, target_Px3):
    """Scale (...), rotation (..., 3, 3), translation (..., 3) that bring source nearest to target.

    The least-squares similarity of (..., P, 3) point sets (Umeyama, PAMI 1991):
    target ~ scale * source @ rotation^T + translation. The rotation is proper: never a mirror.
    A source whose points all coincide gets scale 0. Meant for metrics: where the points lie on a
    line the best rotation is not unique and gradients are not finite.
    """
    xp = common_namespace(source_Px3, target_Px3)
    source_mean = xp.mean(source_Px3, axis=-2, keepdims=True)
    target_mean = xp.mean(target_Px3, axis=-2, keepdims=True)
    source, target = source_Px3 - source_mean, target_Px3 - target_mean
    covariance = matmul(xp.matrix_transpose(target), source)
    u, singular, vt = xp.linalg.svd(covariance, full_matrices=False)
    # The last axis is the cheapest to turn round when the best fit would be a reflection.
    flip = xp.sign(xp.linalg.det(matmul(u, vt)))
    signs = xp.stack([xp.ones_like(flip), xp.ones_like(flip), flip], axis=-1)
    rotation = matmul(u * signs[..., None, :], vt)
    spread = xp.sum(source * source, axis=(-2, -1))
    some = spread > 0
    scale = xp.sum(singular * signs, axis=-1) / xp.where(some, spread, xp.ones_like(spread))
    scale = xp.where(some, scale, xp.zeros_like(scale))
    turned = matmul(source_mean, xp.matrix_transpose(rotation))
    translation = target_mean - scale[..., None, None] * turned
    return scale, rotation, translation[..., 0, :]


def similarity_align(source_Px3, target_Px3):
    """Source (..., P, 3) moved, turned and scaled to lie nearest to target (..., P, 3).

    Each point set of the batch by itself; same unit as target. See similarity_transform.
    """
    xp = common_namespace(source_Px3, target_Px3)
    scale, rotation, translation = similarity_transform(source_Px3, target_Px3)
    turned = matmul(source_Px3, xp.matrix_transpose(rotation))
    return scale[..., None, None] * turned + translation[..., None, :]


def _normalise(xp, vector, least_squared=0):
    """Unit vectors; zero where the squared length is at most `least_squared`, or next to none."""
    squared = xp.sum(vector * vector, axis=-1, keepdims=True)
    # Squares below 1e-30 lose digits to float32's underflow: such a vector has no direction.
    some = squared > least_squared + 1e-30
    length = xp.sqrt(xp.where(some, squared, xp.ones_like(squared)))
    return xp.where(some, vector / length, xp.zeros_like(vector))


def _cross(xp, a, b):
    ax, ay, az = (a[..., i] for i in range(3))
    bx, by, bz = (b[..., i] for i in range(3))
    return xp.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)
