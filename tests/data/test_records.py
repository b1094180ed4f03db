import pathlib
import shutil

import numpy as np
import pytest

from mbjax.data import records
from mbjax.data.records import DamagedRecord, RecordReader, find_dataset


@pytest.fixture
def copy(tmp_path):
    """A copy of a sample dataset that a test may damage, and its one test shard."""
    source = find_dataset("sample:motion3d")
    folder = tmp_path / "motion3d" / "1.0.0"
    shutil.copytree(source, folder)
    return folder, next(folder.glob("*-test.tfrecord*"))


def test_reads_what_tfds_reads():
    """The records that tfds.load gives through TensorFlow, here without it."""
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = find_dataset("sample:motion3d")
    dataset = tfds.builder_from_directory(str(folder)).as_dataset(split="test")
    theirs = list(tfds.as_numpy(dataset))
    ours = RecordReader(folder, "test")
    assert len(ours) == len(theirs) > 1
    by_frame = {int(record["first_frame"]): record for record in theirs}
    for i in range(len(ours)):
        record = ours[i]
        np.testing.assert_array_equal(record["pose"], by_frame[record["first_frame"]]["pose"])
        assert record["source"] == by_frame[record["first_frame"]]["source"].decode()


def test_truncated_shard_names_file_and_offset(copy):
    folder, shard = copy
    data = shard.read_bytes()
    shard.write_bytes(data[:-100])
    with pytest.raises(
        DamagedRecord, match=rf"{shard.name}, offset \d+, record \d+: the file ends"
    ):
        RecordReader(folder, "test")


def test_flipped_bit_fails_the_records_checksum(copy):
    folder, shard = copy
    data = bytearray(shard.read_bytes())
    data[len(data) // 2 + 5000] ^= 1  # inside a clip
    shard.write_bytes(data)
    reader = RecordReader(folder, "test")
    failed = []
    for i in range(len(reader)):
        try:
            reader[i]
        except DamagedRecord as error:
            failed.append(str(error))
    assert len(failed) == 1 and "checksum does not fit" in failed[0] and "offset" in failed[0]


def test_damaged_length_is_found_at_opening(copy):
    folder, shard = copy
    data = bytearray(shard.read_bytes())
    data[3] ^= 0xFF
    shard.write_bytes(data)
    with pytest.raises(DamagedRecord, match="offset 0, record 0: the record's length is damaged"):
        RecordReader(folder, "test")


def test_missing_shard_and_unknown_split_are_named(copy):
    folder, shard = copy
    with pytest.raises(ValueError, match="has no split 'validation'; it has: .*test"):
        RecordReader(folder, "validation")
    shard.unlink()
    with pytest.raises(DamagedRecord, match="split test should have 1 shards, 0 are here"):
        RecordReader(folder, "test")


def test_record_with_nan_is_named_when_read(tmp_path):
    """Written by other tools than ours, which refuse to write it."""
    source = find_dataset("sample:motion3d")
    folder = tmp_path / "1.0.0"
    shutil.copytree(source, folder)
    shard = next(folder.glob("*-test.tfrecord*"))
    features = records._features(pathlib.Path(source))
    reader = RecordReader(source, "test")
    parts = []
    for i in range(len(reader)):
        record = dict(reader[i])
        if i == 2:
            record["pose"] = record["pose"].copy()
            record["pose"][5, 3, 1] = np.nan
        data = features.serialize_example(record)
        length = len(data).to_bytes(8, "little")
        header = records._HEADER.pack(len(data), records._masked_crc(length))
        parts += [header, data, records._FOOTER.pack(records._masked_crc(data))]
    shard.write_bytes(b"".join(parts))
    damaged = RecordReader(folder, "test")
    damaged[1]
    with pytest.raises(DamagedRecord, match="record 2: pose holds NaN"):
        damaged[2]


def test_a_folder_without_a_dataset_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; make one with 'mbjax prepare"):
        find_dataset(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="has no dataset in it"):
        find_dataset(tmp_path)


def test_newest_version_is_taken(tmp_path):
    source = find_dataset("sample:motion3d")
    for version in ("1.0.0", "1.10.0", "1.9.0"):
        shutil.copytree(source, tmp_path / "m" / version)
    assert find_dataset(tmp_path / "m").name == "1.10.0"


def test_remote_folders_are_copied_once(tmp_path, monkeypatch):
    """A folder that is called remote stands for a bucket."""
    monkeypatch.setenv("MBJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(records, "_is_remote", lambda directory: True)
    first = RecordReader("sample:motion3d", "test")
    assert tmp_path / "cache" in first.directory.parents and len(first) > 1
    before = (first.directory / "dataset_info.json").stat().st_mtime_ns
    second = RecordReader("sample:motion3d", "test")
    assert second.directory == first.directory
    assert (second.directory / "dataset_info.json").stat().st_mtime_ns == before
