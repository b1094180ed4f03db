"""Configs from the command line: `--config NAME:VARIANT --config.name=value`.

NAME alone, as in `pretrain:mb_lite`, is always the package's configs/pretrain.py. A path to a file
is the user's own, and is run; `configs/pretrain.py` is the package's too where there is no such
file in the current folder. Nothing else is imported from there.
"""

import contextlib
import difflib
import importlib.util
import inspect
import os
import pathlib
import re
import traceback

from absl import flags
from ml_collections import ConfigDict, config_flags

from mbjax.remarks import one_line, remark
from mbjax.safe_files import json_files
from mbjax.storage import hub, objects
from mbjax.storage.places import Place, is_url, place

RUN_FILE = "config.json"  # in a work folder


class ConfigError(ValueError):
    """A config file, variant, name or value that does not fit; one line."""


def load(path_and_variant: str, overrides: list[str]) -> ConfigDict:
    """The config of NAME[:VARIANT] or FILE.py[:VARIANT], `--config.a.b=value` arguments applied.

    ConfigError for unknown names, which lists the nearest known ones, for values of another type,
    and for a file that is not a config.
    """
    path, _, variant = path_and_variant.partition(":")
    file = _find(path)
    values = flags.FlagValues()
    named = f"{file}:{variant}" if variant else str(file)
    arguments = ["mbjax", f"--config={named}", *overrides]
    _check_names(_base(file, variant), overrides)
    # The flags for overrides are defined from these arguments, so they are needed before parsing.
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
    return _overridden(values, arguments)


def of_run(checkpoint: str, overrides: list[str]) -> ConfigDict:
    """The config that a run's work folder holds, with overrides applied.

    checkpoint: the folder, its checkpoints/ or one of those. ConfigError where there is none.
    """
    if hub.is_hub(checkpoint):
        checkpoint = os.fspath(hub.pull(checkpoint, RUN_FILE).path.parent)
    path = place(checkpoint)
    files = _run_files(path if is_url(path) else path.absolute())
    file = next((file for file in files if objects.exists(file)), None)
    if file is None or not (is_url(path) or path.is_dir()):
        raise ConfigError(f"{checkpoint} is not the work folder of a run: give --config")
    try:
        base = read_run_file(file)
    except ConfigError as error:
        raise ConfigError(f"{error}: give --config") from None
    values = flags.FlagValues()
    _check_names(base, overrides)
    arguments = ["mbjax", *overrides]
    config_flags.DEFINE_config_dict("config", base, flag_values=values, sys_argv=arguments)
    return _overridden(values, arguments)


def _run_files(path):
    """Where the config lies if `path` is a work folder, its checkpoints/ or one of those."""
    yield path / RUN_FILE
    if path.name == "checkpoints":
        yield path.parent / RUN_FILE
    if path.parent.name == "checkpoints":
        yield path.parents[1] / RUN_FILE


def read_run_file(file: Place) -> ConfigDict:
    """The config that a run wrote into its work folder; ConfigError where it is damaged."""
    try:
        return ConfigDict(_with_tuples(json_files.read_object(file)))
    except (ValueError, AttributeError, TypeError):
        raise ConfigError(f"{file} is not the config of a run") from None


