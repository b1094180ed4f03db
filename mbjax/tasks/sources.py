"""The sources of a config in the order of its passes."""

from collections.abc import Collection, Iterator

from ml_collections import ConfigDict


def sources_in_order(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """(name, settings) of the sources that have a folder, in the order of config.pass_order.

    ValueError, with the known names, where that order names another.
    """
    for name in config.pass_order:
        if name not in config.sources:
            raise ValueError(
                f"pass_order names {name!r}; the sources are: {', '.join(config.sources)}"
            )
        if config.sources[name].dir:
            yield name, config.sources[name]


def check_given(sources: Collection, corpus: str, dataset: str) -> None:
    """ValueError where no source of a config has a folder, with one that would do."""
    if not sources:
        raise ValueError(
            f"no source has a folder; give one, such as --config.sources.{corpus}.dir=DIR, made by "
            f"'mbjax prepare {dataset} --raw RAW_FOLDER --out DIR'"
        )
