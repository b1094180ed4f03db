"""A sequence of the layout that 3DPW publishes, and errors worked out frame by frame."""

import json

import numpy as np
import pytest

from mbjax.cli import main
from mbjax.pose.skeleton import FOURTEEN
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


def sequence(body, seen, **changes):
    """What a file of two persons holds, of whom the second is seen."""
    to_camera, roots, trans = in_the_world(body, seen)
    good = ~np.isin(np.arange(FRAMES), BAD)
    poses = np.concatenate([roots, seen.pose_Tx72[:, 3:]], axis=1) + ~good[:, None] * 5.0
    rng = np.random.default_rng(3)
    return {
        "sequence": "downtown_made_up_00", "genders": ["m", "f"],
        "betas": [rng.normal(size=10), seen.betas_S],
        "poses": [rng.normal(size=(FRAMES, 72)), poses],
        "trans": [np.zeros((FRAMES, 3)), trans],
        "poses_60Hz": [np.zeros((2 * FRAMES, 72))] * 2,
        "poses2d": [np.zeros((FRAMES, 3, 18))] * 2,
        "jointPositions": [np.zeros((FRAMES, 72))] * 2,
        "img_frame_ids": np.arange(FRAMES), "cam_poses": to_camera,
        "cam_intrinsics": np.eye(3),
        "campose_valid": [np.ones(FRAMES, bool), good.astype(np.int64)],
        **changes,
    }  # fmt: skip


@pytest.fixture
def recording(tmp_path, body, seen):
    return written(tmp_path / "downtown_made_up_00.pkl", sequence(body, seen))


