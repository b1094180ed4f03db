"""Mesh corpora: pickles to clips, against the release's clips and the body that they stand for."""

import pickle
import shutil

import numpy as np
import pytest

from data_prep.corpora import meshes as mesh
from mbjax.pose.rotations import axis_angle_to_matrix
from tests.recipes import body as body_recipes
from tests.recipes import h36m as h36m_recipes
from tests.recipes.corpora import run
from tests.recipes.settings import GOLDEN

# float32 on both sides, of numbers of about 1 and of angles of a few radians.
FLOAT32 = {"rtol": 1e-6, "atol": 2e-7}


def test_clips_of_the_release_and_their_joints(tmp_path):
    golden = np.load(GOLDEN / "mesh_pw3d_clips.npz")
    shutil.copy(GOLDEN / "mesh_det_pw3d.pkl", tmp_path)
    result = run(mesh.MeshPw3d, tmp_path, clips="reference")
    test = result.records["test"]
    for ours, theirs in (("keypoints", "input"), ("theta", "theta")):
        np.testing.assert_allclose(np.stack([r[ours] for r in test]), golden[theirs], **FLOAT32)
    assert not result.left_out

    body, regressor, _ = body_recipes.golden_body(int(golden["body_seed"]))
    for record, joints_mm in zip(test, golden["kp_3d"], strict=True):
        verts, _ = body(record["theta"][:, :72], record["theta"][:, 72:])
        joints = np.einsum("jv,tvc->tjc", regressor, verts.astype(np.float64)) * 1000
        joints -= joints[:, :1]  # the golden ones are root-relative
        # Stated for the golden joints, which are float32 sums over 6,890 vertices in mm.
        np.testing.assert_allclose(joints, joints_mm, rtol=0, atol=1e-2)


def test_by_default_evaluation_covers_every_frame(tmp_path):
    shutil.copy(GOLDEN / "mesh_det_pw3d.pkl", tmp_path)
    content = pickle.loads((GOLDEN / "mesh_det_pw3d.pkl").read_bytes())
    result = run(mesh.MeshPw3d, tmp_path, initial=True)
    # 35, 16 and 9 frames in windows of 16 at a stride of 16; at 8 in training, 40 and 24.
    assert [(r["source"], r["first_frame"]) for r in result.records["test"]] == [
        ("te_0", 0), ("te_0", 16), ("te_0", 19), ("te_1", 0), ("te_2", 0),
    ]  # fmt: skip
    assert [(r["source"], r["first_frame"]) for r in result.records["train"]] == [
        ("tr_0", 0), ("tr_0", 8), ("tr_0", 16), ("tr_0", 24), ("tr_1", 0), ("tr_1", 8),
    ]  # fmt: skip
    for split, records in result.records.items():
        raw = content[split]
        covered = {int(row) for record in records for row in record["frames"]}
        assert covered == set(range(len(raw["source"])))
        for record in records:
            rows = record["frames"]
            for name, prefix in (("theta", ""), ("initial_theta", "pred_")):
                pose, shape = raw[f"{prefix}smpl_pose"][rows], raw[f"{prefix}smpl_shape"][rows]
                np.testing.assert_allclose(record[name], np.hstack([pose, shape]), **FLOAT32)
            x_and_y = raw["joint_2d"][rows] / 960 - 1
            np.testing.assert_allclose(record["keypoints"][..., :2], x_and_y, **FLOAT32)
            sure = np.minimum(raw["confidence"][rows, :, 0], 1)
            np.testing.assert_allclose(record["keypoints"][..., 2], sure, **FLOAT32)


def test_human36m_is_normalised_by_camera(tmp_path):
    cameras = {"60457274": 1002, "58860488": 1000}
    recordings = [(f"s_09_act_03_subact_02_ca_{c[:2]}", 20, c) for c in cameras]
    content = {s: h36m_recipes.mesh_split(i, recordings) for i, s in enumerate(("train", "test"))}
    h36m_recipes.write(tmp_path / "mesh_det_h36m.pkl", content)
    result = run(mesh.MeshH36m, tmp_path)
    assert len(result.records["train"]) == 2 and len(result.records["test"]) == 4
    for split, records in result.records.items():
        for record in records:
            rows = record["frames"]
            height = cameras[content[split]["camera_name"][rows[0]]]
            pixels = content[split]["joint_2d"][rows]
            by_hand = (pixels - [500, height / 2]) / 500
            np.testing.assert_allclose(record["keypoints"][..., :2], by_hand, **FLOAT32)


