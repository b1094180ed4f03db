"""`mbjax --version`: of the package, of what it computes with, and the devices."""

import argparse


def add(parser) -> None:
    """Adds --version and -V to the parser of all commands."""
    parser.add_argument(
        "--version", "-V", action=_Version, nargs=0,
        help="versions of mbjax, JAX and Python, and the devices",
    )  # fmt: skip


class _Version(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        print(describe())
        parser.exit()


def describe() -> str:
    """mbjax X (jax Y, flax Z, Python P) and the devices, in two lines."""
    import importlib.metadata
    import platform

    from mbjax.devices import accelerators

    accelerators.spare_libtpu()
    import jax

    import mbjax

    others = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "flax"))
    devices = jax.devices()
    return (
        f"mbjax {mbjax.__version__} ({others}, Python {platform.python_version()})\n"
        f"devices: {len(devices)} x {devices[0].device_kind} ({jax.default_backend()})"
    )
