"""The subcommand prepare: raw corpora to datasets. Each corpus has options of its own.

That is why the arguments are parsed twice: first the corpus alone, then all with its options,
which stand in the class of the corpus and take TensorFlow Datasets to import.
"""

import argparse
import dataclasses
import os

from mbjax.commands import examples
from mbjax.commands.output import json_argument, one_object
from mbjax.commands.parser import Parser

_EPILOG = """\
corpora:
  actions       labelled recordings of your own, 2D keypoints of up to two persons
  amass         AMASS: 3D clips of 17 joints at 60 fps
  bvh           3D motion from BVH files
  cmu           the CMU motion capture database, ASF/AMC or BVH
  clips         clips that the PyTorch release's preparation cut from AMASS or Human3.6M
  h36m          Human3.6M: pairs of detected 2D and true 3D
  instavariety  people in the videos of InstaVariety, 2D
  joints        3D positions of the 17 joints in arrays
  mesh_coco     COCO stills with fitted SMPL
  mesh_h36m     Human3.6M with SMPL fitted to its markers
  mesh_own      videos of your own with SMPL
  mesh_pw3d     3DPW: 2D keypoints and body parameters, outdoors
  mpi_inf_3dhp  MPI-INF-3DHP: true 2D with true 3D
  ntu120        actions of NTU RGB+D 120, with one-shot splits
  ntu60         actions of NTU RGB+D, 60 classes
  pairs         your own pairs of 2D keypoints and 3D truth
  posetrack     people in the annotated videos of PoseTrack18, 2D

options of a corpus, and the files that it wants: mbjax prepare CORPUS --help"""


def add(command) -> None:
    """command: (name, function of the parsed arguments, help) -> argparse parser."""
    command("prepare", _prepare, "raw corpora to TFRecord shards", own_parser=True)


def _prepare(args):
    from data_prep import prepare

    # TensorFlow greets at every start, on the device of whoever trains beside.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    parser = Parser(
        prog="mbjax prepare", description="Turn a raw corpus into a dataset for training.",
        epilog=f"{_EPILOG}\n\n{examples.text('prepare')}",
    )  # fmt: skip
    parser.add_argument("corpus", choices=sorted(prepare.CORPORA), metavar="CORPUS")
    name = parser.parse_args(args.argv[:1]).corpus
    corpus = prepare.load_corpus(name)
    chosen = _corpus_parser(name, corpus).parse_args(args.argv[1:])
    options = {f.name: getattr(chosen, f.name) for f in dataclasses.fields(corpus.OPTIONS)}
    how = {"beam": chosen.beam, "overwrite": chosen.overwrite}
    try:
        with one_object(chosen) as found:
            print(prepare.prepare(corpus, chosen.raw, chosen.out, options, **how))
            found.update(prepare.described(corpus, chosen.out))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("finished parts are kept, run again to go on") from None


def _corpus_parser(name, corpus):
    parser = Parser(
        prog=f"mbjax prepare {name}",
        description=" ".join((corpus.__doc__ or "").split()) + f" Expected in RAW: {corpus.TREE}",
    )
    parser.add_argument("--raw", required=True, help="folder of the raw files")
    parser.add_argument("--out", required=True, help="folder of the dataset")
    parser.add_argument("--overwrite", action="store_true", help="replace what is at OUT")
    json_argument(parser)
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
