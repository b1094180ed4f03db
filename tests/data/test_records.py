import json
import shutil
import sys
import threading

import numpy as np
import pytest

import mbjax.cli
from mbjax.data import records
from mbjax.data.records import DamagedRecord, RecordReader, find_dataset
from mbjax.storage import objects


@pytest.fixture
def copy(tmp_path):
    """A copy of a sample dataset that a test may damage, and its one test shard."""
    source = find_dataset("sample:motion3d")
    folder = tmp_path / "motion3d" / "1.0.0"
    shutil.copytree(source, folder)
    return folder, next(folder.glob("*-test.tfrecord*"))


@pytest.mark.slow
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


@pytest.mark.parametrize(
    "value, said",
    [
        (np.nan, "record 2: pose holds NaN"),
        (1e20, r"record 2: pose, index \(5, 3, 1\): 1e\+20 is beyond any coordinate"),
    ],
)
def test_record_with_absurd_numbers_is_named_when_read(tmp_path, value, said):
    """Written by other tools than ours, which refuse to write it."""
    tfds = pytest.importorskip("tensorflow_datasets")
    source = find_dataset("sample:motion3d")
    folder = tmp_path / "1.0.0"
    shutil.copytree(source, folder)
    shard = next(folder.glob("*-test.tfrecord*"))
    features = tfds.core.features.FeaturesDict.from_config(str(source))
    reader = RecordReader(source, "test")
    parts = []
    for i in range(len(reader)):
        record = dict(reader[i])
        if i == 2:
            record["pose"] = record["pose"].copy()
            record["pose"][5, 3, 1] = value
        data = features.serialize_example(record)
        length = len(data).to_bytes(8, "little")
        header = records._HEADER.pack(len(data), records._masked_crc(length))
        parts += [header, data, records._FOOTER.pack(records._masked_crc(data))]
    shard.write_bytes(b"".join(parts))
    damaged = RecordReader(folder, "test")
    damaged[1]
    with pytest.raises(DamagedRecord, match=said):
        damaged[2]


def test_the_index_tells_other_records_and_another_order(copy):
    """Two records of one length swapped: sizes, counts and each checksum are as before."""
    folder, shard = copy
    reader = RecordReader(folder, "test")
    before = reader.index()
    assert before["records"] == len(reader) and before == RecordReader(folder, "test").index()
    offsets = reader._shards[0]._offsets
    data = shard.read_bytes()
    parts = [data[a:b] for a, b in zip(offsets[:-1], offsets[1:], strict=True)]
    parts[0], parts[1] = parts[1], parts[0]
    shard.write_bytes(b"".join(parts))
    assert RecordReader(folder, "test").index() != before


def test_a_shard_cut_short_while_it_is_open_is_one_line(copy):
    """A memory map of it would end the process by SIGBUS."""
    folder, shard = copy
    reader = RecordReader(folder, "test")
    reader[0]
    with open(shard, "r+b") as file:
        file.truncate(5000)
    for i in range(len(reader)):
        with pytest.raises(DamagedRecord, match=f"record {i}: the file ends inside it; it became"):
            reader[i]


def test_shards_beyond_those_kept_open_are_read_too(monkeypatch):
    monkeypatch.setattr(records, "_MAY_KEEP_OPEN", threading.BoundedSemaphore(1))
    monkeypatch.setattr(records._MAY_KEEP_OPEN, "_value", 0)
    reader = RecordReader("sample:motion3d", "train")
    assert reader[3]["pose"].shape == (243, 17, 3)
    assert reader._shards[0]._kept_open is None


