"""The CMU database's ASF and AMC: the same joints as of the BVH of a motion, splits by subject."""

import json
import re
import time

import numpy as np
import pytest

from data_prep import asf_amc, cmu_index, corpus
from data_prep.corpora import cmu
from data_prep.report import Report
from mbjax import cli
from mbjax.pose.skeleton import INDEX, PARENTS
from tests.recipes import asf_amc as recipe
from tests.recipes.corpora import run

OPTIONS = corpus.make_options(cmu.Cmu, {})


@pytest.fixture
def database(tmp_path):
    """Subjects 07 and 19, two trials each; one only as BVH."""
    for seed, subject in enumerate(("07", "19")):
        folder = tmp_path / "subjects" / subject
        folder.mkdir(parents=True)
        recipe.write_asf(folder / f"{subject}.asf")
        for trial in (1, 2):
            found = recipe.values(80, seed=10 * seed + trial)
            recipe.write_amc(folder / f"{subject}_0{trial}.amc", found)
            recipe.write_bvh(folder / f"{subject}_0{trial}.bvh", found)
    (tmp_path / "subjects/07/07_02.amc").unlink()
    return tmp_path / "subjects"


def test_amc_and_bvh_have_the_same_joints(database):
    by_amc, by_bvh = (
        cmu.read_motion(database / f"19/19_01.{kind}", OPTIONS, Report("x"))
        for kind in ("amc", "bvh")
    )
    assert by_amc[1] == 120 and by_bvh[1] == pytest.approx(120, rel=1e-6)
    # Angles and offsets are written with ten digits.
    np.testing.assert_allclose(by_amc[0], by_bvh[0], atol=1e-7)
    pose_TxJx3 = by_amc[0]
    length_TxJ = np.linalg.norm(pose_TxJx3[:, 1:] - pose_TxJx3[:, PARENTS[1:]], axis=-1)
    for name in ("rknee", "lankle", "relbow", "lwrist"):  # within one bone
        bone_T = length_TxJ[:, INDEX[name] - 1]
        np.testing.assert_allclose(bone_T, bone_T[0], rtol=1e-9)
    # A thigh of 7.1 units of 1/0.45 inch.
    thigh = np.linalg.norm(pose_TxJx3[0, INDEX["lknee"]] - pose_TxJx3[0, INDEX["lhip"]])
    assert thigh == pytest.approx(7.1 * 0.0254 / 0.45)


def test_one_bone_by_hand(tmp_path):
    """A knee bent by 90 degrees about x: the shin, which hangs down, points back."""
    recipe.write_asf(tmp_path / "1.asf")
    found = {name: 0 * rows for name, rows in recipe.values(1).items()}
    found["rfemur"] = found["rfemur"] + 0.0
    found["ltibia"] = found["ltibia"] + 90.0
    recipe.write_amc(tmp_path / "1_1.amc", found)
    motion = asf_amc.read_amc(tmp_path / "1_1.amc", asf_amc.read_asf(tmp_path / "1.asf"))
    places, _ = motion.positions()
    shin = places[0, motion.place_of("ltibia.end")] - places[0, motion.place_of("ltibia")]
    # Its x axis is turned by 20 degrees about z, so that the shin lies across it.
    np.testing.assert_allclose(np.linalg.norm(shin), 7.4)
    # The shin lies in the plane that the turned axis leaves alone, so all of it turns.
    assert shin[2] == pytest.approx(-7.4, abs=0.01)  # directions are written with two digits


def test_subjects_are_in_one_split(database):
    result = run(cmu.Cmu, database, frames=20, stride=20)
    assert not result.left_out
    sources = {split: {r["source"] for r in rows} for split, rows in result.records.items()}
    assert sources == {"train": {"07_01", "07_02"}, "test": {"19_01", "19_02"}}
    assert result.notes["calibration pose in a file's first frame left out"] == 1  # the BVH
    other = run(cmu.Cmu, database, frames=20, stride=20, test_subjects="07", without="19_02")
    sources = {split: {r["source"] for r in rows} for split, rows in other.records.items()}
    assert sources == {"test": {"07_01", "07_02"}, "train": {"19_01"}}
    slow = run(cmu.Cmu, database, frames=20, stride=20, at_60="19_*")
    assert len(slow.records["test"]) == 8 > len(result.records["test"])  # 80 frames, not 40


def test_the_card_counts_clips_of_each_subject(database, tmp_path, capsys):
    words = ["prepare", "cmu", "--raw", str(database), "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--frames", "20", "--stride", "20"]) == 0
    assert "subjects: test 1, train 1 (clips of each in card.json)" in capsys.readouterr().out
    card = json.loads((tmp_path / "out/1.0.0/card.json").read_text())
    assert card["subjects"] == {
        split: {subject: card["clips"][split]}
        for split, subject in (("train", "07"), ("test", "19"))
    }


