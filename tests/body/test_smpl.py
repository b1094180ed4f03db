"""Where SMPL is, what its files may hold, and the forms that poses come in."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbjax.body import smpl
from mbjax.pose.rotations import axis_angle_to_matrix
from tests.recipes import body as body_recipes


@pytest.fixture
def folder(tmp_path):
    return body_recipes.smpl_folder(tmp_path / "smpl")


def test_the_variable_or_the_name_says_where(folder, monkeypatch):
    monkeypatch.delenv(smpl.VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match=r"set MBJAX_SMPL .*smpl.is.tue.mpg.de.*synthetic"):
        smpl.load()
    monkeypatch.setenv(smpl.VARIABLE, str(folder))
    by_variable, by_file = smpl.load(), smpl.load(str(folder / "SMPL_NEUTRAL.npz"))
    assert by_variable.where == by_file.where and not by_variable.notes
    pose, shape = by_variable.mean_parameters()
    assert pose.shape == (144,) and shape.shape == (10,)
    assert by_variable.faces_Fx3.shape == (120, 3)


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        (
            "SMPL_NEUTRAL.npz",
            "SMPL_NEUTRAL.pkl: no such file; get it at .* under the SMPL body lic",
        ),
        ("J_regressor_h36m_correct.npy", "J_regressor_h36m.*no such file.*data of the MotionBERT"),
    ],
)
def test_a_missing_file_is_named_with_its_source(gone, message, folder):
    (folder / gone).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        smpl.load(str(folder))


def test_the_mean_is_only_needed_where_it_is_used(folder):
    (folder / "smpl_mean_params.npz").unlink()
    body = smpl.load(str(folder))
    with pytest.raises(FileNotFoundError, match="smpl_mean_params.npz: no such file; training the"):
        body.mean_parameters()


def test_another_sex_and_more_coefficients_are_taken_and_said(tmp_path):
    folder = body_recipes.smpl_folder(tmp_path, num_betas=300, name="basicModel_f_lbs_10_207_0.npz")
    body = smpl.load(str(folder))
    assert body.body.num_betas == 10
    assert "is the female body" in body.notes[0] and "300 shape coefficients" in body.notes[1]
    (folder / "SMPL_MALE.npz").write_bytes((folder / "basicModel_f_lbs_10_207_0.npz").read_bytes())
    with pytest.raises(ValueError, match="holds SMPL_MALE.npz and basicModel_f.*none is neutral"):
        smpl.load(str(folder))
    assert "male body" in smpl.load(str(folder / "SMPL_MALE.npz")).notes[0]


def test_a_pickle_with_code_is_refused_and_not_run(folder, tmp_path):
    (folder / "SMPL_NEUTRAL.npz").unlink()
    marker = tmp_path / "ran"

    class Code:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    (folder / "SMPL_NEUTRAL.pkl").write_bytes(pickle.dumps({"v_template": Code()}))
    with pytest.raises(
        ValueError, match="open, which plain data does not need; nothing of it was run"
    ):
        smpl.load(str(folder))
    assert not marker.exists()


def test_another_body_and_another_regressor_are_named(tmp_path):
    folder = body_recipes.smpl_folder(tmp_path / "a", joints=body_recipes.SMPL_PARENTS[:23])
    with pytest.raises(ValueError, match="a body of 23 joints, 24 were wanted"):
        smpl.load(str(folder))
    folder = body_recipes.smpl_folder(tmp_path / "b")
    np.save(folder / smpl.REGRESSOR, np.zeros((24, 60)))
    with pytest.raises(ValueError, match=r"has shape \(24, 60\); finite numbers \(17, 60\)"):
        smpl.load(str(folder))
    np.savez(folder / "smpl_mean_params.npz", pose=np.zeros(72), shape=np.zeros(10))
    with pytest.raises(ValueError, match="pose has 72 numbers and shape 10; 144"):
        smpl.load(str(folder))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["(24, 3)", "(24, 3, 3)", "216", "72"]))
def test_poses_are_recognised_in_every_form(seed, form):
    pose = np.random.default_rng(seed).normal(size=(2, 24, 3))
    matrices = axis_angle_to_matrix(pose)
    given = {
        "(24, 3)": pose, "72": pose.reshape(2, 72), "(24, 3, 3)": matrices,
        "216": matrices.reshape(2, 216),
    }[form]  # fmt: skip
    back = smpl.as_axis_angles(given)
    assert back.shape == (2, 72)
    # 1e-12: float64 through a quaternion.
    np.testing.assert_allclose(axis_angle_to_matrix(back.reshape(2, 24, 3)), matrices, atol=1e-12)


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        (np.full((5, 72), 90.0), "are these degrees"),
        (np.zeros((5, 69)), r"shape \(5, 69\) \(23 joints: the root's rotation is left out\)"),
        (np.zeros((5, 23, 3)), "23 joints: the root"),
        (np.zeros((5, 156)), r"SMPL\+H"),
        (np.ones((5, 24, 3, 3)), "not rotations"),
        (np.full((5, 72), np.nan), "not finite numbers"),
    ],
)
def test_what_is_no_pose_is_refused(pose, message):
    with pytest.raises(ValueError, match=message):
        smpl.as_axis_angles(pose, "train: smpl_pose")
