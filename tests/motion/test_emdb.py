"""A recording of the layout that EMDB publishes, and errors worked out frame by frame."""

import json
import shutil

import numpy as np
import pytest

from mbjax.body import smpl
from mbjax.cli import main
from mbjax.motion import recorded_bodies
from mbjax.motion.body_motion import BodyMotion
from tests.recipes import body as body_recipes
from tests.recipes.recordings import (
    BAD,
    BODY,
    FRAMES,
    GOOD,
    amass,
    changed,
    in_the_camera,
    in_the_world,
    written,
)


@pytest.fixture(scope="module")
def world_of(body, seen):
    return in_the_world(body, seen)


@pytest.fixture
def recording(tmp_path, seen, world_of):
    """The path of its *_data.pkl; nothing is right in the frames that do not count."""
    to_camera, roots, trans = world_of
    good = ~np.isin(np.arange(FRAMES), BAD)
    spoilt = np.where(good[:, None], 0.0, 5.0)
    found = {
        "gender": "female", "name": "P9_99_made_up", "emdb1": True, "emdb2": False,
        "n_frames": FRAMES, "good_frames_mask": good,
        "camera": {"intrinsics": np.eye(3), "extrinsics": to_camera, "width": 9, "height": 16},
        "smpl": {
            "poses_root": roots, "poses_body": seen.pose_Tx72[:, 3:] + spoilt,
            "trans": trans + spoilt, "betas": seen.betas_S,
        },
        "kp2d": np.zeros((FRAMES, 24, 2)),
        "bboxes": {"bboxes": np.zeros((FRAMES, 4)), "invalid_idxs": np.array(BAD)},
    }  # fmt: skip
    return written(tmp_path / "P9_99_made_up_data.pkl", found)


