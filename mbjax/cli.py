"""The `mbjax` command: its subcommands are in mbjax/commands, here is how one is run."""

import argparse
import contextlib
import os
import signal
import sys

from mbjax import huge_pages
from mbjax.commands import failures, interrupts
from mbjax.commands.output import silent
from mbjax.commands.parser import Parser, print_config
from mbjax.devices import compilation_cache
from mbjax.remarks import remark

# bench times the compiler, and compile asks it about chips that are not there.
_NEVER_CACHED = ("bench", "bench-body", "compile")


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
    parser, commands = _parser()
    sub = commands.get(argv[0]) if argv else None
    if sub is not None and sub.get_default("own_parser"):
        args = argparse.Namespace(command=argv[0], run=sub.get_default("run"), argv=argv[1:])
    else:
        if "--print-config" in argv and sub is not None:
            sub.require_only("config")
        args, rest = parser.parse_known_args(argv)
        args.settings = [a for a in rest if a.startswith("--config.") and hasattr(args, "config")]
        for argument in rest:
            if argument not in args.settings:
                (sub or parser).unknown(argument)
        if getattr(args, "print_config", False):
            args.run = print_config
    _calm_libraries(args.command)
    if not getattr(args, "no_compilation_cache", True):
        compilation_cache.enable(silent if args.quiet else remark)
    return _reported(args)


def _reported(args) -> int:
    """The exit status of a command; what a user or a machine can cause is one line on stderr."""
    interrupts.running(args.command)
    try:
        with _silence(args):
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


@contextlib.contextmanager
def _silence(args):
    """With --quiet nothing is printed but an error, and the object of --json."""
    if not getattr(args, "quiet", False):
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        if getattr(args, "json", False):
            yield
        else:
            with contextlib.redirect_stdout(nowhere):
                yield


def _parser():
    """(the parser, {name: parser} of the commands)."""
    # Arguments alone; nothing heavy. The order is that of --help.
    from mbjax.commands import (
        ablate,
        actions,
        bench,
        compare,
        compile,
        completion,
        detect,
        examples,
        infer,
        inspect,
        live,
        motion_steps,
        prepare,
        push,
        report,
        samples,
        stream_table,
        train,
        trust,
        version,
        weights,
    )

    parser = Parser(
        prog="mbjax", description="MotionBERT in JAX: pretraining, fine-tuning, evaluation.",
        epilog="what a command takes: mbjax COMMAND --help",
    )  # fmt: skip
    version.add(parser)
    completion.add(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, run, text, description=None, epilog=None, own_parser=False):
        sub = commands.add_parser(
            name, help=text, description=description or text, allow_abbrev=False,
            epilog=epilog or examples.text(name),
        )  # fmt: skip
        sub.set_defaults(run=run, own_parser=own_parser)
        sub.add_argument("--quiet", action="store_true", help="print nothing but errors")
        if name not in _NEVER_CACHED and not own_parser:
            sub.add_argument(
                "--no-compilation-cache", action="store_true",
                help="compile anew and keep nothing of it",
            )  # fmt: skip
        return sub

    for group in (
        train, bench, samples, weights, push, infer, detect, live, stream_table, actions, ablate,
        compare, motion_steps, compile, prepare, report, inspect, trust,
    ):  # fmt: skip
        group.add(command)
    return parser, commands.choices


def _calm_libraries(command):
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
