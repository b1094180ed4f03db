"""The release's own clips: what a record holds, and files that are broken."""

import os
import pickle

import numpy as np
import pytest

from data_prep.corpora.clips import Clips
from tests.recipes.corpora import run


def write(folder, number, label, inputs=None, protocol=4):
    folder.mkdir(parents=True, exist_ok=True)
    content = {"data_input": inputs, "data_label": label}
    (folder / f"{number:08d}.pkl").write_bytes(pickle.dumps(content, protocol=protocol))


def motion(seed, frames=243):
    return np.random.default_rng(seed).uniform(-1, 1, (frames, 17, 3)).astype(np.float32)


def test_amass_clips(tmp_path):
    root = tmp_path / "MB3D_f243s81" / "AMASS"
    write(root / "train", 0, motion(0))
    write(root / "train", 7, motion(1), protocol=2)
    write(root / "test", 0, np.asfortranarray(motion(2)))
    write(tmp_path / "MB3D_f243s81/H36M-SH/train", 0, motion(3), motion(4))
    for raw in (tmp_path, tmp_path / "MB3D_f243s81", root):
        result = run(Clips, raw)
        train, (test,) = result.records["train"], result.records["test"]
        for record, seed in zip([*train, test], (0, 1, 2), strict=True):
            np.testing.assert_array_equal(record["pose"], motion(seed))
            assert record["metres_per_unit"] == pytest.approx(1 / 0.298)
            assert record["fps"] == 60
        assert train[1]["source"].endswith("train/00000007")
        assert result.seconds == pytest.approx(3 * 243 / 60)


def test_human36m_clips(tmp_path):
    write(tmp_path / "H36M-SH/train", 0, motion(3), motion(4))
    (record,) = run(Clips, tmp_path, subset="H36M-SH").records["train"]
    np.testing.assert_array_equal(record["pose"], motion(3))
    np.testing.assert_array_equal(record["keypoints"], motion(4))
    assert record["fps"] == 50


def test_broken_files_are_named_and_the_rest_prepared(tmp_path):
    folder = tmp_path / "AMASS/train"
    write(folder, 0, motion(0))
    write(folder, 1, motion(1)[:100])
    write(folder, 2, motion(1)[:, :16])
    write(folder, 3, None)
    nan = motion(4)
    nan[5, 5, 1] = np.nan
    write(folder, 4, nan)
    (folder / "00000005.pkl").write_bytes(b"")
    (folder / "00000006.pkl").write_bytes((folder / "00000000.pkl").read_bytes()[:900])
    (folder / "00000007.pkl").write_bytes(pickle.dumps({"data_input": None}))
    (folder / "00000008.pkl").write_bytes(pickle.dumps([1, 2]))
    (folder / "00000009.pkl").write_bytes(pickle.dumps({"data_label": os.getcwd}))
    result = run(Clips, tmp_path)
    assert [r["source"] for r in result.records["train"]] == ["AMASS/train/00000000"]
    found = {int(file[-6:-4]): why for file, _, why, _ in result.left_out}
    assert found[1].startswith("data_label is shape (100, 17, 3)")
    assert found[2].startswith("data_label is shape (243, 16, 3)")
    assert found[3].startswith("data_label is NoneType")
    assert found[4] == "not a number in pose"
    assert found[5] == "the file is empty"
    assert found[6].startswith("not a whole pickle")
    assert found[7] == "missing key 'data_label'"
    assert found[8] == "not a dict of data_input and data_label"
    assert "posix.getcwd" in found[9]
    assert len(result.left_out) == 9
