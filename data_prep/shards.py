"""Finished parts to the shards of a dataset, by TFDS and without TensorFlow.

TFDS needs TensorFlow in two places only: to frame records as TFRecord files, and for the files in
which it sorts more than a gigabyte of them. Both are plain files, and done here.
"""

import contextlib
import errno
import io
import os
import pathlib
import struct
import types

import google_crc32c

from mbjax.remarks import one_line

NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def write_shards(corpus, options: dict, parts: pathlib.Path, staging: pathlib.Path) -> pathlib.Path:
    """The folder with the shards, dataset_info.json and features.json, somewhere in `staging`.

    The same parts give the same bytes. OSError with its number where there is no room.
    """
    import tensorflow_datasets as tfds
    from absl import logging

    from data_prep.corpus import Settings

    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    settings = Settings(name="prepared", options=options, parts=os.fspath(parts))
    try:
        # What it prints speaks of the staging folder, which the user will never see.
        with contextlib.redirect_stdout(io.StringIO()), _own_writers():
            builder = corpus(data_dir=os.fspath(staging), config=settings)
            builder.download_and_prepare()
    except Exception as error:
        # TFDS wraps the system's error in its own.
        text = one_line(error)
        for number in NO_ROOM:
            if os.strerror(number) in text:
                raise OSError(number, os.strerror(number)) from error
        raise
    return pathlib.Path(builder.data_path)


@contextlib.contextmanager
def _own_writers():
    """Meanwhile fields stand in the order of their names, and TensorFlow is not imported."""
    from tensorflow_datasets.core import shuffle
    from tensorflow_datasets.core.example_serializer import ExampleSerializer
    from tensorflow_datasets.core.file_adapters import TfRecordFileAdapter

    def serialize_example(self, example):
        return self.get_tf_example(example).SerializeToString(deterministic=True)

    gfile = types.SimpleNamespace(GFile=open, exists=os.path.exists, remove=os.remove)
    errors = types.SimpleNamespace(ResourceExhaustedError=_Never)
    plain_files = types.SimpleNamespace(io=types.SimpleNamespace(gfile=gfile), errors=errors)
    changes = (
        (ExampleSerializer, "serialize_example", serialize_example),
        (TfRecordFileAdapter, "write_examples", classmethod(_write_examples)),
        (shuffle, "tf", plain_files),
    )
    before = [vars(owner)[name] for owner, name, _ in changes]
    for owner, name, new in changes:
        setattr(owner, name, new)
    try:
        yield
    finally:
        for (owner, name, _), old in zip(changes, before, strict=True):
            setattr(owner, name, old)


class _Never(Exception):
    """What TensorFlow's files raise and plain ones do not."""


def _write_examples(_, path, examples):
    """[length][its checksum][data][its checksum] of each, as mbjax.data.records reads them."""
    with open(path, "wb") as file:
        for _, data in examples:
            length = struct.pack("<Q", len(data))
            file.write(length + _checksum(length))
            file.write(data)
            file.write(_checksum(data))


def _checksum(data):
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
