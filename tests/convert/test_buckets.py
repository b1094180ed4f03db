"""Weights and runs in buckets, by commands as users give them."""

import json

import numpy as np
import pytest

import mbjax
import mbjax.cli
from mbjax.storage import objects


@pytest.mark.slow
def test_weights_go_to_a_bucket_and_come_back(bucket):
    keypoints = np.random.default_rng(0).normal(size=(1, 9, 17, 3)).astype(np.float32)
    expected = mbjax.load("tiny", verbose=False)(keypoints)
    for ending in ("safetensors", "bin"):
        url = f"{bucket.url}/weights/tiny.{ending}"
        assert mbjax.cli.main(["export", "tiny", "--out", url]) == 0
        loaded = mbjax.load(url, verbose=False)
        np.testing.assert_array_equal(loaded(keypoints), expected)


def test_a_damaged_file_is_named_by_its_url(bucket, capsys):
    objects.write(f"{bucket.url}/weights/broken.safetensors", b"nothing")
    assert mbjax.cli.main(["verify", f"{bucket.url}/weights/broken.safetensors", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert not found["sound"] and f"{bucket.url}/weights/broken.safetensors" in found["damage"][0]


def test_what_is_not_there_is_one_line(bucket, capsys):
    assert mbjax.cli.main(["parity", f"{bucket.url}/weights/other.bin"]) == 1
    line = capsys.readouterr().err.splitlines()
    assert len(line) == 1 and f"{bucket.url}/weights/other.bin" in line[0]


@pytest.mark.parametrize(
    "command",
    [
        "quickstart --workdir",
        "infer --checkpoint tiny --keypoints x --out",
        "import tiny --out",
        "export tiny --format web --out",
        "push tiny hf://a/b --dry-run",
        "prepare joints --raw raw --out",
    ],
)
def test_what_needs_a_disk_says_so(command, capsys):
    assert mbjax.cli.main([*command.split(), "gs://mbjax-test/folder"]) == 1
    assert "gs://mbjax-test/folder is a URL; give a folder on disk" in capsys.readouterr().err
