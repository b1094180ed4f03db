"""The subcommand push: a run's weights to a repository of the hub."""

from mbjax.commands.output import json_argument, one_object


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command("push", _push, "weights, config and a model card to Hugging Face's hub")
    sub.add_argument("source", help="work folder, one of its checkpoints, or a file of weights")
    sub.add_argument("to", metavar="hf://OWNER/NAME", help="made if there is none")
    sub.add_argument("--which", default="latest", help="a step, in a work folder (%(default)s)")
    sub.add_argument("--private", action="store_true", help="a new repository only you can see")
    sub.add_argument("--license", default="", help="of the weights, for the card: apache-2.0 ...")
    sub.add_argument("--optimizer", action="store_true", help="with its state, in the .bin file")
    sub.add_argument("--dry-run", metavar="FOLDER", help="write the files there and push nothing")
    json_argument(sub)


def _push(args):
    from mbjax.atomic_files import folder_beside
    from mbjax.convert import publish
    from mbjax.convert import read as weights
    from mbjax.storage import hub, temporary
    from mbjax.storage.places import on_disk

    with one_object(args) as found:
        if args.dry_run:
            address, client = hub.Address.of(args.to), None
            if on_disk(args.dry_run, "--dry-run").exists():
                raise FileExistsError(f"--dry-run {args.dry_run} exists already; give a new folder")
        else:
            address, client = hub.ready(args.to)
        source = weights.read(args.source, which=args.which, optimizer=args.optimizer)
        print(source)
        about = (address.repository, args.license)
        if client is None:
            with folder_beside(args.dry_run) as folder:
                publish.write_files(source, folder, *about)
            print(f"wrote {args.dry_run}; nothing was pushed")
            found.update(written=args.dry_run)
            return
        folder = temporary.folder()
        publish.write_files(source, folder, *about)
        files = sorted(path.name for path in folder.iterdir())
        size = sum((folder / name).stat().st_size for name in files)
        title = f"Weights of step {source.meta['step']:,}"
        commit = hub.push(address, client, folder, args.private, title)
        pinned = f"hf://{address.repository}@{commit}"
        print(f"pushed {', '.join(files)} ({size / 1e6:.1f} MB): {pinned}")
        found.update(pushed=pinned, files=files, bytes=size)