def compared(capsys, *words):
    assert main(["compare", *map(str, words), "--body", BODY, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_person_itself_has_no_error(tmp_path, recording, seen, body, capsys):
    path = amass(tmp_path, seen, body)
    found = compared(capsys, path, recording)
    assert found["frames"] == len(GOOD)
    # mm; vertices are float32 of some metres.
    assert max(found["mpjpe_mm"], found["p_mpjpe_mm"], found["pve_mm"]) < 0.01
    assert found["acceleration_m_s2"] < 0.02  # 900 times differences of micrometres


def test_errors_in_the_camera_are_those_of_each_frame(tmp_path, recording, seen, body, capsys):
    other = changed(seen)
    found = compared(capsys, amass(tmp_path, other, body), recording)
    mpjpe, pve, aligned, acceleration = in_the_camera(
        body, other, seen, body.arrays["J_regressor"], [1, 2], list(range(24))
    )
    assert found["mpjpe_mm"] == pytest.approx(mpjpe, rel=1e-4)
    assert found["mpjpe_mm"] > 10
    assert found["pve_mm"] == pytest.approx(pve, rel=1e-4)
    assert found["p_mpjpe_mm"] == pytest.approx(aligned, rel=1e-4)
    assert found["acceleration_m_s2"] == pytest.approx(acceleration, rel=1e-3)


def in_world(seen, world_of):
    """The reference's motion in the world's axes."""
    _, roots, trans = world_of
    pose = seen.pose_Tx72.copy()
    pose[:, :3] = roots
    return BodyMotion(1, seen.frames_T, pose, seen.betas_S, trans)


def test_the_way_of_the_person_itself_has_no_error(
    tmp_path, recording, seen, world_of, body, capsys
):  # fmt: skip
    """In axes with z up instead of the recording's, as smpl.npz has them."""
    path = amass(tmp_path, in_world(seen, world_of), body)
    found = compared(capsys, path, recording, "--world")
    assert max(found["w_mpjpe_mm"], found["wa_mpjpe_mm"]) < 0.01
    assert found["jitter_10m_s3"] > 1


def test_feet_that_stand_in_the_reference_and_move_in_the_motion_slide(body, seen):
    still = BodyMotion(
        1, seen.frames_T, np.tile(seen.pose_Tx72[:1], (FRAMES, 1)), seen.betas_S,
        np.zeros((FRAMES, 3)),
    )  # fmt: skip
    away = np.zeros((FRAMES, 3))
    away[6:, 0] = np.arange(FRAMES - 6) * 0.02  # 2 cm a frame
    reference, motion = (
        recorded_bodies.Moving(body, still.pose_Tx72, still.betas_S, still.trans_Tx3 + way)
        for way in (away * 10, np.cumsum(np.full((FRAMES, 3), [0, 0.003, 0]), axis=0))
    )
    found = recorded_bodies._bodies_in_world(motion, reference)
    # Four soles in the frames in which the reference stands, of 3 mm each.
    assert found["foot_sliding_mm"].shape == (4 * 6,)
    np.testing.assert_allclose(found["foot_sliding_mm"], 3, atol=1e-3)  # float32 of metres


def test_joints_are_measured_against_the_regressors(tmp_path, recording, seen, body, capsys):
    verts = seen.verts(body).astype(np.float64)
    joints = np.einsum("jv,tvc->tjc", body.regressor_17xV.astype(np.float64), verts)
    np.save(tmp_path / "all.npy", joints * 7 + 3)
    found = compared(capsys, tmp_path / "all.npy", recording)
    assert found["mpjpe_mm"] < 0.01 and "pve_mm" not in found
    np.save(tmp_path / "good.npy", joints[GOOD] + np.eye(17, 3)[None] * 0.1)
    those = compared(capsys, tmp_path / "good.npy", recording)
    assert those["mpjpe_mm"] > 1 and those["frames"] == len(GOOD)


def test_what_is_printed_names_the_protocol(tmp_path, recording, seen, body, capsys):
    path = str(amass(tmp_path, seen, body))
    assert main(["compare", path, str(recording), "--body", BODY]) == 0
    said = capsys.readouterr().out
    assert "EMDB 1, P9_99_made_up: 10 of 12 frames count; SMPL's 24 joints" in said
    assert all(name in said for name in ("PA-MPJPE", "PVE", "Accel")) and "not one" not in said
    assert main(["compare", path, str(recording), "--body", BODY, "--world"]) == 0
    said = capsys.readouterr().out
    assert "not one of EMDB 2, but of EMDB 1" in said and "WA-MPJPE" in said


def test_the_reference_is_of_its_own_sex(tmp_path):
    folder = body_recipes.smpl_folder(tmp_path)
    neutral = next(folder.glob("*NEUTRAL*"))
    for sex in ("FEMALE", "MALE"):
        shutil.copy(neutral, folder / neutral.name.replace("NEUTRAL", sex))
    for sex in ("female", "male", "neutral"):
        for name in (folder, neutral):
            assert sex.upper() in smpl.load_sex(sex, str(name)).where.rpartition("_")[2]


def test_mistakes_are_one_line(tmp_path, recording, seen, body, capsys):
    def error(*words, bodies=BODY):
        assert main(["compare", *map(str, words), "--body", str(bodies)]) == 1
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1, said
        return said

    path = amass(tmp_path, seen, body, fps=25.0)
    assert "25 frames a second, EMDB 30" in error(path, recording)
    with np.load(path) as file:
        arrays = dict(file)
    for change, said in (
        ({"trans": arrays["trans"][:-1]}, "are not of the same frames"),
        ({"frames": arrays["frames"] / 2}, "are not of the same frames"),
        ({"smpl_poses": arrays["smpl_poses"] * np.nan}, "smpl_poses: not finite numbers"),
    ):
        np.savez(tmp_path / "odd.npz", **{**arrays, **change})
        assert said in error(tmp_path / "odd.npz", recording)
    np.save(tmp_path / "short.npy", np.ones((4, 17, 3)))
    assert "4 of the 10 frames of P9_99" in error(tmp_path / "short.npy", recording)
    np.savez(tmp_path / "motion.npz", world_joints=np.ones((12, 17, 3)))
    assert "of joints take its X3D.npy" in error(tmp_path / "motion.npz", recording)
    assert "no such file" in error(path, tmp_path / "none.pkl")
    other = written(tmp_path / "other.pkl", {"a": 1})
    assert "neither a *_data.pkl of EMDB nor" in error(path, other)
    written(other, {"smpl": {}})
    assert "is not a *_data.pkl of EMDB (no 'camera')" in error(path, other)
    assert "has one person" in error(path, recording, "--reference-person", 0)

    class Harmful:
        def __reduce__(self):
            return print, ("ran",)

    assert "is not a recording of EMDB or 3DPW" in error(path, written(other, Harmful()))
    nowhere = tmp_path / "nowhere"
    assert f"{nowhere / 'SMPL_FEMALE.pkl'}: no such file" in error(path, recording, bodies=nowhere)
    (tmp_path / "bodies").mkdir()
    (tmp_path / "bodies" / "SMPL_NEUTRAL.pkl").write_bytes(b"")
    assert "SMPL_FEMALE.pkl: no such file" in error(path, recording, bodies=tmp_path / "bodies")
