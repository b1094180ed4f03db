"""The subcommands quickstart, pretrain, finetune and evaluate."""

import contextlib
import json

from mbjax.commands import hosts
from mbjax.commands.output import json_argument, one_object, say
from mbjax.commands.parser import config_arguments, positive_int
from mbjax.tasks import TASKS  # names alone: the tasks themselves are imported when one runs

FINETUNED = tuple(name for name in TASKS if name != "pretrain")


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command(
        "quickstart", _quickstart, "pretrain a tiny model on the sample corpus and show the result"
    )
    sub.add_argument("--workdir", default="quickstart", help="where results go (%(default)s)")
    sub.add_argument("--steps", type=positive_int, help="fewer or more training steps")
    json_argument(sub)

    sub = command("pretrain", _pretrain, "pretrain the encoder on prepared corpora")
    config_arguments(
        sub, "pretrain:VARIANT, of mb, mb_lite, modern, modern_lite, tiny ...", required=True
    )
    _workdir_arguments(sub)
    hosts.add_arguments(sub)

    sub = command("finetune", _finetune, "train a task, from a pretrained encoder or from scratch")
    sub.add_argument(
        "task", choices=FINETUNED,
        help="pose3d: 3D from detected 2D; action: classes of actions; oneshot: embeddings, for "
        "classes known by one example; mesh: SMPL bodies",
    )  # fmt: skip
    config_arguments(sub, "TASK:VARIANT, such as pose3d:finetune, action:custom", required=True)
    _workdir_arguments(sub)
    sub.add_argument(
        "--init", default="",
        help="a pretrained checkpoint to start from; the model takes its sizes",
    )  # fmt: skip
    hosts.add_arguments(sub)

    sub = command("evaluate", _evaluate, "a checkpoint's errors or scores on held-out data")
    sub.add_argument(
        "task", nargs="?", choices=("pretrain", *FINETUNED), help="which task (the config's)"
    )
    config_arguments(sub, "whose evaluation section counts (the run's own, of a work folder)")
    sub.add_argument("--checkpoint", required=True, help="a work folder, a weight file, or 'tiny'")
    sub.add_argument(
        "--out", default="", help="a folder for tables and pictures, if the task has any"
    )
    json_argument(sub)
    hosts.add_arguments(sub)


def _workdir_arguments(sub):
    sub.add_argument("--workdir", required=True, help="checkpoints, metrics and config go here")
    sub.add_argument(
        "--extend", action="store_true",
        help="go on with the run in --workdir to more epochs: with --config.epochs=N",
    )  # fmt: skip
    sub.add_argument(
        "--profile", default="", metavar="'steps 100..110'",
        help="a trace of these steps for TensorBoard's profiler, into --workdir",
    )  # fmt: skip
    sub.add_argument(
        "--track", default="", choices=("wandb", "mlflow", "trackio"),
        help="the lines of metrics.jsonl go there too",
    )  # fmt: skip
    json_argument(sub)


def _quickstart(args):
    from mbjax.experiments import quickstart

    with one_object(args) as found:
        found.update(quickstart.run(args.workdir, args.steps, say))


def _pretrain(args):
    from mbjax import configuration
    from mbjax.tasks.pretrain import task as pretrain
    from mbjax.training.watching import Watching

    config = configuration.load(args.config, args.settings)
    watching = Watching.of_command(args.profile, args.track)
    _train(args, config, pretrain.make_task, watching)


def _finetune(args):
    from mbjax import configuration, tasks
    from mbjax.training.watching import Watching

    config = configuration.load(args.config, args.settings)
    watching = Watching.of_command(args.profile, args.track)
    if args.init:
        start_from(config, args)
    _train(args, config, tasks.find(args.task).make_task, watching)


def _train(args, config, make_task, watching):
    from mbjax.devices import cluster
    from mbjax.training import extension, loop

    with contextlib.ExitStack() as stack:
        found = stack.enter_context(one_object(args))
        place = stack.enter_context(cluster.joined(vars(args), say))
        if place.process:
            args.json = False  # process 0 alone has the result
        if args.extend:
            extension.extend(args.workdir, config)
        result = loop.run(config, make_task, args.workdir, watching=watching)
        found.update(
            workdir=args.workdir, step=result.step, metrics=result.metrics,
            clips_per_second=round(result.clips_per_second, 1),
        )  # fmt: skip


def start_from(config, args) -> None:
    """Sets config.init to --init, and the model's sizes to that checkpoint's."""
    from mbjax.remarks import remark
    from mbjax.tasks import initial_sizes

    if "init" not in config:
        raise ValueError(f"{args.config} has no setting 'init': it is not a fine-tuning config")
    config.init = args.init
    changed = initial_sizes.take(config, args.settings)
    if changed:
        remark(f"as {args.init} has them: {', '.join(changed)}")


def _evaluate(args):
    from mbjax import configuration, tasks
    from mbjax.devices import cluster

    if args.config:
        config = configuration.load(args.config, args.settings)
    else:
        config = configuration.of_run(args.checkpoint, args.settings)
    own = config.get("task", "pretrain")
    if args.task not in (None, own):
        of = f"{args.config} is a config" if args.config else f"{args.checkpoint} is a run"
        raise ValueError(f"{of} of the task {own!r}, not of {args.task!r}")
    task = tasks.find(own)
    with cluster.joined(vars(args), say) as place:
        report = task.evaluate_checkpoint(config, args.checkpoint, args.out or None)
    if place.process == 0:
        print(json.dumps(dict(report.metrics)) if args.json else report.text)
