"""Own pairs and MPI-INF-3DHP: clips whose factor turns the label back into the truth."""

import h5py
import numpy as np
import pytest
import scipy.io

from data_prep.corpora import mpi_inf_3dhp, pairs
from mbjax.keypoints.layouts import LAYOUTS
from mbjax.pose.skeleton import JOINTS, root_relative
from tests.recipes.corpora import run
from tests.recipes.pairs import HEIGHT, WIDTH, motion


def check(record, pose):
    """What evaluation does with a record gives the truth; the label lies over the 2D."""
    mm = record["pose"].astype(np.float64) * record["width"] / 2
    mm = root_relative(mm * record["factor_2_5d"][:, None, None])
    # float32 of numbers of a metre
    np.testing.assert_allclose(mm, root_relative(pose), atol=2e-3)
    np.testing.assert_allclose(record["pose_mm"], pose, rtol=1e-6)
    off = np.linalg.norm(record["pose"][..., :2] - record["keypoints"][..., :2], axis=-1)
    assert off.max() < 0.1, "but for perspective"
    np.testing.assert_array_equal(off[:, 0], 0)


def write(path, frames=30, seed=0, **changes):
    pixels, pose = motion(frames, seed)
    content = {"keypoints": pixels, "pose": pose, "image_size": np.array([WIDTH, HEIGHT])}
    content = {k: v for k, v in {**content, **changes}.items() if v is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **content)
    return pose


def test_pairs(tmp_path):
    one = write(tmp_path / "train/one.npz", fps=50.0)
    two = write(tmp_path / "test/two.npz", seed=1, action="juggling")
    write(tmp_path / "three.npz", seed=2)
    result = run(pairs.Pairs, tmp_path, frames=12, stride=9, test="three")
    assert not result.left_out
    train, test = result.records["train"], result.records["test"]
    assert [r["first_frame"] for r in train] == [0, 9, 18]
    assert [(r["source"], r["first_frame"], r["action"]) for r in test] == [
        ("test/two", 0, "juggling"), ("test/two", 12, "juggling"), ("test/two", 18, "juggling"),
        ("three", 0, "three"), ("three", 12, "three"), ("three", 18, "three"),
    ]  # fmt: skip
    check(train[1], one[9:21])
    check(test[2], two[18:30])
    assert train[0]["fps"] == 50 and (train[0]["keypoints"][..., 2] == 1).all()


def test_pairs_in_another_layout_and_unit(tmp_path):
    pixels, pose = motion(10)
    names = LAYOUTS["coco17"].names
    # Eyes and ears lie where the head is.
    places = [JOINTS.index(name) if name in JOINTS else JOINTS.index("head") for name in names]
    coco = np.concatenate([pixels[:, places], np.ones((10, 17, 1))], axis=-1)
    write(tmp_path / "a.npz", keypoints=coco, pose=pose / 1000)
    result = run(pairs.Pairs, tmp_path, frames=10, layout="coco17", unit="m")
    (record,) = result.records["train"]
    np.testing.assert_allclose(record["pose_mm"], pose, rtol=1e-6)
    mid = (pixels[:, 1] + pixels[:, 4])[:, 0] / WIDTH - 1
    np.testing.assert_allclose(record["keypoints"][:, 0, 0], mid, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pose": None}, "has no pose; it holds: keypoints, image_size"),
        ({"keypoints": np.zeros((30, 16, 2))}, "layout h36m17 has 17 keypoints"),
        ({"pose": np.zeros((29, 17, 3))}, "pose has shape (29, 17, 3)"),
        ({"pose": np.zeros((30, 17, 3))}, "do not fit together in 12 of 12 frames"),
        ({"image_size": np.array([0, 1])}, "image_size is not (width, height)"),
        ({"keypoints": np.array(["x"])}, "keypoints is no array of numbers"),
        ({"pose": motion(30)[1] * [-1, -1, 1]}, "is y down, x right"),
    ],
)
def test_a_bad_file_is_named_and_the_rest_is_prepared(tmp_path, changes, words):
    write(tmp_path / "bad.npz", **changes)
    write(tmp_path / "good.npz")
    result = run(pairs.Pairs, tmp_path, frames=12, stride=9)
    assert len(result.records["train"]) == 3
    assert all(file == "bad.npz" and words in why for file, _, why, _ in result.left_out)
    assert result.left_out


def test_unknown_test_names_are_refused(tmp_path):
    write(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="--test names 'b', but there is no b.npz"):
        run(pairs.Pairs, tmp_path, test="b")


# Places that the dataset's documentation gives, by the joints' names there.
TRAINING = {"pelvis": 4, "neck": 5, "head_top": 7, "left_wrist": 11, "right_ankle": 25}
TESTING = {"pelvis": 14, "neck": 1, "head_top": 0, "left_wrist": 7, "right_ankle": 10}
OURS = {"pelvis": "root", "neck": "neck", "head_top": "head", "left_wrist": "lwrist",
        "right_ankle": "rankle"}  # fmt: skip


def dhp(tmp_path):
    """A subject's sequence as MATLAB 5 cells, a test sequence as HDF5 with two gaps."""
    cells = {"annot2": np.empty((14, 1), object), "univ_annot3": np.empty((14, 1), object)}
    raw = []
    for camera in range(14):
        pixels, pose = motion(20, camera, 28)
        cells["annot2"][camera, 0] = pixels.reshape(20, 56)
        cells["univ_annot3"][camera, 0] = pose.reshape(20, 84)
        raw.append(pose)
    folder = tmp_path / "S1/Seq2"
    folder.mkdir(parents=True)
    scipy.io.savemat(folder / "annot.mat", cells)
    pixels, pose = motion(30, 99)
    (tmp_path / "TS5").mkdir()
    with h5py.File(tmp_path / "TS5/annot_data.mat", "w") as file:
        file["annot2"], file["univ_annot3"] = pixels[:, None], pose[:, None]
        valid = np.ones((30, 1))
        valid[[0, 20]] = 0
        file["valid_frame"] = valid
    return raw, pose


