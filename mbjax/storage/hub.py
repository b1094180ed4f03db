"""Repositories of Hugging Face's hub: files pulled and verified, folders pushed in one commit.

hf://owner/name[@revision][/file]; without a file, the weights that `push` puts there.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import re
import socket
import urllib.parse
import urllib.request

from mbjax.remarks import first_line

WEIGHTS, SUMS = "model.safetensors", "SHA256SUMS"

_COMMIT = re.compile(r"[0-9a-f]{40}")
_PARTS = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([^/@]+))?(?:/(.+))?")


@dataclasses.dataclass(frozen=True)
class Address:
    """What hf:// names. revision: a commit, branch or tag, '' for the newest; file: may be ''."""

    repository: str
    revision: str
    file: str

    @classmethod
    def of(cls, text: str) -> "Address":
        """ValueError where the text is no such address."""
        found = _PARTS.fullmatch(text.rstrip("/"))
        if not found or "" in (file := found[3] or "x").split("/") or ".." in file.split("/"):
            raise ValueError(f"{text} should read hf://owner/name, with @revision or /file behind")
        return cls(found[1], urllib.parse.unquote(found[2] or ""), found[3] or "")


@dataclasses.dataclass(frozen=True)
class Pulled:
    """A file on this disk. where: its address with the commit, and whether that was asked for;
    notes: what else a user should know."""

    path: pathlib.Path
    where: str
    notes: list[str]


def is_hub(path: str | os.PathLike) -> bool:
    """Whether a path is the address of something on the hub."""
    return os.fspath(path).startswith("hf://")


def pull(text: str, file: str = "") -> Pulled:
    """The local copy of a file, its checksums verified.

    file: instead of the one that the address names. A pinned commit that is here already is not
    asked for; else the newest is taken, or, offline, what was taken earlier. ValueError for a wrong
    address or damage, FileNotFoundError, ImportError, in one line.
    """
    address = Address.of(text)
    file = file or address.file or WEIGHTS
    hub = _library(text)
    path, earlier = _downloaded(hub, address, file, text)
    commit = path.parents[len(pathlib.PurePosixPath(file).parts) - 1].name
    where = f"hf://{address.repository}@{commit}/{file}"
    _verify(hub, Address(address.repository, commit, file), path, where)
    pinned = address.revision == commit
    return Pulled(path, where if pinned else f"{where} (not pinned)", earlier)


def _downloaded(hub, address, file, text):
    """(path, notes)."""
    pinned = _COMMIT.fullmatch(address.revision)
    if pinned:
        with contextlib.suppress(Exception):
            return _file(hub, address, file, local=True), []
    try:
        if hub.constants.HF_HUB_OFFLINE:
            raise OSError("HF_HUB_OFFLINE is set")
        _reach()
        return _file(hub, address, file), []
    except Exception as error:  # noqa: BLE001  its own, httpx's, the system's
        refused = isinstance(error, hub.errors.HfHubHTTPError)
        if not refused and not pinned:
            with contextlib.suppress(Exception):
                path = _file(hub, address, file, local=True)
                return path, ["the hub is not reached: this is what was taken of it earlier"]
        raise FileNotFoundError(_why(hub, error, address, file, text)) from None


def _why(hub, error, address, file, text):
    repository = address.repository
    if isinstance(error, hub.errors.GatedRepoError):
        return (
            f"{text}: {repository} asks for its terms to be accepted on its page, and for HF_TOKEN"
        )
    if isinstance(error, hub.errors.RepositoryNotFoundError):
        return f"{text}: there is no {repository} on the hub, or it is private: set HF_TOKEN"
    if isinstance(error, hub.errors.RevisionNotFoundError):
        return f"{text}: {repository} has no revision {address.revision}"
    if isinstance(error, hub.errors.EntryNotFoundError):
        more = "" if address.file else f"; name a file of it: hf://{repository}/FILE"
        return f"{text}: {repository} has no {file}{more}"
    return (
        f"{text} is not on this machine and cannot be downloaded ({type(error).__name__}: "
        f"{first_line(error, 200)}); offline, download it elsewhere and give its path"
    )


def _file(hub, address, file, local=False) -> pathlib.Path:
    return pathlib.Path(
        hub.hf_hub_download(
            address.repository, file, revision=address.revision or None, local_files_only=local,
            endpoint=_endpoint(), etag_timeout=5,
        )
    )  # fmt: skip


