"""`mbjax --print-completion SHELL`: the script that completes commands and options."""

import argparse


def add(parser) -> None:
    """Adds --print-completion to the parser of all commands."""
    parser.add_argument(
        "--print-completion", action=_Print, choices=("bash", "zsh", "tcsh"), metavar="SHELL",
        help="for bash, zsh or tcsh: the script that completes commands and options "
        "(extra [completion])",
    )  # fmt: skip


class _Print(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        try:
            import shtab
        except ModuleNotFoundError:
            parser.error("completion needs shtab: pip install 'mbjax[completion]'")
        print(shtab.complete(parser, values))
        parser.exit()
