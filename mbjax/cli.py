"""The `mbjax` command: its subcommands are in mbjax/commands, here is how one is run."""

import argparse
import os
import sys

from mbjax import huge_pages

# What a user can cause, and is reported in one line.
_USER_ERRORS = (ValueError, FileNotFoundError, FileExistsError, PermissionError, NotADirectoryError)


def entry() -> int:
    """What the installed `mbjax` script calls: starts again with huge pages, then `main`."""
    huge_pages.restart()
    return main()


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status. argv: without the program's name."""
    argv = sys.argv[1:] if argv is None else argv
    parser, own_parsers = _parser()
    if argv and argv[0] in own_parsers:
        args = argparse.Namespace(command=argv[0], run=own_parsers[argv[0]], argv=argv[1:])
    else:
        args, rest = parser.parse_known_args(argv)
        settings = [a for a in rest if a.startswith("--config.")]
        unknown = [a for a in rest if not a.startswith("--config.")]
        if unknown or (settings and not hasattr(args, "config")):
            parser.error(
                f"unknown argument {(unknown or settings)[0]!r} (mbjax {args.command} --help)"
            )
        args.settings = settings
    _quiet(args.command)
    return _reported(args)


def _reported(args) -> int:
    """The exit status of a command; what a user can cause is one line on stderr."""
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
    except KeyboardInterrupt as why:
        text = "; ".join(["interrupted", *map(str, why.args)])
        print(f"mbjax {args.command}: {text}", file=sys.stderr)
        return 130


def _parser():
    """(the parser, {name: run} of the commands that parse their arguments themselves)."""
    # Arguments alone; nothing heavy. The order is that of --help.
    from mbjax.commands import (
        ablate,
        actions,
        bench,
        compare,
        compile,
        infer,
        inspect,
        prepare,
        samples,
        stream_table,
        train,
        weights,
    )

    parser = argparse.ArgumentParser(
        prog="mbjax", description="MotionBERT in JAX: pretraining, fine-tuning, evaluation."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    own_parsers = {}

    def command(name, run, text, description=None, own_parser=False):
        sub = commands.add_parser(name, help=text, description=description or text)
        sub.set_defaults(run=run)
        if own_parser:
            own_parsers[name] = run
        return sub

    for group in (
        train, bench, samples, weights, infer, stream_table, actions, ablate, compare, compile,
        prepare, inspect,
    ):  # fmt: skip
        group.add(command)
    return parser, own_parsers


def _quiet(command):
    """Only what concerns the user: libraries' informational output is left out."""
    # At 2 TensorFlow still greets with what it finds of CUDA.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if command == "prepare" else "2")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    import warnings

    from absl import logging

    logging.set_verbosity(logging.ERROR)
    warnings.filterwarnings("ignore", module="(tensorflow_datasets|orbax|grain).*")