INDEX_PAGE = """<HTML><BODY><TABLE>
<TR><TD COLSPAN=3><CENTER>Subject #7 (walk) <A HREF="/subjects/07/07.asf">asf</A>
<TR BGCOLOR=#909090><TD>Image<TD>Trial #<TD>Motion Description<TD COLSPAN=5>Files<TD>fps</TR>
<TR BGCOLOR=#d0d0d0><TD></TD><TD>1</TD><TD>walk,
 exaggerated stride</TD><TD><A HREF="http://mocap.cs.cmu.edu:80/subjects/07/07_01.c3d">c3d</A></TD>
<TD><A HREF="http://mocap.cs.cmu.edu:80/subjects/07/07_01.amc">amc</A></TD><TD>120</TD>
<TD><A HREF="badtrial.php?subjectnumber=7&motion=1">Feedback</A></TD></TR>
<TR><TD></TD><TD>2</TD><TD>walk &amp; turn</TD><TD><A HREF="/7/07_02.amc">amc</A></TD><TD>120</TD>
<TR><TD></TD><TD>1</TD><TD>Soccer - kick ball</TD><TD><A HREF="x/19_01.amc">amc</A><TD>60</TD></TR>
<TR><TD></TD><TD>2</TD><TD>sidewalk cafe</TD><TD><A HREF="x/19_02.amc">amc</A></TD><TD></TD></TR>
</TABLE>"""


def test_the_saved_search_page_says_what_recordings_show_and_their_rate():
    trials = cmu_index.of_page(INDEX_PAGE)
    assert trials == {
        "07_01": cmu_index.Trial("walk, exaggerated stride", 120.0),
        "07_02": cmu_index.Trial("walk & turn", 120.0),
        "19_01": cmu_index.Trial("Soccer - kick ball", 60.0),
        "19_02": cmu_index.Trial("sidewalk cafe", 0.0),
    }


def test_so_does_the_text_of_the_conversion_but_for_the_rate():
    text = "Subject #1 (climb)\n01_01\tplayground - climb\n 01_02   run/jog \n\nnotes of 2008_x\n"
    trials = cmu_index.of_text(text)
    assert {name: trial.description for name, trial in trials.items()} == {
        "01_01": "playground - climb", "01_02": "run/jog",
    }  # fmt: skip


def test_a_text_beside_the_page_takes_nothing_from_it(tmp_path):
    (tmp_path / "INDEX.HTML").write_text(INDEX_PAGE.replace("<TD>60", "<TD>59.94"))
    (tmp_path / "index.txt").write_text("19_01 kick\n19_02 cafe\n20_01 salsa\n")
    trials = cmu_index.read(cmu_index.files(tmp_path))
    assert trials["19_01"] == cmu_index.Trial("Soccer - kick ball", 59.94)
    assert trials["20_01"] == cmu_index.Trial("salsa", 0.0) and len(trials) == 5


@pytest.mark.parametrize(
    "odd",
    ["<a " * 400_000, "<tr" * 400_000, "<![foo[", "<td" * 400_000, "href = " * 200_000,
     "<tr><td>1<td>x<a href=" + "a_" * 400_000, "<tr><td>²<td>walk<a href=7_1.amc>",
     "7_1 " + " " * 1_000_000 + "x"],
    ids=range(8),
)  # fmt: skip
def test_odd_pages_take_no_time(odd):
    began = time.monotonic()
    assert len(cmu_index.of_page(odd)) + len(cmu_index.of_text(odd)) <= 2
    assert time.monotonic() - began < 10  # what is quadratic takes minutes


@pytest.mark.parametrize(
    "wanted, found",
    [("walk", True), ("WALK, run", True), ("run", False), ("stride", True), ("str", False),
     ("*str*", True), ("turn, e", False), ("", False)],
)  # fmt: skip
def test_activities_are_chosen_by_words_or_patterns(wanted, found):
    assert cmu.shows("Walk, exaggerated stride", wanted) == found


def test_recordings_of_an_activity_at_the_rate_of_the_index(database):
    (database / "index.html").write_text(INDEX_PAGE)
    walks = run(cmu.Cmu, database, frames=20, stride=20, activities="walk")
    assert {r["source"] for rows in walks.records.values() for r in rows} == {"07_01", "07_02"}
    slow = run(cmu.Cmu, database, frames=20, stride=20)
    by_name = {name: sum(r["source"] == name for r in slow.records["test"])
               for name in ("19_01", "19_02")}  # fmt: skip
    assert by_name == {"19_01": 4, "19_02": 2}  # 80 frames at 60 a second, and at 120
    (database / "index.html").unlink()
    with pytest.raises(ValueError, match="--activities walk needs the database's index in"):
        run(cmu.Cmu, database, activities="walk")


