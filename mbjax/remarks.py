"""Remarks of the library on stderr, by the logger 'mbjax'; texts of any origin in one line."""

import logging
import re
import sys


class _Stderr(logging.Handler):
    def emit(self, record):
        # Looked up each time: notebooks and tests put another one there.
        sys.stderr.write(self.format(record) + "\n")
        sys.stderr.flush()


_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_log = logging.getLogger("mbjax")
if not _log.handlers:
    # Libraries configure the root logger as they are imported, each in its own way.
    _log.addHandler(_Stderr())
    _log.setLevel(logging.INFO)
    _log.propagate = False


def remark(text: str) -> None:
    """A line that is no result; `logging.getLogger("mbjax")` silences or redirects it."""
    _log.info("%s", text)


def one_line(what: object, most: int | None = None) -> str:
    """The text of an error or a value in one line, without what would steer a terminal.

    An error without text is its type's name. most: characters.
    """
    text = _COLOURS.sub("", str(what))
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(text.split())[:most] or type(what).__name__


def first_line(error: Exception, most: int = 200) -> str:
    """Of an error that tells a long story the beginning, as `one_line`."""
    first, *_ = [*filter(None, map(str.strip, str(error).splitlines())), type(error).__name__]
    return one_line(first, most)
