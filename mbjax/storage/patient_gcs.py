"""Google's object storage by gcsfs, through minutes without a network.

gcsfs tries a request for half a minute. Orbax writes what describes a checkpoint through it, and a
run should not end because a network was away for a minute while it did.
"""

import asyncio
import time

import aiohttp
import fsspec
import gcsfs
import requests

_AWAY = (aiohttp.ClientConnectionError, requests.exceptions.ConnectionError)


class PatientGCSFileSystem(gcsfs.GCSFileSystem):
    """patience_s: how long requests are begun again while there is not a connection."""

    patience_s = 120.0

    async def _request(self, *args, **kwargs):
        deadline = time.monotonic() + self.patience_s
        while True:
            try:
                return await super()._request(*args, **kwargs)
            except _AWAY:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1.0)


def register() -> None:
    """Makes it what fsspec, and so Orbax, takes for gs://."""
    for name in PatientGCSFileSystem.protocol:
        fsspec.register_implementation(name, PatientGCSFileSystem, clobber=True)
