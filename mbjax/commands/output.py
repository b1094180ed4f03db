"""How commands speak: results go to stdout, at once (remarks: mbjax/remarks.py, to stderr)."""

import contextlib
import json
import sys


def say(text: str) -> None:
    """A line of results or progress, at once."""
    print(text, flush=True)


def silent(text: str) -> None:
    """Where one JSON object is all that is to be read."""


def wrote(path, found: dict, what: str = "") -> None:
    """Prints that a file was written, at once, and lists it for --json.

    what: instead of the path alone, 'N files to '.
    """
    say(f"wrote {what}{path}")
    found.setdefault("written", []).append(str(path))


def json_argument(parser) -> None:
    """--json; `one_object` does what it says."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


@contextlib.contextmanager
def one_object(args):
    """A dict to fill, printed at the end with --json; all that is printed meanwhile is a remark."""
    found: dict = {}
    if not args.json:
        yield found
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield found
    if args.json:  # of several processes one speaks: the others take it back
        print(json.dumps(found, default=str))
