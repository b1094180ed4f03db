"""`mbjax compile`: the real training step, compiled for a pod that nobody has rented yet.

The TPU compiler (libtpu) runs on any machine and knows each slice's chips, links and memory.
"""

import json

from mbjax.commands.output import json_argument, say, silent
from mbjax.commands.parser import config_arguments, positive_int


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command(
        "compile",
        _compile,
        "compile the training step for a TPU pod that is not here, and see it fit",
    )
    config_arguments(sub, "pretrain:VARIANT, of mb, mb_lite, tiny", required=True)
    sub.add_argument("--topology", required=True, help="chips and shape, such as v5e:16x16")
    sub.add_argument(
        "--batch-size",
        type=positive_int,
        help="instead of the config's",
    )
    sub.add_argument("--frames", type=positive_int, help="clip length (the config's maxlen)")
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
    json_argument(sub)


def _compile(args) -> int:
    """Exit status 1 where the batch does not fit."""
    from mbjax import configuration
    from mbjax.atomic_files import written_beside
    from mbjax.devices import chips
    from mbjax.speed import pod_step, scaling

    chip = chips.find(args.topology)
    config = configuration.load(args.config, args.settings)
    if args.kernels:
        return _kernels(args, config)
    if args.scaling and config.fsdp > 1:
        raise ValueError("--scaling is for fsdp 1")
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
    if args.largest:
        progress = silent if args.json else say
        report["largest_batch"] = pod_step.largest_batch(step, report, chip, progress)
        if not args.json:
            print(pod_step.describe_largest(report["largest_batch"], step))
    if args.json:
        print(json.dumps({"topology": args.topology, **report}))
    return 0 if report["fits"] else 1


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
