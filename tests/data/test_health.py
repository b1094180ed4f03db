"""`mbjax inspect`: its numbers against ones worked out here, its pictures, and damage found."""

import functools
import shutil
from pathlib import Path

import numpy as np
import pytest

import mbjax
from mbjax import cli
from mbjax.data import health
from mbjax.data.records import RecordReader
from mbjax.pictures import clip_sheet
from mbjax.pose import skeleton

SAMPLE = Path(mbjax.__file__).parent / "sample"


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(SAMPLE / "annotated2d", tmp_path / "data")
    return tmp_path / "data"


def text(found):
    return "\n".join(found.lines)


def test_numbers_of_motion():
    found = health.inspect(SAMPLE / "motion3d")
    assert found.damage == []
    assert found.pictures == []
    lines = text(found)
    assert "train: 25 records" in lines
    assert "test: 6 records" in lines
    assert "frames of a clip: 243; fps: 60; sources: 1" in lines
    reader = RecordReader(SAMPLE / "motion3d", "test")
    pose = np.stack([reader[i]["pose"] for i in range(6)])
    x = pose[..., 0]
    assert f"pose: x {x.min():.3f} to {x.max():.3f}, y " in lines
    knee, hip = (pose[:, :, skeleton.INDEX[name]] for name in ("rknee", "rhip"))
    thigh = np.linalg.norm((knee - hip) / 0.298, axis=-1).mean()
    assert f"rknee {thigh:.3f} (0.0 %)" in lines
    assert "<--" not in lines  # nothing looks wrong


def test_swapped_sides_and_turned_axes_are_seen():
    reader = RecordReader(SAMPLE / "motion3d", "test")
    pose = np.concatenate([reader[i]["pose"] for i in range(len(reader))])
    assert health.share_facing_forward(pose) > 0.9
    swapped = pose[:, skeleton.MIRROR]
    assert health.share_facing_forward(swapped) < 0.1
    for axis in range(3):
        turned = pose.copy()
        turned[..., axis] *= -1
        assert health.share_facing_forward(turned) < 0.1
    # A mirror image of a person is a person.
    assert health.share_facing_forward(skeleton.mirror(pose)) > 0.9


def test_pictures(tmp_path):
    found = health.inspect(
        SAMPLE / "annotated2d", draw=functools.partial(clip_sheet.draw, tmp_path / "pictures")
    )
    names = {path.name for path in found.pictures}
    assert names == {"train.keypoints.histograms.png", "train.keypoints.clips.png"}
    for path in found.pictures:
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert path.stat().st_size > 5000


def test_command(copy, capsys):
    assert cli.main(["inspect", str(copy), "--check"]) == 0
    assert "every record is sound" in capsys.readouterr().out
    assert cli.main(["inspect", str(copy / "nowhere")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("mbjax inspect: error: dataset folder")
    assert error.count("\n") == 1


# In a record's content, and (at 0.3, as it happens) in the length that precedes one.
@pytest.mark.parametrize("place", [0.3, 0.7])
def test_a_flipped_bit_is_found(copy, capsys, place):
    (shard,) = copy.rglob("*.tfrecord-*")
    content = bytearray(shard.read_bytes())
    content[int(len(content) * place)] ^= 4
    shard.write_bytes(content)
    assert cli.main(["inspect", str(copy), "--check"]) == 1
    printed = capsys.readouterr()
    assert "damaged: " in printed.out
    assert str(shard) in printed.out
    assert "error: 1 damaged, see above" in printed.err


def test_a_cut_shard_is_an_error(copy, capsys):
    (shard,) = copy.rglob("*.tfrecord-*")
    shard.write_bytes(shard.read_bytes()[:-100])
    assert cli.main(["inspect", str(copy), "--check"]) == 1
    printed = capsys.readouterr()
    assert "train: cannot be read" in printed.out
    assert "record 99: the file ends inside it" in printed.out
    assert printed.err.count("\n") == 1


def test_wrong_shapes_and_confidences_are_damage():
    good = {"keypoints": np.full((5, 17, 3), 0.5, np.float32)}
    health._check_shapes(good)
    for keypoints in (np.zeros((0, 17, 3)), np.zeros((5, 16, 3)), np.full((5, 17, 3), -0.1)):
        with pytest.raises(ValueError, match="wanted"):
            health._check_shapes({"keypoints": keypoints})


def test_a_bone_without_length_is_damage():
    """A corpus without a head, say, whose joint was put where the neck is."""
    pose = np.random.default_rng(0).normal(size=(5, 17, 3)).astype(np.float32)
    health._check_shapes({"pose": pose})
    pose[:, skeleton.INDEX["head"]] = pose[:, skeleton.PARENTS[skeleton.INDEX["head"]]]
    with pytest.raises(ValueError, match="pose: the bone to head has no length"):
        health._check_shapes({"pose": pose})
