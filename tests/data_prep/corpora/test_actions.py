"""Your own recordings and classes: both layouts, and what is wrong with them."""

import csv

import numpy as np
import pytest

from data_prep.corpora.actions import Actions, ActionsOptions
from mbjax import cli
from tests.recipes.action import coco_file
from tests.recipes.corpora import run


def test_folders_name_classes_and_subjects(tmp_path):
    coco_file(tmp_path / "walk" / "anna" / "1.json", frames=12)
    coco_file(tmp_path / "walk" / "ben" / "1.json")
    coco_file(tmp_path / "sit" / "loose.json")
    (tmp_path / "sit" / "notes.txt").write_text("not a recording")
    result = run(Actions, tmp_path, layout="coco17", fps=25.0)
    records = result.records["train"]
    assert [(r["class_name"], r["subject"], r["source"]) for r in records] == [
        ("sit", "", "sit/loose.json"),
        ("walk", "anna", "walk/anna/1.json"),
        ("walk", "ben", "walk/ben/1.json"),
    ]
    assert records[1]["keypoints"].shape == (1, 12, 17, 3) and records[1]["fps"] == 25
    assert not result.left_out


def test_a_table_says_everything(tmp_path):
    coco_file(tmp_path / "clips" / "a.json")
    coco_file(tmp_path / "clips" / "b.json", persons=2)
    (tmp_path / "labels.csv").write_text(
        "file,label,subject,split,layout,width,height,fps\n"
        "clips/a.json,slow gait,S1,train,coco17,1920,1080,50\n"
        "clips/b.json,normal,S2,test,coco17,,,\n"
    )
    result = run(Actions, tmp_path)
    (a,), (b,) = result.records["train"], result.records["test"]
    assert (a["class_name"], a["subject"], a["fps"]) == ("slow gait", "S1", 50)
    assert (a["width"], a["height"]) == (1920, 1080)
    assert b["keypoints"].shape[0] == 2
    # No size was given: what the keypoints reach.
    assert b["width"] == int(np.ceil(b["keypoints"][..., 0].max()))


@pytest.mark.parametrize(
    "table, message",
    [
        ("file,class\na.json,x\n", "has the columns file, class; it takes file and label"),
        ("file,label\na.json,x\nno.json,y\n", "names files that are not in .*: no.json; correct"),
        ("file,label\na.json,\n", "line 2: a.json has no label"),
        ("file,label\na.json,x\na.json,y\n", "line 3: a.json is there twice"),
        ("file,label,fps\na.json,x,fast\n", "line 2: width, height and fps are numbers"),
        ("", "has the columns none"),
    ],
)
def test_tables_that_cannot_be_are_one_line(tmp_path, table, message):
    coco_file(tmp_path / "a.json")
    (tmp_path / "labels.csv").write_text(table)
    with pytest.raises(ValueError, match=message):
        run(Actions, tmp_path)


def test_one_bad_recording_is_left_out_by_name(tmp_path):
    coco_file(tmp_path / "walk" / "good.json")
    coco_file(tmp_path / "walk" / "empty.json", confidence=0.0)
    (tmp_path / "walk" / "broken.json").write_text("[{")
    result = run(Actions, tmp_path, layout="coco17")
    assert [r["source"] for r in result.records["train"]] == ["walk/good.json"]
    why = {name: reason for name, _, reason, _ in result.left_out}
    assert "nobody in it" in why["walk/empty.json"]
    assert set(why) == {"walk/empty.json", "walk/broken.json"}


def test_the_two_most_confident_persons_are_kept_and_it_is_said(tmp_path):
    coco_file(tmp_path / "play" / "four.json", persons=4)
    result = run(Actions, tmp_path, layout="coco17")
    (record,) = result.records["train"]
    assert record["keypoints"].shape[0] == 2
    np.testing.assert_allclose(record["keypoints"][:, 0, 9, 2], [0.9, 0.45], rtol=1e-3)
    (note,) = result.notes
    assert "4 persons: the two most confident are kept (1 and 2)" in note


BAD_ROWS = {
    "split": ("../../../escaped", "a/b", "/absolute", "..", "all", "x" * 100, "a b", "é"),
    "width": ("1e400", "nan", "-5", "1e9"),
    "height": ("inf",),
    "fps": ("-1", "1e300", "inf"),
    "file": ("../outside.json", "/etc/passwd", "x" * 5000, "a\0b", "."),
}


@pytest.mark.parametrize(
    "column, value", [(c, v) for c, values in BAD_ROWS.items() for v in values]
)
def test_rows_that_lead_outside_or_make_no_sense_are_named(tmp_path, capsys, column, value):
    """A split becomes a folder, and files are looked for below the table's folder alone."""
    raw = tmp_path / "deep" / "raw"
    raw.mkdir(parents=True)
    np.save(raw / "a.npy", np.random.default_rng(0).uniform(0, 100, (30, 17, 3)))
    (tmp_path / "deep" / "outside.json").write_text("{}")
    row = {"file": "a.npy", "label": "wave", "split": "train", "width": "", "height": "", "fps": ""}
    row[column] = value
    with (raw / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    before = sorted(tmp_path.rglob("*"))
    arguments = ["prepare", "actions", "--raw", str(raw), "--out", str(tmp_path / "out")]
    status = cli.main([*arguments, "--layout", "coco17"])
    error = capsys.readouterr().err.strip().split("\n")[-1]
    if column == "file" and value == ".":  # a folder without recordings
        assert status == 1 and "nothing of actions" in error
        return
    assert status == 1 and str(raw / "labels.csv") in error and len(error) < 500
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("content", [b"\xff\xfe\0", b'file,label\na.npy,"' + b"x" * 200_000, b""])
def test_a_table_that_is_not_one_is_a_line(tmp_path, content):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(ValueError, match="labels.csv"):
        Actions.source_files(tmp_path, ActionsOptions())
