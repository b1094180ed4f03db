"""Who may import whom, read off the source."""

import ast
import pathlib
import re

import mbjax

PACKAGE = pathlib.Path(mbjax.__file__).parent
ROOT = PACKAGE.parent


def imports(path):
    """Names of the modules a file imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(pattern, root=PACKAGE):
    return {path.relative_to(root).as_posix(): set(imports(path)) for path in root.glob(pattern)}


def top(names):
    return {name.split(".")[0] for name in names}


def test_tensorflow_only_in_data_preparation():
    guilty = [name for name, names in files("**/*.py").items() if "tensorflow" in top(names)]
    assert not guilty


def test_torch_only_where_weights_are_read_and_in_the_twin():
    guilty = {name for name, names in files("**/*.py").items() if "torch" in top(names)}
    assert guilty <= {"convert/torch_io.py", "convert/twin.py"}


def test_the_ground_layer_knows_nothing_above_it():
    ground = (
        "whole_files", "skeleton", "geometry", "normalise", "body", "body_files", "surface",
        "synthetic_body", "smpl",
    )  # fmt: skip
    for name in (f"{name}.py" for name in ground):
        own = {n for n in files("*.py")[name] if n.startswith("mbjax.")}
        allowed = tuple(f"mbjax.{below}" for below in ground)
        assert all(n.startswith(allowed) for n in own), (name, own)
        assert not {"jax", "flax", "optax"} & top(files("*.py")[name]), name


def test_no_import_runs_back_up():
    """Layers from the ground up; each may import what stands before it, and its own."""
    order = [
        ("models/*.py", ("mbjax.data", "mbjax.tasks", "mbjax.train", "mbjax.cli")),
        ("data/*.py", ("mbjax.models", "mbjax.tasks", "mbjax.train", "mbjax.cli")),
        ("tasks/*.py", ("mbjax.train", "mbjax.cli", "mbjax.quickstart")),
        ("train.py", ("mbjax.cli", "mbjax.quickstart", "mbjax.tasks.pretrain")),
    ]
    for pattern, forbidden in order:
        for name, names in files(pattern).items():
            assert not {n for n in names if n.startswith(forbidden)}, name


def test_configs_import_ml_collections_and_each_other_alone():
    for name, names in files("configs/*.py", ROOT).items():
        assert top(names) <= {"ml_collections", "configs"}, name


def test_data_preparation_takes_little_of_the_package():
    for name, names in files("data_prep/*.py", ROOT).items():
        own = {n for n in names if n.startswith("mbjax.")}
        assert not {n for n in own if n.startswith(("mbjax.models", "mbjax.tasks"))}, name
        assert "mbjax.train" not in own, name


def test_nothing_unpickles_freely():
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "data_prep").rglob("*.py")]:
        text = path.read_text()
        assert "allow_pickle=True" not in text and "weights_only=False" not in text, path
        assert not re.search(r"(?<!safe_)pickle\.loads?\(", text), path
