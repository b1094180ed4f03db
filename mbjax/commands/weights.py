"""The subcommands import, export and parity: their arguments, and what they print."""

import dataclasses
import json
import os
import pathlib
import shlex
import sys

from mbjax.atomic_files import check_file
from mbjax.commands.output import json_argument, one_object
from mbjax.commands.parser import positive_int
from mbjax.remarks import remark
from mbjax.storage.places import on_disk

# By the ending of the file, where --format does not say.
PROGRAMS = {".onnx": "onnx", ".stablehlo": "stablehlo"}


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command("import", _import, "a PyTorch or safetensors file to a checkpoint folder")
    sub.add_argument("source", help=".bin, .pth, .pt or .safetensors file, or hf://owner/name")
    sub.add_argument("--out", required=True, help="folder; gets checkpoints/STEP as a run does")
    _reading(sub)
    sub.add_argument("--no-optimizer", action="store_true", help="leave the optimizer's state out")
    json_argument(sub)

    sub = command("export", _export, "a checkpoint to a PyTorch, safetensors or runtime's file")
    sub.add_argument("source", help="work folder, one of its checkpoints, or a file of weights")
    sub.add_argument(
        "--out", required=True,
        help=".bin, .pth, .pt, .safetensors; .onnx, .stablehlo: a program; a folder for web",
    )  # fmt: skip
    sub.add_argument(
        "--format", choices=["onnx", "onnxruntime", "stablehlo", "web"],
        help="a program with its weights, for other runtimes (onnxruntime: ONNX whose attention is "
        "that runtime's own operator); web: a page that lifts what a camera "
        "sees, in the browser alone (all but stablehlo: pip install 'mbjax[onnx]')",
    )  # fmt: skip
    sub.add_argument(
        "--npm-packages", metavar="FOLDER",
        help="of --format web: where `npm pack` wrote its runtimes ($MBJAX_NPM_PACKAGES; else npm)",
    )  # fmt: skip
    sub.add_argument("--which", default="latest", help="a step, in a work folder (%(default)s)")
    _reading(sub)
    sub.add_argument("--no-optimizer", action="store_true", help="leave the optimizer's state out")
    json_argument(sub)
    sub.add_argument(
        "--no-module-prefix", action="store_true",
        help="names without 'module.', which the release's CUDA evaluation expects",
    )  # fmt: skip
    sub.add_argument(
        "--body", default="", metavar="SMPL",
        help="of a mesh net: SMPL's folder; the release's code wants the body in the file "
        "($MBJAX_SMPL)",
    )  # fmt: skip

    sub = command(
        "parity",
        _parity,
        "the network here against PyTorch: forward, gradients, one step; and its head",
    )
    sub.add_argument("source", help="work folder, one of its checkpoints, or a file of weights")
    sub.add_argument("--which", default="latest", help="a step, in a work folder (%(default)s)")
    _reading(sub)
    sub.add_argument(
        "--lengths", type=positive_int, nargs="+", metavar="T",
        help="frames, bounded by the model's maxlen (1 81 243)",
    )  # fmt: skip
    sub.add_argument("--batch", type=positive_int, default=1, help="clips at a time (%(default)s)")
    sub.add_argument("--input", help=".npz with real clips x (N,T,17,3), and gt if there is one")
    sub.add_argument(
        "--body", default="synthetic", metavar="SMPL",
        help="of a mesh net: the folder of SMPL that its parameters pose (%(default)s)",
    )  # fmt: skip
    sub.add_argument(
        "--reference", metavar="DIR",
        help="a checkout of the release: compare with its own network; this runs its code",
    )  # fmt: skip
    json_argument(sub)


def _reading(sub):
    sub.add_argument("--num-heads", type=positive_int, help="if the file does not state it (8)")
    sub.add_argument(
        "--allow", action="append", default=[], metavar="PATTERN",
        help="names that may be missing (newly initialised) or left over; may be repeated",
    )  # fmt: skip
    sub.add_argument(
        "--backbone-only", action="store_true", help="of a network with a head, the encoder alone"
    )


def _read(args, optimizer):
    from mbjax.convert import read as source

    which = getattr(args, "which", "latest")
    return source.read(
        args.source, args.num_heads, which, args.allow, args.backbone_only, optimizer
    )


def _import(args):
    from mbjax.convert import write as target

    with one_object(args) as found:
        source = _read(args, optimizer=not args.no_optimizer)
        folder = target.to_folder(source, args.out)
        print(source)
        print(f"wrote {folder} ({_optimizer(source)})")
        found.update(_about(source), written=folder)


