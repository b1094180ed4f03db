"""The `mbjax` command. Each subcommand's work is in a module of its own; here are the arguments."""

import argparse
import json
import os
import sys

# What a user can cause, and is told in one line.
_USER_ERRORS = (ValueError, FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError)


def entry() -> int:
    """What the installed `mbjax` script calls: starts again with huge pages, then `main`.

    A training step on the CPU takes hundreds of MB for a moment and gives them back; in 4 KB pages
    the kernel spends as long making them as the step takes to compute. glibc reads this setting
    only when a process starts.
    """
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, "-m", "mbjax", *sys.argv[1:]])
    return main()


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["prepare"]:
        return _prepare(argv[1:])
    if argv[:1] == ["inspect"]:
        from mbjax.commands import inspect

        return inspect.main(argv[1:])
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    settings = [a for a in rest if a.startswith("--config.")]
    unknown = [a for a in rest if not a.startswith("--config.")]
    if unknown or (settings and not hasattr(args, "config")):
        parser.error(f"unknown argument {(unknown or settings)[0]!r} (mbjax {args.command} --help)")
    args.settings = settings
    _quiet()
    from mbjax.training.loop import TrainingDiverged
    from mbjax.training.preemption import Stopped

    try:
        return args.run(args) or 0
    except Stopped as stop:
        print(f"mbjax {args.command}: {stop}", file=sys.stderr)
        return stop.exit_status
    except (*_USER_ERRORS, TrainingDiverged, ImportError) as error:
        if os.environ.get("MBJAX_TRACEBACK"):
            raise
        line = " ".join(str(error).split()) or type(error).__name__
        print(f"mbjax {args.command}: error: {line}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"mbjax {args.command}: interrupted", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(
        prog="mbjax", description="MotionBERT in JAX: pretraining, fine-tuning, evaluation."
    )
    # Arguments alone; nothing heavy.
    from mbjax.commands import actions as action_commands
    from mbjax.commands import compare
    from mbjax.commands import compile as compile_command
    from mbjax.commands import infer as infer_command
    from mbjax.devices import cluster
    from mbjax.experiments import ablation

    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, run, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    sub = command(
        "quickstart", _quickstart, "pretrain a tiny model on the sample corpus and show the result"
    )
    sub.add_argument("--workdir", default="quickstart", help="where results go (%(default)s)")
    sub.add_argument("--steps", type=int, default=0, help="fewer or more training steps")

    sub = command("pretrain", _pretrain, "pretrain the encoder on prepared corpora")
    sub.add_argument("--config", required=True, help="configs/pretrain.py:{mb,mb_lite,tiny}")
    sub.add_argument("--workdir", required=True, help="checkpoints, metrics and config go here")
    cluster.add_arguments(sub)

    sub = command("finetune", _finetune, "train a task, from a pretrained encoder or from scratch")
    sub.add_argument("task", help="which task")
    sub.add_argument("--config", required=True, help="configs/TASK.py:VARIANT")
    sub.add_argument("--workdir", required=True, help="checkpoints, metrics and config go here")
    sub.add_argument("--init", default="", help="a pretrained checkpoint to start from")
    cluster.add_arguments(sub)

    sub = command("evaluate", _evaluate, "a checkpoint's errors or scores on held-out data")
    sub.add_argument("task", nargs="?", default="pretrain", help="which task (%(default)s)")
    sub.add_argument("--config", required=True, help="its evaluation section: configs/TASK.py")
    sub.add_argument("--checkpoint", required=True, help="a work folder, a weight file, or 'tiny'")
    sub.add_argument(
        "--out", default="", help="a folder for tables and pictures, if the task has any"
    )
    sub.add_argument("--json", action="store_true", help="print one JSON object")
    cluster.add_arguments(sub)

    sub = command("bench", _bench, "speed of the training step, of the input, and of both")
    sub.add_argument("--config", default="configs/pretrain.py:mb_lite")
    sub.add_argument("--batch-size", type=int, default=0, help="instead of the config's")
    sub.add_argument("--frames", type=int, default=243, help="clip length (%(default)s)")
    sub.add_argument("--steps", type=int, default=10, help="steps to time (%(default)s)")
    sub.add_argument("--only", choices=("step", "input", "both"), help="one of the three parts")
    sub.add_argument("--peak-tflops", type=float, default=0, help="the device's peak, if unknown")
    sub.add_argument("--json", action="store_true", help="print one JSON object")

    sub = command("bench-body", _bench_body, "time and memory of the SMPL layer, folded and plain")
    sub.add_argument("--body", default="synthetic", help="or the folder of SMPL (%(default)s)")
    sub.add_argument("--batch-size", type=int, default=128, help="clips (%(default)s)")
    sub.add_argument("--frames", type=int, default=16, help="of a clip (%(default)s)")
    sub.add_argument("--steps", type=int, default=3, help="steps to time (%(default)s)")
    sub.add_argument("--json", action="store_true", help="print one JSON object")

    sub = command(
        "sample-mesh", _sample_mesh, "the sample motion with a body fitted to it, for mesh recovery"
    )
    sub.add_argument("--out", required=True, help="folder, for 'mbjax prepare mesh_own --raw'")
    sub.add_argument("--body", default="synthetic", help="or the folder of SMPL (%(default)s)")

    sub = command("fit-noise", _fit_noise, "fit the table of 2D detection noise to your detector")
    sub.add_argument(
        "pairs", help=".npz with detected (N,17,3) and true (N,17,2), normalised alike"
    )
    sub.add_argument("--out", required=True, help="the table, for --config.noise_table")

    from mbjax.commands import weights

    weights.add(command)
    infer_command.add(command)
    action_commands.add(command)
    ablation.add(command)
    compare.add(command)
    compile_command.add(command)

    sub = commands.add_parser("prepare", help="raw corpora to TFRecord shards (extra [data])")
    sub.set_defaults(run=None)
    sub = commands.add_parser("inspect", help="what a prepared dataset holds; pictures of it")
    sub.set_defaults(run=None)
    return parser


