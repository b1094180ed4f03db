"""What `import mbjax` gives: the example of each name, and motion in one call."""

import doctest

import numpy as np
import pytest

import mbjax
from mbjax.source_to_motion import Lifted


@pytest.mark.slow
@pytest.mark.parametrize("name", mbjax.__all__)
def test_the_example_of_each_name_gives_what_it_says(name):
    """help(mbjax.NAME) ends with it."""
    public = getattr(mbjax, name)
    examples = doctest.DocTestFinder(recurse=False).find(public, name, globs={})
    assert sum(len(one.examples) for one in examples), f"mbjax.{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    for one in examples:
        runner.run(one, out=said.append)
    assert not runner.failures, "".join(said)


@pytest.fixture(scope="module")
def lifted() -> Lifted:
    keypoints = np.random.default_rng(0).uniform(100, 400, (30, 17, 3))
    keypoints[..., 2] = 1
    to_3d = mbjax.pipeline("tiny", verbose=False)
    return to_3d(keypoints, layout="h36m17", fps=30, height=1.75)


def test_a_source_becomes_motion_in_one_call(lifted, tmp_path):
    (person,) = lifted.persons
    assert person.pose_TxJx3.shape == (30, 17, 3) and lifted.motion.unit == "m"
    paths = lifted.save(tmp_path / "out", rig_names="mixamo")
    assert {path.name for path in paths} >= {"X3D.npy", "motion.bvh", "motion.glb", "motion.html"}
    assert all(path.stat().st_size for path in paths)
    assert "mixamorig:Hips" in (tmp_path / "out" / "motion.bvh").read_text()


def test_a_notebook_draws_a_page_in_a_frame_of_its_own(lifted):
    shown = lifted.show(height=300)
    drawn = shown._repr_html_()
    assert drawn.startswith("<iframe srcdoc=") and 'height="300"' in drawn
    assert 'sandbox="allow-scripts"' in drawn
    assert drawn.count("<") == 2, "the page is escaped: nothing of it is the notebook's"
    assert "<canvas" in shown.html and "__DATA__" not in shown.html
    assert len(repr(shown)) < 100


def test_a_checkpoint_that_is_not_there_is_one_line():
    with pytest.raises(FileNotFoundError, match="no checkpoint at nowhere"):
        mbjax.pipeline("nowhere")
