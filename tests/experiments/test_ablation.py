import csv
import json
import shutil

import pytest

from mbjax import configuration
from mbjax.cli import main
from mbjax.experiments import ablation, ablation_suites
from mbjax.training import loop, session
from mbjax.training.workdir import claim_workdir
from tests.recipes import mesh as mesh_recipes

REAL = ablation_suites.Corpora("H", "A", "P", "I")
PEOPLE = ablation_suites.Corpora(motion="M")


def test_table_6_is_the_paper_s():
    """Structure, fusion and sizes of every row, and as many attention blocks from a to f."""
    found = {}
    for row in "abcdefghijk":
        model = configuration.load(f"configs/ablation.py:{row}", []).model
        found[row] = (model.structure, model.fusion, model.depth, model.num_heads, model.dim_rep)
        small = configuration.load(f"configs/ablation.py:sample_{row}", []).model
        assert (small.structure, small.fusion) == found[row][:2]
        for sizes in (model, small):
            assert sizes.dim_feat % sizes.num_heads == 0
    two, design = ("st+ts", "adaptive"), ("st+ts", "adaptive", 5, 8, 512)
    assert found["f"] == design and found["e"] == ("st+ts", "average", 5, 8, 512)
    assert [found[r][0] for r in "abcd"] == ["st", "ts", "s+t", "st-attention"]
    assert {found[r][2] for r in "abcd"} == {10}, "half the attentions a level, twice the levels"
    assert found["g"] == (*two, 4, 8, 512) and found["h"] == (*two, 6, 8, 512)
    assert found["i"][3] == 6 and found["j"][3] == 10 and found["k"][4] == 256
    paper = {row: arm.paper for row, arm in ablation_suites.SUITES["architecture"].arms.items()}
    assert paper["f"] == min(paper.values()) == 39.2 and paper["c"] == 41.8


POSE_SUITES = [name for name, one in ablation_suites.SUITES.items() if one.task == "pose3d"]


@pytest.mark.parametrize("suite", POSE_SUITES)
@pytest.mark.parametrize(
    "corpora", [ablation_suites.Corpora(), REAL, PEOPLE], ids=["sample", "real", "people"]
)
def test_every_arm_has_its_configs(suite, corpora):
    for arm in ablation_suites.SUITES[suite].arms.values():
        pose = ablation_suites.training_config(suite, arm, corpora)
        tested = "pairs:M" if corpora.motion else corpora.h36m or "sample:pairs"
        assert pose.task == "pose3d" and pose.evaluation.dir == tested
        ablation.within(pose, 40)
        assert pose.epochs * sum(s.steps_per_epoch for s in pose.sources.values() if s.dir) == 40
        if arm.pretrain is None:
            continue
        config = ablation_suites.pretrain_config(arm, corpora, pose.model)
        assert config.model == pose.model
        if corpora.real:
            assert config.sources.amass.dir == "A" and config.sources.h36m.dir == "H"
        if corpora.motion:
            # Who is tested has trained nothing: labels are of the sample's person.
            assert config.sources.motion.dir == "M" and config.sources.motion.split == "train"
            assert pose.sources.sample.dir == "pairs:sample:motion3d"
        kinds = {s.kind for s in config.sources.values() if s.dir}
        assert kinds == ({"3d", "2d"} if arm.with_2d else {"3d"})


def test_few_labels_are_learned_from_scratch_and_from_what_was_pretrained():
    corpora = ablation_suites.Corpora(actions="A")
    suite = ablation_suites.SUITES["actions"]
    assert list(suite.arms) == [
        "scratch-1", "pretrained-1", "scratch-5", "pretrained-5", "scratch-20", "pretrained-20",
    ]  # fmt: skip
    for name, arm in suite.arms.items():
        config = ablation_suites.training_config("actions", arm, corpora)
        assert config.examples_per_class == int(name.rsplit("-")[-1])
        assert (config.data.dir, config.data.split, config.evaluation.split) == (
            "A", "train", "test",
        )  # fmt: skip
        ablation.within(config, 60)
        assert config.epochs * config.steps_per_epoch == 60
        # Both at the rates that the paper has for them, of which the sample's are multiples.
        assert (config.learning_rate_backbone == 1e-3) == name.startswith("scratch")


def test_bodies_are_those_that_were_given():
    arm = ablation_suites.SUITES["mesh"].arms["pretrained"]
    corpora = ablation_suites.Corpora(meshes="M")
    config = ablation_suites.training_config("mesh", arm, corpora)
    assert config.task == "mesh" and config.sources.own.dir == "M"
    ablation.within(config, 60)
    assert config.epochs * config.sources.own.steps_per_epoch == 60


