"""croissant.json: what a prepared dataset is, as dataset searches and MLCommons' tools read it.

The format: Croissant 1.1 (docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html). The records
themselves are TFRecords, which its readers do not open: mbjax.data.records and tfds.load do.
"""

import hashlib
import json
import pathlib

import numpy as np

FILE = "croissant.json"
_VERSION = "http://mlcommons.org/croissant/1.1"
# The terms that are used here, each with the vocabulary that it is from.
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{
        term: f"cr:{term}"
        for term in (
            "arrayShape", "column", "extract", "field", "fileObject", "fileSet", "includes",
            "isArray", "isLiveDataset", "recordSet", "source",
        )
    },
}  # fmt: skip
_TYPES = {
    "float32": "sc:Float", "int64": "sc:Integer", "bool": "sc:Boolean", "string": "sc:Text",
}  # fmt: skip


def write(folder: pathlib.Path, corpus, options, card: dict) -> None:
    """Describes a folder (DIR/VERSION) whose shards and card are written.

    corpus: the builder's class; options: as it was made with; card: what card.json says.
    """
    shards = sorted(path for path in folder.iterdir() if ".tfrecord-" in path.name)
    about = " ".join((corpus.__doc__ or "").split())
    description = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _VERSION,
        "name": corpus.name,
        "description": f"{about} {card['summary'].splitlines()[0]}.",
        "version": card["corpus_version"],
        "license": "that of the raw files, set by their owners; see data_prep/README.md of mbjax",
        "isLiveDataset": False,
        "distribution": [_file(path) for path in shards],
        "recordSet": [
            _records(split, count, [p for p in shards if f"-{split}.tfrecord-" in p.name], features)
            for features in [corpus.record_features(options)]
            for split, count in card["clips"].items()
        ],
    }
    text = json.dumps(description, indent=1, ensure_ascii=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def _file(path):
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": "application/x-tfrecord",
        "sha256": digest,
    }


def _records(split, count, shards, features):
    """Those of a split; the first of its shards stands for all of them as the fields' source."""
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": f"{count:,} records of the split {split}.",
        "field": [
            _field(split, name, feature, shards[0].name)
            for name, feature in sorted(features.items())
        ],
    }


def _field(split, name, feature, shard):
    field = {
        "@type": "cr:Field",
        "@id": f"{split}/{name}",
        "name": f"{split}/{name}",
        "dataType": _TYPES.get(np.dtype(feature.np_dtype).name, "sc:Text"),
        "source": {"fileObject": {"@id": shard}, "extract": {"column": name}},
    }
    if feature.shape:
        sizes = ",".join(str(size or -1) for size in feature.shape)
        field |= {"isArray": True, "arrayShape": sizes}
    return field
