import json

import numpy as np
import pytest

from mbjax.cli import main


@pytest.fixture
def motion():
    return np.random.default_rng(0).normal(size=(4, 17, 3))


def files(tmp_path, **arrays):
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return [str(tmp_path / f"{name}.npy") for name in arrays]


def test_units_and_the_place_do_not_matter(tmp_path, motion, capsys):
    words = ["compare", *files(tmp_path, a=motion * 3 + 7, b=motion), "--height", "1.7"]
    assert main([*words, "--json", "--out", str(tmp_path / "errors.npz")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["frames"] == 4
    assert found["p_mpjpe_mm"] < 1e-6 and found["mpjpe_mm"] < 1e-6, "mm, float64"
    assert found["flat_mm"] > 10
    with np.load(tmp_path / "errors.npz") as errors:
        assert errors["flat_mm"].shape == (4,)
    assert main(words) == 0 and "P-MPJPE     0.0 mm" in capsys.readouterr().out


def test_a_turned_motion_is_far_but_for_alignment(tmp_path, motion, capsys):
    turned = motion @ np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    assert main(["compare", *files(tmp_path, a=turned, b=motion), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["p_mpjpe_mm"] < 1e-6 and found["mpjpe_mm"] > 100


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda m: m[:3], "the motion has 3 frames, the reference 4"),
        (lambda m: m[:, :16], "the motion has shape (4, 16, 3); (frames, 17, 3) was wanted"),
        (lambda m: m * np.nan, "holds NaN or infinity"),
        (lambda m: m.astype(int), "not an .npy file of one array of floats"),
    ],
)
def test_mistakes_are_one_line(tmp_path, motion, capsys, change, message):
    assert main(["compare", *files(tmp_path, a=change(motion), b=motion)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
