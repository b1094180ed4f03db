"""What runs nets in a browser: packages of npm, each of one version and with its checksum.

They are megabytes of WebAssembly, so they are no part of this package: `npm pack` gets them, or a
folder has the files that it wrote elsewhere.
"""

import base64
import dataclasses
import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

from mbjax.remarks import one_line

VARIABLE = "MBJAX_NPM_PACKAGES"
_PATIENCE = 600  # seconds for 45 MB


@dataclasses.dataclass(frozen=True)
class Package:
    """integrity: as `npm view NAME dist.integrity` says. files: {of the package: of the page}."""

    name: str
    version: str
    integrity: str
    licence: str
    files: dict[str, str]

    def __str__(self):
        return f"{self.name}@{self.version}"


_LITERT = [
    f"litert_wasm_{kind}.{ending}"
    for kind in ("internal", "compat_internal")  # the latter where there is not relaxed SIMD
    for ending in ("js", "wasm")
]
PACKAGES = (
    Package(
        "onnxruntime-web",
        "1.30.0",
        "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
        "MIT License, copyright Microsoft Corporation; https://opensource.org/license/mit",
        {
            f"dist/{name}": f"onnxruntime/{name}"
            for name in (
                "ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm",
            )
        },
    ),
    Package(
        "@litertjs/core",
        "2.5.3",
        "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        "Apache License 2.0, copyright Google LLC",
        {"dist/index.js": "litert/index.js"}
        | {f"wasm/{name}": f"litert/{name}" for name in _LITERT},
    ),
    Package(
        "@litertjs/wasm-utils",
        "2.5.3",
        "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        "Apache License 2.0, copyright Google LLC",
        {"dist/index.js": "litert/wasm-utils.js"},
    ),
)  # fmt: skip


def files(folder: str | os.PathLike | None = None) -> dict[str, bytes]:
    """The runtimes' files, by their paths in the page.

    folder: where the packages' .tgz files lie, whatever their names; else that in
    $MBJAX_NPM_PACKAGES, else npm is asked, which has what it once fetched without a network.
    ValueError, in one line, where one of them is not there, or is another than it should be.
    """
    folder = folder or os.environ.get(VARIABLE)
    if folder:
        archives = _in_folder(pathlib.Path(folder).expanduser())
    else:
        with tempfile.TemporaryDirectory() as fetched:
            _npm_pack(fetched)
            archives = _in_folder(pathlib.Path(fetched))
    return {
        target: content
        for package, archive in zip(PACKAGES, archives, strict=True)
        for target, content in _unpacked(package, archive).items()
    }


def _in_folder(folder):
    """The content of the .tgz file of each package, told by its checksum."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; {_how()}")
    by_integrity = {}
    for path in sorted(folder.glob("*.tgz")):
        content = path.read_bytes()
        digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
        by_integrity[f"sha512-{digest}"] = content
    lacking = [str(package) for package in PACKAGES if package.integrity not in by_integrity]
    if lacking:
        raise ValueError(f"{folder} does not have {', '.join(lacking)} as published; {_how()}")
    return [by_integrity[package.integrity] for package in PACKAGES]


def _npm_pack(folder):
    npm = shutil.which("npm")
    if npm is None:
        raise ValueError(f"npm (Node.js) is not here to get what runs nets in a browser; {_how()}")
    # Not in the user's folder, so that nothing of it is read. What npm has is not asked for.
    command = [npm, "pack", "--prefer-offline", "--ignore-scripts", *map(str, PACKAGES)]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"npm does not answer ({one_line(error, 200)}); {_how()}") from None
    if done.returncode:
        why = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        raise ValueError(f"npm cannot fetch them ({one_line(' '.join(why), 200)}); {_how()}")


def _how():
    packages = " ".join(map(str, PACKAGES))
    return f"where there is a network, `npm pack {packages}`, then --npm-packages FOLDER here"


def _unpacked(package, archive):
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        found = {}
        for name, target in package.files.items():
            member = tar.extractfile(f"package/{name}")
            assert member is not None  # the checksum is right
            found[target] = member.read()
    return found
