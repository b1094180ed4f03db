"""libtpu is left alone where nothing speaks for an accelerator, and only there."""

import importlib.metadata
import importlib.util

import pytest

from mbjax.devices import accelerators


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without anything, as a folder; no plugins installed beside libtpu."""
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: ())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "libtpu" or None)
    (tmp_path / "dev/vfio").mkdir(parents=True)
    (tmp_path / "dev/vfio/vfio").touch()  # the driver's own node, there without any device
    device(tmp_path, "00:01.0", 0x8086, 0x060000)  # a bridge
    return tmp_path


def device(root, place, maker, kind):
    folder = root / "sys/bus/pci/devices" / place
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"0x{maker:04x}\n")
    (folder / "class").write_text(f"0x{kind:06x}\n")


def test_nothing_is_nothing(machine):
    assert not accelerators.any_sign({"PATH": "/bin"}, machine)


@pytest.mark.parametrize(
    "node", ["accel0", "accel/accel0", "vfio/3", "nvidia0", "nvidiactl", "kfd"]
)
def test_device_nodes(machine, node):
    path = machine / "dev" / node
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert accelerators.any_sign({}, machine)


@pytest.mark.parametrize(
    "maker, kind", [(0x1AE0, 0xFF0000), (0x10DE, 0x030200), (0x1002, 0x030000), (0x8086, 0x038000)]
)
def test_pci(machine, maker, kind):
    device(machine, "00:04.0", maker, kind)
    assert accelerators.any_sign({}, machine)


@pytest.mark.parametrize("name", ["TPU_NAME", "TPU_WORKER_ID", "CUDA_VISIBLE_DEVICES"])
def test_variables(machine, name):
    assert accelerators.any_sign({name: "0"}, machine)


def test_plugins_of_others(machine, monkeypatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: (object(),))
    assert accelerators.any_sign({}, machine)


def test_what_the_user_chose_stands(machine, monkeypatch):
    monkeypatch.setattr(accelerators, "any_sign", lambda environ: False)
    for chosen in ({"JAX_PLATFORMS": "tpu"}, {"JAX_PLATFORM_NAME": "gpu"}):
        accelerators.spare_libtpu(environ := dict(chosen))
        assert environ == chosen
    accelerators.spare_libtpu(environ := {})
    assert environ == {"JAX_PLATFORMS": "cpu"}
    monkeypatch.setattr(accelerators, "any_sign", lambda environ: True)
    accelerators.spare_libtpu(environ := {})
    assert environ == {}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(accelerators, "any_sign", lambda environ: False)
    accelerators.spare_libtpu(environ := {})
    assert environ == {}
