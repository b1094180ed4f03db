import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mbjax.data import augment, detector_noise
from mbjax.data.plan import row_keys
from mbjax.data.records import RecordReader
from mbjax.data.windows import covering_windows
from mbjax.devices import sharding
from mbjax.pose import metrics, skeleton
from mbjax.pose.normalise import crop_scale_3d
from mbjax.tasks.pretrain import task as pretrain
from mbjax.tasks.pretrain.evaluation import Evaluation
from mbjax.training.step import make_plan, make_state

NOISE = detector_noise.DetectionNoise.load()


class Recorder(nnx.Module):
    """Stands for the network: gives back x, y with a depth of zero and keeps what it was fed."""

    def __init__(self):
        self.seen = []

    def __call__(self, x):
        self.seen.append(x)
        return jnp.concatenate([x[..., :2], jnp.zeros_like(x[..., :1])], axis=-1)


@pytest.fixture
def plain(tiny_config):
    """No augmentation, no corruption, no ramp: what the losses do is then known."""
    tiny_config.noise = False
    tiny_config.mask_joints = tiny_config.mask_frames = 0.0
    tiny_config.augment.update(mirror=False, bone_std=0.0, yaw=0.0, pitch=0.0, scale_high=0.0)
    tiny_config.ramp_end = 0.0
    return tiny_config


def keys(rows):
    return row_keys(jax.random.key(0), 0, rows)


def test_3d_source_projects_its_clip_and_is_root_relative(plain):
    pose = jax.random.normal(jax.random.key(1), (4, 9, 17, 3))
    model = Recorder()
    total, terms = pretrain.loss_3d(
        plain, plain.sources.motion, NOISE, model, {"pose": pose}, keys(4), 0.5
    )
    np.testing.assert_array_equal(model.seen[0][..., :2], pose[..., :2])
    np.testing.assert_array_equal(model.seen[0][..., 2], 1.0)
    target = np.asarray(skeleton.root_relative(pose))
    prediction = np.asarray(pose) * [1, 1, 0]
    expected = np.linalg.norm(prediction - target, axis=-1).mean()
    np.testing.assert_allclose(terms["joint"], expected, rtol=1e-5)
    np.testing.assert_allclose(
        total, terms["joint"] + 0.5 * terms["scale"] + 20 * terms["velocity"], rtol=1e-5
    )


def test_3d_source_is_seen_from_as_near_as_the_config_says(plain):
    """The input is the perspective one, the target the clip itself."""
    pose = 0.2 * jax.random.normal(jax.random.key(1), (4, 9, 17, 3))
    plain.augment.near = plain.augment.far = 4.0
    model = Recorder()
    _, terms = pretrain.loss_3d(
        plain, plain.sources.motion, NOISE, model, {"pose": pose}, keys(4), 0.5
    )
    seen = jax.vmap(augment.perspective, in_axes=(0, None))(pose, 4.0)
    # Drawn from a range of one distance, by its logarithm in float32.
    np.testing.assert_allclose(model.seen[0][..., :2], seen, rtol=1e-5, atol=1e-6)
    prediction = np.concatenate([seen, np.zeros_like(seen[..., :1])], axis=-1)
    expected = np.linalg.norm(prediction - np.asarray(skeleton.root_relative(pose)), axis=-1).mean()
    np.testing.assert_allclose(terms["joint"], expected, rtol=1e-5)


@pytest.mark.slow
def test_evaluation_from_near_shows_the_network_a_perspective_picture(evaluation_config):
    config = evaluation_config
    task = pretrain.make_task(config)
    graphdef, fresh = make_state(task, task.optimizer(make_plan(task, config))[0], 0)
    state, mesh = fresh(), sharding.make_mesh()
    record = RecordReader("sample:motion3d", "test")[0]
    shown = {}
    for distance in (0.0, 3.0, 1e6):
        config.evaluation.distance = distance
        shown[distance] = Evaluation(config, NOISE, [record]).show(graphdef, state, mesh, 0, 0)
    for one in shown.values():
        # mm, float32 of some hundred, by programs that are compiled in other ways.
        np.testing.assert_allclose(one.truth, shown[0.0].truth, atol=2e-3)
    off = np.abs(shown[3.0].seen[..., :2] - shown[0.0].seen[..., :2]).max()
    assert off > 0.02, "a body's depth is a tenth of three metres"
    np.testing.assert_allclose(shown[1e6].seen, shown[0.0].seen, atol=1e-5)  # float32


