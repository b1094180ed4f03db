"""The subcommand motion-steps: what each step to a motion file is worth, against a truth."""

from mbjax.commands.output import json_argument, one_object, say


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command("motion-steps", _run, "error of motion files, step by step, against a 3D truth")
    sub.add_argument("--checkpoint", required=True, help="a work folder, a weight file, or 'tiny'")
    sub.add_argument(
        "--views", metavar="FILE.npz",
        help="calibrated views of a recording (mbjax/motion/README.md); without it the held-out "
        "recording of the sample before three cameras",
    )  # fmt: skip
    sub.add_argument("--window", type=int, metavar="N", help="frames seen at once (all it can)")
    sub.add_argument(
        "--smooth", type=float, default=6.0, metavar="HZ", help="of that row (%(default)s)"
    )
    json_argument(sub)


def _run(args):
    with one_object(args) as found:
        _table(args, found)


def _table(args, found):
    import numpy as np

    from mbjax.convert import load as loading
    from mbjax.experiments import motion_steps

    views = motion_steps.views_of_file(args.views) if args.views else motion_steps.views_of_sample()
    model = loading.load(args.checkpoint, kinds=("dstformer",))
    rows = [motion_steps.steps(model, view, args.window, args.smooth) for view in views]
    truth = [motion_steps.measures(v.truth_TxJx3, v, 0.0) for v in views]
    frames = sum(len(view.truth_TxJx3) for view in views)
    say(f"{len(views)} views, {frames} frames; means over the views, mm")
    say(f"{'':36s}" + "".join(f"{name:>13s}" for name in motion_steps.MEASURES))
    for step in rows[0]:
        means = [
            float(np.nanmean([row[step][name] for row in rows])) for name in motion_steps.MEASURES
        ]
        found[step] = dict(zip(motion_steps.MEASURES, means, strict=True))
        say(f"{step:36s}" + "".join(f"{mean:13.1f}" for mean in means))
    own = {
        name: np.nanmean([row[name] for row in truth]) for name in ("legs", "slide", "acceleration")
    }
    say("the truth's own: " + ", ".join(f"{name} {value:.1f}" for name, value in own.items()))
    for name, meaning in motion_steps.MEASURES.items():
        say(f"  {name}: {meaning}")
