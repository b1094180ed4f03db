"""The subcommand report: what runs came to, and how their time was spent."""

import json

from mbjax.commands.output import json_argument


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command("report", _report, "what runs came to, where their time went, curves")
    sub.add_argument("runs", nargs="+", metavar="RUN", help="work folders, on disk or in a bucket")
    sub.add_argument("--out", default="", metavar="FILE.png", help="their curves, in one picture")
    json_argument(sub)


def _report(args):
    from mbjax.atomic_files import check_file
    from mbjax.training import report

    if args.out:
        if not args.out.endswith(".png"):
            raise ValueError(f"--out {args.out}: the picture is a PNG; let the name end in .png")
        check_file(args.out)
    found = [report.report(run) for run in args.runs]
    if args.out:
        from mbjax.pictures import run_curves

        names = _short([one.name for one in found])
        logs = {name: one.rows for name, one in zip(names, found, strict=True)}
        spent = {
            name: one.spent.seconds for name, one in zip(names, found, strict=True) if one.spent
        }
        run_curves.draw(logs, spent, args.out)
    if args.json:
        print(json.dumps([one.as_json() for one in found]))
    else:
        print("\n".join(map(str, found)))
        if args.out:
            print(f"wrote {args.out}")


def _short(names):
    """The ends of paths, as long as they are needed to tell them apart."""
    parts = [name.rstrip("/").split("/") for name in names]
    for length in range(1, max(map(len, parts)) + 1):
        short = ["/".join(one[-length:]) for one in parts]
        if len(set(short)) == len(short):
            return short
    return [f"{name} ({number})" for number, name in enumerate(names, 1)]
