"""The subcommands bench and bench-body: how fast training and the body model are."""

import dataclasses
import json

from mbjax.commands.output import json_argument, say, silent
from mbjax.commands.parser import config_arguments, positive_int
from mbjax.remarks import remark
from mbjax.storage.places import on_disk


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command("bench", _bench, "speed of the training step, of the input, and of both")
    config_arguments(sub, "of a pretraining (%(default)s)", default="pretrain:mb_lite")
    sub.add_argument("--batch-size", type=int, default=0, help="instead of the config's")
    sub.add_argument("--frames", type=int, default=0, help="clip length, instead of the config's")
    sub.add_argument("--steps", type=int, default=10, help="steps to time (%(default)s)")
    sub.add_argument(
        "--against",
        choices=("torch", "onnx"),
        help="time forward pass and training step beside the PyTorch twin's, in turn; onnx: the "
        "forward pass beside ONNX Runtime, PyTorch and OpenVINO on the CPU",
    )
    sub.add_argument(
        "--sweep", metavar="FILE",
        help="all forms of attention, in float32 and bfloat16: agreement with the CPU, then beside"
        " the PyTorch twin at --batch-sizes; rows of JSON",
    )  # fmt: skip
    sub.add_argument(
        "--batch-sizes", type=positive_int, nargs="+", default=[1, 4, 16, 64], metavar="N",
        help="of --sweep (1 4 16 64)",
    )  # fmt: skip
    sub.add_argument("--profile", metavar="DIR", help="a trace of three steps goes there")
    sub.add_argument(
        "--suite",
        nargs="*",
        choices=("cpu", "tpu", "twin"),
        help="the figures that are watched, instead of a config's speed (cpu tpu); twin is timed",
    )
    sub.add_argument(
        "--gate", action="store_true", help="exit status 1 where a figure of --suite got worse"
    )
    sub.add_argument(
        "--update-baseline", action="store_true", help="take the figures of --suite as they are now"
    )
    sub.add_argument("--only", choices=("step", "input", "both"), help="one of the three parts")
    sub.add_argument("--peak-tflops", type=float, default=0, help="the device's peak, if unknown")
    json_argument(sub)

    sub = command("bench-body", _bench_body, "time and memory of the SMPL layer, folded and plain")
    sub.add_argument("--body", default="synthetic", help="or the folder of SMPL (%(default)s)")
    sub.add_argument("--batch-size", type=int, default=128, help="clips (%(default)s)")
    sub.add_argument("--frames", type=int, default=16, help="of a clip (%(default)s)")
    sub.add_argument("--steps", type=int, default=3, help="steps to time (%(default)s)")
    json_argument(sub)


def _bench(args) -> int:
    """Exit status 1 where the gate finds that a figure got worse."""
    if args.suite is not None:
        return _suite(args)
    if args.gate or args.update_baseline:
        raise ValueError("--gate and --update-baseline go with --suite")
    from mbjax import configuration
    from mbjax.speed import training

    if args.frames < 0 or args.steps < 1 or args.batch_size < 0:
        raise ValueError("--steps must be at least 1, --frames and --batch-size at least 0")
    config = configuration.load(args.config, args.settings)
    if args.batch_size:
        config.batch_size = args.batch_size
    tell = silent if args.json else say
    if args.sweep:
        report = _sweep(args, config, tell)
    elif args.against:
        report = _against(args, config, tell)
    else:
        report = training.run(
            config, args.frames, args.steps, args.only, args.peak_tflops, tell, args.profile
        )
    if args.json:
        print(json.dumps(report))
    return 0


def _suite(args) -> int:
    from mbjax.speed import gate, suites

    if args.gate and args.update_baseline:
        raise ValueError("--gate compares with the baseline, --update-baseline replaces it: one")
    figures = []
    for name in args.suite or suites.DETERMINISTIC:
        figures += suites.SUITES[name]()
    baseline = gate.read()
    verdicts = gate.compare(figures, baseline)
    for line in gate.other_compilers(figures, baseline):
        remark(line)
    for verdict in () if args.json else verdicts:
        say(verdict.line())
    if args.json:
        print(json.dumps([
            {**dataclasses.asdict(verdict.figure), "baseline": verdict.baseline,
             "outcome": verdict.outcome} for verdict in verdicts
        ]))  # fmt: skip
    if args.update_baseline:
        gate.update(figures)
        say(f"wrote {gate.BASELINE}")
    if args.gate and not gate.passes(verdicts):
        say("slower than the baseline; where that is meant: --update-baseline")
        return 1
    return 0


def _twins(args, config, option):
    """The network to compare with the twin's, and the frames of its clips."""
    from mbjax.models.dstformer import DSTformerConfig

    if args.only:
        raise ValueError(f"{option} times forward pass and step; it does not go with --only")
    if config.task != "pretrain":
        raise ValueError(f"{option} is for pretraining; {args.config} is for {config.task}")
    network = DSTformerConfig(**config.model)
    frames = args.frames or max(source.frames for source in config.sources.values())
    return network, frames or network.maxlen


def _against(args, config, tell):
    from mbjax.speed import against

    network, frames = _twins(args, config, "--against")
    if args.against == "onnx":
        from mbjax.speed import runtimes

        return runtimes.run(network, frames, config.batch_size, args.steps, tell)
    return against.run(network, frames, config.batch_size, args.steps, tell, profile=args.profile)


def _sweep(args, config, tell):
    from mbjax.speed import sweep

    network, frames = _twins(args, config, "--sweep")
    file = on_disk(args.sweep, "--sweep")
    return sweep.run(network, frames, args.batch_sizes, args.steps, file, tell)


def _bench_body(args):
    from mbjax.speed import body

    if min(args.batch_size, args.frames, args.steps) < 1:
        raise ValueError("--batch-size, --frames and --steps are at least 1")
    report = body.run(
        args.body, args.batch_size, args.frames, args.steps, silent if args.json else say
    )
    if args.json:
        print(json.dumps(report))
