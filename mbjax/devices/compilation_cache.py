"""Compiled programs kept between runs, in the user's cache folder, by JAX's own persistent cache.

JAX reads its settings from the environment when it is imported, so a command sets them first, and
processes it starts have them too. Entries carry versions, options and the program in their keys;
machines of different instruction sets that share a home have folders of their own.

Of the processes of one run JAX lets the first alone write, and the others read what it wrote, where
they see its folder (shared storage, or a bucket).
"""

import contextlib
import hashlib
import inspect
import os
import pathlib
import platform
import shutil
import time
from collections.abc import Callable, MutableMapping

SETTING = "MBJAX_COMPILATION_CACHE"  # a folder, the URL of one in a bucket, or 'off'
_MAX_BYTES = 4 << 30  # the least recently used go first
_FREE_BYTES = 1 << 30  # a fuller disk is left alone
# How often a process that waits for the first one's program looks into the cache, and after how
# long it compiles for itself.
_LOOK_EVERY_S, _LONGEST_WAIT_S = 2, 600
_SHARE_TAKES = (
    "backend", "computation", "executable_devices", "compile_options", "host_callbacks",
    "global_client", "module_name", "cache_key", "first_process_id",
)  # fmt: skip


def enable(
    say: Callable[[str], None], environ: MutableMapping[str, str] = os.environ
) -> pathlib.Path | None:
    """Turns the cache on for a JAX that is not imported yet; its folder on disk, if it has one.

    Off where MBJAX_COMPILATION_CACHE is 'off' or the folder cannot be used; what the user has set
    for JAX (JAX_COMPILATION_CACHE_DIR) stands. say: gets one line when the folder is made.
    """
    wanted = environ.get(SETTING, "")
    if wanted.lower() in ("off", "0", "no") or "JAX_COMPILATION_CACHE_DIR" in environ:
        return None
    if "://" in wanted:  # JAX writes there by etils; it has no limit, as it cannot be locked
        environ["JAX_COMPILATION_CACHE_DIR"] = f"{wanted.rstrip('/')}/{_machine()}"
        return None
    folder = (pathlib.Path(wanted) if wanted else _cache_home(environ) / "xla") / _machine()
    try:
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Programs that are loaded run: they have to be one's own, or where one says.
        if not wanted and hasattr(os, "getuid") and folder.stat().st_uid != os.getuid():
            return None
        if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < _FREE_BYTES:
            return None
        remove_unfinished(folder)
    except (OSError, RuntimeError):  # no home, read-only, ...
        return None
    environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    # With a limit JAX takes a lock for each entry it reads or writes, so processes may share it.
    environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(_MAX_BYTES))
    if is_new:
        say(f"compiled programs are kept in {folder} for later runs ({SETTING}=off: they are not)")
    return folder


def share_on_one_host() -> None:
    """CPU processes of one run on one host compile each of its programs once, the first for all.

    JAX's keys hold a number of the CPU devices that is another in each process, though the programs
    are the same, so all but the first would compile at every start; here they hold the devices'
    kinds and processes (JAX 0.10.2, whose module is private: where it is not as expected, all
    compile).
    """
    import jax

    if jax.default_backend() != "cpu" or not jax.config.jax_compilation_cache_dir:
        return
    try:
        from jax._src import cache_key, compiler

        hash_kinds = cache_key._hash_devices
        _ = cache_key._hash_accelerator_config
        share = compiler._compile_and_share_module
        if tuple(inspect.signature(share).parameters) != _SHARE_TAKES:
            return
    except (ImportError, AttributeError):
        return

    def hash_devices(hash_object, devices):
        hash_kinds(hash_object, devices)
        hash_object.update(repr([device.process_index for device in devices.flat]).encode())

    cache_key._hash_accelerator_config = hash_devices
    # The first start: the others wait for what the first compiles.
    jax.config.update("jax_share_binary_between_hosts", True)
    compiler._compile_and_share_module = _looking_into_the_cache(compiler, share)


def _looking_into_the_cache(compiler, share):
    """JAX's way for a program to reach the other processes, without its waiting for ever.

    The first process hands on what it compiles, not what it finds in the cache, where another run
    may have put it since the others looked.
    """

    def compile_and_share(
        backend, computation, executable_devices, compile_options, host_callbacks, global_client,
        module_name, cache_key, first_process_id,
    ):  # fmt: skip
        import jax
        from jax._src import distributed

        def original():
            return share(
                backend, computation, executable_devices, compile_options, host_callbacks,
                global_client, module_name, cache_key, first_process_id,
            )  # fmt: skip

        if distributed.global_state.process_id == first_process_id:
            return original()
        began = time.monotonic()
        while time.monotonic() - began < _LONGEST_WAIT_S:
            try:
                global_client.blocking_key_value_get_bytes(cache_key, 1000 * _LOOK_EVERY_S)
                return original()
            except jax.errors.JaxRuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise
            found, _ = compiler._cache_read(
                module_name, cache_key, compile_options, backend, executable_devices
            )
            if found is not None:
                return found
        return compiler._compile_and_write_cache(
            backend, computation, executable_devices, compile_options, host_callbacks, module_name,
            cache_key,
        )  # fmt: skip

    compile_and_share.modules_cache = share.modules_cache
    return compile_and_share


def remove_unfinished(folder: pathlib.Path) -> int:
    """Removes entries whose writing was cut off (JAX would keep them for good): how many.

    An entry's time of use is written after it, both under JAX's lock.
    """
    unfinished = [entry for entry in folder.glob("*-cache") if not _used(entry).exists()]
    if not unfinished:
        return 0
    import filelock

    removed = 0
    with contextlib.suppress(filelock.Timeout), filelock.FileLock(folder / ".lockfile", timeout=10):
        for entry in unfinished:
            if not _used(entry).exists():
                entry.unlink(missing_ok=True)
                removed += 1
    return removed


def _used(entry):
    return entry.with_name(entry.name.removesuffix("-cache") + "-atime")


def _cache_home(environ):
    home = environ.get("XDG_CACHE_HOME", "")
    base = pathlib.Path(home) if os.path.isabs(home) else pathlib.Path.home() / ".cache"
    return base / "mbjax"


def _machine() -> str:
    """Names machines that can run one another's programs."""
    features = ""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                features = " ".join(sorted(line.split(":", 1)[1].split()))
                break
    digest = hashlib.sha256(features.encode()).hexdigest()[:8]
    return f"{platform.machine() or 'machine'}-{digest}"
