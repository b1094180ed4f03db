"""python -m tests.recipes.gcs_server PORT BUCKET: gcp-storage-emulator with what it leaves out.

Left out are the header that tells an object's generation, and conditions on it: TensorStore reads
by the one, and both TensorStore and gcsfs rely on the other to decide between two writers. Requests
are handled one after the other, so that a condition holds until its write.
"""

import sys
from http import HTTPStatus

from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects


def generation(storage, bucket: str, name: str) -> str:
    """Of an object that is there; '0' where it is not."""
    try:
        return storage.get_file_obj(bucket, name)["generation"]
    except NotFound:
        return "0"


def _name(request):
    """The object that a request is about: in its path, its query, or (multipart) its data."""
    named = request.params.get("object_id") or (request.query.get("name") or [""])[0]
    if not named and isinstance(request.data, dict):
        named = request.data.get("meta", request.data).get("name", "")
    return named


def conditional(handler):
    """A handler that keeps to ifGenerationMatch and ifGenerationNotMatch."""

    def handle(request, response, storage, *args, **kwargs):
        asked = request.query.get("ifGenerationMatch"), request.query.get("ifGenerationNotMatch")
        if any(asked):
            there = generation(storage, request.params["bucket_name"], _name(request))
            if asked[0] and asked[0][0] != there:
                response.status = HTTPStatus.PRECONDITION_FAILED
                return
            if asked[1] and asked[1][0] == there:
                response.status = HTTPStatus.NOT_MODIFIED
                return
        handler(request, response, storage, *args, **kwargs)

    return handle


def with_generation(handler):
    """A handler whose answer says of which generation the object is."""

    def handle(request, response, storage, *args, **kwargs):
        there = generation(storage, request.params["bucket_name"], request.params["object_id"])
        if there != "0":
            response["x-goog-generation"] = there
        handler(request, response, storage, *args, **kwargs)

    return handle


def complete() -> None:
    """Puts the above into the emulator's table of handlers."""
    better = {
        objects.insert: conditional(objects.insert),
        objects.delete: conditional(objects.delete),
        objects.get: conditional(with_generation(objects.get)),
        objects.download: conditional(with_generation(objects.download)),
    }
    server.HANDLERS = tuple(
        (pattern, {method: better.get(one, one) for method, one in handlers.items()})
        for pattern, handlers in server.HANDLERS
    )


if __name__ == "__main__":
    complete()
    port, bucket = int(sys.argv[1]), sys.argv[2]
    server.Server("127.0.0.1", port, in_memory=True, default_bucket=bucket).run()
