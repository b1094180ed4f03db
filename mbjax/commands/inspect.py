"""The subcommand inspect: what a prepared dataset holds, in numbers and pictures."""

import contextlib
import functools

from mbjax.commands.output import json_argument, one_object


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command(
        "inspect", _inspect, "what a prepared dataset holds; pictures of it",
        description="What a prepared dataset holds, and whether it is sound.",
    )  # fmt: skip
    sub.add_argument("dataset", help="folder of the dataset")
    sub.add_argument("--out", help="folder for pictures (none are made without)")
    sub.add_argument("--check", action="store_true", help="read and verify every record")
    json_argument(sub)


def _inspect(args):
    from mbjax.atomic_files import output_folder
    from mbjax.data import health

    draw = None
    with contextlib.ExitStack() as stack:
        if args.out:
            from mbjax.pictures import clip_sheet

            draw = functools.partial(clip_sheet.draw, stack.enter_context(output_folder(args.out)))
        result = stack.enter_context(one_object(args))
        found = health.inspect(args.dataset, args.check, draw)
        print("\n".join(found.lines), flush=True)
        result.update(lines=found.lines, damage=found.damage, pictures=found.pictures)
    if found.damage:
        raise health.DamagedRecord(
            f"{len(found.damage)} damaged, see above; prepare the dataset again"
        )
