"""NTU RGB+D: the release's clips from the golden file, tracking, score order, broken records."""

import os
import pickle

import numpy as np
import pytest

from data_prep.corpora.ntu import Ntu60, Ntu120
from mbjax.data.action.clips import even_frames, to_clip
from tests.recipes import settings
from tests.recipes.corpora import run

GOLDEN = settings.GOLDEN / "corpora"


def clips_of(records, frames=60):
    return np.stack(
        [
            to_clip(
                r["keypoints"],
                r["width"],
                r["height"],
                even_frames(r["keypoints"].shape[1], frames),
            )
            for r in records
        ]
    )


def test_golden_clips_as_released():
    expected = np.load(GOLDEN / "expected.npz")
    records = run(Ntu60, GOLDEN, score_order="coco").records["xsub_val"]
    np.testing.assert_array_equal([r["label"] for r in records], expected["ntu_val_label"])
    # Records hold float32 pixels, half a ten-thousandth of a pixel at 1920.
    np.testing.assert_allclose(clips_of(records), expected["ntu_val_t60_scale2"], rtol=0, atol=1e-6)


def test_golden_positions_in_the_right_order_too():
    expected = np.load(GOLDEN / "expected.npz")["ntu_val_t60_scale2"]
    clips = clips_of(run(Ntu60, GOLDEN).records["xsub_val"])
    # float16 near 1 has steps of 2^-11 (half of it lost by rounding, thrice over in the release);
    # crop-scale at ratio 2 doubles it at most.
    np.testing.assert_allclose(clips[..., :2], expected[..., :2], rtol=0, atol=3 * 2**-11)
    assert np.abs(clips[..., 2] - expected[..., 2]).max() > 0.1  # scores are elsewhere


def annotation(name, persons=1, frames=20, seed=0, **other):
    rng = np.random.default_rng(seed)
    return {
        "frame_dir": name,
        "label": int(name[-3:]) - 1,
        "img_shape": (1080, 1920),
        "original_shape": (1080, 1920),
        "total_frames": frames,
        "keypoint": rng.uniform(0, 1000, (persons, frames, 17, 2)).astype(np.float16),
        "keypoint_score": rng.uniform(0.1, 1, (persons, frames, 17)).astype(np.float16),
        **other,
    }


def write(folder, annotations, name="ntu60_hrnet.pkl", split="xsub_val", extra=()):
    content = {
        "split": {split: [a.get("frame_dir") for a in annotations] + list(extra)},
        "annotations": annotations,
    }
    (folder / name).write_bytes(pickle.dumps(content))


def test_values_by_hand(tmp_path):
    raw = annotation("S001C001P001R001A006", frames=5)
    write(tmp_path, [raw])
    (record,) = run(Ntu60, tmp_path).records["xsub_val"]
    assert (record["label"], record["width"], record["height"]) == (5, 1920, 1080)
    assert record["source"] == "S001C001P001R001A006"
    full = np.concatenate([raw["keypoint"], raw["keypoint_score"][..., None]], -1)
    full = full.astype(np.float64)[0]
    ours = record["keypoints"][0]
    mean = {
        0: full[:, [11, 12]].mean(1),
        7: full[:, [11, 12, 5, 6]].mean(1),
        8: full[:, [5, 6]].mean(1),
        10: full[:, [1, 2]].mean(1),
    }
    own = {
        1: 12,
        2: 14,
        3: 16,
        4: 11,
        5: 13,
        6: 15,
        9: 0,
        11: 5,
        12: 7,
        13: 9,
        14: 6,
        15: 8,
        16: 10,
    }
    for joint in range(17):
        expected = mean[joint] if joint in mean else full[:, own[joint]]
        np.testing.assert_allclose(ours[:, joint], expected, rtol=1e-6)  # float32


