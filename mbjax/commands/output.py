"""How commands speak: results go to stdout, at once (remarks: mbjax/remarks.py, to stderr)."""


def say(text: str) -> None:
    """A line of results or progress, at once."""
    print(text, flush=True)


def silent(text: str) -> None:
    """Where one JSON object is all that is to be read."""