@pytest.mark.parametrize(
    "suite, given, wrong",
    [
        ("actions", {}, "needs --actions DIR: recordings"),
        ("mesh", {}, "needs --meshes DIR: bodies"),
        ("actions", {"actions": "A", "motion": "M"}, "takes --actions alone, not --motion"),
        ("finetune", {"meshes": "M"}, "does not take --meshes"),
        ("finetune", {"motion": "M", "h36m": "H"}, "stands alone"),
        ("finetune", {"amass": "A"}, "need --h36m DIR as well"),
    ],
)
def test_what_a_suite_does_not_take_is_said(suite, given, wrong, tmp_path):
    corpora = ablation_suites.Corpora(**given)
    with pytest.raises(ValueError, match=wrong):
        ablation.run(suite, 40, tmp_path / "out", corpora=corpora)
    assert not (tmp_path / "out").exists()


def test_pretraining_arms_add_one_thing_after_another():
    def what(name, suite="pretraining"):
        arm = ablation_suites.SUITES[suite].arms[name]
        model = ablation_suites.training_config(suite, arm, ablation_suites.Corpora()).model
        config = ablation_suites.pretrain_config(arm, ablation_suites.Corpora(), model)
        two_d = any(s.kind == "2d" and s.dir for s in config.sources.values())
        return config.noise, config.mask_joints, config.mask_frames, two_d

    assert what("plain") == (False, 0, 0, False)
    assert what("noise") == (True, 0, 0, False)
    assert what("mask") == (True, 0.05, 0.1, False)
    assert what("2d") == (True, 0.05, 0.1, True)
    noise, joints, frames, _ = what("45", "mask")
    assert noise and joints == pytest.approx(0.15) and frames == pytest.approx(0.30)


def test_a_shorter_run_keeps_the_curriculum_in_its_place():
    config = configuration.load("configs/pretrain.py:tiny", [])
    shares = {n: s.steps_per_epoch * (config.epochs - s.from_epoch)
              for n, s in config.sources.items()}  # fmt: skip
    before = {n: s.from_epoch / config.epochs for n, s in config.sources.items()}
    ablation.within(config, 4000)
    steps = {n: s.steps_per_epoch * (config.epochs - s.from_epoch)
             for n, s in config.sources.items()}  # fmt: skip
    assert sum(steps.values()) == pytest.approx(4000, rel=0.05)
    for name, source in config.sources.items():
        assert source.from_epoch / config.epochs == pytest.approx(before[name], abs=0.05)
        share = steps[name] / sum(steps.values())
        assert share == pytest.approx(shares[name] / sum(shares.values()), abs=0.02)


@pytest.fixture
def trainings(monkeypatch):
    """Instead of training: notes which runs there were, and gives an error by seed."""
    begun = []

    def run(config, make_task, folder, say=None):
        folder.mkdir(parents=True)
        claim_workdir(folder, config)
        (folder / "checkpoints" / "2").mkdir(parents=True)
        begun.append((folder.name, config.get("init", ""), config.seed))
        error = 100.0 + config.seed - (50 if config.get("init") else 0)
        with (folder / "metrics.jsonl").open("w") as file:
            for step in (1, 2):
                row = {"kind": "evaluate", "step": step, "mpjpe_mm": error + 2 - step}
                file.write(json.dumps(row) + "\n")
        metrics = {"mpjpe_mm": error, "p_mpjpe_mm": error / 2, "top_1": 0.5, "macro_f1": 0.25}
        if config.task == "action":
            (folder / "metrics.jsonl").write_text(
                json.dumps({"kind": "evaluate", "step": 2, "top_1": 0.5}) + "\n"
            )
        return session.Result({}, None, 2, metrics, 0.0)

    monkeypatch.setattr(loop, "run", run)
    return begun


def test_a_suite_is_run_once_and_reported(trainings, tmp_path, capsys):
    words = ["ablate", "finetune", "--budget", "40", "--seeds", "2", "--workdir", str(tmp_path)]
    assert main(words) == 0
    assert trainings == [
        ("scratch-seed0", "", 0), ("scratch-seed1", "", 1),
        ("pretrained-seed0", "tiny", 0), ("pretrained-seed1", "tiny", 1),
    ]  # fmt: skip
    out = capsys.readouterr().out
    assert "one person's 60 seconds" in out and "| 100.5 ± 0.7 |" in out and "39.2" in out
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[2][2] == "50.5 ± 0.7" and rows[2][-1] == "37.5"
    table = json.loads((tmp_path / "table.json").read_text())
    assert table["rows"][0]["runs"][1]["curve_mm"] == [102.0, 101.0]
    assert (tmp_path / "plot.png").stat().st_size > 5000
    assert main(words) == 0 and len(trainings) == 4, "finished arms are not run again"
    # A result of other settings is not taken for this one's.
    assert main([*words[:3], "80", *words[4:]]) == 1
    assert "belongs to another config" in capsys.readouterr().err


