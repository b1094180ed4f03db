"""The subcommand ablate: the paper's ablations, arm by arm."""

import dataclasses
import pathlib

from mbjax.commands.output import json_argument, one_object, say
from mbjax.experiments.ablation_suites import RECIPES, SUITES, Corpora


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command("ablate", _ablate, "the paper's ablations, on the sample corpus or on real ones")
    sub.add_argument("suite", help=", ".join(SUITES))
    sub.add_argument("--budget", type=int, required=True, help="steps of each training")
    sub.add_argument(
        "--finetune-budget", type=int, default=0,
        help="steps of fine-tuning after an arm's own pretraining (a quarter of the budget)",
    )  # fmt: skip
    sub.add_argument("--workdir", default="", help="folder (ablation/SUITE)")
    sub.add_argument("--seeds", type=int, default=1, help="runs of each arm (%(default)s)")
    sub.add_argument("--arms", default="", help="only these, by commas")
    sub.add_argument("--init", default="", help="the pretrained checkpoint (the sample's: tiny)")
    for field in dataclasses.fields(Corpora):
        what = {
            "motion": "instead: 3D motion; its split train pretrains, its split test is the test",
            "actions": "for the suite actions: labelled recordings with splits train and test",
            "meshes": "for the suite mesh: bodies with splits train and test",
        }.get(field.name, "a prepared corpus")
        sub.add_argument(f"--{field.name}", default="", metavar="DIR", help=what)
    json_argument(sub)

    sub = command("recipes", _recipes, "what each change of pretraining's recipe brings")
    sub.add_argument(
        "--motion", required=True, metavar="DIR",
        help="prepared 3D motion: split train trains, split test measures",
    )  # fmt: skip
    sub.add_argument("--budget", type=int, required=True, help="steps of each run")
    sub.add_argument("--workdir", default="recipes", help="folder (%(default)s)")
    sub.add_argument("--seeds", type=int, default=1, help="runs of each arm (%(default)s)")
    sub.add_argument("--arms", default="", help="only these, by semicolons: " + "; ".join(RECIPES))
    json_argument(sub)


def _ablate(args):
    from mbjax.experiments import ablation

    corpora = Corpora(*(getattr(args, field.name) for field in dataclasses.fields(Corpora)))
    arms = tuple(arm for arm in args.arms.split(",") if arm)
    workdir = pathlib.Path(args.workdir or f"ablation/{args.suite}")
    with one_object(args) as found:
        found["rows"] = ablation.run(
            args.suite, args.budget, workdir, args.seeds, arms, args.init, corpora,
            args.finetune_budget, say,
        )  # fmt: skip
        print((workdir.expanduser() / "table.md").read_text())
        print(f"in {workdir}/: table.md, table.csv, table.json, plot.png")


def _recipes(args):
    from mbjax.experiments import recipes

    arms = tuple(arm.strip() for arm in args.arms.split(";") if arm.strip())
    workdir = pathlib.Path(args.workdir)
    with one_object(args) as found:
        found["rows"] = recipes.run(args.motion, args.budget, workdir, args.seeds, arms, say)
        print((workdir.expanduser() / "table.md").read_text())
