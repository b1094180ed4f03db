import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mbjax.data import augment
from mbjax.data.plan import row_keys
from mbjax.pose import skeleton

MOTION = np.random.default_rng(0).normal(size=(6, 9, 17, 3)).astype(np.float32)


def keys(seed=0):
    return row_keys(jax.random.key(seed), 0, len(MOTION))


def test_mirror_flips_whole_clips_about_half_of_them():
    many = jnp.tile(MOTION[:1], (400, 1, 1, 1))
    mirrored = augment.random_mirror(row_keys(jax.random.key(0), 0, 400), many)
    same = np.isclose(mirrored, many).all((1, 2, 3))
    flipped = np.isclose(mirrored, skeleton.mirror(many)).all((1, 2, 3))
    assert (same ^ flipped).all()
    assert 150 < flipped.sum() < 250  # five standard deviations of 400 coins


@settings(max_examples=20, deadline=None)
@given(st.floats(-3.1, 3.1), st.floats(-1, 1), st.floats(-1, 1))
def test_a_view_is_a_rotation_about_the_roots_mean(yaw, pitch, roll):
    seen = np.asarray(augment.view(jnp.asarray(MOTION[0]), yaw, pitch, roll))
    # Float32 positions of size 3.
    np.testing.assert_allclose(
        skeleton.limb_lengths(seen), skeleton.limb_lengths(MOTION[0]), rtol=2e-5, atol=2e-6
    )
    np.testing.assert_allclose(seen[:, 0].mean(0), MOTION[0, :, 0].mean(0), atol=1e-5)


def test_yaw_turns_about_the_vertical_only():
    seen = np.asarray(augment.view(jnp.asarray(MOTION[0]), jnp.pi / 2, 0.0))
    np.testing.assert_allclose(seen[..., 1], MOTION[0, ..., 1], atol=1e-5)
    offset = MOTION[0] - MOTION[0, :, 0].mean(0)
    turned = seen - MOTION[0, :, 0].mean(0)
    np.testing.assert_allclose(turned[..., 0], offset[..., 2], atol=1e-5)  # z comes to x


def test_bones_change_alike_on_both_sides_and_keep_their_directions():
    changed = np.asarray(augment.random_bones(keys(), jnp.asarray(MOTION), 0.1))
    factor = skeleton.limb_lengths(changed) / skeleton.limb_lengths(MOTION)
    # One factor per limb and clip, over all frames; float32 sums along the chain.
    np.testing.assert_allclose(factor, np.broadcast_to(factor[:, :1], factor.shape), rtol=1e-4)
    limb_of = {child: i for i, (_, child) in enumerate(skeleton.LIMBS)}
    for left, right in zip(skeleton.LEFT, skeleton.RIGHT, strict=True):
        np.testing.assert_allclose(
            factor[..., limb_of[left]], factor[..., limb_of[right]], rtol=1e-4
        )
    assert factor.std() > 0.03
    np.testing.assert_array_equal(changed[:, :, 0], MOTION[:, :, 0])


def test_parts_of_the_body_are_long_or_short_as_a_whole():
    changed = np.asarray(augment.random_bones(keys(), jnp.asarray(MOTION), 0.0, 0.2))
    factor = skeleton.limb_lengths(changed) / skeleton.limb_lengths(MOTION)
    of = {child: factor[:, 0, i] for i, (_, child) in enumerate(skeleton.LIMBS)}
    parts = (("rknee", "rankle", "lknee", "lankle"), ("belly", "neck"), ("nose", "head"),
             ("lelbow", "lwrist", "relbow", "rwrist"), ("rhip", "lhip"),
             ("rshoulder", "lshoulder"))  # fmt: skip
    for first, *others in parts:
        for name in others:  # float32 sums along the chain
            np.testing.assert_allclose(
                of[skeleton.INDEX[name]], of[skeleton.INDEX[first]], rtol=1e-4
            )
    spread = np.log([of[skeleton.INDEX[part[0]]] for part in parts]).std(axis=0)
    assert (spread > 0.02).all(), "each part has a factor of its own"


ARMS_AND_LEGS = ("lelbow", "lwrist", "relbow", "rwrist", "lknee", "lankle", "rknee", "rankle")


def angle_at(motion, upper, lower):
    bones = motion - motion[:, :, skeleton.PARENTS]
    above, below = (bones[:, :, skeleton.INDEX[name]] for name in (upper, lower))
    lengths = np.linalg.norm(above, axis=-1) * np.linalg.norm(below, axis=-1)
    return (above * below).sum(-1) / lengths


