"""The subcommands sample-mesh and fit-noise: files that training on other data starts from."""

from mbjax.commands.output import json_argument, one_object, say, wrote


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    sub = command(
        "sample-mesh", _sample_mesh, "the sample motion with a body fitted to it, for mesh recovery"
    )
    sub.add_argument("--out", required=True, help="folder, for 'mbjax prepare mesh_own --raw'")
    sub.add_argument("--body", default="synthetic", help="or the folder of SMPL (%(default)s)")
    json_argument(sub)

    sub = command("fit-noise", _fit_noise, "fit the table of 2D detection noise to your detector")
    sub.add_argument(
        "pairs", help=".npz with detected (N,17,3) and true (N,17,2), normalised alike"
    )
    sub.add_argument("--out", required=True, help="the table, for --config.noise_table")
    json_argument(sub)


def _sample_mesh(args):
    from mbjax.tasks.mesh import example_data

    with one_object(args) as found:
        wrote(example_data.write(args.out, args.body, say), found)


def _fit_noise(args):
    from mbjax.atomic_files import check_file, written_beside
    from mbjax.data import detector_noise_fit

    check_file(args.out)
    with one_object(args) as found:
        noise, notes = detector_noise_fit.fit(*detector_noise_fit.read_pairs(args.pairs))
        with written_beside(args.out) as beside:
            beside.write_text(noise.to_json())
        say("\n".join([*detector_noise_fit.describe(noise), *notes]))
        wrote(args.out, found)
        say(f"use it with --config.noise_table={args.out}")
        found["notes"] = notes
