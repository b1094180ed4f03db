import json

import jax
import numpy as np
import pytest

from mbjax.cli import main
from mbjax.data import detector_noise
from mbjax.data.detector_noise_fit import fit
from mbjax.data.plan import row_keys


def drawn_from(noise, clips, frames):
    """Pairs made with a known table: every frame a key frame, so that none is interpolated."""
    table = detector_noise.DetectionNoise(**{**vars(noise), "num_keyframes": frames})
    keys = row_keys(jax.random.key(3), 0, clips)
    true = np.random.default_rng(0).uniform(-1, 1, (clips, frames, 17, 2)).astype(np.float32)
    return np.asarray(detector_noise.add_noise(keys, true, table)), true


@pytest.mark.slow
def test_recovers_a_known_table():
    noise = detector_noise.DetectionNoise.load()
    noise = detector_noise.DetectionNoise(
        **{**vars(noise), "temporal_std": 0.0, "uniform_range": 0.2}
    )
    detected, true = drawn_from(noise, 200, 50)
    fitted, _ = fit(detected.reshape(-1, 17, 3), true.reshape(-1, 17, 2))
    # 10,000 frames a joint: standard errors of 1e-4 on means and 1 % on spreads; EM gets close.
    np.testing.assert_allclose(fitted.mean_Jx2, noise.mean_Jx2, atol=5e-4)
    np.testing.assert_allclose(fitted.std_Jx2, noise.std_Jx2, rtol=0.08)
    np.testing.assert_allclose(fitted.weight_J, noise.weight_J, atol=0.03)
    np.testing.assert_allclose(fitted.uniform_range, 0.2, rtol=0.02)
    # The curve itself, where displacements lie: clipped confidences bias its parts, not its shape.
    r = np.linspace(0.002, 0.05, 20)

    def curve(c):
        return c["a"] / (r + c["a"]) + c["b"] * r + c["m"]

    # Leaving out what was clipped at 1 pulls the mean down by up to half of s (0.14).
    np.testing.assert_allclose(curve(fitted.confidence), curve(noise.confidence), atol=0.08)


def test_jitter_is_measured_on_clips():
    rng = np.random.default_rng(0)
    true = rng.uniform(-1, 1, (40, 81, 17, 2))
    slow = np.linspace(0, 0.01, 81)[:, None, None]  # linear: no second difference
    detected = np.concatenate(
        [true + slow + rng.normal(0, 0.004, true.shape), np.full((40, 81, 17, 1), 0.5)], axis=-1
    )
    fitted, _ = fit(detected, true)
    np.testing.assert_allclose(fitted.temporal_std, 0.004, rtol=0.03)  # 110,000 samples


def test_command_writes_a_table_that_loads(tmp_path, capsys):
    detected, true = drawn_from(detector_noise.DetectionNoise.load(), 10, 30)
    np.savez(tmp_path / "pairs.npz", detected=detected, true=true)
    out = tmp_path / "noise.json"
    assert main(["fit-noise", str(tmp_path / "pairs.npz"), "--out", str(out)]) == 0
    assert detector_noise.DetectionNoise.load(out).weight_J.shape == (17,)
    assert "rwrist" in capsys.readouterr().out


@pytest.mark.parametrize(
    "detected, true, message",
    [
        ((50, 18, 3), (50, 18, 2), "do not fit"),
        ((50, 17, 3), (50, 17, 2), "at least 100 are needed"),
        ((200, 17, 3), (100, 17, 2), "do not fit"),
    ],
)
def test_bad_pairs_are_one_line(tmp_path, capsys, detected, true, message):
    np.savez(tmp_path / "p.npz", detected=np.full(detected, 0.5), true=np.full(true, 0.5))
    assert main(["fit-noise", str(tmp_path / "p.npz"), "--out", str(tmp_path / "o.json")]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not list(tmp_path.glob("o.json*"))


def test_detection_noise_table_is_the_release(golden):
    table = json.loads(detector_noise.DetectionNoise.load().to_json())
    assert table["num_keyframes"] == 27 and table["temporal_std"] == 0.002
    assert len(table["mean"]) == len(table["std"]) == len(table["weight"]) == 17
    assert np.isclose(table["weight"][0], 0.99874542) and np.isclose(
        table["std"][16][1], 0.00568407
    )
