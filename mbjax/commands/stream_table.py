"""The subcommand stream-table: how late, how fast and how accurate streaming is."""

from mbjax.commands.output import json_argument, one_object, say
from mbjax.commands.parser import positive_int


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command(
        "stream-table", _stream_table, "accuracy and speed of mbjax.Stream against look-ahead"
    )
    of = sub.add_mutually_exclusive_group(required=True)
    of.add_argument("--checkpoint", help="its accuracy on the sample's held-out motion, and speed")
    of.add_argument("--random", choices=("mb", "mb_lite"), help="random weights: speed alone")
    sub.add_argument(
        "--window", type=positive_int, default=27, metavar="N", help="frames (%(default)s)"
    )
    sub.add_argument("--flip", action="store_true", help="mean with the mirror image")
    json_argument(sub)


def _stream_table(args):
    from mbjax.speed import streaming

    with one_object(args) as found:
        found["rows"] = streaming.run(args.checkpoint, args.random, args.window, args.flip, say)
