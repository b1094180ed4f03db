"""Your own recordings and classes: keypoint files in folders, or listed in a table.

FOLDER/CLASS/FILE, FOLDER/CLASS/SUBJECT/FILE, or any tree with FOLDER/labels.csv, whose columns are
file and label and, where they are known, subject, split, layout, width, height, fps. A FILE is
anything that mbjax.keypoints.read reads: .json, .npy, .npz, or a folder of OpenPose's files.
"""

import csv
import dataclasses
import pathlib

from data_prep import corpus, features
from mbjax.data.action.persons import side_by_side
from mbjax.keypoints import read as keypoint_files

TABLE = "labels.csv"
_COLUMNS = ("file", "label", "subject", "split", "layout", "width", "height", "fps")
_ENDINGS = (".json", ".npy", ".npz")


@dataclasses.dataclass(frozen=True)
class ActionsOptions:
    layout: str = corpus.option("", "of the keypoints, where the files do not say: coco17, ...")
    width: int = corpus.option(0, "of the image in pixels; 0: what the keypoints reach")
    height: int = corpus.option(0, "of the image in pixels; 0: what the keypoints reach")
    fps: float = corpus.option(0.0, "frame rate, where the files do not say; 0: not known")
    score_order: str = corpus.option(
        "joints", "order of the scores: that of the joints; or coco, for released checkpoints",
        ("joints", "coco"),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class LabelledFile(corpus.SourceFile):
    """A keypoint file and what is said about it."""

    class_name: str
    subject: str = ""
    layout: str = ""
    size: tuple[int, int] | None = None
    fps: float = 0.0


class Actions(corpus.Corpus):
    """Labelled recordings of your own as 2D keypoints of up to two persons."""

    TREE = f"CLASS/FILE, CLASS/SUBJECT/FILE, or {TABLE} with the columns file and label"
    OPTIONS = ActionsOptions

    @classmethod
    def record_features(cls, options):
        return features.named_action()

    @classmethod
    def source_files(cls, raw, options):
        table = raw / TABLE
        found = _of_table(raw, table) if table.is_file() else _of_folders(raw)
        size = (options.width, options.height) if options.width and options.height else None
        return [
            dataclasses.replace(
                source,
                layout=source.layout or options.layout,
                size=source.size or size,
                fps=source.fps or options.fps,
            )
            for source in found
        ]

    @classmethod
    def companions(cls, raw, options):
        return [raw / TABLE] if (raw / TABLE).is_file() else []

    @classmethod
    def records(cls, source, options, report):
        found = keypoint_files.read(source.path, source.layout or None, source.size)
        persons = side_by_side(found, source.size, options.score_order)
        for note in persons.notes:
            report.note(f"{source.name}: {note}")
        fps = source.fps or found.fps or 0.0
        report.read(persons.keypoints_MxTxJx3.shape[1], fps)
        width, height = persons.size
        yield (
            "0",
            {
                "keypoints": persons.keypoints_MxTxJx3,
                "class_name": source.class_name,
                "subject": source.subject,
                "width": width,
                "height": height,
                "source": source.name,
                "first_frame": persons.first_frame,
                "fps": fps,
            },
        )


def _of_folders(raw):
    """A class for each folder, a subject for each folder in it."""
    sources = []
    for folder in sorted(path for path in raw.iterdir() if path.is_dir()):
        for path in sorted(folder.iterdir()):
            is_subject = path.is_dir() and not _is_recording(path)
            for file in sorted(path.iterdir()) if is_subject else [path]:
                if _is_recording(file):
                    name = file.relative_to(raw).as_posix()
                    subject = path.name if is_subject else ""
                    sources.append(LabelledFile("train", name, file, folder.name, subject))
    return sources


def _is_recording(path):
    if path.is_dir():
        return any(path.glob("*_keypoints.json"))
    return path.suffix.lower() in _ENDINGS


def _of_table(raw, table):
    try:
        return _rows_of_table(raw, table)
    except csv.Error as error:
        raise ValueError(f"{table}: not a table ({error})") from None
    except UnicodeDecodeError:
        raise ValueError(f"{table}: not UTF-8; save it as 'CSV UTF-8'") from None


def _rows_of_table(raw, table):
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = [name.strip() for name in reader.fieldnames or ()]
        unknown = [name for name in columns if name not in _COLUMNS]
        if unknown or "file" not in columns or "label" not in columns:
            raise ValueError(
                f"{table} has the columns {', '.join(columns) or 'none'}; it takes file and label, "
                f"and may have {', '.join(_COLUMNS[2:])}"
            )
        reader.fieldnames = columns
        rows = [{k: (v or "").strip() for k, v in row.items() if k in _COLUMNS} for row in reader]
    absent = [row["file"][:100] for row in rows if not _is_below(raw, row["file"])]
    if absent:
        more = f" and {len(absent) - 3} more" if len(absent) > 3 else ""
        raise ValueError(
            f"{table} names files that are not in {raw}: {', '.join(absent[:3])}{more}; "
            "correct the table"
        )
    sources, seen = [], set()
    for number, row in enumerate(rows, 2):
        if not row["label"]:
            raise ValueError(f"{table}, line {number}: {row['file']} has no label")
        split = row.get("split") or "train"
        corpus.check_split(split, f"{table}, line {number}")
        if row["file"] in seen:
            raise ValueError(f"{table}, line {number}: {row['file']} is there twice")
        seen.add(row["file"])
        try:
            numbers = {k: float(row.get(k) or 0) for k in ("width", "height", "fps")}
        except ValueError:
            raise ValueError(f"{table}, line {number}: width, height and fps are numbers") from None
        for name, most in (("width", 1e6), ("height", 1e6), ("fps", 1e5)):
            if not 0 <= numbers[name] <= most:
                raise ValueError(
                    f"{table}, line {number}: {name} is {numbers[name]:g}; it must be from 0 to"
                    f" {most:,.0f}"
                )
        size = (int(numbers["width"]), int(numbers["height"]))
        sources.append(
            LabelledFile(
                split, row["file"], raw / row["file"], row["label"],
                row.get("subject", ""), row.get("layout", ""), size if all(size) else None,
                numbers["fps"],
            )
        )  # fmt: skip
    return sources


def _is_below(raw, name):
    """Whether it names something in the raw folder, and not outside of it."""
    path = pathlib.PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts:
        return False
    try:
        return (raw / name).exists()
    except (OSError, ValueError):  # longer than a name can be; a character that none has
        return False
