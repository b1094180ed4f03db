"""One net in a .tflite file, run by LiteRT. The extra [video]."""

import contextlib
import os
import pathlib

import numpy as np


class Net:
    """A net of one image: `net(image)` is its outputs by name."""

    def __init__(self, path: str | os.PathLike, threads: int = 2):
        """FileNotFoundError where the file is not there, ImportError without LiteRT."""
        try:
            from ai_edge_litert import interpreter as litert
        except ImportError:
            raise ImportError(
                "detecting persons needs LiteRT: pip install 'mbjax[video]' (Linux and macOS); or "
                "give --keypoints of another detector"
            ) from None
        path = pathlib.Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"the net {path.name} is not in this installation")
        with _quiet():
            self._interpreter = litert.Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = self._interpreter.get_output_details()
        _, self.height, self.width, _ = self._input["shape"].tolist()

    def __call__(self, image_HxWx3: np.ndarray) -> dict[str, np.ndarray]:
        """image: float32, in the range that the net was trained on."""
        self._interpreter.set_tensor(self._input["index"], image_HxWx3[None])
        self._interpreter.invoke()
        return {one["name"]: self._interpreter.get_tensor(one["index"])[0] for one in self._outputs}


@contextlib.contextmanager
def _quiet():
    """LiteRT's remark about its delegate goes past Python to the process's own stderr."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
