"""Remarks of the library, such as what was loaded: lines on stderr, by the logger 'mbjax'."""

import logging
import sys


class _Stderr(logging.Handler):
    def emit(self, record):
        # Looked up each time: notebooks and tests put another one there.
        sys.stderr.write(self.format(record) + "\n")
        sys.stderr.flush()


_log = logging.getLogger("mbjax")
if not _log.handlers:
    # Libraries configure the root logger as they are imported, each in its own way.
    _log.addHandler(_Stderr())
    _log.setLevel(logging.INFO)
    _log.propagate = False


def remark(text: str) -> None:
    """A line that is no result; `logging.getLogger("mbjax")` silences or redirects it."""
    _log.info("%s", text)
