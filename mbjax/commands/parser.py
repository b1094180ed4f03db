"""The parser of all commands: it suggests what was meant, and keeps the lines of an epilogue."""

import argparse
import difflib
import os
import re
import textwrap

CONFIG_HELP = """\
settings of a config are changed by --config.NAME=VALUE, for example
  --config.batch_size=16 --config.model.depth=2 --config.log_every='50 steps'
--print-config shows them all. A config is NAME:VARIANT of the package, from any folder,
or a file of your own: FILE.py or FILE.py:VARIANT, with get_config(VARIANT) in it."""


class Parser(argparse.ArgumentParser):
    """ArgumentParser whose errors name the nearest command, choice or option."""

    def __init__(self, description: str = "", **settings):
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter,
            description=textwrap.fill(description, 80), **settings,
        )  # fmt: skip

    def parse_known_args(self, args=None, namespace=None):
        self._given = args
        return super().parse_known_args(args, namespace)

    def error(self, message):
        if message.startswith("the following arguments are required"):
            # One of them may be there, misspelt.
            for argument in self._given or ():
                name = argument.partition("=")[0]
                if name.startswith("--") and not self._knows(name):
                    self.unknown(argument)
        found = re.match(
            r"argument .*: invalid choice: '?(.*?)'? \(choose from (.*)\)$", message, re.DOTALL
        )
        if found:
            choices = re.findall(r"[\w.-]+", found[2])
            message = f"{found[1]!r} is not known; {_did_you_mean(found[1], choices)}"
        super().error(message)

    def _knows(self, name):
        return name in self._option_string_actions or name.startswith("--config.")

    def require_only(self, name: str):
        """Takes every argument but one as optional, for what needs no others."""
        for action in self._actions:
            action.required = action.dest == name and action.default is None

    def unknown(self, argument: str):
        """Ends the program with status 2 for an option that it does not have."""
        name = argument.partition("=")[0]
        near = difflib.get_close_matches(name, self._option_string_actions, n=1)
        more = f"; did you mean {near[0]}?" if near else ""
        files = [name for name in ("--video", "--keypoints") if name in self._option_string_actions]
        if not near and files and os.path.exists(argument):
            more = f"; a file is given by {' or '.join(files)}"
        self.error(f"unknown argument {argument!r}{more} ({self.prog} --help)")


def _did_you_mean(word, choices):
    near = difflib.get_close_matches(word, choices, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return "there are: " + ", ".join(choices)


def positive_int(text: str) -> int:
    """The type of an argument that is a number of things."""
    return _positive(int, text, 2**31)


def positive(text: str) -> float:
    """The type of an argument that is a size, a rate, a length."""
    return _positive(float, text, 1e6)


def _positive(kind, text, limit):
    try:
        number = kind(text)
    except ValueError:
        number = None
    if number is None or not 0 < number < limit:  # NaN is not
        what = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text} is not {what} above 0 (and below {limit:,.0f})")
    return number


def shard(text: str) -> tuple[int, int]:
    """The type of an argument such as 3/16: the third of sixteen shares."""
    one, _, all_of_them = text.partition("/")
    if not (one.isdigit() and all_of_them.isdigit() and 1 <= int(one) <= int(all_of_them)):
        raise argparse.ArgumentTypeError(f"{text!r} should read like 3/16")
    return int(one), int(all_of_them)


def config_arguments(parser: Parser, about: str, **settings) -> None:
    """--config and --print-config. about: the help of --config; settings: default or required.

    The command itself does nothing for --print-config: `cli.main` runs `print_config` instead.
    """
    parser.add_argument("--config", help=about, **settings)
    parser.add_argument(
        "--print-config", action="store_true", help="print all settings as JSON, and do nothing"
    )
    parser.epilog = f"{parser.epilog}\n\n{CONFIG_HELP}" if parser.epilog else CONFIG_HELP


def print_config(args) -> None:
    """All settings of a command's config, with what the command line changes."""
    from mbjax import configuration

    print(configuration.load(args.config, args.settings).to_json_best_effort(indent=1))
