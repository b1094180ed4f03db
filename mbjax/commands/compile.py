"""`mbjax compile`: the real training step, compiled for a pod that nobody has rented yet.

The TPU compiler (libtpu) runs on any machine and knows each slice's chips, links and memory.
"""

import json

from mbjax.commands.output import json_argument, say, silent
from mbjax.commands.parser import config_arguments, positive, positive_int


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command(
        "compile",
        _compile,
        "compile the training step for a TPU pod that is not here, and see it fit",
    )
    config_arguments(sub, "pretrain:mb, pose3d:finetune, action:ntu60_xsub ...", required=True)
    sub.add_argument("--topology", help="chips and shape, such as v5e:16x16")
    sub.add_argument(
        "--batch-size",
        type=positive_int,
        help="instead of the config's",
    )
    sub.add_argument("--frames", type=positive_int, help="clip length (the config's)")
    sub.add_argument("--source", default="", help="whose step (the first 3D source)")
    sub.add_argument(
        "--largest", action="store_true", help="also search the largest batch that fits"
    )
    sub.add_argument(
        "--scaling", action="store_true", help="also a table of step times for 8 to 1,024 chips"
    )
    sub.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE",
        help="of the compiler, such as xla_tpu_scoped_vmem_limit_kib=98304; several times",
    )  # fmt: skip
    sub.add_argument("--hlo", help="file for the compiled program's text")
    sub.add_argument(
        "--kernels", action="store_true",
        help="instead: schedules of the kernels of attention=fused, for --batch-size (4) clips",
    )  # fmt: skip
    _goodput_arguments(sub)
    json_argument(sub)


def _goodput_arguments(sub):
    sub.add_argument(
        "--goodput", action="store_true",
        help="also what saves and failures cost 8 to 1,024 chips, and how often to save",
    )  # fmt: skip
    for name, default, text in (
        ("step-seconds", None, "of a step, as measured: nothing is compiled (else from --scaling)"),
        ("save-seconds", 0.5, "that training waits for a save (%(default)s, as measured for Full)"),
        ("written-seconds", 3, "until a save is whole (%(default)s)"),
        ("restart-seconds", 300, "from a failure to the first new step (%(default)s)"),
        ("failure-hours", 50_000, "between failures of one chip (%(default)s)"),
    ):
        sub.add_argument(f"--{name}", type=positive, default=default, help=text)
    sub.add_argument("--save-every", type=positive_int, help="steps, to see beside the best")


def _compile(args) -> int:
    """Exit status 1 where the batch does not fit."""
    if args.step_seconds:
        return _goodput_alone(args)
    if not args.topology:
        raise ValueError("--topology says which chips to compile for, such as v5e:16x16")
    from mbjax import configuration
    from mbjax.atomic_files import written_beside
    from mbjax.devices import chips
    from mbjax.speed import pod_step, scaling

    chip = chips.find(args.topology)
    config = configuration.load(args.config, args.settings)
    if args.kernels:
        return _kernels(args, config)
    args.scaling = args.scaling or args.goodput
    if args.scaling and config.fsdp > 1:
        raise ValueError("--scaling and --goodput are for fsdp 1")
    options = dict(_option(text) for text in args.option)
    devices = pod_step.topology_devices(args.topology)
    step = pod_step.PodStep(config, devices, args.source, args.frames or 0, options)
    batch_size = args.batch_size or config.batch_size
    report = step.report(batch_size, chip)
    if not args.json:
        say(pod_step.describe(args.topology, report, chip))
    if args.hlo and step.text:
        with written_beside(args.hlo) as beside:
            beside.write_text(step.text)
    if args.scaling:
        if not report["fits"]:
            raise ValueError(f"--scaling needs a batch that fits; {batch_size} does not")
        report["scaling"] = scaling.rows(report, chip)
        if not args.json:
            say(scaling.describe(report, chip))
    if args.goodput:
        from mbjax.speed import goodput

        report["goodput"] = _goodput(args, goodput.of_scaling(report["scaling"]))
    if args.largest:
        progress = silent if args.json else say
        report["largest_batch"] = pod_step.largest_batch(step, report, chip, progress)
        if not args.json:
            print(pod_step.describe_largest(report["largest_batch"], step))
    if args.json:
        print(json.dumps({"topology": args.topology, **report}))
    return 0 if report["fits"] else 1


def _goodput(args, step_s) -> list[dict]:
    from mbjax.speed import goodput

    costs = goodput.Costs(
        args.save_seconds, args.written_seconds, args.restart_seconds, args.failure_hours
    )
    rows = goodput.rows(step_s, costs, args.save_every or 0)
    if not args.json:
        say(goodput.describe(rows, costs))
    return rows


def _goodput_alone(args) -> int:
    from mbjax.speed import goodput

    if not args.goodput:
        raise ValueError("--step-seconds is for --goodput")
    rows = _goodput(args, goodput.of_step(args.step_seconds))
    if args.json:
        print(json.dumps({"goodput": rows}))
    return 0


def _option(text):
    name, _, value = text.partition("=")
    return name.lstrip("-"), {"true": True, "false": False}.get(value.lower(), value)


def _kernels(args, config) -> int:
    from mbjax.models.dstformer import DSTformerConfig
    from mbjax.speed import kernels

    model = {**config.model, "maxlen": args.frames or config.model.maxlen}
    network = DSTformerConfig(**model)
    rows = kernels.schedules(args.topology, network, args.batch_size or 4)
    if args.json:
        print(json.dumps({"topology": args.topology, "kernels": rows}))
    else:
        say(kernels.describe(args.topology, rows, network))
    return 0
