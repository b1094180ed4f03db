"""The subcommands verify and replay: whether files, and a run, are what they were."""

import json

from mbjax.commands.output import json_argument, say, silent


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command("verify", _verify, "read all of a run, checkpoint, weight file or dataset")
    sub.add_argument("path", help="work folder, a checkpoint, .bin, .safetensors, dataset folder")
    json_argument(sub)

    sub = command("replay", _replay, "train steps of a run again, and compare with its log")
    sub.add_argument("workdir", metavar="RUN", help="its work folder; nothing is written there")
    sub.add_argument(
        "--from", dest="start", type=int, metavar="STEP",
        help="a checkpoint's step (the oldest that is kept)",
    )  # fmt: skip
    sub.add_argument("--steps", type=int, metavar="N", help="how many (to the end of the log)")
    json_argument(sub)


def _verify(args):
    from mbjax.convert import verify

    found = verify.verify(args.path)
    if args.json:
        print(json.dumps({"sound": found.sound, "lines": found.lines, "damage": found.damage}))
    else:
        print("\n".join([*found.lines, *(f"DAMAGED {line}" for line in found.damage)]))
    return 0 if found.sound else 1


def _replay(args):
    from mbjax import tasks
    from mbjax.training import replay

    if args.steps is not None and args.steps < 1:
        raise ValueError("--steps is at least 1")
    config = replay.config_of(args.workdir)
    make_task = tasks.find(config.get("task", "pretrain")).make_task
    found = replay.replay(
        args.workdir, make_task, config, args.start, args.steps, silent if args.json else say
    )
    if args.json:
        print(json.dumps({"first": found.first, "last": found.last, "exact": found.exact,
                          "compared": found.compared, "parted": found.parted}))  # fmt: skip
    else:
        print(found)
    return 1 if found.parted or not found.compared else 0