def test_shares_are_printed_in_percent_and_without_the_papers_errors(
    trainings, tmp_path, monkeypatch
):
    monkeypatch.setattr(ablation, "check_labels", lambda *_: None)  # of data that are not there
    rows = ablation.run(
        "actions", 40, tmp_path, 2, ("scratch-1", "pretrained-1"),
        corpora=ablation_suites.Corpora(actions="A"),
    )  # fmt: skip
    assert rows[0]["top_1"] == 50 and rows[0]["macro_f1"] == 25
    assert [init for _, init, _ in trainings] == ["", "", "tiny", "tiny"]
    head, _, first, second = (tmp_path / "table.md").read_text().splitlines()[-4:]
    assert head == "| arm |  | top-1, % (A) | macro F1, % |"
    assert first == "| scratch-1 | from scratch, 1 of each class | 50.0 ± 0.0 | 25.0 ± 0.0 |"
    assert "2 steps of training for action recognition" in (tmp_path / "table.md").read_text()
    assert (tmp_path / "plot.png").stat().st_size > 5000 and "pretrained" in second


def test_each_mask_ratio_is_pretrained_once_a_seed_and_measured_before_fine_tuning(
    trainings, tmp_path, monkeypatch
):
    from mbjax.tasks import pose3d
    from mbjax.training.task import Report

    monkeypatch.setattr(
        pose3d, "evaluate_checkpoint", lambda config, path: Report("", {"mpjpe_mm": 77.0})
    )
    rows = ablation.run("mask", 40, tmp_path, seeds=2, arms=("0", "75"))
    assert [name for name, *_ in trainings] == [
        "pretrain-0", "0-seed0", "pretrain-0-seed1", "0-seed1",
        "pretrain-75", "75-seed0", "pretrain-75-seed1", "75-seed1",
    ]  # fmt: skip
    assert trainings[1][1] == str(tmp_path / "pretrain-0")
    assert trainings[3][1] == str(tmp_path / "pretrain-0-seed1")
    assert rows[0]["before_finetuning_mm"] == 77 and rows[0]["mpjpe_mm"] == 50.5
    assert "77.0" in (tmp_path / "table.md").read_text()
    ablation.run("mask", 40, tmp_path, seeds=2, arms=("0", "75"))
    assert len(trainings) == 8


@pytest.mark.parametrize(
    "words, message",
    [
        (["shape", "--budget", "40"], "no suite named 'shape'; there are: finetune, frozen"),
        (["mask", "--budget", "40", "--arms", "20"], "mask has no arm '20'; it has: 0, 15"),
        (["mask", "--budget", "1"], "budget 1, seeds 1: at least 20 steps"),
        (["mask", "--budget", "40", "--amass", "x"], "real corpora need --h36m DIR as well"),
        (["mask", "--budget", "40", "--motion", "x", "--h36m", "y"], "--motion DIR stands alone"),
        (["mask", "--budget", "40", "--motion", "no/such"], "no/such does not exist"),
        (["frozen", "--budget", "40", "--h36m", "x"], "give --init"),
        (["pretraining", "--budget", "40", "--h36m", "x", "--arms", "2d"], "needs --posetrack or"),
        (["architecture", "--budget", "40", "--h36m", "no/such"], "no/such does not exist"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, words, message):
    assert main(["ablate", *words, "--workdir", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error


@pytest.mark.slow
def test_an_arm_of_meshes_trains_for_real(tmp_path, monkeypatch):
    def smaller(*arguments):
        config = training_config(*arguments)
        config.update(body="synthetic-300", batch_size=8, feed_threads=1)
        config.model.update(dim_feat=16, dim_rep=16, depth=1, num_heads=2, maxlen=16)
        config.head.hidden = 16
        return config

    training_config = ablation.training_config
    monkeypatch.setattr(ablation, "training_config", smaller)
    monkeypatch.setattr(ablation.initial_sizes, "take", lambda *_: [])  # `tiny` is larger
    corpora = ablation_suites.Corpora(meshes=str(mesh_recipes.prepared(tmp_path / "bodies")))
    (row,) = ablation.run("mesh", 20, tmp_path / "out", arms=("scratch",), corpora=corpora)
    assert row["own_mpve"] > 0 and row["own_pa_mpjpe"] > 0
    assert "MPVE, mm" in (tmp_path / "out/table.md").read_text()
    assert (tmp_path / "out/plot.png").stat().st_size > 5000


def test_labels_that_are_not_there_are_told_before_training(trainings, gestures, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(gestures, data)
    for path in data.rglob("*xsub_train*"):
        path.rename(path.with_name(path.name.replace("xsub_train", "train")))
    for path in (*data.rglob("dataset_info.json"), *data.rglob("card.json")):
        path.write_text(path.read_text().replace("xsub_train", "train"))
    corpora = ablation_suites.Corpora(actions=str(data))
    with pytest.raises(ValueError, match=r"recording\(s\) of .*, too few for the arms .*-20; ch"):
        ablation.run("actions", 40, tmp_path / "out", corpora=corpora)
    assert not trainings and not (tmp_path / "out").exists()
    ablation.run("actions", 40, tmp_path / "out", arms=("scratch-1",), corpora=corpora)
    assert [name for name, *_ in trainings] == ["scratch-1-seed0"]


def test_the_checkpoint_is_looked_for_before_anything_trains(trainings, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match="nowhere"):
        ablation.run("finetune", 40, tmp_path / "out", init=str(tmp_path / "nowhere"))
    assert not trainings