def _about(source):
    encoder = dataclasses.asdict(source.network.encoder)
    return {"source": source.where, "kind": source.network.kind, "encoder": encoder}


def _export(args):
    with one_object(args) as found:
        format = args.format or PROGRAMS.get(pathlib.Path(args.out).suffix)
        if args.npm_packages and format != "web":
            raise ValueError("--npm-packages is of --format web alone")
        if format == "web":
            source = _export_page(args)
        else:
            source = _export_program(args, format) if format else _export_weights(args)
        found.update(_about(source), written=args.out)


def _export_weights(args):
    from mbjax.convert import write as target

    target.check(args.out)
    check_file(args.out)
    source = _read(args, optimizer=not args.no_optimizer)
    body = _body(source, args)
    target.to_file(source, args.out, module_prefix=not args.no_module_prefix, body=body)
    print(source)
    if args.out.endswith(".safetensors"):
        print(f"wrote {args.out} (weights alone)")
    else:
        print(f"wrote {args.out} ({_optimizer(source)})")
    return source


def _export_program(args, format):
    from mbjax.convert import export

    check_file(on_disk(args.out, "--out"))
    source = _read(args, optimizer=False)
    difference = export.write(source, args.out, format)
    print(source)
    print(
        f"wrote {args.out} ({format}, any batch, 1 to {source.network.encoder.maxlen} frames; "
        f"within {difference:.1e} of the model)"
    )
    return source


def _export_page(args):
    from mbjax.convert import browser_page

    browser_page.check(args.out)
    source = _read(args, optimizer=False)
    difference = browser_page.write(source, args.out, args.npm_packages)
    print(source)
    print(f"wrote {args.out} (its ONNX within {difference:.1e} of the model); to try it,")
    print(f"python -m http.server 8000 --bind 127.0.0.1 --directory {shlex.quote(args.out)}")
    print("and open http://127.0.0.1:8000/")
    return source


def _body(source, args):
    """SMPL for a mesh net's PyTorch file, or None; says what the release's code will not like."""
    from mbjax.body import smpl

    if not source.network.kind.startswith("mesh"):
        if args.body:
            raise ValueError(f"{args.source} is no mesh net; leave --body out")
        return None
    if getattr(source.network.head, "initial_6d", "rows") != "rows":
        print(
            "note: this refiner adds to columns of the initial rotations, the release's code to "
            "their rows: it would load the file and compute something else",
            file=sys.stderr,
        )
    if args.out.endswith(".safetensors"):
        return None
    if args.body or os.environ.get(smpl.VARIABLE):
        body = smpl.load(args.body)
        for note in body.notes:
            print(f"note: {note}", file=sys.stderr)
        return body
    print(
        "note: without head.smpl.*, which the release's code wants: --body or "
        f"{smpl.VARIABLE} says where SMPL is",
        file=sys.stderr,
    )
    return None


def _optimizer(source):
    if source.adam is None:
        return "without an optimizer state"
    return f"with the optimizer's state after {source.adam.count:,} steps"


def _parity(args):
    from mbjax.convert import parity, parity_table

    whole = None if args.backbone_only else _read(args, optimizer=False)
    if whole is not None and whole.network.kind == "dstformer":
        whole = None  # the comparison of the encoder is all of it
    args.backbone_only = True
    source = _read(args, optimizer=True)
    clips = targets = None
    if args.input:
        clips, targets = parity.read_clips(args.input, source.config)

    def say(text):
        if not args.json:
            print(text, file=sys.stderr, flush=True)

    if args.reference:
        print(f"running the code in {args.reference}", file=sys.stderr, flush=True)
    longest = source.config.maxlen
    if args.lengths and max(args.lengths) > longest:
        remark(f"the network takes {longest} frames at most: longer clips are cut to that")
    lengths = args.lengths or parity.LENGTHS
    report = parity.compare(source, lengths, clips, targets, args.reference, args.batch, say)
    if whole is not None:
        from mbjax.body import smpl
        from mbjax.convert import parity_nets

        of_net = args.lengths or parity_nets.LENGTHS
        net, gradients = parity_nets.compare(whole, smpl.load(args.body), of_net, say=say)
        report = dataclasses.replace(report, net=net, net_gradients=gradients)
    print(json.dumps(report.as_dict()) if args.json else parity_table.table(report))
    return 0 if report.ok else 1