def _with_tuples(value):
    """JSON knows lists alone; configs have tuples."""
    if isinstance(value, dict):
        return {name: _with_tuples(one) for name, one in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _check_names(base, overrides):
    for argument in overrides:
        name = re.fullmatch(r"--config\.([\w.]+)(=.*)?", argument)
        if name and _get(base, name[1]) is _MISSING:
            raise ConfigError(_unknown(base, name[1]))


def _overridden(values, arguments) -> ConfigDict:
    try:
        rest = values(arguments)
        config = values.config
    except (flags.Error, ValueError, TypeError, AttributeError, KeyError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(lines[-1]) from None
    if len(rest) > 1:
        raise ConfigError(f"what is {rest[1]!r}? Settings are written --config.name=value")
    return config


_MISSING = object()


def _get(config, dotted):
    for part in dotted.split("."):
        if not isinstance(config, ConfigDict) or part not in config:
            return _MISSING
        config = config[part]
    return config


# Beside the package, in a checkout and where it is installed; imported by no name.
INSTALLED = pathlib.Path(__file__).absolute().parents[1] / "configs"


def names() -> list[str]:
    """The package's configs, as `--config` takes them: pretrain, pose3d, ..."""
    return sorted(
        path.stem for path in INSTALLED.glob("[a-z]*.py") if "def get_config" in path.read_text()
    )


def _find(path: str) -> pathlib.Path:
    file = pathlib.Path(path).expanduser()
    if file.suffix != ".py" and path in names():
        return INSTALLED / f"{path}.py"
    if file.is_file():
        if _hidden(file):
            remark(
                f"config: {file.absolute()}, which hides the package's of the same name "
                f"(--config {file.stem}:VARIANT is the package's)"
            )
        return file
    candidate = INSTALLED / file.name
    if file.suffix == ".py" and candidate.is_file() and file.parent.name in ("configs", ""):
        return candidate
    near = difflib.get_close_matches(file.stem, names(), n=1)
    raise ConfigError(
        f"config file {path} does not exist; "
        + (f"did you mean {near[0]}? " if near else "")
        + f"there are: {', '.join(f'configs/{name}.py' for name in names())}"
    )


def _hidden(file: pathlib.Path) -> bool:
    """Whether a user's file stands in the place of one of the package's."""
    own = INSTALLED / file.name
    return file.parent.name == "configs" and own.is_file() and not own.samefile(file)


def _base(file: pathlib.Path, variant: str) -> ConfigDict:
    spec = importlib.util.spec_from_file_location("mbjax_config", file)
    if spec is None:
        raise ConfigError(f"{file} is not a Python file; a config file ends in .py")
    module = importlib.util.module_from_spec(spec)
    with _named(file):
        spec.loader.exec_module(module)
    get_config = getattr(module, "get_config", None)
    if not callable(get_config):
        hides = "; it hides the package's of the same name" if _hidden(file) else ""
        raise ConfigError(
            f"{file.absolute()} is not a config file: it has no get_config(variant){hides}"
        )
    given = (variant,) if variant else ()
    try:
        inspect.signature(get_config).bind(*given)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{file} has no variants; leave out ':{variant}'"
            if variant
            else f"{file} has variants; write {file}:VARIANT"
        ) from None
    with _named(file):
        config = get_config(*given)
    if not isinstance(config, ConfigDict):
        raise ConfigError(f"{file}: get_config gives a {type(config).__name__}, not a ConfigDict")
    return config


@contextlib.contextmanager
def _named(file):
    """What goes wrong in a user's config file, with the place in the file where it did."""
    path = str(file.absolute())
    try:
        yield
    except Exception as error:
        if isinstance(error, SyntaxError) and error.filename == path:
            lines, reason = [error.lineno], error.msg
        else:
            frames = traceback.extract_tb(error.__traceback__)
            lines = [frame.lineno for frame in frames if frame.filename == path]
            reason = one_line(error)
        if type(error) is ValueError:  # what the file itself says of its variant
            raise ConfigError(reason) from None
        where = f"{path}, line {lines[-1]}" if lines else path
        raise ConfigError(f"{where}: {type(error).__name__}: {reason}") from error


def _unknown(config, dotted: str) -> str:
    *path, last = dotted.split(".")
    for depth, part in enumerate(path):
        if part not in config or not isinstance(config[part], ConfigDict):
            path, last = path[:depth], part
            break
        config = config[part]
    near = difflib.get_close_matches(last, list(config.keys()), n=3, cutoff=0.4)
    names = ", ".join(".".join([*path, name]) for name in (near or sorted(config.keys())))
    return f"the config has no {dotted}; {'did you mean' if near else 'there are'}: {names}"
