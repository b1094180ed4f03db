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
        (lambda m: m * 0, "the motion has no bone with a length"),
        (lambda m: m.astype(int), "not an .npy file of one array of floats"),
    ],
)
def test_mistakes_are_one_line(tmp_path, motion, capsys, change, message):
    assert main(["compare", *files(tmp_path, a=change(motion), b=motion)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error


def test_in_the_world(tmp_path, motion, capsys):
    """What infer leaves, of two persons, against the second's own joints that drift away."""
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(120, 17, 3)) + np.arange(120)[:, None, None] * [0.05, 0, 0]
    persons = np.repeat([3, 8], 120)
    joints = np.concatenate([truth + 9, truth + np.arange(120)[:, None, None] * [0, 0.001, 0]])
    np.savez(tmp_path / "motion.npz", world_joints=joints, world_person=persons)
    np.save(tmp_path / "truth.npy", truth)
    words = ["compare", str(tmp_path / "motion.npz"), str(tmp_path / "truth.npy"), "--world"]
    assert main(words) == 1
    assert "holds persons 3, 8; --person says which" in capsys.readouterr().err
    assert main([*words, "--person", "3", "--json"]) == 0
    same = json.loads(capsys.readouterr().out)
    assert same["frames"] == 120 and same["w_mpjpe_mm"] < 1e-6 and same["rte_percent"] < 1e-6
    assert main([*words, "--person", "8", "--json", "--fps", "25"]) == 0
    found = json.loads(capsys.readouterr().out)
    # 0 to 99 mm, then 0 to 19: two frames fix the turn of a person of metres to a few mm.
    expected = (np.arange(100).sum() + np.arange(20).sum()) / 120
    assert found["w_mpjpe_mm"] == pytest.approx(expected, abs=3)
    assert found["wa_mpjpe_mm"] < found["w_mpjpe_mm"]
    assert found["jitter_10m_s3"] == pytest.approx(found["reference_jitter_10m_s3"])
    assert main([*words, "--person", "8"]) == 0 and "WA-MPJPE" in capsys.readouterr().out


def test_both_may_hold_several_persons(tmp_path, capsys):
    joints = np.random.default_rng(1).normal(size=(20, 17, 3))
    persons = np.repeat([3, 8], 10)
    np.savez(tmp_path / "motion.npz", world_joints=joints, world_person=persons)
    file = str(tmp_path / "motion.npz")
    words = ["compare", file, file, "--world", "--person", "3"]
    assert main(words) == 1 and "3, 8; --reference-person says which" in capsys.readouterr().err
    assert main([*words, "--reference-person", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["w_mpjpe_mm"] < 1e-6


def test_a_root_that_goes_nowhere_has_no_rte(tmp_path, capsys):
    still = np.random.default_rng(1).normal(size=(10, 17, 3))
    still[:, 0] = 0
    np.save(tmp_path / "still.npy", still)
    words = ["compare", *2 * [str(tmp_path / "still.npy")], "--world"]
    assert main([*words, "--json"]) == 0
    out = capsys.readouterr().out
    assert "NaN" not in out and json.loads(out)["rte_percent"] is None
    assert main(words) == 0 and "goes nowhere" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("first", "message"),
    [("motion.npz", "is not a motion.npz of 'mbjax infer'"), ("short.npy", "needs at least 4")],
)
def test_worlds_that_cannot_be_compared(tmp_path, motion, first, message, capsys):
    np.savez(tmp_path / "motion.npz", pose=motion)
    np.save(tmp_path / "short.npy", motion[:3])
    second = tmp_path / "short.npy"
    assert main(["compare", str(tmp_path / first), str(second), "--world"]) == 1
    assert message in capsys.readouterr().err