def edited(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


CANARY = "raise SystemExit('this module was imported')\n"


def test_nothing_that_a_dataset_names_is_imported(copy, monkeypatch, capsys):
    """TFDS imports the module of each field's kind, and the current folder may be on the path."""
    folder, _ = copy
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    (folder / "helpful_features.py").write_text(CANARY)
    for places in ((), ("featuresDict", "features", "pose")):

        def change(content, places=places):
            for place in places:
                content = content[place]
            content["pythonClassName"] = "helpful_features.Dict"

        original = (folder / "features.json").read_text()
        edited(folder / "features.json", change)
        with pytest.raises(DamagedRecord, match="features.json: (not the fields|field 'pose' is)"):
            RecordReader(folder, "test")
        assert mbjax.cli.main(["inspect", "."]) == 1
        assert "prepare" in capsys.readouterr().err
        (folder / "features.json").write_text(original)
    edited(folder / "dataset_info.json", lambda info: info.update(moduleName="helpful_features"))
    assert len(RecordReader(folder, "test")) > 1
    assert "helpful_features" not in sys.modules


@pytest.mark.parametrize(
    "name, change, said",
    [
        ("dataset_info", lambda c: c.update(splits=3), "does not say splits"),
        ("dataset_info", lambda c: c.update(splits=[3]), "does not say splits"),
        ("dataset_info", lambda c: c["splits"][0].update(name=["x"]), "does not say splits|is not"),
        ("dataset_info", lambda c: c["splits"][0].update(name="../x"), "is not a split"),
        ("dataset_info", lambda c: c["splits"][0].update(shardLengths=["-3"]), "is not a split"),
        (
            "dataset_info",
            lambda c: c["splits"][0].update(shardLengths=["x"]),
            "does not say splits",
        ),
        (
            "dataset_info",
            lambda c: c["splits"][0].update(shardLengths=["99999999999999"]),
            "cannot hold the 99,999,999,999,999 records",
        ),
        ("features", lambda c: c.clear(), "not the fields of a prepared dataset"),
        ("features", lambda c: c["featuresDict"].update(features=[]), "no fields"),
        ("features", lambda c: c["featuresDict"].update(features={}), "no fields"),
        ("features", lambda c: c["featuresDict"]["features"].update(pose=5), "field 'pose'"),
        (
            "features",
            lambda c: c["featuresDict"]["features"]["pose"]["tensor"].update(encoding="zlib"),
            "encoding 'zlib'",
        ),
        (
            "features",
            lambda c: c["featuresDict"]["features"]["pose"]["tensor"].update(dtype="object"),
            "dtype 'object'",
        ),
    ],
)
def test_damaged_indexes_are_one_line(copy, name, change, said):
    folder, _ = copy
    edited(folder / f"{name}.json", change)
    with pytest.raises(DamagedRecord, match=said) as caught:
        RecordReader(folder, "test")
    assert f"{name}.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"nonsense", b"\xff\xfe", b"[" * 100_000])
def test_indexes_that_are_not_json_objects(copy, name, content):
    folder, _ = copy
    (folder / name).write_bytes(content)
    with pytest.raises(DamagedRecord, match=name):
        RecordReader(folder, "test")


def test_a_dataset_without_features_says_so(copy):
    folder, _ = copy
    (folder / "features.json").unlink()
    with pytest.raises(DamagedRecord, match="features.json is missing; copy or prepare"):
        RecordReader(folder, "test")


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


def test_a_dataset_in_a_bucket_is_copied_once_until_it_is_another(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("MBJAX_CACHE", str(tmp_path / "cache"))
    source = find_dataset("sample:motion3d")
    for path in source.iterdir():
        objects.upload(path, f"{bucket.url}/data/motion3d/1.0.0/{path.name}")
    first = RecordReader(f"{bucket.url}/data", "test")
    assert tmp_path / "cache" in first.directory.parents and len(first) > 1
    np.testing.assert_equal(first[0], RecordReader(source, "test")[0])
    before = (first.directory / "dataset_info.json").stat().st_mtime_ns
    second = RecordReader(f"{bucket.url}/data", "test")
    assert second.directory == first.directory
    assert (second.directory / "dataset_info.json").stat().st_mtime_ns == before

    objects.write(f"{bucket.url}/data/motion3d/1.0.0/card.json", b"{}")
    assert RecordReader(f"{bucket.url}/data", "test").directory != first.directory