def test_a_limb_is_swapped_for_the_neighbour_s_in_the_body_s_own_frame():
    """Two clips of one motion, one turned and larger: each limb comes back as it was."""
    first = jnp.asarray(MOTION[0])
    second = augment.view(first, 1.0, 0.3, -0.2) * 1.5
    pair = jnp.stack([first, second])
    swapped = augment.random_limb_swaps(row_keys(jax.random.key(0), 0, 2), pair, 1.0)
    np.testing.assert_allclose(swapped, pair, atol=5e-5)  # three turns in float32, of size 5
    # Of two that differ, arms and legs are the other's, and no other joint moves.
    pair = jnp.asarray(MOTION[:2])
    swapped = np.asarray(augment.random_limb_swaps(row_keys(jax.random.key(0), 0, 2), pair, 1.0))
    limbs = [skeleton.INDEX[name] for name in ARMS_AND_LEGS]
    others = [joint for joint in range(skeleton.NUM_JOINTS) if joint not in limbs]
    np.testing.assert_allclose(swapped[:, :, others], MOTION[:2][:, :, others], atol=5e-6)
    np.testing.assert_allclose(
        skeleton.limb_lengths(swapped), skeleton.limb_lengths(MOTION[:2]), rtol=1e-4, atol=1e-6
    )
    for upper, lower in (("lelbow", "lwrist"), ("rknee", "rankle")):
        np.testing.assert_allclose(
            angle_at(swapped, upper, lower), angle_at(MOTION[1::-1], upper, lower), atol=1e-4
        )


def test_a_batch_may_be_odd():
    odd = jnp.asarray(MOTION[:3])
    swapped = augment.random_limb_swaps(row_keys(jax.random.key(0), 0, 3), odd, 1.0)
    even = augment.random_limb_swaps(row_keys(jax.random.key(0), 0, 2), odd[:2], 1.0)
    np.testing.assert_allclose(swapped[:2], even, atol=1e-6)  # compiled apart
    np.testing.assert_allclose(swapped[2], odd[2], atol=5e-6)  # its own neighbour


def test_as_many_limbs_are_swapped_as_asked():
    many = jnp.asarray(np.random.default_rng(1).normal(size=(200, 2, 17, 3)).astype(np.float32))
    swapped = augment.random_limb_swaps(row_keys(jax.random.key(0), 0, 200), many, 0.3)
    moved = np.abs(np.asarray(swapped - many)).max(axis=(1, 3)) > 1e-3
    shares = moved[:, [skeleton.INDEX[name] for name in ("lelbow", "relbow", "lknee", "rknee")]]
    # Four standard deviations of 200 draws.
    assert (np.abs(shares.mean(axis=0) - 0.3) < 0.13).all()
    assert len(np.unique(shares, axis=0)) == 16  # each limb by a draw of its own


def test_scale_stays_within_its_range():
    scaled = np.asarray(augment.random_scale(keys(), jnp.asarray(MOTION), 0.5, 1.0))
    extent = np.ptp(scaled[..., :2].reshape(6, -1, 2), axis=1).max(-1) / 2
    assert (extent > 0.5 - 1e-5).all() and (extent < 1 + 1e-5).all()
    assert len(np.unique(extent.round(4))) == 6


def test_perspective_enlarges_what_is_near_and_leaves_the_root():
    walking = jnp.asarray(MOTION[0] * 0.1)
    size = skeleton.limb_lengths(walking).sum(axis=-1).mean()
    far = augment.perspective(walking, 1e6)
    # Of 1e6 metres a body's depth is a millionth: float32 has no more digits.
    np.testing.assert_allclose(far, walking[..., :2], atol=1e-6)
    near = np.asarray(augment.perspective(walking, 3.0))
    np.testing.assert_allclose(near[:, 0], walking[:, 0, :2], atol=1e-6)
    from_root = np.asarray(skeleton.root_relative(walking))
    seen = near - near[:, :1]
    # By hand: a camera 3 m in front of the root, in units of which the limbs measure 3.83 m.
    depth = 3.0 * float(size) / 3.83 + from_root[..., 2]
    by_hand = from_root[..., :2] * (3.0 * float(size) / 3.83 / depth)[..., None]
    np.testing.assert_allclose(seen, by_hand, rtol=1e-5, atol=1e-6)  # float32


def test_perspective_is_drawn_within_its_range_for_each_clip():
    seen = augment.random_perspective(keys(), jnp.tile(MOTION[:1] * 0.1, (6, 1, 1, 1)), 2.5, 15.0)
    nearest, farthest = (augment.perspective(MOTION[0] * 0.1, metres) for metres in (2.5, 15.0))
    low, high = np.minimum(nearest, farthest), np.maximum(nearest, farthest)
    assert (seen >= low - 1e-6).all() and (seen <= high + 1e-6).all()
    assert len(np.unique(np.asarray(seen)[:, 0, 1, 0])) == 6