def compared(capsys, *words):
    words = [*map(str, words), "--body", BODY, "--reference-person", "1", "--json"]
    assert main(["compare", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_person_itself_has_no_error(tmp_path, recording, seen, body, capsys):
    found = compared(capsys, amass(tmp_path, seen, body), recording)
    assert found["frames"] == len(GOOD)
    # mm; vertices are float32 of some metres.
    assert max(found["mpjpe_mm"], found["p_mpjpe_mm"], found["pve_mm"]) < 0.01


def test_errors_are_of_14_joints_of_each_frame(tmp_path, recording, seen, body, capsys):
    other = changed(seen)
    found = compared(capsys, amass(tmp_path, other, body), recording)
    mpjpe, pve, aligned, acceleration = in_the_camera(
        body, other, seen, body.regressor_17xV, [1, 4], list(FOURTEEN)
    )
    assert found["mpjpe_mm"] == pytest.approx(mpjpe, rel=1e-4) and mpjpe > 10
    assert found["pve_mm"] == pytest.approx(pve, rel=1e-4)
    assert found["p_mpjpe_mm"] == pytest.approx(aligned, rel=1e-4)
    assert found["acceleration_m_s2"] == pytest.approx(acceleration, rel=1e-3)


def test_lifted_joints_are_measured_by_the_same_14(tmp_path, recording, seen, body, capsys):
    verts = seen.verts(body).astype(np.float64)
    joints = np.einsum("jv,tvc->tjc", body.regressor_17xV.astype(np.float64), verts)
    np.save(tmp_path / "X3D.npy", joints * 7 + 3)
    found = compared(capsys, tmp_path / "X3D.npy", recording)
    assert found["mpjpe_mm"] < 0.01 and "pve_mm" not in found
    joints[:, 13] += 0.1
    np.save(tmp_path / "X3D.npy", joints)
    assert compared(capsys, tmp_path / "X3D.npy", recording)["mpjpe_mm"] > 5


def test_what_is_printed_names_the_protocol(tmp_path, recording, seen, body, capsys):
    path = str(amass(tmp_path, seen, body))
    words = ["compare", path, str(recording), "--body", BODY, "--reference-person", "1"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "3DPW, downtown_made_up_00, person 1: 10 of 12 frames count; 14 joints" in said
    assert all(name in said for name in ("PA-MPJPE", "PVE", "Accel")) and "EMDB" not in said


def test_mistakes_are_one_line(tmp_path, recording, seen, body, capsys):
    path = amass(tmp_path, seen, body)

    def error(content, *words):
        if content is not None:
            written(recording, content)
        assert main(["compare", str(path), str(recording), "--body", BODY, *words]) == 1
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1, said
        return said

    assert "holds persons 0, 1; --reference-person says which" in error(None)
    assert "holds persons 0, 1" in error(None, "--reference-person", "2")
    assert "leave --world out" in error(None, "--reference-person", "1", "--world")
    second = ("--reference-person", "1")
    without = sequence(body, seen)
    del without["genders"]
    assert "is not a sequence of 3DPW (no 'genders')" in error(without, *second)
    short = sequence(body, seen, cam_poses=np.zeros((3, 4, 4)))
    assert "camera's matrices: shape (3, 4, 4)" in error(short, *second)
    assert "gender 'x'" in error(sequence(body, seen, genders=["m", "x"]), *second)
    never = sequence(body, seen, campose_valid=[np.zeros(FRAMES)] * 2)
    assert "of its 12 frames none counts" in error(never, *second)
    for nobody in ([], {0: np.zeros((12, 72))}):
        odd = sequence(body, seen, poses=nobody)
        assert "no list of persons' poses" in error(odd, *second)
    number = sequence(body, seen, poses=np.array(3.0))
    assert "holds persons 0" in error(number, *second)
    flat = sequence(body, seen, campose_valid=[np.ones((FRAMES, 1))] * 2)
    assert "which frames count: shape (12, 1)" in error(flat, *second)
    lost = sequence(body, seen, poses=[np.full((FRAMES, 72), np.nan)] * 2)
    assert "poses: not all of it are finite numbers" in error(lost, *second)
    huge = sequence(body, seen, betas=[[10**400] * 10] * 2)
    assert "is not a sequence of 3DPW" in error(huge, *second)
    steering = sequence(body, seen, sequence="walk\n\x1b[2J", cam_poses=np.zeros((3, 4, 4)))
    assert "\x1b" not in error(steering, *second)
    assert "is not a sequence of 3DPW" in error({"cam_poses": 1, "poses": 3}, *second)
    ragged = sequence(body, seen, poses=["a", [[1, 2], [3]]])
    assert "is not a sequence of 3DPW" in error(ragged, *second)


def test_a_smpl_npz_that_is_none_is_one_line(tmp_path, recording, seen, body, capsys):
    with np.load(amass(tmp_path, seen, body)) as file:
        whole = dict(file)

    def error(**changes):
        np.savez(tmp_path / "odd.npz", **{**whole, **changes})
        words = [str(tmp_path / "odd.npz"), str(recording), "--body", BODY]
        assert main(["compare", *words, "--reference-person", "1"]) == 1
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1 and "odd.npz" in said, said
        return said

    assert "mocap_framerate: shape (2,)" in error(mocap_framerate=np.float64([30, 30]))
    assert "betas: shape ()" in error(betas=np.float64(1))
    assert "betas: shape (12, 10)" in error(betas=np.zeros((12, 10)))
    assert "has 5 betas" in error(betas=np.zeros(5))
    assert "betas: not all of it" in error(betas=np.array(["a"] * 10))
    assert "trans: not all of it" in error(trans=whole["trans"] * np.nan)
    assert "trans: shape" in error(trans=whole["trans"][:, :2])
    assert "the same frame twice" in error(frames=whole["frames"] * 0)
    missing = [str(tmp_path / "none.npz"), str(recording), "--body", BODY]
    assert main(["compare", *missing, "--reference-person", "1"]) == 1
    assert "no such file" in capsys.readouterr().err
    np.save(tmp_path / "X3D.npy", np.zeros((FRAMES, 17, 3)))
    words = [str(tmp_path / "X3D.npy"), str(recording), "--body", BODY]
    assert main(["compare", *words, "--reference-person", "1"]) == 1
    assert "X3D.npy: its bones have no length" in capsys.readouterr().err
