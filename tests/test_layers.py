"""Who may import whom, read off the source."""

import ast
import pathlib
import re

import mbjax

PACKAGE = pathlib.Path(mbjax.__file__).parent
ROOT = PACKAGE.parent


def imports(text):
    """Names of the modules a source imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(pattern, root=PACKAGE):
    return {
        path.relative_to(root).as_posix(): set(imports(path.read_text()))
        for path in root.glob(pattern)
    }


def top(names):
    return {name.split(".")[0] for name in names}


def test_tensorflow_only_in_data_preparation():
    guilty = [name for name, names in files("**/*.py").items() if "tensorflow" in top(names)]
    assert not guilty


def test_torch_only_where_weights_are_read_and_in_the_twin():
    guilty = {name for name, names in files("**/*.py").items() if "torch" in top(names)}
    # twin_heads: the twin's nets with a head. twin_timing: its own training step, run as fast as
    # torch can.
    twins = {f"convert/{name}.py" for name in ("twin", "twin_heads", "twin_timing")}
    assert guilty <= twins | {"convert/torch_io.py"}


# From the ground up: a room imports itself and rooms that stand before it.
ROOMS = (
    "mbjax.huge_pages", "mbjax.remarks", "mbjax.storage", "mbjax.atomic_files",
    "mbjax.safe_pickle", "mbjax.safe_files", "mbjax.configuration", "mbjax.pose", "mbjax.devices",
    "mbjax.body", "mbjax.models", "mbjax.keypoints", "mbjax.detect",
    "mbjax.motion", "mbjax.data", "mbjax.lifting",
    "mbjax.pictures", "mbjax.live", "mbjax.training", "mbjax.convert", "mbjax.source_to_motion",
    "mbjax.tasks",
    "mbjax.experiments", "mbjax.speed", "data_prep", "mbjax.commands", "mbjax.cli",
    "mbjax.__main__",
)  # fmt: skip


def room(module):
    """The place of a module's room in ROOMS; None for what is in none (mbjax itself, libraries)."""
    for place, name in enumerate(ROOMS):
        if module == name or module.startswith(f"{name}."):
            return place
    return None


def upward(sources):
    """(file, import) of imports that go up, lazy ones too. sources: {file name: its text}."""
    for name, text in sources.items():
        own = room(name.removesuffix(".py").replace("/", "."))
        for imported in imports(text):
            above = room(imported)
            if own is not None and above is not None and above > own:
                yield name, imported


def sources():
    paths = [*PACKAGE.rglob("*.py"), *(ROOT / "data_prep").rglob("*.py")]
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}


def test_no_import_goes_up():
    assert not list(upward(sources()))


def test_each_module_is_in_a_room():
    homeless = [
        name for name in sources() if room(name.removesuffix(".py").replace("/", ".")) is None
    ]
    assert homeless == ["mbjax/__init__.py"]


def test_the_readme_maps_each_room_in_order():
    """Its table has one row a room, by the path of its folder or file."""
    text = (ROOT / "README.md").read_text()
    paths = re.findall(r"^\| `([\w/.]+)` \|", text[text.index("## Map") :], re.M)
    wanted = [name.replace(".", "/") for name in ROOMS]
    assert paths == [f"{path}/" if (ROOT / path).is_dir() else f"{path}.py" for path in wanted]


def test_a_planted_breach_is_found():
    planted = {"mbjax/pose/skeleton.py": "def f():\n    from mbjax.training import step\n"}
    assert list(upward(planted)) == [
        ("mbjax/pose/skeleton.py", "mbjax.training"),
        ("mbjax/pose/skeleton.py", "mbjax.training.step"),
    ]


def test_the_ground_needs_numpy_alone():
    """pose/skeleton, pose/rotations, pose/normalise are used where JAX is not."""
    ground = ("pose/skeleton.py", "pose/rotations.py", "pose/normalise.py")
    for pattern in ground:
        for name, names in files(pattern).items():
            assert not {"jax", "flax", "optax"} & top(names), name


def test_configs_import_ml_collections_and_each_other_alone():
    for name, names in files("configs/*.py", ROOT).items():
        assert top(names) <= {"ml_collections", "configs"}, name


def test_no_test_imports_a_test():
    """What tests share is in tests/recipes."""
    for name, names in files("tests/**/*.py", ROOT).items():
        tests = [n for n in names if n.startswith("tests.") and ".test_" in n]
        assert not tests, f"{name} imports {tests}"


def test_nothing_unpickles_freely():
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "data_prep").rglob("*.py")]:
        text = path.read_text()
        assert "allow_pickle=True" not in text and "weights_only=False" not in text, path
        assert not re.search(r"(?<!safe_)pickle\.loads?\(", text), path


def speaks(text):
    """What a source does that only commands may: 'argparse' if imported, 'print' if called."""
    if "argparse" in top(imports(text)):
        yield "argparse"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name) and node.id == "print":
            yield "print"


def test_only_commands_parse_arguments_and_print():
    allowed = {"cli.py", *(f"commands/{path.name}" for path in (PACKAGE / "commands").glob("*.py"))}
    guilty = {
        name: found
        for path in PACKAGE.rglob("*.py")
        if (name := path.relative_to(PACKAGE).as_posix()) not in allowed
        and (found := set(speaks(path.read_text())))
    }
    assert guilty == {}
    assert set(speaks("from argparse import Namespace\nsay = print\n")) == {"argparse", "print"}
    assert not set(speaks("def pretty_print(x):\n    'print, argparse'\n"))


def test_files_stay_small_and_the_package_itself_holds_few():
    long = {path: n for path in PACKAGE.rglob("*.py") if (n := len(path.open().readlines())) > 400}
    assert long == {}
    assert len(list(PACKAGE.glob("*.py"))) <= 8
