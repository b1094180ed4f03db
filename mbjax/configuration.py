"""Config files from the command line: `--config FILE.py:VARIANT --config.name=value`."""

import difflib
import importlib.util
import pathlib
import re

from absl import flags
from ml_collections import ConfigDict, config_flags


class ConfigError(ValueError):
    """A config file, variant, name or value that does not fit; one line."""


def load(path_and_variant: str, overrides: list[str]) -> ConfigDict:
    """The config of FILE.py[:VARIANT] with `--config.a.b=value` arguments applied.

    FILE.py is looked for here, then among the configs that were installed with the package.
    Unknown names are errors that list the nearest known ones.
    """
    path, _, variant = path_and_variant.partition(":")
    file = _find(path)
    values = flags.FlagValues()
    named = f"{file}:{variant}" if variant else str(file)
    arguments = ["mbjax", f"--config={named}", *overrides]
    # The flags for overrides are defined from these arguments, so they are needed before parsing.
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
    base = _base(file, variant)
    for argument in overrides:
        name = re.fullmatch(r"--config\.([\w.]+)(=.*)?", argument)
        if name and _get(base, name[1]) is _MISSING:
            raise ConfigError(_unknown(base, name[1]))
    try:
        rest = values(arguments)
        config = values.config
    except (flags.Error, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ConfigError(str(error).strip().splitlines()[-1]) from None
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


def _find(path: str) -> pathlib.Path:
    file = pathlib.Path(path).expanduser()
    if file.is_file():
        return file
    import configs

    installed = pathlib.Path(configs.__file__).parent
    candidate = installed / file.name
    if file.suffix == ".py" and candidate.is_file() and file.parent.name in ("configs", ""):
        return candidate
    known = ", ".join(sorted(f"configs/{p.name}" for p in installed.glob("[a-z]*.py")))
    raise ConfigError(f"config file {path} does not exist; there are: {known}")


def _base(file: pathlib.Path, variant: str) -> ConfigDict:
    spec = importlib.util.spec_from_file_location("mbjax_config", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ConfigError(f"{file} has no get_config(variant); it is no config file")
    try:
        return module.get_config(variant) if variant else module.get_config()
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _unknown(config: ConfigDict, dotted: str) -> str:
    *path, last = dotted.split(".")
    for depth, part in enumerate(path):
        if part not in config or not isinstance(config[part], ConfigDict):
            path, last = path[:depth], part
            break
        config = config[part]
    near = difflib.get_close_matches(last, list(config.keys()), n=3, cutoff=0.4)
    names = ", ".join(".".join([*path, name]) for name in (near or sorted(config.keys())))
    return f"the config has no {dotted}; {'did you mean' if near else 'there are'}: {names}"
