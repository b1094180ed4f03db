import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mbjax.data import detector_noise
from mbjax.data.plan import row_keys

NOISE = detector_noise.DetectionNoise.load()


def keys(rows, seed=0):
    return row_keys(jax.random.key(seed), 0, rows)


def test_upsampling_agrees_with_reference(golden):
    values = golden("noise_upsample.npz")
    for frames in (243, 30):
        ours = detector_noise.upsample(values["key"], frames)
        # The release computes the weights in float32, we in float64; measured 7e-6.
        np.testing.assert_allclose(ours, values[f"up_{frames}"], atol=1e-5)


def test_upsampling_to_its_own_length_and_to_one_frame():
    key = np.random.default_rng(0).normal(size=(27, 17, 2)).astype(np.float32)
    np.testing.assert_array_equal(detector_noise.upsample(key, 27), key)
    np.testing.assert_array_equal(detector_noise.upsample(key, 1), key[:1])


def test_noise_has_the_statistics_of_its_table():
    """Key frames alone (27 frames, no jitter): mean, spread and share as the table says."""
    still = detector_noise.DetectionNoise(**{**vars(NOISE), "temporal_std": 0.0})
    rows = 4000
    x = detector_noise.add_noise(keys(rows), jnp.zeros((rows, 27, 17, 2)), still)
    offsets = np.asarray(x[..., :2], np.float64).reshape(-1, 17, 2)
    weight, uniform_variance = NOISE.weight_J[:, None], NOISE.uniform_range**2 / 12
    mean = weight * NOISE.mean_Jx2
    second = weight * (NOISE.std_Jx2**2 + NOISE.mean_Jx2**2) + (1 - weight) * uniform_variance
    # 108,000 samples: five standard errors of a mean of std 0.01 are 1.6e-4.
    np.testing.assert_allclose(offsets.mean(0), mean, atol=2e-4)
    np.testing.assert_allclose(np.square(offsets).mean(0), second, rtol=0.05)
    assert np.abs(offsets).max() < 0.06, "five sigma of the widest normal"


def test_confidence_falls_with_displacement_and_stays_in_range():
    rows = 500
    x = np.asarray(detector_noise.add_noise(keys(rows), jnp.zeros((rows, 27, 17, 2)), NOISE))
    r, confidence = np.linalg.norm(x[..., :2], axis=-1), x[..., 2]
    assert confidence.min() >= 0 and confidence.max() <= 1
    curve = NOISE.confidence
    near = (r > 0.009) & (r < 0.011)
    expected = curve["a"] / (0.01 + curve["a"]) + curve["b"] * 0.01 + curve["m"]
    # Clipping at 1 takes a little off the mean of the upper tail (s = 0.14): under 0.03 here.
    assert abs(confidence[near].mean() - expected) < 0.03


@pytest.mark.parametrize("joint_ratio, frame_ratio", [(0.05, 0.1), (0.5, 0.0), (0.0, 0.3)])
def test_masks_have_their_shares_and_zero_everything(joint_ratio, frame_ratio):
    rows = 400
    x = np.asarray(
        detector_noise.add_masks(keys(rows), jnp.ones((rows, 81, 17, 3)), joint_ratio, frame_ratio)
    )
    hidden = x == 0
    assert (hidden.all(-1) == hidden.any(-1)).all(), "x, y and confidence together"
    whole_frames = hidden[..., 0].all(-1).mean()
    # 32,400 frames and 550,000 entries: five standard errors.
    assert abs(whole_frames - frame_ratio) < 0.015
    share = 1 - (1 - joint_ratio) * (1 - frame_ratio)
    assert abs(hidden[..., 0].mean() - share) < 0.015


def test_each_clip_is_masked_and_jittered_on_its_own():
    x = np.asarray(detector_noise.add_masks(keys(8), jnp.ones((8, 81, 17, 3)), 0.0, 0.3))
    frame_masks = {tuple(row) for row in (x[:, :, 0, 0] == 0)}
    assert len(frame_masks) == 8
    noisy = np.asarray(detector_noise.add_noise(keys(2), jnp.zeros((2, 27, 17, 2)), NOISE))
    assert not np.allclose(noisy[0], noisy[1])


def test_a_row_depends_on_its_number_alone():
    """A larger batch, or a row's part of it, gives every row what it had."""
    x = jnp.zeros((6, 9, 17, 2))
    whole = detector_noise.add_noise(keys(6), x, NOISE)
    part = detector_noise.add_noise(row_keys(jax.random.key(0), 4, 2), x[4:], NOISE)
    np.testing.assert_array_equal(whole[4:], part)


def test_corruption_is_the_same_on_any_number_of_devices():
    from mbjax.devices import sharding

    x = jnp.zeros((8, 9, 17, 2))

    def corrupted(mesh):
        row_sharding = sharding.batch_sharding(mesh)
        compute = jax.jit(
            lambda x: detector_noise.add_masks(
                keys(8, 1), detector_noise.add_noise(keys(8), x, NOISE), 0.1, 0.1
            ),
            in_shardings=row_sharding,
            out_shardings=row_sharding,
        )
        return np.asarray(compute(jax.device_put(x, row_sharding)))

    one = corrupted(sharding.make_mesh(devices=jax.devices()[:1]))
    np.testing.assert_array_equal(one, corrupted(sharding.make_mesh()))


def test_table_survives_writing_and_refuses_other_files(tmp_path):
    path = tmp_path / "table.json"
    path.write_text(NOISE.to_json())
    again = detector_noise.DetectionNoise.load(path)
    np.testing.assert_array_equal(again.mean_Jx2, NOISE.mean_Jx2)
    assert again.confidence == NOISE.confidence
    path.write_text('{"mean": [1, 2]}')
    with pytest.raises(ValueError, match="table.json: not a detection noise table"):
        detector_noise.DetectionNoise.load(path)


@pytest.mark.parametrize(
    "name, value",
    [
        ("std", -0.1), ("std", float("nan")), ("mean", float("inf")), ("weight", 1.5),
        ("weight", -0.1), ("uniform_range", -1), ("num_keyframes", 0), ("num_keyframes", 10**300),
        ("temporal_std", -1), ("temporal_std", 1e300),
    ],
)  # fmt: skip
def test_numbers_that_no_detector_has_are_refused(tmp_path, name, value):
    table = json.loads(NOISE.to_json())
    if isinstance(table[name], list):
        row = table[name]
        while isinstance(row[0], list):
            row = row[0]
        row[0] = value
    else:
        table[name] = value
    (tmp_path / "table.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match=f"table.json: (not a detection|{name} has numbers)"):
        detector_noise.DetectionNoise.load(tmp_path / "table.json")