def test_mpi_inf_3dhp(tmp_path):
    training, testing = dhp(tmp_path)
    result = run(mpi_inf_3dhp.MpiInf3dhp, tmp_path, frames=9, stride=5, cameras="0,8")
    train, test = result.records["train"], result.records["test"]
    assert [(r["source"], r["first_frame"]) for r in train] == [
        (f"S1_Seq2_{camera}", start) for camera in (0, 8) for start in (0, 5, 10)
    ]
    for name, place in TRAINING.items():
        joint = JOINTS.index(OURS[name])
        np.testing.assert_allclose(train[-1]["pose_mm"][:, joint], training[8][10:19, place])
    check(train[0], train[0]["pose_mm"])
    # Frames 1 to 19 and 21 to 29 are valid, and every one of them is in a clip, no other.
    rows = np.unique(np.concatenate([r["frames"] for r in test]))
    assert rows.tolist() == [*range(1, 20), *range(21, 30)]
    assert {(r["width"], r["height"], r["action"]) for r in test} == {(1920, 1080, "TS5")}
    for name, place in TESTING.items():
        joint = JOINTS.index(OURS[name])
        first = test[0]["frames"]
        np.testing.assert_allclose(test[0]["pose_mm"][:, joint], testing[first, place])
    assert result.notes["frames marked as not valid, in test"] == 2


def converted(tmp_path):
    """What P-STMO's tools write: dicts in arrays of objects, of the 17 joints of testing."""
    order = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]
    training, valid = {}, np.ones(30, bool)
    for sequence in ("Seq1", "Seq2"):
        cameras = {}
        for camera in range(14):
            pixels, pose = motion(20, camera, 28)
            cameras[str(camera)] = {"data_2d": pixels[:, order], "data_3d": pose[:, order]}
        training[f"S1 {sequence}"] = [cameras]
    valid[[0, 20]] = False
    pixels, pose = motion(30, 99)
    testing = {"TS5": {"data_2d": pixels, "data_3d": pose, "valid": valid}}
    for split, data in (("train", training), ("test", testing)):
        np.savez_compressed(tmp_path / f"data_{split}_3dhp.npz", data=np.array(data, object))


def test_mpi_inf_3dhp_as_p_stmo_converted_it_gives_the_same_records(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    dhp(ours)
    converted(theirs)
    options = {"frames": 9, "stride": 5, "cameras": "0,8"}
    first = run(mpi_inf_3dhp.MpiInf3dhp, ours, **options)
    second = run(mpi_inf_3dhp.MpiInf3dhp, theirs, **options)
    assert first.notes == second.notes and not second.left_out
    train = [r for r in second.records["train"] if r["source"].startswith("S1_Seq2")]
    assert len(train) == len(second.records["train"]) / 2
    for a, b in zip(
        first.records["train"] + first.records["test"], train + second.records["test"], strict=True
    ):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_mpi_inf_3dhp_twice_or_damaged(tmp_path):
    dhp(tmp_path)
    converted(tmp_path)
    with pytest.raises(ValueError, match=r"annot.mat and data_train_3dhp.npz.*keep one"):
        run(mpi_inf_3dhp.MpiInf3dhp, tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (tmp_path / "data_test_3dhp.npz").rename(broken / "data_test_3dhp.npz")
    with pytest.raises(ValueError, match=r"data_test_3dhp.npz holds univ_annot3 alone"):
        run(mpi_inf_3dhp.MpiInf3dhp, broken, universal=False)
    content = {"TS1": {"data_2d": np.zeros((3, 17, 2)), "valid": np.ones(3)}}
    np.savez(broken / "data_test_3dhp.npz", data=np.array(content, object))
    np.savez(broken / "data_train_3dhp.npz", data=np.zeros(3))
    found = run(mpi_inf_3dhp.MpiInf3dhp, broken)
    assert {why for *_, why, _ in found.left_out} == {
        "TS1 has no data_2d, data_3d, valid", "has no `data`, a dict of recordings",
    }  # fmt: skip


def test_mpi_inf_3dhp_of_the_wrong_kind_is_named(tmp_path):
    dhp(tmp_path)
    wrong = run(mpi_inf_3dhp.MpiInf3dhp, tmp_path, frames=9, universal=False)
    assert {why for *_, why, _ in wrong.left_out} == {"has no annot3"}
    (tmp_path / "TS5/annot_data.mat").write_bytes(b"MATLAB 5.0 but no more")
    broken = run(mpi_inf_3dhp.MpiInf3dhp, tmp_path, frames=9, cameras="13")
    assert "not a .mat file that can be read" in broken.left_out[0][2]
    with pytest.raises(ValueError, match="write it as 0,1,2"):
        run(mpi_inf_3dhp.MpiInf3dhp, tmp_path, cameras="all")


def test_a_mat_file_that_crashes_its_library_is_left_out(tmp_path):
    """Another class for the first variable: scipy 1.17 ends the process by SIGSEGV."""
    dhp(tmp_path)
    path = tmp_path / "S1/Seq2/annot.mat"
    content = bytearray(path.read_bytes())
    assert content[144] == 1  # cells
    content[144] = 5
    path.write_bytes(content)
    result = run(mpi_inf_3dhp.MpiInf3dhp, tmp_path, frames=9)
    assert [(file, why[:34]) for file, _, why, _ in result.left_out] == [
        ("S1/Seq2/annot.mat", "not a .mat file that can be read (")
    ]
    assert result.records["test"]
