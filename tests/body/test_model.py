"""SMPL and SMPL+H against golden values and a vertex-by-vertex twin; joints without vertices."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mbjax.body.model import Body, RegressedJoints
from tests.recipes import body as body_recipes
from tests.recipes.settings import GOLDEN

# Bones of SMPL next to the 17 joints of Human3.6M.
BONES = (0, 2, 5, 8, 1, 4, 7, 3, 12, 15, 15, 16, 18, 20, 17, 19, 21)

# A body of six joints, which JAX compiles quickly.
FEW_PARENTS = (-1, 0, 0, 1, 1, 3)


def twin(arrays, theta, betas, trans=(0, 0, 0), soft=None, dmpls=()):
    """Vertices and joints of one pose in float64, a vertex and a bone at a time."""
    shapes = arrays["shapedirs"]
    coefficients = list(betas)
    if soft is not None:
        shapes, coefficients = np.concatenate([shapes, soft], -1), [*coefficients, *dmpls]
    shaped = arrays["v_template"] + sum(c * shapes[..., i] for i, c in enumerate(coefficients))
    rest = arrays["J_regressor"] @ shaped
    turns = Rotation.from_rotvec(np.reshape(theta, (-1, 3))).as_matrix()
    feature = np.concatenate([(turn - np.eye(3)).ravel() for turn in turns[1:]])
    shaped = shaped + arrays["posedirs"] @ feature
    chains = []
    for k, parent in enumerate(arrays["kintree_table"][0]):
        local = np.eye(4)
        local[:3, :3], local[:3, 3] = turns[k], rest[k] - (rest[parent] if k else 0)
        chains.append(chains[parent] @ local if k else local)
    verts = np.zeros_like(shaped)
    for v, place in enumerate(shaped):
        for k, chain in enumerate(chains):
            at_bone = np.append(place - rest[k], 1)
            verts[v] += arrays["weights"][v, k] * (chain @ at_bone)[:3]
    return verts + trans, np.stack([chain[:3, 3] for chain in chains]) + trans


@pytest.fixture(scope="module")
def smplh():
    """A small SMPL+H body with soft tissue: its arrays, its soft directions, the Body."""
    arrays = body_recipes.random_body(3, body_recipes.SMPLH_PARENTS, 208, num_betas=16)
    soft = np.random.default_rng(4).normal(size=(208, 3, 8)) * 0.005
    return arrays, soft, Body.from_arrays(arrays, num_betas=16, soft_Vx3xD=soft)


def recording(num_frames, seed=5):
    rng = np.random.default_rng(seed)
    poses, trans = rng.normal(size=(num_frames, 156)) * 0.4, rng.normal(size=(num_frames, 3))
    return poses, rng.normal(size=16), trans, rng.normal(size=(num_frames, 8))


@pytest.mark.slow
@pytest.mark.parametrize("xp", [np, jnp])
def test_smpl_gives_the_golden_vertices_and_joints(xp):
    with np.load(GOLDEN / "smpl_lbs.npz") as file:
        golden = dict(file)
    kintree = np.stack([golden["parents"], np.arange(24)])
    body = Body.from_arrays({**golden, "kintree_table": kintree})
    pose, betas = xp.asarray(golden["pose"]), xp.asarray(golden["betas"])
    matrices = xp.asarray(Rotation.from_rotvec(golden["pose"].reshape(-1, 3)).as_matrix())
    for given in (pose, matrices.reshape(5, 24, 3, 3)):
        verts, joints = body(given, betas)
        assert isinstance(verts, np.ndarray) == (xp is np)
        assert verts.dtype == joints.dtype == np.float32
        # 1e-5 m: float32 sums in another order, for a body some 3 m across.
        np.testing.assert_allclose(verts, golden["vertices"], atol=1e-5)
        np.testing.assert_allclose(joints, golden["joints"], atol=1e-5)


@pytest.mark.parametrize(("dtype", "agreement"), [(np.float32, 2e-6), (np.float64, 1e-13)])
def test_smplh_with_soft_tissue_agrees_with_its_twin(smplh, dtype, agreement):
    arrays, soft, _ = smplh
    body = Body.from_arrays(arrays, num_betas=16, soft_Vx3xD=soft, dtype=dtype)
    poses, betas, trans, dmpls = recording(3)
    verts, joints = body(poses, betas, trans=trans, dmpls=dmpls)
    for t in range(3):
        wanted_verts, wanted_joints = twin(arrays, poses[t], betas, trans[t], soft, dmpls[t])
        # The dtype's rounding of numbers up to 4 m, some ten times over along the chain.
        np.testing.assert_allclose(verts[t], wanted_verts, atol=agreement)
        np.testing.assert_allclose(joints[t], wanted_joints, atol=agreement)


def test_batches_broadcast():
    arrays = body_recipes.random_body(0)
    body = Body.from_arrays(arrays)
    rng = np.random.default_rng(0)
    pose, betas = rng.normal(size=(2, 4, 72)) * 0.5, rng.normal(size=(2, 1, 10))
    verts, joints = body(pose, betas)
    assert verts.shape == (2, 4, 60, 3)
    assert joints.shape == (2, 4, 24, 3)
    # 1e-6 m: the same sums, cut into other blocks by the matrix product.
    np.testing.assert_allclose(verts[1, 2], body(pose[1, 2], betas[1, 0])[0], atol=1e-6)
    many_shapes, _ = body(pose[0, 0], rng.normal(size=(5, 10)), trans=rng.normal(size=(5, 3)))
    assert many_shapes.shape == (5, 60, 3)


@pytest.mark.slow
def test_half_precision_input_is_computed_in_float32():
    body = Body.from_arrays(body_recipes.random_body(0, FEW_PARENTS))
    pose = jnp.asarray(np.random.default_rng(0).normal(size=18) * 0.5, dtype=jnp.bfloat16)
    verts, _ = body(pose, jnp.zeros(10, jnp.bfloat16))
    assert verts.dtype == jnp.float32
    exact, _ = body(np.asarray(pose, dtype=np.float32), np.zeros(10))
    # 2e-6 m: float32 rounding, not bfloat16's (1e-2).
    np.testing.assert_allclose(verts, exact, atol=2e-6)


def test_under_jit_with_gradients():
    body = Body.from_arrays(body_recipes.random_body(0, FEW_PARENTS)).map(jnp.asarray)
    rng = np.random.default_rng(0)
    pose, betas = jnp.asarray(rng.normal(size=18) * 0.5), jnp.asarray(rng.normal(size=10))
    pose = pose.at[:9].set(0)  # joints at rest must not make NaN

    def height(pose, betas):
        return body(pose, betas)[0][:, 1].mean()

    for_pose, for_betas = jax.jit(jax.grad(height, argnums=(0, 1)))(pose, betas)
    exact = Body.from_arrays(body_recipes.random_body(0, FEW_PARENTS), dtype=np.float64)
    step = 1e-6
    for gradient, at in ((for_pose, 0), (for_betas, 1)):
        for i in range(gradient.size):
            ends = []
            for sign in (1, -1):
                given = [np.array(pose, np.float64), np.array(betas, np.float64)]
                given[at][i] += sign * step
                ends.append(exact(*given)[0][:, 1].mean())
            # 2e-6: float32 rounding; the differences in float64 are good to 1e-9.
            assert abs(gradient[i] - (ends[0] - ends[1]) / (2 * step)) < 2e-6


def test_restriction_keeps_vertices_and_all_joints(smplh):
    _, _, body = smplh
    poses, betas, trans, dmpls = recording(3)
    ids = [200, 3, 77]
    some, joints = body.restricted_to(ids)(poses, betas, trans=trans, dmpls=dmpls)
    every, every_joint = body(poses, betas, trans=trans, dmpls=dmpls)
    # 1e-6 m: the same sums, cut into other blocks by the matrix product.
    np.testing.assert_allclose(some, every[:, ids], atol=1e-6)
    np.testing.assert_array_equal(joints, every_joint)


@pytest.mark.slow
@pytest.mark.parametrize("dense", [False, True])
def test_joints_without_vertices_are_those_of_full_skinning(smplh, dense):
    arrays, _, body = smplh
    poses, betas, trans, dmpls = recording(7)
    regressor = body_recipes.random_regressor(1, arrays, BONES, per_joint=6)
    if dense:
        # Every vertex, some against the rest, and rows that do not sum to one.
        regressor = np.random.default_rng(2).normal(size=(17, 208)) / 40
    joints_of = RegressedJoints(body, regressor)
    wanted = regressor @ body(poses, betas, trans=trans, dmpls=dmpls)[0]
    # 5e-6 m: float32 sums in another order; 1e-5 is what is promised.
    got = joints_of(poses, betas, trans=trans, dmpls=dmpls)
    np.testing.assert_allclose(got, wanted, atol=5e-6)
    in_chunks = joints_of.of_sequence(poses, betas, trans_Tx3=trans, dmpls_TxD=dmpls, chunk=3)
    np.testing.assert_allclose(in_chunks, wanted, atol=5e-6)
    bare = regressor @ body(poses, betas)[0]
    np.testing.assert_allclose(joints_of.of_sequence(poses, betas), bare, atol=5e-6)
    in_jax = joints_of(jnp.asarray(poses), betas)
    assert not isinstance(in_jax, np.ndarray)
    np.testing.assert_allclose(in_jax, bare, atol=5e-6)
    assert joints_of.of_sequence(poses[:0], betas).shape == (0, 17, 3)


def test_frames_per_second_of_amass_to_17_joints():
    """At least 1,500 frames/s at the size of SMPL+H, and within 1e-5 m of full skinning."""
    V = 6890
    arrays = body_recipes.random_body(0, body_recipes.SMPLH_PARENTS, V, num_betas=16)
    soft = np.random.default_rng(1).normal(size=(V, 3, 8)) * 0.005
    body = Body.from_arrays(arrays, num_betas=16, soft_Vx3xD=soft)
    regressor = body_recipes.random_regressor(2, arrays, BONES)
    joints_of = RegressedJoints(body, regressor)
    poses, betas, trans, dmpls = recording(2048)
    touched = np.flatnonzero(regressor.any(axis=0))
    small, columns = body.restricted_to(touched), regressor[:, touched].astype(np.float32)

    def folded(n):
        return joints_of.of_sequence(poses[:n], betas, trans_Tx3=trans[:n], dmpls_TxD=dmpls[:n])

    def skinned(body, regressor, n):
        return regressor @ body(poses[:n], betas, trans=trans[:n], dmpls=dmpls[:n])[0]

    ways = {
        "folded": (2048, folded),
        "touched vertices": (512, lambda n: skinned(small, columns, n)),
        "all vertices": (32, lambda n: skinned(body, regressor.astype(np.float32), n)),
    }
    rates, joints = {}, {}
    for name, (num_frames, way) in ways.items():
        times = []
        for _ in range(3):  # the best of three: others may use the machine
            start = time.perf_counter()
            joints[name] = way(num_frames)
            times.append(time.perf_counter() - start)
        rates[name] = num_frames / min(times)
    print(f"{len(touched)} vertices touched;", {way: round(rate) for way, rate in rates.items()})
    for name in ("folded", "touched vertices"):
        np.testing.assert_allclose(joints[name][:32], joints["all vertices"], atol=1e-5)
    assert rates["folded"] >= 1500


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pose": np.zeros((2, 71))}, r"pose has shape \(2, 71\).*24 joints.*72"),
        ({"betas": np.zeros(11)}, r"betas has shape \(11,\).*\(\.\.\., 10\)"),
        ({"trans": np.zeros(2)}, r"trans has shape \(2,\)"),
        ({"dmpls": np.zeros(8)}, r"dmpls has shape \(8,\).*soft-tissue file"),
    ],
)
def test_wrong_input_is_named(change, message):
    body = Body.from_arrays(body_recipes.random_body(0))
    given = {"pose": np.zeros((2, 72)), "betas": np.zeros(10), **change}
    with pytest.raises(ValueError, match=message):
        body(**given)


def test_a_regressor_of_another_body_is_named():
    body = Body.from_arrays(body_recipes.random_body(0))
    with pytest.raises(ValueError, match=r"regressor has shape \(17, 6890\).*\(K, 60\)"):
        RegressedJoints(body, np.zeros((17, 6890)))
