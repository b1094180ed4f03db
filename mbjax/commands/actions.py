"""The subcommands predict-action and cross-validate: their arguments and what they print."""

import json
import pathlib

from mbjax.commands import train
from mbjax.commands.output import json_argument, one_object, say
from mbjax.commands.parser import config_arguments, positive, positive_int


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command(
        "cross-validate", _cross_validate,
        "action classes of your own: train and test once for each subject",
    )  # fmt: skip
    config_arguments(sub, "action:custom, action:sample", required=True)
    sub.add_argument("--workdir", required=True, help="a work folder per subject, and results")
    sub.add_argument(
        "--init", default="",
        help="a pretrained checkpoint to start from; the model takes its sizes",
    )  # fmt: skip
    sub.add_argument("--subjects", default="", metavar="A,B", help="only these folds (all)")
    json_argument(sub)

    sub = command(
        "predict-action", _predict, "what a person does, along a recording of 2D keypoints"
    )
    sub.add_argument("checkpoint", help="of an action or one-shot net: a work folder or a file")
    sub.add_argument("keypoints", help="results of a detector: file or folder")
    sub.add_argument(
        "--gallery", metavar="DIR", help="one example of each class, files named by the class"
    )
    sub.add_argument("--out", default="actions", metavar="DIR", help="folder (%(default)s)")
    sub.add_argument(
        "--window", type=positive_int, metavar="N", help="frames looked at together (90)"
    )
    sub.add_argument("--stride", type=positive_int, metavar="N", help="between windows (third)")
    sub.add_argument(
        "--top", type=positive_int, default=5, metavar="N", help="classes told (%(default)s)"
    )
    sub.add_argument("--layout", help="of the keypoints, where the file does not say: coco17, ...")
    sub.add_argument(
        "--image-size", type=positive, nargs=2, metavar=("W", "H"),
        help="of the video; needed where coordinates are shares of the image (MediaPipe)",
    )  # fmt: skip
    sub.add_argument(
        "--fps", type=positive, help="of the video; used if the file does not state it"
    )
    sub.add_argument("--classes", metavar="FILE", help="names of the classes, one per line")
    sub.add_argument(
        "--score-order", choices=("joints", "coco"),
        help="coco: as released action checkpoints were trained (what the checkpoint says)",
    )  # fmt: skip
    sub.add_argument("--frames", type=positive_int, help="of a clip, if the file does not state it")
    sub.add_argument(
        "--num-heads", type=positive_int, help="of the checkpoint, if it does not state it (8)"
    )
    sub.add_argument("--json", action="store_true", help="print the JSON object")


def _cross_validate(args):
    from mbjax import configuration
    from mbjax.experiments import cross_validation

    config = configuration.load(args.config, args.settings)
    if args.init:
        train.start_from(config, args)
    subjects = tuple(name for name in args.subjects.split(",") if name)
    with one_object(args) as found:
        print(cross_validation.run(config, args.workdir, subjects, say))
        file = pathlib.Path(args.workdir).expanduser() / "summary.json"
        found.update(json.loads(file.read_text(encoding="utf-8")))


def _predict(args):
    from mbjax.keypoints import read as keypoint_files
    from mbjax.tasks.action import predict as predict_action

    # Mistakes in the keypoints are told before the model is loaded.
    keypoints = keypoint_files.read(args.keypoints, args.layout, args.image_size)
    gallery = args.gallery and predict_action.read_gallery(
        args.gallery, args.layout, args.image_size
    )
    names = ()
    if args.classes:
        lines = pathlib.Path(args.classes).expanduser().read_text(encoding="utf-8").splitlines()
        names = tuple(line.strip() for line in lines if line.strip())
        if not names:
            raise ValueError(f"{args.classes} holds no names of classes, one on each line")
    net = predict_action.load(
        args.checkpoint, args.num_heads, names, args.frames or 0, args.score_order
    )
    how = (args.window or predict_action.WINDOW, args.stride or 0, args.fps, args.image_size)
    if gallery:
        found = predict_action.predict_by_gallery(net, keypoints, gallery, *how)
    else:
        found = predict_action.predict(net, keypoints, *how)
    paths = predict_action.write(found, args.out, args.top)
    if args.json:
        print(json.dumps(found.as_json(args.top)))
        return
    told = found.as_json(args.top)
    print(f"{found.source}: {len(told['windows'])} window(s), {found.score} on average")
    width = max(len(entry["class"]) for entry in told["top"])
    for entry in told["top"]:
        print(f"  {entry['class']:{width}s}  {entry[found.score]:.3f}")
    for note in found.notes:
        print(f"  {note}")
    for path in paths:
        print(f"wrote {path}")
