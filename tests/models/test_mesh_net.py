"""Mesh nets against golden values: theta, joints and vertices in mm, mirrored input; losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import mbjax
from mbjax.body.model import RegressedJoints
from mbjax.models import flip, mesh
from mbjax.tasks.mesh import losses as mesh_losses
from tests.recipes import body as body_recipes
from tests.recipes.settings import GOLDEN

LOSSES = {
    "joint": "3d_pos", "scale": "3d_scale", "velocity": "3d_velocity", "limb_variance": "lv",
    "limb_length": "lg", "angle": "a", "angle_velocity": "av", "shape": "shape", "pose": "pose",
    "norm": "norm",
}  # fmt: skip
# What golden/README asks for, in mm: 1e-3, and 1e-5 of bodies some 4 m across.
MM = {"atol": 1e-3, "rtol": 1e-5}


@pytest.fixture(scope="module")
def body():
    return body_recipes.golden_body(int(np.load(GOLDEN / "mesh.npz")["seed"]))


def predicted(name, golden):
    """(arrays, model, inputs, body parameters)."""
    arrays = golden(f"{name}.npz")
    model = mbjax.load(GOLDEN / f"{name}.bin", num_heads=4, verbose=False)
    inputs = [jnp.asarray(arrays["x"])]
    if "init_pose" in arrays:
        inputs.append(jnp.concatenate([arrays["init_pose"], arrays["init_shape"]], axis=-1))
    return arrays, model, inputs, jax.jit(lambda *inputs: model(*inputs))(*inputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mesh", "mesh_refine"])
def test_golden_theta_joints_and_vertices(name, golden, body, highest_precision):
    arrays, _, _, out = predicted(name, golden)
    assert body_recipes and int(arrays["seed"]) == int(golden("mesh.npz")["seed"])
    # 1e-5 asked for; the refiner's sums over 5 frames and two 6D forms double the rounding.
    np.testing.assert_allclose(out.theta(), arrays["theta"], atol=1e-5, rtol=1e-5)
    body, regressor, _ = body
    rotations, betas = map(np.asarray, out)
    np.testing.assert_allclose(
        RegressedJoints(body, regressor)(rotations, betas) * 1000, arrays["kp_3d"], **MM
    )
    verts, _ = body.restricted_to(arrays["vertex_ids"])(rotations, betas)
    np.testing.assert_allclose(verts * 1000, arrays["verts"], **MM)


@pytest.mark.slow
def test_golden_losses_and_mirrored_prediction(golden, body, highest_precision):
    arrays, model, (x,), out = predicted("mesh", golden)
    body, regressor, mean = body
    np.testing.assert_allclose(model.head.init_pose[0], mean[0], atol=1e-6)
    target = mesh.from_theta(jnp.asarray(arrays["gt_theta"]))
    joints_of = RegressedJoints(body, regressor)
    joints_mm, target_mm = (joints_of(*map(np.asarray, each)) * 1000 for each in (out, target))
    # The golden target is root-relative.
    wanted = target_mm - target_mm[:, :, :1]
    np.testing.assert_allclose(wanted, arrays["gt_kp_3d"], **MM)
    weights = dict.fromkeys(LOSSES, 1.0)
    loss = jax.jit(lambda *given: mesh_losses.mesh_loss(*given, weights))
    total, terms = loss(out, joints_mm, target, target_mm)
    for ours, theirs in LOSSES.items():
        # Float32 means over joints of millimetres and over 72 angles; the limb variance is of
        # numbers that are nearly alike.
        np.testing.assert_allclose(terms[ours], arrays[f"loss.loss_{theirs}"], rtol=2e-5)
    np.testing.assert_allclose(total, sum(terms.values()), rtol=1e-6)
    plain, flipped = jax.jit(lambda x: flip.both_thetas(model, x))(x)
    np.testing.assert_allclose(flipped[..., :72], arrays["flipped_theta_back"], atol=1e-5)
    np.testing.assert_allclose(plain, arrays["theta"], atol=1e-5)


def test_a_loss_of_weight_zero_is_left_out_and_an_unknown_one_named(golden):
    theta = jnp.asarray(golden("mesh.npz")["theta"])
    joints = jnp.zeros((2, 9, 17, 3))
    given = (mesh.from_theta(theta), joints, mesh.from_theta(theta * 0.9), joints + 1)
    total, terms = mesh_losses.mesh_loss(*given, {"joint": 0.5, "pose": 1000.0, "norm": 0.0})
    assert set(terms) == {"joint", "pose"}
    np.testing.assert_allclose(total, 0.5 * terms["joint"] + 1000 * terms["pose"], rtol=1e-6)
    with pytest.raises(ValueError, match="no loss named verts; there are: joint, .*pose, shape"):
        mesh_losses.mesh_loss(*given, {"verts": 1.0})


def test_theta_and_its_mirror_come_back(golden):
    theta = jnp.asarray(golden("mesh.npz")["gt_theta"])
    # 1e-6: float32 through a matrix and back.
    np.testing.assert_allclose(mesh.from_theta(theta).theta(), theta, atol=2e-6)
    np.testing.assert_array_equal(mesh.mirror_theta(mesh.mirror_theta(theta)), theta)


def test_a_new_refiner_keeps_the_initial_pose_in_columns_and_not_in_rows(golden):
    """The release writes rows and reads columns: even an update of zero changes the pose."""
    initial = mesh.from_theta(jnp.asarray(golden("mesh_refine.npz")["theta"]))
    features = jnp.ones((2, 9, 34)) / 6

    @jax.jit
    def outputs():
        outs = []
        for form in ("columns", "rows"):
            config = mesh.RefineHeadConfig(hidden=8, initial_6d=form)
            head = mesh.RefineHead(config, 34, rngs=nnx.Rngs(0))
            head.eval()
            outs.append(head(features, initial, None))
        return outs

    moved = []
    for out in outputs():
        moved.append(float(abs(out.rotations_BxTxKx3x3 - initial[0]).max()))
        np.testing.assert_array_equal(out.betas_BxTxS, initial.betas_BxTxS)
    # A last layer of the release's gain of 0.01 moves it a little.
    assert moved[0] < 0.1 < 1 < moved[1]
    with pytest.raises(ValueError, match="initial_6d is 'planes'"):
        mesh.RefineHeadConfig(initial_6d="planes")


@pytest.mark.slow
def test_a_new_mesh_head_predicts_the_mean_and_all_of_it_has_gradients():
    pose = np.random.default_rng(0).normal(size=144).astype(np.float32)

    @jax.jit
    def run():
        config = mesh.MeshHeadConfig(hidden=8, dropout=0.5)
        head = mesh.MeshHead(config, 34, rngs=nnx.Rngs(0))
        head.init_pose[...] = pose[None]
        graphdef, *trees = nnx.split(head, nnx.Param, ...)
        params, other = map(nnx.to_pure_dict, trees)
        x = jax.random.normal(jax.random.key(0), (3, 9, 34))
        keys = jax.random.split(jax.random.key(1), 3)

        def size_of_theta(params):
            head = nnx.merge(graphdef, params, other)
            head.train()
            out = head(x, keys)
            return jnp.abs(out.theta()).sum(), out

        return jax.value_and_grad(size_of_theta, has_aux=True)(params)

    (_, out), grads = run()
    mean = mesh.rot6d_to_matrix(pose.reshape(24, 6))
    # The release's gain of 0.01 on the last layer, its input of size 1.
    assert abs(out.rotations_BxTxKx3x3 - mean).max() < 0.2
    assert (out.betas_BxTxS == out.betas_BxTxS[:, :1]).all(), "one shape for the clip"
    for path, leaf in jax.tree.leaves_with_path(grads):
        # A bias before BatchNorm has a gradient of zero, but for rounding.
        assert np.isfinite(leaf).all() and abs(leaf).any(), path
