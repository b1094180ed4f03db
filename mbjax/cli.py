"""The `mbjax` command: its subcommands are in mbjax/commands, here is how one is run."""

import argparse
import os
import signal
import sys

from mbjax import huge_pages
from mbjax.commands import failures, interrupts


def entry() -> int:
    """What the installed `mbjax` script calls: `main` in a process that is safe and fast."""
    # Children of this process (Beam's workers, compilers) import nothing from here either.
    os.environ["PYTHONSAFEPATH"] = "1"
    huge_pages.restart()
    interrupts.install()
    failures.quiet_threads()
    status = main()
    interrupts.finished()
    return status


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
    """The exit status of a command; what a user or a machine can cause is one line on stderr."""
    interrupts.running(args.command)
    try:
        status = args.run(args) or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as why:
        print(interrupts.line("; ".join(["interrupted", *map(str, why.args)])), file=sys.stderr)
        return interrupts.end(interrupts.STATUS)
    except BrokenPipeError:  # `mbjax ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        found = None if os.environ.get("MBJAX_TRACEBACK") else failures.outcome(error)
        if found is None:
            raise
        status, line = found
        print(f"mbjax {args.command}: {line}", file=sys.stderr)
        # The threads of a failed write would go on to print what they fail at.
        return interrupts.end(status) if status == 1 else status


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
        motion_steps,
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
        train, bench, samples, weights, infer, stream_table, actions, ablate, compare, motion_steps,
        compile, prepare, inspect,
    ):  # fmt: skip
        group.add(command)
    return parser, own_parsers


def _quiet(command):
    """Only what concerns the user: libraries' informational output is left out."""
    # At 2 TensorFlow still greets with what it finds of CUDA.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if command == "prepare" else "2")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if command != "compile":  # which asks libtpu's compiler
        from mbjax.devices import accelerators

        accelerators.spare_libtpu()
    import warnings

    from absl import logging

    # What Orbax logs as an error it also raises.
    traceback = os.environ.get("MBJAX_TRACEBACK")
    logging.set_verbosity(logging.ERROR if traceback else logging.FATAL)
    warnings.filterwarnings("ignore", module="(tensorflow_datasets|orbax|grain).*")
