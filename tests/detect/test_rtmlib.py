"""The adapter of rtmlib, with nets of two operations in the place of those that it downloads."""

import sys

import numpy as np
import pytest

from mbjax.detect import detectors

DOT = (200, 120)  # column, row
BOX = (100, 60, 260, 220)
MARGIN = 416 / 640  # of the picture of 640 x 480 in the net's square


def save(path, inputs, outputs, nodes, constants):
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    graph = make.make_graph(
        [make.make_node(*node[:3], **node[3]) for node in nodes],
        "net",
        [make.make_tensor_value_info("image", onnx.TensorProto.FLOAT, inputs)],
        [
            make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ],
        [onnx.numpy_helper.from_array(np.array(array), name) for name, array in constants.items()],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return str(path)


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A detector with BOX where anything is red (OpenCV's third colour); keypoints at the reddest
    pixel of it."""
    pytest.importorskip("rtmlib")
    red = ("Slice", ["image", "first", "last", "axis"], ["red"], {})
    of_red = {"first": [2], "last": [3], "axis": [1]}
    box = np.array([[BOX]], np.float32) * np.float32(MARGIN)
    detector = [
        red,
        ("ReduceMax", ["red"], ["most"], {"keepdims": 1}),
        # Past the grey with which rtmlib fills up the square.
        ("Sub", ["most", "grey"], ["redder"], {}),
        ("Div", ["redder", "grey"], ["share"], {}),
        ("Reshape", ["share", "one"], ["score"], {}),
        ("Concat", ["box", "score"], ["found"], {"axis": 2}),
    ]
    constants = of_red | {"grey": np.float32(114), "one": [1, 1, 1], "box": box}
    path = save(tmp_path / "det.onnx", [1, 3, 416, 416], {"found": [1, 1, 5]}, detector, constants)
    monkeypatch.setenv("MBJAX_RTMLIB_DETECTOR", path)
    pose = [red]
    for axis, name, size in ((2, "x", 144), (3, "y", 192)):
        pose += [
            ("ReduceMax", ["red", f"over_{name}"], [f"row_{name}"], {"keepdims": 0}),
            # Sure of itself also where nothing is red.
            ("Add", [f"row_{name}", "three"], [f"more_{name}"], {}),
            ("Tanh", [f"more_{name}"], [f"score_{name}"], {}),
            # Two places a pixel, as those nets have them.
            ("Resize", [f"score_{name}", "", "twice"], [f"two_{name}"], {"mode": "nearest"}),
            ("Expand", [f"two_{name}", f"shape_{name}"], [f"at_{name}"], {}),
        ]
        of_red |= {f"over_{name}": [axis], f"shape_{name}": [1, 26, 2 * size]}
    of_red["three"] = np.float32(3)
    of_red["twice"] = np.array([1, 1, 2], np.float32)
    outputs = {"at_x": [1, 26, 288], "at_y": [1, 26, 384]}
    path = save(tmp_path / "pose.onnx", [1, 3, 192, 144], outputs, pose, of_red)
    monkeypatch.setenv("MBJAX_RTMLIB_POSE", path)


def picture(colour):
    image = np.zeros((480, 640, 3), np.uint8)
    image[DOT[1] - 4 : DOT[1] + 5, DOT[0] - 4 : DOT[0] + 5] = colour
    return image


def test_keypoints_of_a_box_are_in_the_pictures_pixels(nets, capsys):
    detector = detectors.make("rtmlib")
    (keypoints_Kx3,) = detector(picture((255, 0, 0)))
    assert keypoints_Kx3.shape == (26, 3) and keypoints_Kx3.dtype == np.float64
    # The first pixel of the dot, in a cut whose pixels are 1.4 of the picture's.
    np.testing.assert_allclose(keypoints_Kx3[:, :2] - DOT, -4, atol=2)
    assert (keypoints_Kx3[:, 2] > 0.9).all()
    assert capsys.readouterr().out == "", "what is printed is the commands' own"


def test_nobody_is_nobody(nets):
    detector = detectors.make("rtmlib")
    assert detector(picture((0, 0, 0))) == []
    # Blue for red would be red if the colours were left in their order.
    assert detector(picture((0, 0, 255))) == []


def test_files_that_are_not_there_or_no_nets_are_one_line(nets, tmp_path, monkeypatch):
    (tmp_path / "text.onnx").write_text("not a net")
    monkeypatch.setenv("MBJAX_RTMLIB_POSE", str(tmp_path / "text.onnx"))
    with pytest.raises(ValueError, match="rtmlib cannot load its nets") as error:
        detectors.make("rtmlib")
    assert "\n" not in str(error.value)
    monkeypatch.setenv("MBJAX_RTMLIB_POSE", str(tmp_path / "no.onnx"))
    with pytest.raises(FileNotFoundError, match="MBJAX_RTMLIB_POSE: there is no file"):
        detectors.make("rtmlib")


def test_rtmlib_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(ImportError, match="pip install rtmlib"):
        detectors.make("rtmlib")
