"""Gestures made from the sample corpus."""

import numpy as np
import pytest

from data_prep.sample import sample_actions
from mbjax import safe_pickle
from mbjax.data.records import RecordReader
from mbjax.pose.skeleton import INDEX, LIMBS


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    sample_actions.make(folder, train_takes=1, test_takes=2)
    return folder


def test_the_same_seed_gives_the_same_files(made, tmp_path):
    sample_actions.make(tmp_path, train_takes=1, test_takes=2)
    for name in ("ntu120_hrnet.pkl", "ntu120_hrnet_oneshot.pkl"):
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


def test_subjects_and_classes_are_where_they_belong(made):
    content = safe_pickle.load(made / "ntu120_hrnet.pkl")
    label_of = {a["frame_dir"]: a["label"] for a in content["annotations"]}
    splits = content["split"]
    who = {split: {name[8:12] for name in names} for split, names in splits.items()}
    assert who == {"xsub_train": {"P001", "P002", "P003"}, "xsub_val": {"P101", "P102"}}
    for split, each in (("xsub_train", 3), ("xsub_val", 4)):
        counts = np.bincount([label_of[name] for name in splits[split]])
        np.testing.assert_array_equal(counts, [each] * 20)
    oneshot = safe_pickle.load(made / "ntu120_hrnet_oneshot.pkl")
    label_of = {a["frame_dir"]: a["label"] for a in oneshot["annotations"]}
    assert [label_of[n] for n in oneshot["split"]["oneshot_train"]] == [0, 6, 12, 18]
    assert not set(oneshot["split"]["oneshot_train"]) & set(oneshot["split"]["oneshot_val"])
    annotation = content["annotations"][0]
    assert annotation["keypoint"].shape == (1, 81, 17, 2)
    inside = (annotation["keypoint"] >= 0) & (annotation["keypoint"] <= (1920, 1080))
    assert inside.mean() > 0.95, "a detector errs, but not by an image"


@pytest.mark.parametrize("limb", sample_actions.LIMBS)
def test_a_gesture_moves_one_limb_as_its_name_says(limb):
    record = RecordReader("sample:motion3d", "train")[3]
    motion = record["pose"][:160:2].astype(np.float64) * record["metres_per_unit"]
    own = [INDEX[name] for name in sample_actions.LIMBS[limb][1:]]
    others = [j for j in range(17) if j not in own]
    left, up, ahead = sample_actions._body_axes(motion)
    # The nose is ahead of the head's middle: the axes are not mirrored.
    head = motion[:, INDEX["nose"]] - motion[:, INDEX["neck"]]
    assert ((head * ahead).sum(axis=1) > 0).mean() > 0.9
    out = left if limb.startswith("left") else -left
    for kind, along in (("ahead", ahead), ("aside", out)):
        moved = sample_actions.gesture(motion, limb, kind, np.random.default_rng(0))
        np.testing.assert_array_equal(moved[:, others], motion[:, others])
        upper, _, end = (INDEX[name] for name in sample_actions.LIMBS[limb])
        limb_Tx3 = moved[:, end] - moved[:, upper]
        assert ((limb_Tx3 * along).sum(axis=1) > 0).mean() > 0.9
        for start, stop in LIMBS:
            before, after = (
                np.linalg.norm(m[:, stop] - m[:, start], axis=1) for m in (motion, moved)
            )
            np.testing.assert_allclose(after, before, rtol=1e-9)  # bones keep their length
