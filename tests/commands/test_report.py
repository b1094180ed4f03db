"""mbjax report: what runs came to."""

import json

from PIL import Image

import mbjax.cli
from mbjax.training import loop
from tests.recipes import processes


def test_runs_are_told_compared_and_drawn(tmp_path, capsys):
    for name, steps in (("a", 20), ("b", 12)):
        config = processes.small_config(steps=steps)
        loop.run(config, processes.small_task(), tmp_path / "runs" / name, lambda text: None)
    runs = [str(tmp_path / "runs" / name) for name in "ab"]
    capsys.readouterr()
    picture = tmp_path / "curves.png"
    assert mbjax.cli.main(["report", *runs, "--out", str(picture)]) == 0
    out = capsys.readouterr().out
    assert f"{runs[0]}: pretrain, step 20" in out and f"{runs[1]}: pretrain, step 12" in out
    assert out.count("took 0:0") == 2 and f"wrote {picture}" in out
    with Image.open(picture) as image:
        assert image.size[0] > 1000
    assert mbjax.cli.main(["report", runs[1], "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["step"] == 12 and found["time"]["starts"] == 1


def test_what_is_no_run_is_one_line(tmp_path, capsys):
    assert mbjax.cli.main(["report", str(tmp_path)]) == 1
    assert "is not the work folder of a run" in capsys.readouterr().err
    assert mbjax.cli.main(["report", str(tmp_path), "--out", "x.jpg"]) == 1
    assert "the picture is a PNG" in capsys.readouterr().err
