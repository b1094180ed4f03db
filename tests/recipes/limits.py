"""Runs code in a process of its own that may take little memory and time."""

import json
import subprocess
import sys

from tests.recipes.settings import ROOT

_PRELUDE = """
import json, resource, sys, time
{imports}
def _size():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
_limit = _size() + {megabytes} * 2**20
resource.setrlimit(resource.RLIMIT_AS, (_limit, _limit))
_said = {{}}
for _name, _argument in json.load(sys.stdin).items():
    _begun = time.process_time()
    try:
        {call}(_argument)
        _said[_name] = "no error"
    except Exception as error:
        _said[_name] = f"{{type(error).__name__}}: {{error}}"
    _seconds = time.process_time() - _begun
    if _seconds > {seconds}:
        _said[_name] = f"took {{_seconds:.1f}} s: " + _said[_name]
    print(json.dumps({{_name: _said[_name]}}), flush=True)
"""


def outcomes(imports: str, call: str, arguments: dict, megabytes: int, seconds: float) -> dict:
    """{name: 'ErrorType: message' or 'no error'} of call(argument) for each named argument.

    megabytes: memory that all of it may take beyond what the imports take. seconds: of the
    processor, for each, so that a busy machine changes nothing. A case that ends the
    process, or a whole that takes thirty times `seconds`, is missing from the result.
    """
    code = _PRELUDE.format(imports=imports, call=call, megabytes=megabytes, seconds=seconds)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], input=json.dumps(arguments), capture_output=True,
            text=True, cwd=ROOT, timeout=30 * seconds,
        )  # fmt: skip
        output = done.stdout
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode()
    said = {}
    for line in output.splitlines():
        said.update(json.loads(line))
    return said