def test_persons_that_change_places_take_their_scores_along(tmp_path):
    frames, where = 12, [100.0, 700.0]
    rng = np.random.default_rng(0)
    still = np.stack([rng.uniform(0, 50, (1, 17, 2)) + place for place in where])
    keypoints = np.repeat(still, frames, axis=1)
    scores = np.stack([np.full((frames, 17), 0.25), np.full((frames, 17), 0.75)])
    for t in range(frames):
        if (t // 4) % 2:  # from frame 4 to 7 the list is the other way round
            keypoints[:, t], scores[:, t] = keypoints[::-1, t], scores[::-1, t]
    raw = annotation("S001C001P001R001A001", 2, frames, keypoint=keypoints, keypoint_score=scores)
    write(tmp_path, [raw])
    (record,) = run(Ntu60, tmp_path).records["xsub_val"]
    assert np.ptp(record["keypoints"], axis=1).max() == 0  # nobody moved
    np.testing.assert_allclose(record["keypoints"][:, 0, 0, 2], [0.25, 0.75])
    (released,) = run(Ntu60, tmp_path, score_order="coco").records["xsub_val"]
    # Positions follow the persons, scores stay in the list's order.
    np.testing.assert_allclose(released["keypoints"][0, :, 0, 2], scores[0, :, 0])
    assert np.ptp(released["keypoints"][..., :2], axis=1).max() == 0


def test_oneshot_file(tmp_path):
    write(tmp_path, [annotation("S001C001P001R001A001")], "ntu120_hrnet.pkl", "xset_train")
    write(tmp_path, [annotation("S018C001P001R001A007")], "ntu120_hrnet_oneshot.pkl", "oneshot_val")
    result = run(Ntu120, tmp_path)
    assert {split: len(records) for split, records in result.records.items()} == {
        "xset_train": 1,
        "oneshot_val": 1,
    }
    assert result.notes["no split oneshot_train in the file"] == 1


def test_what_is_left_out(tmp_path):
    good, lost = annotation("S001C001P001R001A001"), annotation("S001C001P001R001A008")
    del lost["keypoint"]
    wrong = [
        annotation("S001C001P001R001A002", frames=0),
        annotation("S001C001P001R001A003", total_frames=19),
        annotation("S001C001P001R001A004", keypoint=np.zeros((1, 20, 16, 2))),
        annotation("S001C001P001R001A005", keypoint_score=np.zeros((1, 20, 17))),
        annotation("S001C001P001R001A006", img_shape=(0, 0)),
        annotation("S001C001P001R001A007", keypoint=np.full((1, 20, 17, 2), np.nan)),
        lost,
    ]
    write(tmp_path, [good, *wrong], extra=["S001C001P001R001A009"])
    result = run(Ntu60, tmp_path)
    assert [r["source"] for r in result.records["xsub_val"]] == [good["frame_dir"]]
    found = {where[-2:]: why for _, where, why, _ in result.left_out}
    assert found["02"] == "of zero length, or without persons"
    assert found["03"].startswith("keypoint or keypoint_score of another shape")
    assert found["04"].startswith("keypoint or keypoint_score of another shape")
    assert found["05"] == "nobody in it: every score is 0"
    assert found["06"] == "img_shape is not a size"
    assert found["07"] == "not a number in keypoints"
    assert found["08"] == "missing key 'keypoint'"
    assert found["09"] == "in the split, but without an annotation"
    assert len(result.left_out) == 8


def test_the_two_most_confident_of_more_persons_are_kept_and_it_is_said(tmp_path):
    scores = np.stack([np.full((20, 17), s) for s in (0.5, 0.0, 0.9, 0.2)])
    raw = annotation("S001C001P001R001A001", persons=4, keypoint_score=scores)
    write(tmp_path, [raw])
    result = run(Ntu60, tmp_path)
    (record,) = result.records["xsub_val"]
    np.testing.assert_allclose(record["keypoints"][:, 0, 9, 2], [0.5, 0.9])
    np.testing.assert_allclose(
        record["keypoints"][0, 0, 9, :2], raw["keypoint"][0, 0, 0].astype(float)
    )
    assert result.notes["more than two persons: the two most confident kept"] == 1
    assert result.notes["a person with no score above 0 left out"] == 1


def test_labels_out_of_range_are_left_out_by_name(tmp_path):
    write(tmp_path, [annotation("S001C001P001R001A061"), annotation("S001C001P001R001A060")])
    result = run(Ntu60, tmp_path)
    assert [r["label"] for r in result.records["xsub_val"]] == [59]
    assert "label 60, but ntu60 has 0 to 59" in [why for _, _, why, _ in result.left_out]


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_wants_to_run_code_does_not(tmp_path, protocol):
    content = pickle.dumps(RunsCode(str(tmp_path / "ran")), protocol=protocol)
    (tmp_path / "ntu60_hrnet.pkl").write_bytes(content)
    result = run(Ntu60, tmp_path)
    assert not (tmp_path / "ran").exists()
    assert not any(result.records.values())
    assert all(".mkdir, which plain data does not need" in why for _, _, why, _ in result.left_out)
    assert len(result.left_out) == 4  # once for each split
