"""Config files that a user brings: what is wrong in one is one line with the file and the line."""

import pytest

from mbjax import cli, configuration
from mbjax.configuration import ConfigError

BEGIN = "from ml_collections import ConfigDict\n\n\ndef get_config(variant):\n"
BROKEN = {
    "syntax": ("x = (\n", "line 1: SyntaxError: '\\(' was never closed"),
    "name": ("a = 1\nb = c\n", "line 2: NameError: name 'c' is not defined"),
    "error": ("raise RuntimeError('no\\nway')", "line 1: RuntimeError: no way"),
    "import": ("import not_there", "line 1: ModuleNotFoundError"),
    "inside": (BEGIN + "    return {}['x']\n", "line 5: KeyError: 'x'"),
    "library": (BEGIN + "    return ConfigDict(5)\n", "line 5: .*Error"),
    "recursion": (BEGIN + "    return get_config(variant)\n", "line 5: RecursionError"),
    "variant": (BEGIN + "    raise ValueError('variants: a, b')\n", "^variants: a, b$"),
    "dict": (BEGIN + "    return {}\n", "get_config gives a dict, not a ConfigDict"),
    "none": ("x = 1\n", "it has no get_config"),
    "number": ("get_config = 1\n", "it has no get_config"),
    "fixed": ("def get_config():\n    pass\n", "has no variants; leave out ':v'"),
    "binary": ("\0", "SyntaxError|ValueError|null bytes"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_config_file_is_one_line(tmp_path, name):
    content, said = BROKEN[name]
    path = tmp_path / "mine.py"
    path.write_text(content)
    with pytest.raises(ConfigError, match=said) as caught:
        configuration.load(f"{path}:v", [])
    assert "\n" not in str(caught.value)


def test_a_variant_that_is_missing_is_said(tmp_path):
    (tmp_path / "mine.py").write_text(BEGIN + "    return ConfigDict()\n")
    with pytest.raises(ConfigError, match="mine.py has variants; write .*mine.py:VARIANT"):
        configuration.load(str(tmp_path / "mine.py"), [])
    assert configuration.load(f"{tmp_path}/mine.py:a", []).to_dict() == {}


def test_a_file_that_is_not_python(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("learning rate: low")
    arguments = ["pretrain", "--config", str(tmp_path / "notes.txt"), "--workdir", str(tmp_path)]
    assert cli.main(arguments) == 1
    assert "notes.txt is not a Python file" in capsys.readouterr().err
