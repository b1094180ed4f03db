"""Bringing 2D keypoints and 3D motion into the range that the model works in, about [-1, 1].

Shapes in names: T frames, J joints; any leading axes are part of the same clip.
Works on numpy arrays and on JAX arrays alike.
"""

from mbjax.pose.skeleton import namespace

# Fewer visible joints than this say nothing about where the person is.
MIN_VISIBLE = 4


def square(keypoints_TxJx3):
    """(centre (2,), side) of the square round all visible joints of a clip; side 0 without one.

    keypoints (..., T, J, 3): x, y in any unit, then confidence; 0 means not seen. Fewer than
    MIN_VISIBLE visible joints have no square: centre and side are then 0.
    """
    xp = namespace(keypoints_TxJx3)
    xy, seen = keypoints_TxJx3[..., :2], keypoints_TxJx3[..., 2:] != 0
    axes = tuple(range(xy.ndim - 1))
    low = xp.min(xp.where(seen, xy, xp.inf), axis=axes)
    high = xp.max(xp.where(seen, xy, -xp.inf), axis=axes)
    # Unseen everywhere: the infinities must not meet in a subtraction.
    usable = xp.sum(seen) >= MIN_VISIBLE
    low, high = xp.where(usable, low, 0.0), xp.where(usable, high, 0.0)
    return (low + high) / 2, xp.max(high - low)


def crop_scale(keypoints_TxJx3, ratio=1.0):
    """Moves and scales a clip so that the square round all its visible joints is [-1, 1].

    keypoints (..., T, J, 3): x, y in any unit, then confidence; 0 means not seen. All axes belong
    to one clip, so two persons in one array keep their places relative to each other.
    ratio >= 1 leaves that much more room: at 2 the joints fill the middle half. Results are
    clipped to [-1, 1]; fewer than 4 visible joints, or no extent, give all zeros.
    """
    xp = namespace(keypoints_TxJx3)
    centre, side = square(keypoints_TxJx3)
    side = side * ratio
    usable = side > 0
    scaled = (keypoints_TxJx3[..., :2] - centre) * 2 / xp.where(usable, side, 1.0)
    result = xp.concat([scaled, keypoints_TxJx3[..., 2:]], axis=-1)
    result = xp.where(usable, xp.clip(result, -1.0, 1.0), 0.0)
    return xp.astype(result, keypoints_TxJx3.dtype)


def crop_scale_3d(motion_TxJx3, ratio=1.0):
    """The same for 3D motion seen along z: returns (motion, units per unit before).

    motion (T, J, 3). x and y are centred and fill `ratio` of [-1, 1] (so a smaller ratio is a
    smaller person); z is scaled alike and starts at the root of the first frame being -1, as in
    the release. The second value turns lengths back: before = after / value. No extent: zeros, 0.
    """
    xp = namespace(motion_TxJx3)
    xy = motion_TxJx3[..., :2]
    axes = tuple(range(xy.ndim - 1))
    low, high = xp.min(xy, axis=axes), xp.max(xy, axis=axes)
    extent = xp.max(high - low)
    flat = extent <= 0
    scale = xp.where(flat, 0.0, 2 * ratio / xp.where(flat, 1.0, extent))
    z = motion_TxJx3[..., 2:] - motion_TxJx3[0, 0, 2]
    result = xp.concat([(xy - (low + high) / 2) * scale, z * scale - 1], axis=-1)
    return xp.astype(xp.where(flat, 0.0, result), motion_TxJx3.dtype), scale


def by_image_size(keypoints, width, height):
    """Pixels to [-1, 1] across the width; y keeps the aspect. (..., 2 or 3), channels past y stay.

    width, height: numbers, or arrays that broadcast against (...).
    """
    xp = namespace(keypoints)
    x = keypoints[..., 0] / width * 2 - 1
    y = keypoints[..., 1] / width * 2 - height / width
    return xp.concat([x[..., None], y[..., None], keypoints[..., 2:]], axis=-1)


def by_longer_side(keypoints, width, height):
    """Pixels over half the image's longer side, minus 1 on both axes (the release's action data).

    The shorter axis is not centred; crop_scale, which follows there, does that.
    """
    xp = namespace(keypoints)
    xy = keypoints[..., :2] * (2 / max(width, height)) - 1
    return xp.concat([xy, keypoints[..., 2:]], axis=-1)
