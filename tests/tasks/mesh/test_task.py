"""Mesh recovery as a task: training steps, evaluation against plain numpy, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mbjax.body import smpl
from mbjax.data.plan import row_keys
from mbjax.data.records import RecordReader
from mbjax.devices import sharding
from mbjax.models import mesh
from mbjax.pose.skeleton import mirror
from mbjax.tasks.mesh import evaluation
from mbjax.tasks.mesh import metrics as mesh_metrics
from mbjax.tasks.mesh import task as task_of_meshes
from mbjax.training import loop
from mbjax.training.step import make_state
from tests.recipes import mesh as mesh_recipes


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return mesh_recipes.prepared(tmp_path_factory.mktemp("mesh"))


@pytest.mark.slow
def test_a_run_trains_the_head_and_the_encoder_but_not_its_pose_head(data, tmp_path):
    config = mesh_recipes.config("sample", data, "--config.epochs=3")
    result = loop.run(config, task_of_meshes.make_task, tmp_path / "run", lambda _: None)
    state = result.state
    task = task_of_meshes.make_task(config)
    assert set(task.data_index()["evaluation"]) == {"own test"}
    fresh = jax.jit(make_state(task, _Nothing(), config.seed)[1])()
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), fresh["params"], dict(state["params"]))
    assert not any(jax.tree.leaves(moved["backbone"].pop("head")))
    assert all(jax.tree.leaves(moved["backbone"]["blocks_st"])) and moved["head"]["head_pose"]
    head = state["other"]["head"]
    pose, shape = smpl.load("synthetic-300").mean_parameters()
    np.testing.assert_allclose(head["init_pose"][0], pose, atol=1e-6)
    np.testing.assert_allclose(head["init_shape"][0], shape)
    assert int(head["bn1"]["batches"]) == result.step == 3
    assert result.metrics["mpjpe"] == result.metrics["own_mpjpe"] > 0
    report = evaluation.evaluate_checkpoint(config, str(tmp_path / "run"), tmp_path / "out")
    assert report.metrics == pytest.approx(result.metrics)
    assert "protocol: root-relative" in report.text and "MPVE (all vertices)" in report.text
    with np.load(tmp_path / "out" / "errors_own.npz") as errors:
        assert errors["mpve"].shape == (75,) and errors["accel"].shape == (71,)
        np.testing.assert_allclose(errors["mpve"].mean(), report.metrics["own_mpve"])


class _Nothing:
    def init(self, params):
        return {}


def test_training_never_makes_vertices(data):
    """The folded joints: no array of the loss or its gradient has an axis of 300 vertices."""
    for variant in ("sample", "sample_refine"):
        config = mesh_recipes.config(variant, data)
        task = task_of_meshes.make_task(config)
        graphdef, fresh = make_state(task, _Nothing(), 0)
        state = jax.eval_shape(fresh)
        source = task.sources["own"]
        batch = source.load(np.arange(4), np.arange(4), np.random.default_rng(0))

        def loss(params, other, graphdef=graphdef, source=source, batch=batch):
            model = nnx.merge(graphdef, params, other)
            model.train()
            keys_B = row_keys(jax.random.key(0), 0, 4)
            return source.loss(model, jax.tree.map(jnp.asarray, batch), keys_B, 0.0)[0]

        program = str(jax.make_jaxpr(jax.grad(loss))(state["params"], state["other"]))
        assert "[4,16,17,3]" in program and "300" not in program.replace("0.300", "")


@pytest.mark.slow
def test_evaluation_is_what_numpy_says(data):
    """A refiner whose update is zero gives what it was given, also by way of the mirror image."""
    config = mesh_recipes.config("sample_refine", data, "--config.evaluation.batch_size=3")
    task = task_of_meshes.make_task(config)
    graphdef, fresh = make_state(task, _Nothing(), 0)
    state = jax.jit(fresh)()
    state["params"]["head"]["head_pose"] = jax.tree.map(
        jnp.zeros_like, state["params"]["head"]["head_pose"]
    )
    errors = task.evaluate.of_set("own", graphdef, state, sharding.make_mesh())
    body = smpl.load(config.body)
    reader = RecordReader(str(data), "test")
    records = [reader[i] for i in range(len(reader))]
    assert len(records) == 6 and errors.rows_N.tolist() == list(range(75)), "every frame once"

    def shape_of(theta):
        verts, _ = body.body(theta[..., :72], theta[..., 72:])
        verts = 1000 * verts.astype(np.float64)
        return verts, np.einsum("jv,...vc->...jc", body.regressor_17xV, verts)

    mpve, joints = np.zeros(75), np.zeros((2, 75, 17, 3))
    for record in records:  # a frame of two clips has the same estimate in both
        (verts, found), (true_verts, true) = map(
            shape_of, (record["initial_theta"], record["theta"])
        )
        apart = verts - found[:, :1] - (true_verts - true[:, :1])
        mpve[record["frames"]] = np.linalg.norm(apart, axis=-1).mean(-1)
        joints[:, record["frames"]] = found, true
    # 0.02 mm: float32 vertices of a metre, and theta through matrices, 6D and back.
    np.testing.assert_allclose(errors.frames["mpve"], mpve, atol=0.02)
    for name, values in mesh_metrics.joint_errors(*joints).items():
        np.testing.assert_allclose(errors.frames[name], values, atol=0.02)
    accel = [mesh_metrics.acceleration_error(*joints[:, rows]) for rows in
             (slice(0, 40), slice(40, 75))]  # fmt: skip
    np.testing.assert_allclose(errors.frames["accel"], np.concatenate(accel), atol=0.1)
    for name, value in errors.means.items():
        assert errors.baseline[f"given_{name}"] == pytest.approx(value, abs=0.02)
    assert 0 < errors.baseline["turned_mean_pose_mpve"] < errors.baseline["mean_pose_mpve"]


def test_clips_are_mirrored_whole(data):
    record = RecordReader(str(data), "train")[0]
    names = evaluation.fields("mesh_refine")
    batch = {name: jnp.asarray(record[name])[None].repeat(16, 0) for name in names}
    turned = task_of_meshes.randomly_mirrored(row_keys(jax.random.key(0), 0, 16), batch)
    count = 0
    for row in range(16):
        there = {n: np.asarray(turned[n][row]) for n in turned}
        if not np.array_equal(there["theta"], record["theta"]):
            count += 1
            np.testing.assert_array_equal(there["keypoints"], mirror(record["keypoints"]))
            for name in ("theta", "initial_theta"):
                np.testing.assert_array_equal(there[name], mesh.mirror_theta(record[name]))
        else:
            np.testing.assert_array_equal(there["keypoints"], record["keypoints"])
            np.testing.assert_array_equal(there["initial_theta"], record["initial_theta"])
    assert 3 <= count <= 13


@pytest.mark.parametrize(
    ("variant", "settings", "message"),
    [
        ("sample", ["--config.sources.own.dir="], "no source has a folder.*mesh_pw3d"),
        ("sample", ["--config.kind=hands"], "kind is 'hands'; it must be one of mesh, mesh_refine"),
        ("sample", ["--config.body="], "SMPL files are needed: set MBJAX_SMPL"),
        ("sample", ["--config.model.maxlen=9"], "clips of 16 frames, the model takes 9"),
        ("sample", ["--config.pass_order=('pw3d',)"], "pass_order names 'pw3d'; the sources"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_said(variant, settings, message, data, monkeypatch):
    monkeypatch.delenv(smpl.VARIABLE, raising=False)
    config = mesh_recipes.config(variant, data, *settings)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        task_of_meshes.make_task(config)
