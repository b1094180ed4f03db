"""The notebook runs from its first cell to its last, and lifts as well as it says."""

import pathlib
import re

import pytest

import mbjax.lifting

NOTEBOOK = pathlib.Path(mbjax.lifting.__file__).with_name("first_steps.ipynb")


@pytest.mark.slow
def test_every_cell_runs(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="in the extra [test]")
    nbclient = pytest.importorskip("nbclient", reason="in the extra [test]")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "kept without outputs"
    nbclient.NotebookClient(
        notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    results = [
        output["data"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output["output_type"] == "execute_result"
    ]
    assert any("<iframe" in result.get("text/html", "") for result in results)
    text = "".join(
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.get("name") == "stdout"
    )
    mpjpe, aligned, flat = map(float, re.findall(r"\d+\.\d+", text))
    # About 50, 33 and 65 mm.
    assert aligned < mpjpe and aligned < 0.7 * flat, text
    assert (tmp_path / "motion" / "motion.bvh").is_file()
