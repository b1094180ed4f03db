"""Makes the sample corpus that lives in the package.

    python -m data_prep.sample.build --raw FOLDER --out mbjax/sample

Two recordings of subject 1 of the CMU Graphics Lab Motion Capture Database (01_01.bvh and
01_03.bvh of Hahne's conversion, with its notice as a .txt beside them) become what the stages of
training read. The same files give the same bytes.
"""

import argparse
import os
import pathlib
import sys

from data_prep.prepare import prepare
from data_prep.sample.sample_builders import Annotated2d, Detected2d, Motion3d
from mbjax.remarks import one_line

_NOTICE = """\
The datasets in this folder are made from recordings 01_01 and 01_03 of the CMU Graphics Lab Motion
Capture Database, in the BVH conversion by B. Hahne. The data used in this project was obtained from
mocap.cs.cmu.edu. The database was created with funding from NSF EIA-0196217. The notice that came
with the files follows.

"""
BUILDERS = (Motion3d, Annotated2d, Detected2d)


def make(raw: pathlib.Path, out: pathlib.Path) -> str:
    """Writes the three datasets and the notice into `out`; returns a summary."""
    lines = []
    for cls in BUILDERS:
        summary = prepare(cls, raw, out / cls.name, overwrite=True, progress=False)
        lines.append(f"{cls.name}\n{summary}")
    notices = sorted(raw.glob("*.txt"))
    if not notices:
        raise FileNotFoundError(f"{raw} holds no *.txt with the notice that goes with the data")
    notice = _NOTICE + notices[0].read_text(encoding="utf-8")
    (out / "NOTICE.txt").write_text(notice, encoding="utf-8")
    return "\n\n".join(lines)


def main(argv=None) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(
        prog="python -m data_prep.sample.build",
        description="Makes the sample corpus of the package.",
    )
    parser.add_argument("--raw", type=pathlib.Path, required=True, help="folder of the BVH files")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="mbjax/sample")
    arguments = parser.parse_args(argv)
    try:
        print(make(arguments.raw, arguments.out))
    except (ValueError, OSError) as error:
        print("error: " + one_line(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