def test_2d_source_weighs_by_the_confidence_before_corruption(plain):
    plain.noise = True  # the source decides
    keypoints = jax.random.uniform(jax.random.key(1), (4, 9, 17, 3))
    keypoints = keypoints.at[:, :, 5, 2].set(0.0)
    source = plain.sources.annotated
    model = Recorder()
    loss, _ = pretrain.loss_2d(plain, source, NOISE, model, {"keypoints": keypoints}, keys(4), 0.5)
    assert not np.asarray(model.seen[0])[:, :, 5].any(), "unseen joints stay unseen under noise"
    assert np.abs(np.asarray(model.seen[0][..., :2] - keypoints[..., :2]))[:, :, 3].max() > 0
    target = skeleton.root_relative(keypoints[..., :2])
    difference = (model.seen[0][..., :2] - target) * keypoints[..., 2:]
    np.testing.assert_allclose(
        loss, np.linalg.norm(np.asarray(difference), axis=-1).mean(), rtol=1e-5
    )


def test_detected_source_is_masked_but_gets_no_noise(plain):
    plain.noise, plain.mask_frames = True, 0.5
    source = plain.sources.annotated.copy_and_resolve_references()
    source.noise = False
    keypoints = jax.random.uniform(jax.random.key(1), (4, 9, 17, 3), minval=0.1)
    model = Recorder()
    pretrain.loss_2d(plain, source, NOISE, model, {"keypoints": keypoints}, keys(4), 0.5)
    seen = np.asarray(model.seen[0])
    kept = seen.any(-1)
    np.testing.assert_array_equal(seen[kept], np.asarray(keypoints)[kept])
    assert 0.2 < kept.mean() < 0.8


def test_two_channels_leave_the_confidence_out(plain):
    plain.model.dim_in = 2
    model = Recorder()
    pose = jax.random.normal(jax.random.key(1), (2, 9, 17, 3))
    pretrain.loss_3d(plain, plain.sources.motion, NOISE, model, {"pose": pose}, keys(2), 0.5)
    assert model.seen[0].shape == (2, 9, 17, 2)


def test_ramp_goes_from_clean_to_full(plain):
    plain.noise, plain.mask_joints = True, 0.3
    plain.ramp_begin, plain.ramp_end = 0.2, 0.6
    pose = jax.random.normal(jax.random.key(1), (2, 9, 17, 3))

    def at(progress):
        model = Recorder()
        batch = {"pose": pose}
        pretrain.loss_3d(plain, plain.sources.motion, NOISE, model, batch, keys(2), progress)
        return np.asarray(model.seen[0])

    np.testing.assert_array_equal(at(0.1)[..., :2], pose[..., :2])
    np.testing.assert_array_equal(at(0.6), at(1.0))
    assert 0.2 < (at(0.9) == 0).all(-1).mean() < 0.4
    plain.ramp_end = 0.0
    np.testing.assert_array_equal(at(0.0), at(1.0))


@pytest.fixture
def evaluation_config(tiny_config):
    tiny_config.evaluation.update(
        dir="sample:motion3d", frames=9, frame_step=8, yaws=(0.0, 90.0), pitches=(10.0,),
        batch_size=50,
    )  # fmt: skip
    return tiny_config