def test_coco_is_single_frames_with_or_without_predictions(tmp_path):
    recordings = [(f"{i:012d}", 1, "") for i in range(5)] + [("two persons", 2, "")]
    plain = {s: h36m_recipes.mesh_split(i, recordings) for i, s in enumerate(("train", "test"))}
    for columns in plain.values():
        del columns["camera_name"]
        columns["img_hw"] = [[480, 640]] * 7
    h36m_recipes.write(tmp_path / "mesh_det_coco.pkl", plain, protocol=2)
    result = run(mesh.MeshCoco, tmp_path)
    for split in ("train", "test"):
        records = result.records[split]
        assert [r["frames"].tolist() for r in records] == [[i] for i in range(7)]
        assert [r["first_frame"] for r in records] == [0, 0, 0, 0, 0, 0, 1]
        by_hand = plain[split]["joint_2d"] / 320 - 1
        ours = np.stack([r["keypoints"][0, :, :2] for r in records])
        np.testing.assert_allclose(ours, by_hand, **FLOAT32)
        assert records[0]["theta"].shape == (1, 82)

    # Without a file of predictions the option finds none in the plain one.
    result = run(mesh.MeshCoco, tmp_path, initial=True)
    assert {why for *_, why, _ in result.left_out} == {
        "missing key pred_smpl_pose in train", "missing key pred_smpl_pose in test",
    }  # fmt: skip
    predicted = {
        s: h36m_recipes.mesh_split(i, recordings, predictions=True)
        for i, s in enumerate(("train", "test"))
    }
    h36m_recipes.write(tmp_path / "mesh_det_coco_w_hybrik_pred.pkl", predicted)
    result = run(mesh.MeshCoco, tmp_path, initial=True)
    ours = np.stack([r["initial_theta"][0, :72] for r in result.records["test"]])
    np.testing.assert_allclose(ours, predicted["test"]["pred_smpl_pose"], **FLOAT32)
    h36m_recipes.write(tmp_path / "mesh_det_coco_w_hybrik_pred_2.pkl", predicted)
    with pytest.raises(ValueError, match="leave one there"):
        run(mesh.MeshCoco, tmp_path, initial=True)


def test_bad_input_is_named_and_the_rest_is_prepared(tmp_path):
    recordings = [("a", 20, "55011271"), ("b", 16, "unheard of"), ("c", 16, "55011271")]
    columns = h36m_recipes.mesh_split(0, recordings)
    columns["smpl_pose"][3, 5] = np.inf
    broken = {**columns, "smpl_shape": columns["smpl_shape"][:, :9]}
    h36m_recipes.write(tmp_path / "mesh_det_h36m.pkl", {"train": columns, "test": broken})
    result = run(mesh.MeshH36m, tmp_path, frames=8)
    assert [(r["source"], r["first_frame"]) for r in result.records["train"]] == [
        ("a", 8), ("c", 0), ("c", 8),
    ]  # fmt: skip
    assert [(where, why.split(";")[0]) for _, where, why, _ in result.left_out] == [
        ("a/00000000", "not a number in theta"),
        ("b/00000000", "unknown camera unheard of"),
        ("b/00000008", "unknown camera unheard of"),
        ("", "test: smpl_shape has shape (52, 9), (N, 10) was wanted"),
    ]
    trap = tmp_path / "was run"
    h36m_recipes.write(tmp_path / "mesh_det_h36m.pkl", {"train": h36m_recipes.Malicious(trap)})
    assert not run(mesh.MeshH36m, tmp_path).records and not trap.exists()
    with pytest.raises(FileNotFoundError, match="mesh_det_coco"):
        run(mesh.MeshCoco, tmp_path)


def test_rotation_matrices_are_turned_and_degrees_refused(tmp_path):
    columns = h36m_recipes.mesh_split(0, [("a", 16, "55011271")])
    pose = columns["smpl_pose"]
    turned = axis_angle_to_matrix(pose.reshape(16, 24, 3))
    files = {"train": {**columns, "smpl_pose": turned},
             "test": {**columns, "smpl_pose": np.degrees(pose)}}  # fmt: skip
    h36m_recipes.write(tmp_path / "mesh_det_h36m.pkl", files)
    result = run(mesh.MeshH36m, tmp_path)
    got = result.records["train"][0]["theta"][:, :72].reshape(16, 24, 3)
    # 1e-6: float32; angles past pi come back from the other side.
    np.testing.assert_allclose(axis_angle_to_matrix(got), turned, atol=1e-6)
    assert not result.records["test"]
    assert "are these degrees" in result.left_out[-1][2]
