"""Rotations against golden values and scipy, near angle 0 and pi, with gradients; alignment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mbjax.pose import rotations
from tests.recipes.settings import GOLDEN

# Examples are small array computations; a time limit on each would only test the machine's load.
quick = settings(deadline=None, max_examples=60)

unit_vectors = (
    st.tuples(*[st.floats(-1, 1, allow_subnormal=False)] * 3)
    .map(np.array)
    .filter(lambda v: np.linalg.norm(v) > 0.1)
    .map(lambda v: v / np.linalg.norm(v))
)
# A third of them next to 0, a third next to pi, where naive formulas break.
angles = st.one_of(
    st.floats(0, 1e-3, allow_subnormal=False), st.floats(0, np.pi), st.floats(np.pi - 1e-3, np.pi)
)
axis_angles = st.builds(lambda axis, angle: axis * angle, unit_vectors, angles)
AWKWARD = (0.0, 1e-20, 1e-8, 1e-4, 0.0316, 0.0317, 1.0, np.pi - 1e-3, np.pi - 1e-7, np.pi, 4.0, 7.0)
AXES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.6, -0.8, 0], [-2 / 7, 3 / 7, 6 / 7]])


def awkward_vectors(dtype):
    return (np.array(AWKWARD)[:, None, None] * AXES).reshape(-1, 3).astype(dtype)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "rotations.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("xp", [np, jnp])
def test_conversions_give_the_golden_values_in_the_namespace_they_are_fed(golden, xp):
    pairs = [
        (rotations.rot6d_to_matrix, "rot6d", "rotmat"),
        (rotations.matrix_to_axis_angle, "rotmat", "angle_axis"),
        (rotations.axis_angle_to_matrix, "angle_axis_in", "rodrigues"),
        (rotations.mirror_axis_angles, "thetas", "thetas_flipped"),
    ]
    for function, given_name, wanted_name in pairs:
        got = function(xp.asarray(golden[given_name]))
        assert got.dtype == np.float32
        assert isinstance(got, np.ndarray) == (xp is np)
        # 1e-5: the golden values are float32 of other formulas, a few dozen roundings apart.
        np.testing.assert_allclose(got, golden[wanted_name], atol=1e-5, err_msg=wanted_name)


@quick
@given(axis_angles)
def test_axis_angle_to_matrix_agrees_with_scipy(vector):
    matrix = rotations.axis_angle_to_matrix(vector)
    # 1e-14: float64 rounding (2e-16) of some ten operations on numbers up to pi^2.
    np.testing.assert_allclose(matrix, Rotation.from_rotvec(vector).as_matrix(), atol=1e-14)


@quick
@given(axis_angles)
def test_axis_angle_survives_the_round_trip(vector):
    back = rotations.matrix_to_axis_angle(rotations.axis_angle_to_matrix(vector))
    if np.dot(back, vector) < 0:  # the other of the two axis-angles of a half turn
        vector = vector - 2 * np.pi * vector / np.linalg.norm(vector)
    # 1e-13: as above, and the arc tangent of a ratio; no square root of a rounding error.
    np.testing.assert_allclose(back, vector, atol=1e-13)


@quick
@given(st.lists(axis_angles, min_size=1, max_size=4))
def test_matrix_survives_both_round_trips(vectors):
    matrix = Rotation.from_rotvec(np.array(vectors)).as_matrix()
    # 1e-13: a few dozen float64 roundings.
    by_axis_angle = rotations.axis_angle_to_matrix(rotations.matrix_to_axis_angle(matrix))
    np.testing.assert_allclose(by_axis_angle, matrix, atol=1e-13)
    by_6d = rotations.rot6d_to_matrix(rotations.matrix_to_rot6d(matrix))
    np.testing.assert_allclose(by_6d, matrix, atol=1e-13)


@quick
@given(st.lists(st.floats(-10, 10, width=32), min_size=6, max_size=6))
def test_rot6d_gives_rotations_or_zero_columns_never_nan(numbers):
    rot6d = np.array(numbers, dtype=np.float32)
    matrix = rotations.rot6d_to_matrix(rot6d)
    assert np.isfinite(matrix).all()
    a, b = rot6d[0::2].astype(np.float64), rot6d[1::2].astype(np.float64)
    # Only where the columns are well apart is Gram-Schmidt accurate in float32.
    if min(np.linalg.norm(a), np.linalg.norm(b)) > 0.1:
        sine = np.linalg.norm(np.cross(a, b)) / np.linalg.norm(a) / np.linalg.norm(b)
        if sine > 0.1:
            # 1e-5: float32 rounding (6e-8) over the sine of 0.1, times some ten operations.
            np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-5)
            assert np.linalg.det(matrix) > 0


@pytest.mark.parametrize("numbers", [[0] * 6, [1, 2, 2, 4, 3, 6], [0, 1, 0, 2, 0, 3]])
def test_rot6d_without_two_directions_is_finite_with_finite_gradient(numbers):
    rot6d = jnp.array(numbers, dtype=jnp.float32)
    assert not np.asarray(rotations.rot6d_to_matrix(rot6d))[:, 2].any()
    assert np.isfinite(jax.jacobian(rotations.rot6d_to_matrix)(rot6d)).all()


def test_float32_keeps_its_digits_at_awkward_angles():
    exact = awkward_vectors(np.float64)
    matrix = rotations.axis_angle_to_matrix(exact.astype(np.float32))
    # 1e-6: an angle of 7 carries a rounding of 2.4e-7, and the formula some of the same.
    np.testing.assert_allclose(matrix, Rotation.from_rotvec(exact).as_matrix(), atol=1e-6)
    back = rotations.matrix_to_axis_angle(Rotation.from_rotvec(exact).as_matrix().astype("float32"))
    turns_back = rotations.axis_angle_to_matrix(back.astype(np.float64))
    # 1e-6: rounding of the matrix (6e-8), doubled by the half angle and scaled by pi.
    np.testing.assert_allclose(turns_back, Rotation.from_rotvec(exact).as_matrix(), atol=1e-6)
    small = awkward_vectors(np.float64)[5:20]  # angles 1e-20, 1e-8, 1e-4
    back = rotations.matrix_to_axis_angle(rotations.axis_angle_to_matrix(small.astype(np.float32)))
    # Relative: tiny angles keep all their digits, because only products of them are taken.
    np.testing.assert_allclose(back, small, rtol=1e-6)


def test_gradients_are_finite_at_awkward_angles():
    vectors = jnp.asarray(awkward_vectors(np.float32))
    to_matrix = jax.jit(jax.vmap(jax.jacobian(rotations.axis_angle_to_matrix)))
    to_vector = jax.jit(jax.vmap(jax.jacobian(rotations.matrix_to_axis_angle)))
    assert np.isfinite(to_matrix(vectors)).all()
    matrices = Rotation.from_rotvec(np.asarray(vectors, np.float64)).as_matrix()
    exact_half_turns = np.stack([np.diag(d) for d in ((1, -1, -1), (-1, 1, -1), (-1, -1, 1))])
    matrices = np.concatenate([np.eye(3)[None], exact_half_turns, matrices])
    assert np.isfinite(to_vector(jnp.asarray(matrices, dtype=jnp.float32))).all()


def test_gradients_are_right_at_awkward_angles():
    exact = awkward_vectors(np.float64)
    got = jax.jit(jax.vmap(jax.jacobian(rotations.axis_angle_to_matrix)))(
        jnp.asarray(exact, dtype=jnp.float32)
    )
    step = 1e-6
    for i in range(3):
        move = step * np.eye(3)[i]
        up, down = (Rotation.from_rotvec(exact + s * move).as_matrix() for s in (1, -1))
        # 1e-6: float32 rounding of the derivative; the differences in float64 are good to 1e-9.
        np.testing.assert_allclose(got[..., i], (up - down) / (2 * step), atol=1e-6)


def test_gradient_of_the_round_trip_is_the_identity_up_to_next_to_pi():
    lengths = np.array([1e-8, 1e-4, 0.0316, 0.0317, 1.0, 2.5, np.pi - 1e-2, np.pi - 1e-3])
    vectors = (lengths[:, None, None] * AXES).reshape(-1, 3).astype(np.float32)

    def round_trip(vector):
        return rotations.matrix_to_axis_angle(rotations.axis_angle_to_matrix(vector))

    got = jax.jit(jax.vmap(jax.jacobian(round_trip)))(jnp.asarray(vectors))
    # 2e-6: some tens of float32 roundings (6e-8); nothing cancels.
    np.testing.assert_allclose(got, np.broadcast_to(np.eye(3), got.shape), atol=2e-6)


def test_gradient_of_rot6d_is_that_of_finite_differences():
    rot6d = np.random.default_rng(0).normal(size=(20, 6))
    got = jax.jit(jax.vmap(jax.jacobian(rotations.rot6d_to_matrix)))(jnp.asarray(rot6d, dtype="f"))
    step = 1e-6
    for i in range(6):
        move = step * np.eye(6)[i]
        up, down = (rotations.rot6d_to_matrix(rot6d + s * move) for s in (1, -1))
        # 5e-6: float32 rounding times the size of the derivative (up to 5 here).
        np.testing.assert_allclose(got[..., i], (up - down) / (2 * step), atol=5e-6)


@quick
@given(st.integers(0, 2**32 - 1), st.sampled_from([(24, 3), (72,), (2, 5, 72), (3, 24, 3)]))
def test_mirror_twice_is_the_identity(seed, shape):
    theta = np.random.default_rng(seed).normal(size=shape)
    twice = rotations.mirror_axis_angles(rotations.mirror_axis_angles(theta))
    assert twice.shape == theta.shape
    np.testing.assert_array_equal(twice, theta)


def test_mirror_is_the_reflection_of_each_rotation():
    theta = np.random.default_rng(0).normal(size=(24, 3))
    reflection = np.diag([-1.0, 1, 1])
    wanted = reflection @ Rotation.from_rotvec(theta).as_matrix() @ reflection
    got = Rotation.from_rotvec(rotations.mirror_axis_angles(theta)).as_matrix()
    # 1e-14: float64 rounding; the identity is exact in algebra.
    np.testing.assert_allclose(got, wanted[list(rotations.SMPL_MIRROR)], atol=1e-14)


def test_mirror_names_the_shape_it_cannot_take():
    with pytest.raises(ValueError, match=r"24 SMPL rotations.*got \(5, 70\)"):
        rotations.mirror_axis_angles(np.zeros((5, 70)))


@quick
@given(st.integers(0, 2**32 - 1), axis_angles, st.floats(0.1, 10))
def test_alignment_finds_the_similarity_that_made_the_target(seed, vector, scale):
    rng = np.random.default_rng(seed)
    source, shift = rng.normal(size=(17, 3)), rng.normal(size=3)
    rotation = Rotation.from_rotvec(vector).as_matrix()
    target = scale * source @ rotation.T + shift
    got_scale, got_rotation, got_shift = rotations.similarity_transform(source, target)
    # 1e-11: float64 rounding through an SVD of well-conditioned sums of 17 points, sizes to 40.
    np.testing.assert_allclose(got_scale, scale, rtol=1e-11)
    np.testing.assert_allclose(got_rotation, rotation, atol=1e-11)
    np.testing.assert_allclose(got_shift, shift, atol=1e-11 * scale * 4)
    np.testing.assert_allclose(rotations.similarity_align(source, target), target, atol=1e-10)


def test_alignment_never_mirrors_and_cannot_be_beaten():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(6, 12, 3))
    target = source * [-1, 1, 1] + 0.05 * rng.normal(size=source.shape)
    scale, rotation, shift = rotations.similarity_transform(source, target)
    # 1e-12: determinant of an orthogonal matrix in float64.
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-12)

    def error(scale, rotation, shift):
        moved = scale[:, None, None] * source @ np.swapaxes(rotation, -1, -2) + shift[:, None, :]
        return ((moved - target) ** 2).sum((1, 2))

    best = error(scale, rotation, shift)
    for _ in range(50):
        turn = Rotation.from_rotvec(0.03 * rng.normal(size=(6, 3))).as_matrix()
        worse = error(
            scale * rng.normal(1, 0.02, 6), turn @ rotation, shift + 0.02 * rng.normal(size=(6, 3))
        )
        assert (worse > best).all()


def test_alignment_gives_the_golden_metrics():
    with np.load(GOLDEN / "losses.npz") as arrays:
        pred, gt, wanted = arrays["pred"][0], arrays["gt"][0], arrays["metric_p_mpjpe"]
    for xp in (np, jnp):
        aligned = np.asarray(rotations.similarity_align(xp.asarray(pred), xp.asarray(gt)))
        got = np.linalg.norm(aligned - gt, axis=-1).mean(-1)
        # 1e-5: both are float32 through an SVD.
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_alignment_gives_the_golden_mesh_metric():
    with np.load(GOLDEN / "mesh_metrics.npz") as arrays:
        pred, gt, wanted = arrays["kp_3d"], arrays["kp_3d_gt"], arrays["pa_mpjpe_17j"]
    got = np.linalg.norm(rotations.similarity_align(pred, gt) - gt, axis=-1).mean()
    # 1e-6 relative: float32 millimetres through an SVD, averaged over a hundred joints.
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_alignment_of_coinciding_points_is_their_target_mean():
    source, target = np.ones((2, 17, 3)), np.random.default_rng(0).normal(size=(2, 17, 3))
    aligned = rotations.similarity_align(source, target)
    # 1e-14: a mean of 17 numbers in float64.
    mean = np.broadcast_to(target.mean(1, keepdims=True), target.shape)
    np.testing.assert_allclose(aligned, mean, atol=1e-14)