@pytest.mark.slow
def test_evaluation_covers_every_frame_and_scores_the_baseline(evaluation_config):
    """A network of zeros: its error and the baseline's, worked out without the class."""
    config = evaluation_config
    evaluation = Evaluation(config, NOISE)
    task = pretrain.make_task(config)
    held_out = RecordReader("sample:motion3d", "test")
    assert task.data_index()["evaluation"] == {"test": held_out.index()}
    plan = make_plan(task, config)
    graphdef, fresh = make_state(task, task.optimizer(plan)[0], 0)
    state = jax.tree.map(jnp.zeros_like, fresh())
    found = evaluation(graphdef, state, sharding.make_mesh())

    reader = RecordReader("sample:motion3d", "test")
    zero, flat = [], []
    for number in range(len(reader)):
        record = reader[number]
        for yaw in (0.0, 90.0):
            errors = np.zeros((243, 2))
            for window in covering_windows(243, 9, 8):
                seen = augment.view(record["pose"][window], np.radians(yaw), np.radians(10.0))
                pose, scale = crop_scale_3d(seen)
                pose = np.asarray(skeleton.root_relative(pose), np.float64)
                pose *= 1000 * record["metres_per_unit"] / float(scale)
                errors[window, 0] = metrics.mpjpe(np.zeros_like(pose), pose)
                errors[window, 1] = metrics.mpjpe(pose * [1, 1, 0], pose)
            zero.append(errors[:, 0])
            flat.append(errors[:, 1])
    # Float32 against float64 in the scaling; frames in two windows differ no more than that.
    np.testing.assert_allclose(found["error_mm"], np.mean(zero), rtol=1e-4)
    np.testing.assert_allclose(found["flat_mm"], np.mean(flat), rtol=1e-4)
    # Shown smaller, the same millimetres. With noise the largest is a little off the border.
    config.evaluation.fill = 0.5
    smaller = Evaluation(config, NOISE)
    again = smaller(graphdef, state, sharding.make_mesh())
    for name in ("error_mm", "flat_mm"):
        np.testing.assert_allclose(again[name], found[name], rtol=1e-5)
    sizes = [
        np.abs(one.show(graphdef, state, sharding.make_mesh(), 0, 0).seen[..., :2]).max()
        for one in (evaluation, smaller)
    ]
    assert 0.45 < sizes[1] < 0.6 < 0.9 < sizes[0]


@pytest.mark.slow
def test_flip_averaging_makes_the_prediction_mirror_symmetric(evaluation_config):
    """What is predicted for a mirrored motion is the mirror of what is predicted for the motion."""
    config = evaluation_config
    task = pretrain.make_task(config)
    graphdef, fresh = make_state(task, task.optimizer(make_plan(task, config))[0], 0)
    state, mesh = fresh(), sharding.make_mesh()
    record = RecordReader("sample:motion3d", "test")[0]
    mirrored = {**record, "pose": skeleton.mirror(record["pose"])}
    predictions = {}
    for flip in (True, False):
        config.evaluation.flip = flip
        for name, clip in (("plain", record), ("mirrored", mirrored)):
            evaluation = Evaluation(config, NOISE, [clip])
            predictions[flip, name] = evaluation.show(graphdef, state, mesh, 0, 0).clean

    def asymmetry(flip):
        back = skeleton.mirror(predictions[flip, "mirrored"])
        return np.abs(back - predictions[flip, "plain"]).max()

    assert asymmetry(True) < 1e-2, "mm; float32 sums of coordinates of a metre"
    assert asymmetry(False) > 1.0


@pytest.mark.slow
def test_evaluation_does_not_depend_on_the_batch_or_the_devices(evaluation_config):
    config = evaluation_config
    task = pretrain.make_task(config)
    graphdef, fresh = make_state(task, task.optimizer(make_plan(task, config))[0], 0)
    state = fresh()
    results = []
    for batch_size, devices in ((50, 8), (64, 1)):
        config.evaluation.batch_size = batch_size
        mesh = sharding.make_mesh(devices=jax.devices()[:devices])
        results.append(Evaluation(config, NOISE)(graphdef, state, mesh))
    for name, value in results[0].items():
        # The same examples with the same corruption; sums in other orders.
        np.testing.assert_allclose(value, results[1][name], rtol=1e-5)


def test_a_checkpoint_knows_the_longest_clips_their_rate_and_the_people_s_build(tiny_config):
    """All sources have 9 frames; the fastest is every third of records at 30 frames a second."""
    clips = pretrain.make_task(tiny_config).describe["clips"]
    # The sample's person: belly, neck, nose and head 216 + 214 + 155 + 79 mm, legs 412 + 423, means
    # of the first clip; medians over clips are within a few percent.
    assert clips.pop("trunk_per_leg") == pytest.approx(664 / 835, rel=0.03)
    tiny_config.augment.update(scale_low=0.5, scale_high=0.9)
    assert pretrain.make_task(tiny_config).describe["clips"]["fill"] == pytest.approx(0.7)
    tiny_config.augment.scale_high = 0.0
    assert "fill" not in pretrain.make_task(tiny_config).describe["clips"]
    clips.pop("fill", None)
    assert clips == {"frames": 9, "fps": 10.0}
    tiny_config.model.maxlen = 27
    tiny_config.sources.motion.update(frames=27, frame_step=2)
    clips = pretrain.make_task(tiny_config).describe["clips"]
    assert (clips["frames"], clips["fps"]) == (27, 30.0)
