"""The subcommands quickstart, pretrain, finetune and evaluate."""

import json

from mbjax.commands import hosts
from mbjax.commands.output import say


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command(
        "quickstart", _quickstart, "pretrain a tiny model on the sample corpus and show the result"
    )
    sub.add_argument("--workdir", default="quickstart", help="where results go (%(default)s)")
    sub.add_argument("--steps", type=int, default=0, help="fewer or more training steps")

    sub = command("pretrain", _pretrain, "pretrain the encoder on prepared corpora")
    sub.add_argument("--config", required=True, help="configs/pretrain.py:{mb,mb_lite,tiny}")
    sub.add_argument("--workdir", required=True, help="checkpoints, metrics and config go here")
    hosts.add_arguments(sub)

    sub = command("finetune", _finetune, "train a task, from a pretrained encoder or from scratch")
    sub.add_argument("task", help="which task")
    sub.add_argument("--config", required=True, help="configs/TASK.py:VARIANT")
    sub.add_argument("--workdir", required=True, help="checkpoints, metrics and config go here")
    sub.add_argument("--init", default="", help="a pretrained checkpoint to start from")
    hosts.add_arguments(sub)

    sub = command("evaluate", _evaluate, "a checkpoint's errors or scores on held-out data")
    sub.add_argument("task", nargs="?", default="pretrain", help="which task (%(default)s)")
    sub.add_argument("--config", required=True, help="its evaluation section: configs/TASK.py")
    sub.add_argument("--checkpoint", required=True, help="a work folder, a weight file, or 'tiny'")
    sub.add_argument(
        "--out", default="", help="a folder for tables and pictures, if the task has any"
    )
    sub.add_argument("--json", action="store_true", help="print one JSON object")
    hosts.add_arguments(sub)


def _quickstart(args):
    from mbjax.experiments import quickstart

    quickstart.run(args.workdir, args.steps, say)


def _pretrain(args):
    from mbjax import configuration
    from mbjax.devices import cluster
    from mbjax.tasks.pretrain import task as pretrain
    from mbjax.training import loop

    config = configuration.load(args.config, args.settings)
    with cluster.joined(vars(args), say):
        loop.run(config, pretrain.make_task, args.workdir)


def _finetune(args):
    from mbjax import tasks
    from mbjax.devices import cluster
    from mbjax.training import loop

    task = tasks.find(args.task)
    config = _task_config(args)
    if args.init:
        if "init" not in config:
            raise ValueError(f"{args.config} has no setting 'init'; it is no fine-tuning config")
        config.init = args.init
    with cluster.joined(vars(args), say):
        loop.run(config, task.make_task, args.workdir)


def _evaluate(args):
    from mbjax import tasks
    from mbjax.devices import cluster

    task = tasks.find(args.task)
    config = _task_config(args)
    with cluster.joined(vars(args), say) as place:
        report = task.evaluate_checkpoint(config, args.checkpoint, args.out or None)
    if place.process == 0:
        print(json.dumps(dict(report.metrics)) if args.json else report.text)


def _task_config(args):
    """The config of a command for a task; ValueError where it is another task's."""
    from mbjax import configuration

    config = configuration.load(args.config, args.settings)
    own = config.get("task", "pretrain")
    if own != args.task:
        raise ValueError(f"{args.config} is a config of the task {own!r}, not of {args.task!r}")
    return config
