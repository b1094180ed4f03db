"""The subcommand prepare: raw corpora to datasets. Each corpus has options of its own.

That is why the arguments are parsed twice: first the corpus alone, then all with its options,
which stand in the class of the corpus and take TensorFlow Datasets to import.
"""

import argparse
import dataclasses
import os
import pathlib


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    command("prepare", _prepare, "raw corpora to TFRecord shards (extra [data])", own_parser=True)


def _prepare(args):
    from data_prep import prepare

    # TensorFlow greets at every start, on the device of whoever trains beside.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    parser = argparse.ArgumentParser(
        prog="mbjax prepare", description="Turn a raw corpus into a dataset for training.",
        epilog="Options of a corpus: mbjax prepare CORPUS --help",
    )  # fmt: skip
    parser.add_argument("corpus", choices=sorted(prepare.CORPORA))
    name = parser.parse_args(args.argv[:1]).corpus
    corpus = prepare.load_corpus(name)
    chosen = _corpus_parser(name, corpus).parse_args(args.argv[1:])
    options = {f.name: getattr(chosen, f.name) for f in dataclasses.fields(corpus.OPTIONS)}
    how = {"beam": chosen.beam, "overwrite": chosen.overwrite}
    try:
        print(prepare.prepare(corpus, chosen.raw, chosen.out, options, **how))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished parts are kept, run again to go on") from None


def _corpus_parser(name, corpus):
    parser = argparse.ArgumentParser(
        prog=f"mbjax prepare {name}",
        description=" ".join((corpus.__doc__ or "").split()) + f" Expected in RAW: {corpus.TREE}",
    )
    parser.add_argument("--raw", type=pathlib.Path, required=True, help="folder of the raw files")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the dataset")
    parser.add_argument("--overwrite", action="store_true", help="replace what is at OUT")
    parser.add_argument(
        "--beam", metavar="OPTIONS",
        help="make the parts by Apache Beam with these pipeline options, by commas: for example"
        " runner=DirectRunner,direct_num_workers=4,direct_running_mode=multi_processing",
    )  # fmt: skip
    for field in dataclasses.fields(corpus.OPTIONS):
        flag = f"--{field.name.replace('_', '-')}"
        text, default = field.metadata["help"], field.default
        if isinstance(default, bool):
            parser.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=default, help=text
            )
            continue
        parser.add_argument(
            flag, type=type(default), default=default, choices=field.metadata["choices"],
            help=f"{text} ({default})" if default != "" else text,
        )  # fmt: skip
    return parser