def test_what_the_index_does_not_say_is_counted_and_what_fits_nothing_named(database):
    (database / "index.html").write_text(INDEX_PAGE.replace("x/19_02.amc", "x/19_99.amc"))
    notes = run(cmu.Cmu, database, frames=20, stride=20).notes
    assert notes["recording that the index does not name"] == 1
    assert notes["AMC whose frame rate the index does not say: --fps-in or --at-60"] == 1
    with pytest.raises(ValueError, match="fits --activities 'swim'; .*: Soccer - kick ball, walk"):
        run(cmu.Cmu, database, activities="swim")
    with pytest.raises(ValueError, match="fits --only '99_.' --activities 'soccer'"):
        run(cmu.Cmu, database, activities="soccer", only="99_*")


def test_the_card_counts_clips_of_each_activity(database, tmp_path, capsys):
    (database / "index.html").write_text(INDEX_PAGE)
    words = ["prepare", "cmu", "--raw", str(database), "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--frames", "20", "--stride", "20"]) == 0
    assert "activities: test 2, train 2 (clips of each in card.json)" in capsys.readouterr().out
    card = json.loads((tmp_path / "out/1.0.0/card.json").read_text())
    assert card["activities"]["test"] == {"Soccer - kick ball": 4, "sidewalk cafe": 2}
    # Another index is another dataset: what was prepared is not taken for it.
    (database / "index.html").write_text(INDEX_PAGE.replace("Soccer", "Football"))
    assert cli.main([*words, "--frames", "20", "--stride", "20"]) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_a_glitch_is_cut_out(database):
    found = recipe.values(80, seed=1)
    found["lhumerus"][40:44, 0] += 170  # and the arm is back
    recipe.write_amc(database / "07/07_01.amc", found)
    result = run(cmu.Cmu, database, frames=10, stride=10, only="07_01")
    assert 0 < len(result.records["train"]) < 4
    assert {why for _, _, why, _ in result.left_out} == {"a joint moves as no body can"}


def test_a_recording_needs_the_skeleton_of_its_own_subject(database):
    (database / "19/19.asf").rename(database / "19/07.asf")
    result = run(cmu.Cmu, database, frames=20, stride=20, test_subjects="07")
    assert {(file, why) for file, _, why, _ in result.left_out} == {
        (f"19/19_0{trial}.amc", "its subject's skeleton, 19.asf, is not beside it")
        for trial in (1, 2)
    }
    assert set(result.records) == {"test"}


def test_a_broken_skeleton_is_blamed_and_not_the_motion(database):
    path = database / "07/07.asf"
    path.write_text(path.read_text().replace("length 7.1", "length x"))
    result = run(cmu.Cmu, database, frames=20, stride=20, only="07_01")
    ((file, _, why, _),) = result.left_out
    assert file == "07/07_01.amc"
    assert re.fullmatch(r"its skeleton 07.asf: line \d+: length wants 1 numbers", why)


@pytest.mark.parametrize(
    "change, message",
    [
        (("ltibia 1", "ltibia x"), "line .*: ltibia wants 1 numbers"),
        (("\nltibia ", "\nlshin "), "line .*: 'lshin' is no bone of the skeleton"),
        ((":DEGREES", ":RADIANS"), "line 3: angles are read in degrees alone"),
    ],
)
def test_broken_motion_is_told_with_its_line(tmp_path, change, message):
    recipe.write_asf(tmp_path / "1.asf")
    found = recipe.values(3)
    found["ltibia"][:] = 1.0
    recipe.write_amc(tmp_path / "1_1.amc", found)
    text = (tmp_path / "1_1.amc").read_text()
    assert change[0] in text
    (tmp_path / "1_1.amc").write_text(text.replace(*change))
    skeleton = asf_amc.read_asf(tmp_path / "1.asf")
    with pytest.raises(ValueError, match=message):
        asf_amc.read_amc(tmp_path / "1_1.amc", skeleton)
    lines = text.splitlines()
    (tmp_path / "1_1.amc").write_text("\n".join(lines[:-5]))
    with pytest.raises(ValueError, match=f"line {len(lines) - 5}: frame 3 is without .* cut off"):
        asf_amc.read_amc(tmp_path / "1_1.amc", skeleton)


@pytest.mark.parametrize(
    "change, message",
    [
        (("XYZ\n    dof", "ZYX\n    dof"), "axes in the order ZYX; XYZ is read"),
        (("angle deg", "angle rad"), "degrees alone"),
        (("order TX TY", "order TY TX"), "the root's order"),
        (("    root lhip", "    trunk lhip"), "trunk is no bone that came before"),
        ((":hierarchy", ":nothing"), "no whole skeleton"),
    ],
)
def test_broken_skeletons(tmp_path, change, message):
    recipe.write_asf(tmp_path / "1.asf")
    text = (tmp_path / "1.asf").read_text()
    assert change[0] in text
    (tmp_path / "1.asf").write_text(text.replace(*change))
    with pytest.raises(ValueError, match=message):
        asf_amc.read_asf(tmp_path / "1.asf")