# --- checksums --------------------------------------------------------------------------------


def _verify(hub, address, path, where):
    """ValueError where a file is not what the hub, or its own repository, says it is."""
    sha256 = sha256_of(path)
    # The cache names files by the hub's checksum: SHA-256 of large ones, git's SHA-1 of others.
    blob = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", blob):
        sound = sha256 == blob
    elif _COMMIT.fullmatch(blob):
        data = path.read_bytes()
        sound = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest() == blob
    else:
        sound = True
    if not sound:
        raise ValueError(
            f"{where}: the copy here is damaged, its checksum is not the hub's; delete "
            f"{path.resolve()} and pull it again"
        )
    wanted = _sums(hub, address).get(address.file)
    if wanted and wanted != sha256:
        raise ValueError(
            f"{where}: its SHA-256 is not the one that {SUMS} of the same revision lists; whoever "
            "pushed it has to push both again"
        )


def _sums(hub, address) -> dict:
    """{file: SHA-256} that a repository lists at a commit; {} where it lists none."""
    try:
        try:
            path = _file(hub, address, SUMS, local=True)
        except Exception:  # noqa: BLE001  not here yet
            if hub.constants.HF_HUB_OFFLINE:
                return {}
            path = _file(hub, address, SUMS)
    except hub.errors.EntryNotFoundError:
        return {}
    except Exception as error:  # noqa: BLE001  its own, httpx's, the system's
        raise FileNotFoundError(
            f"hf://{address.repository}/{SUMS} cannot be read ({first_line(error, 200)})"
        ) from None
    lines = (line.split() for line in path.read_text("utf-8", errors="replace").splitlines())
    return {parts[1].lstrip("*"): parts[0].lower() for parts in lines if len(parts) == 2}


def sha256_of(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- pushing ----------------------------------------------------------------------------------


def ready(text: str):
    """(Address, client) for a push. ValueError, ImportError or OSError where one cannot be made.

    To be called before any work is done.
    """
    address = Address.of(text)
    if address.revision or address.file:
        raise ValueError(f"{text}: push goes to a whole repository: hf://{address.repository}")
    hub = _library(text)
    token = hub.get_token()
    if not token:
        raise ValueError(
            f"{text}: you are not logged in to the hub; set HF_TOKEN to a token that may write, or "
            "run `hf auth login`"
        )
    try:
        if hub.constants.HF_HUB_OFFLINE:
            raise OSError("HF_HUB_OFFLINE is set")
        _reach()
    except OSError as error:
        raise ConnectionError(f"{text}: the hub cannot be reached ({first_line(error)})") from None
    return address, hub.HfApi(endpoint=_endpoint(), token=token)


def push(address: Address, client, folder: pathlib.Path, private: bool, title: str) -> str:
    """Puts a folder's files into the repository, in one commit, and returns that.

    The repository is made if there is none. OSError, in one line, where it cannot be done: then
    it is as it was.
    """
    from huggingface_hub import CommitOperationAdd

    files = sorted(path for path in folder.iterdir() if path.is_file())
    added = [CommitOperationAdd(path.name, path) for path in files]
    try:
        client.create_repo(address.repository, private=private or None, exist_ok=True)
        return client.create_commit(address.repository, added, commit_message=title).oid
    except Exception as error:  # noqa: BLE001  its own, httpx's, the system's
        status = getattr(getattr(error, "response", None), "status_code", 0)
        refused = "the token may not write there; " if status in (401, 403) else ""
        raise ConnectionError(
            f"hf://{address.repository}: nothing was pushed ({refused}{first_line(error, 300)})"
        ) from None


# --- the library ------------------------------------------------------------------------------


def _library(text):
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError:
        raise ImportError(
            f"{text} needs the package huggingface_hub (pip install 'mbjax[hub]'); or download the "
            "file and give its path"
        ) from None
    return huggingface_hub


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def _reach():
    """OSError within seconds where the hub cannot be reached; its client tries for half a minute.

    Behind a proxy the client finds out for itself.
    """
    if urllib.request.getproxies():
        return
    hub = urllib.parse.urlparse(_endpoint())
    port = hub.port or (80 if hub.scheme == "http" else 443)
    socket.create_connection((hub.hostname, port), timeout=5).close()