def _quiet():
    """Only what concerns the user: libraries' informational output is left out."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    import warnings

    from absl import logging

    logging.set_verbosity(logging.ERROR)
    warnings.filterwarnings("ignore", module="(tensorflow_datasets|orbax|grain).*")


def _quickstart(args):
    from mbjax.experiments import quickstart

    quickstart.run(args.workdir, args.steps)


def _pretrain(args):
    from mbjax import configuration
    from mbjax.devices import cluster
    from mbjax.tasks.pretrain import task as pretrain
    from mbjax.training import loop

    config = configuration.load(args.config, args.settings)
    with cluster.joined(vars(args)):
        loop.run(config, pretrain.make_task, args.workdir)


def _finetune(args):
    from mbjax.devices import cluster
    from mbjax.training import loop

    task = _task(args.task)
    config = _task_config(args)
    if args.init:
        if "init" not in config:
            raise ValueError(f"{args.config} has no setting 'init'; it is no fine-tuning config")
        config.init = args.init
    with cluster.joined(vars(args)):
        loop.run(config, task.make_task, args.workdir)


def _evaluate(args):
    from mbjax.devices import cluster

    task = _task(args.task)
    config = _task_config(args)
    with cluster.joined(vars(args)) as place:
        report = task.evaluate_checkpoint(config, args.checkpoint, args.out or None)
    if place.process == 0:
        print(json.dumps(dict(report.metrics)) if args.json else report.text)


def _task(name):
    from mbjax import tasks

    return tasks.find(name)


def _task_config(args):
    """The config of a command for a task; ValueError where it is another task's."""
    from mbjax import configuration

    config = configuration.load(args.config, args.settings)
    own = config.get("task", "pretrain")
    if own != args.task:
        raise ValueError(f"{args.config} is a config of the task {own!r}, not of {args.task!r}")
    return config


def _bench(args):
    from mbjax.speed import training as bench

    return bench.main(args)


def _bench_body(args):
    from mbjax.speed import body as bench_body

    bench_body.main(args)


def _sample_mesh(args):
    from mbjax.tasks.mesh import example_data

    print(f"wrote {example_data.write(args.out, args.body)}")


def _fit_noise(args):
    from mbjax.data import detector_noise_fit

    detector_noise_fit.main(args.pairs, args.out)


def _prepare(argv):
    try:
        from data_prep import prepare
    except ImportError as error:
        if "tensorflow" in str(error) or "importlib_resources" in str(error):
            print(
                "mbjax prepare: error: writing datasets needs TensorFlow; "
                "pip install 'mbjax[data]'",
                file=sys.stderr,
            )
            return 1
        raise
    return prepare.main(argv)
