"""One split of a pickle of frames, as Human3.6M and the mesh corpora are packed.

Such a file holds {split: {column: N entries}}, a row for every frame. N rows, J = 17 joints.
"""

import numpy as np

from data_prep import corpus, windows
from mbjax import safe_pickle
from mbjax.pose.skeleton import NUM_JOINTS


class Table:
    """One split of a file: named columns of one length; rows are frames.

    Every error is a ValueError in one line without the file's name.
    """

    def __init__(self, path, split: str):
        """Reads the whole pickle, runs nothing in it, and keeps one split."""
        content = safe_pickle.load(path)
        columns = content.get(split) if isinstance(content, dict) else None
        if not isinstance(columns, dict):
            raise ValueError(f"missing key {split}: a dict of the frames' arrays was expected")
        self.split, self._columns = split, columns
        self.sources = self.texts("source")
        if not self.sources:
            raise ValueError(f"{split} has no frames")

    def __len__(self):
        return len(self.sources)

    def __contains__(self, name):
        return name in self._columns

    def texts(self, name: str) -> list[str]:
        """A column of N words, lists or arrays."""
        column = self._column(name)
        if isinstance(column, np.ndarray):
            column = column.tolist()
        if not isinstance(column, (list, tuple)) or not all(
            isinstance(word, (str, bytes)) for word in column
        ):
            raise ValueError(f"{self.split}: {name} is not a list of words")
        column = [c.decode("latin1") if isinstance(c, bytes) else str(c) for c in column]
        if name != "source":
            self._need_rows(name, len(column))
        return column

    def numbers(self, name: str, *shape: int) -> np.ndarray:
        """A column of N numeric arrays of this shape; as stored, no copy."""
        column = self.rows(name)
        if column.shape[1:] != shape:
            raise ValueError(
                f"{self.split}: {name} has shape {column.shape}, (N, {', '.join(map(str, shape))})"
                " was wanted"
            )
        return column

    def rows(self, name: str) -> np.ndarray:
        """A column of N numeric arrays of any one shape; as stored, no copy."""
        column = self._column(name)
        try:
            column = np.asarray(column)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(f"{self.split}: {name} holds entries of several shapes") from error
        if column.dtype.kind not in "fiu":
            raise ValueError(f"{self.split}: {name} does not hold numbers")
        self._need_rows(name, len(column) if column.ndim else 0)
        return column

    def confidence(self) -> np.ndarray:
        """(N, 17), from (N, 17, 1) or (N, 17); 1 where the file has none."""
        if "confidence" not in self:
            return np.broadcast_to(np.float32(1), (len(self), NUM_JOINTS))
        if np.ndim(self._columns["confidence"]) == 3:
            return self.numbers("confidence", NUM_JOINTS, 1)[..., 0]
        return self.numbers("confidence", NUM_JOINTS)

    def _column(self, name):
        if name not in self._columns:
            raise ValueError(f"missing key {name} in {self.split}")
        return self._columns[name]

    def _need_rows(self, name, rows):
        if rows != len(self):
            raise ValueError(f"{self.split}: {name} has {rows} rows, source has {len(self)}")


def split_files(raw, name: str) -> list[corpus.SourceFile]:
    """One unit of work for each split of a pickle that holds both; none if it is not there."""
    path = raw / name
    return [corpus.SourceFile(s, name, path) for s in ("train", "test")] if path.is_file() else []


def cut_table(table, options, report):
    """Clips of a split under the options frames, stride, test_stride and clips."""
    test, reference = table.split == "test", options.clips == "reference"
    clips = list(
        windows.cut(
            table.sources,
            options.frames,
            options.test_stride if test else options.stride,
            cover=test and not reference,
            reference=reference,
        )
    )
    if left_out := windows.count_left_out(clips, len(table)):
        report.note(f"frames of tails too short for a clip, in {table.split}", left_out)
    return clips
