"""Files of weights from anywhere: what they hold is read, nothing in them is run, and each refusal is one line."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from harness.models.spec import ModelSpec  # noqa: E402
from harness.models.tempcnn import build  # noqa: E402
from harness.workers.engine import BadInput, Refusal  # noqa: E402
from harness.workers.keras.file import read_keras_file  # noqa: E402
from harness.workers.pytorch.engine import IMPORTER  # noqa: E402
from harness.workers.pytorch.state_dict_file import read_torch_file  # noqa: E402
from harness.workers.tensors import read_tensors, write_tensors  # noqa: E402
from tests.unit.workers.keras_files import layer, tempcnn_layers, write_keras  # noqa: E402

Array = NDArray[Any]

SPEC = build(
    bands=3,
    dates=4,
    classes=5,
    preset=None,
    hyperparameters={
        "filters": [2, 6],
        "kernels": [3, 5],
        "dropouts": [0.0, 0.0],
        "dense_width": 7,
        "dense_dropout": 0.0,
    },
)


def parameters(spec: ModelSpec = SPEC) -> dict[str, Array]:
    random = np.random.default_rng(0)
    return {one.name: random.uniform(0.1, 1.0, one.shape).astype(np.float32) for one in spec.parameters}


def state() -> dict[str, Any]:
    return {name: torch.from_numpy(array) for name, array in parameters().items()}


class Runs:
    """A pickle that makes a file when it is loaded by anything but a restricted unpickler."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.path}'",)


def imported(path: Path, out: Path, **arguments: Any) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    return IMPORTER.import_weights(str(path), str(out), **({"model": "tempcnn"} | arguments))


def write(kind: str, folder: Path) -> Path:
    if kind == ".safetensors":
        write_tensors(folder / "w.safetensors", parameters())
    elif kind == ".keras":
        write_keras(folder / "w.keras", tempcnn_layers(parameters()))
    else:
        torch.save(state(), folder / f"w{kind}")
    return folder / f"w{kind}"


@pytest.mark.parametrize("kind", [".safetensors", ".pt", ".pth", ".keras"])
def test_every_kind_of_file_gives_the_same_artifact(kind: str, tmp_path: Path) -> None:
    path = write(kind, tmp_path)
    record = imported(path, tmp_path / "out")
    found = read_tensors(tmp_path / "out" / "weights.safetensors")
    assert found.keys() == parameters().keys()
    assert all(found[name].tobytes() == array.tobytes() for name, array in parameters().items())
    assert ModelSpec.from_json((tmp_path / "out" / "model.json").read_text()) == SPEC
    assert record["parameters"] == sum(array.size for array in parameters().values())
    assert record["bytes"] == path.stat().st_size
    assert record["head_from"] == ("file" if kind == ".keras" else "otherwise")


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model_state", "model"])
def test_a_state_dict_kept_with_other_things(key: str, tmp_path: Path) -> None:
    torch.save({"epoch": 3, "loss": 0.5, key: OrderedDict(state())}, tmp_path / "w.pt")
    assert read_torch_file(tmp_path / "w.pt").keys() == parameters().keys()


def test_the_head_is_stated_or_the_files_or_the_graphs(tmp_path: Path) -> None:
    plain = write(".safetensors", tmp_path)
    assert imported(plain, tmp_path / "out", head="softmax")["head_from"] == "stated"
    imported(plain, tmp_path / "out", ends_in="log-softmax")
    assert ModelSpec.from_json((tmp_path / "out" / "model.json").read_text()).head == "log-softmax"
    keras = write_keras(tmp_path / "s.keras", tempcnn_layers(parameters(), "softmax"), functional=True)
    imported(keras, tmp_path / "out", ends_in="log-softmax")
    assert ModelSpec.from_json((tmp_path / "out" / "model.json").read_text()).head == "softmax"
    with pytest.raises(BadInput, match="ends in softmax, not in logits"):
        imported(keras, tmp_path / "out", head="logits")


def test_no_pickle_is_ever_run(tmp_path: Path) -> None:
    made = tmp_path / "made"
    torch.save({"conv1.weight": Runs(made)}, tmp_path / "evil.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Runs(made)))
    torch.save(Runs(made), tmp_path / "alone.pt")
    # That the trap is one: the ordinary unpickler does run it.
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert made.exists()
    made.unlink()
    for name in ("evil.pt", "bare.pt", "alone.pt"):
        with pytest.raises(BadInput) as caught:
            read_torch_file(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert not made.exists()
    with pytest.raises(BadInput, match=r"holds 'posix\.system', which is more than tensors, and was not loaded"):
        read_torch_file(tmp_path / "evil.pt")


def stored(path: Path, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """The archive again with changed members."""
    with zipfile.ZipFile(path) as old:
        members = {info.filename: change(info.filename, old.read(info)) for info in old.infolist()}
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in members.items():
            new.writestr(name, content)
    return path


def spoilt_pt(kind: str, path: Path) -> Path:
    if kind == "module":
        torch.save(torch.nn.Linear(2, 2), path)
    elif kind == "script":
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    elif kind == "legacy":
        torch.save(state(), path, _use_new_zipfile_serialization=False)
    elif kind == "compressed":
        torch.save({"a": torch.zeros(1 << 20)}, path)
        stored(path, lambda name, content: content, zipfile.ZIP_DEFLATED)
    elif kind == "longer":
        torch.save({"a": torch.zeros(4)}, path)
        stored(path, lambda name, content: content.replace(b"K\x04", b"M\x00\x40"))
    elif kind == "strides":
        torch.save({"a": torch.zeros(1).expand(1 << 40)}, path)
    elif kind == "meta":
        torch.save({"a": torch.zeros(4, device="meta")}, path)
    elif kind == "sparse":
        torch.save({"a": torch.eye(3).to_sparse()}, path)
    elif kind == "list":
        torch.save([torch.zeros(2)], path)
    elif kind == "number":
        torch.save({"conv1.weight": 3.0}, path)
    elif kind == "bfloat16":
        torch.save({"conv1.weight": torch.zeros(2, dtype=torch.bfloat16)}, path)
    elif kind == "archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("hello.txt", "hello")
    elif kind == "cut":
        torch.save(state(), path)
        path.write_bytes(path.read_bytes()[:-200])
    else:
        path.write_bytes(b"")
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("module", "holds 'torch.nn.modules.linear.Linear', which is more than tensors"),
        ("script", "is a TorchScript archive, which is a program"),
        ("legacy", "not a file that torch.save of PyTorch 1.6 or later wrote"),
        ("compressed", "has compressed members"),
        ("longer", "cannot be read by torch.load"),
        ("strides", "claims more bytes than the file has"),
        ("meta", "is no dense tensor on the CPU"),
        ("sparse", "is no dense tensor on the CPU"),
        ("list", "holds list, not a state dict"),
        ("number", "entry 'conv1.weight' is float, not a tensor"),
        ("bfloat16", "must be float32, not bfloat16"),
        ("archive", "is an archive, but not one of torch.save"),
        ("cut", "not a file that torch.save"),
        ("empty", "not a file that torch.save"),
    ],
)
def test_what_is_no_state_dict_is_refused_in_one_line(kind: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read_torch_file(spoilt_pt(kind, tmp_path / "w.pt"))
    assert expected in str(caught.value)
    assert str(tmp_path / "w.pt") in str(caught.value)
    assert "\n" not in str(caught.value)


KERNEL = "layers/conv1d/vars/0"


def external(path: Path) -> Callable[[h5py.File], object]:
    """Replaces a kernel by a link to the same array in another file of this machine."""

    def change(file: h5py.File) -> None:
        with h5py.File(path, "w") as other:
            other["secret"] = file[KERNEL][()]
        del file[KERNEL]
        file[KERNEL] = h5py.ExternalLink(str(path), "secret")

    return change


def kept_elsewhere(path: Path) -> Callable[[h5py.File], object]:
    """Replaces a kernel by one whose bytes lie in another file of this machine."""

    def change(file: h5py.File) -> None:
        content = file[KERNEL][()]
        path.write_bytes(content.tobytes())
        del file[KERNEL]
        file.create_dataset(KERNEL, shape=content.shape, dtype="<f4", external=[(str(path), 0, h5py.h5f.UNLIMITED)])

    return change


def again(**options: Any) -> Callable[[h5py.File], object]:
    def change(file: h5py.File) -> None:
        content = file[KERNEL][()]
        del file[KERNEL]
        file.create_dataset(KERNEL, **({"data": content} | options))

    return change


def soft(file: h5py.File) -> None:
    file["layers/kept"] = file[KERNEL][()]
    del file[KERNEL]
    file[KERNEL] = h5py.SoftLink("/layers/kept")


def loop(file: h5py.File) -> None:
    file["layers/conv1d/again"] = file["layers"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("external", "is a link that leads elsewhere"),
        ("elsewhere", "is not stored as Keras stores a variable"),
        (soft, "is a link that leads elsewhere"),
        (again(compression="gzip"), "is not stored as Keras stores a variable"),
        (again(data=None, shape=(1 << 20, 1 << 20), dtype="<f4"), "is not stored as Keras stores a variable"),
        (again(data=None, shape=(3, 3, 2), dtype="<f8"), "must be float32, not float64"),
        (
            lambda file: file.create_dataset("layers/more/vars/0", data=np.zeros(2, "f4")),
            "holds 21 variables of layers, config.json tells of 20",
        ),
        (lambda file: file.create_dataset("layers/conv1d/vars/9", data=np.zeros(2, "f4")), "holds variables named"),
        (lambda file: file["layers/conv1d/vars"].attrs.update({"name": "c2"}), "belongs to 'c2', not to 'c1'"),
        (lambda file: file.pop("layers"), "holds no 'layers'"),
    ],
)
def test_hdf5_that_is_not_what_keras_writes(change: Any, expected: str, tmp_path: Path) -> None:
    beside = tmp_path / "other.h5"
    change = {"external": external(beside), "elsewhere": kept_elsewhere(beside)}.get(str(change), change)
    path = write_keras(tmp_path / "w.keras", tempcnn_layers(parameters()), change=change)
    with pytest.raises(BadInput) as caught:
        read_keras_file(path)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hdf5_that_holds_itself_is_read_to_an_end(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "w.keras", tempcnn_layers(parameters()), change=loop)
    version, layers = read_keras_file(path)
    assert version == "3.15.1"
    assert [one.kind for one in layers][:3] == ["InputLayer", "Conv1D", "BatchNormalization"]


@pytest.mark.parametrize(
    ("members", "compression", "expected"),
    [
        ({"config.json": b"[]"}, 0, "config.json does not hold a JSON object"),
        ({"config.json": b"{"}, 0, "config.json is not JSON"),
        ({"config.json": b"[" * 100_000}, 0, "config.json is not JSON"),
        ({"config.json": b'{"class_name": "Mine"}'}, 0, "it is a Mine"),
        ({"config.json": b'{"class_name": "Sequential", "config": {}}'}, 0, "does not describe a chain of layers"),
        ({"config.json": b" " * (1 << 25)}, 0, "config.json claims 33554432 bytes, which is absurd"),
        ({"config.json": b" " * (1 << 23)}, zipfile.ZIP_DEFLATED, "which is absurd"),
        ({"model.weights.h5": bytes(1 << 26)}, zipfile.ZIP_DEFLATED, "which is absurd"),
        ({"model.weights.h5": b"no HDF5"}, 0, "model.weights.h5 cannot be read"),
    ],
)
def test_archives_that_are_not_what_keras_writes(
    members: dict[str, bytes], compression: int, expected: str, tmp_path: Path
) -> None:
    path = write_keras(tmp_path / "w.keras", tempcnn_layers(parameters()), members=members, compression=compression)
    with pytest.raises(BadInput) as caught:
        read_keras_file(path)
    assert expected in str(caught.value)


def test_members_of_an_archive_never_reach_the_disk(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    path = write_keras(
        inside / "w.keras", tempcnn_layers(parameters()), members={"../escaped": b"x", "/tmp/../escaped": b"x"}
    )
    read_keras_file(path)
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["inside", "w.keras"]


def test_layers_that_branch_are_no_chain(tmp_path: Path) -> None:
    layers = tempcnn_layers(parameters())
    layers.insert(5, layer("Dropout", layers[2].name))
    path = write_keras(tmp_path / "w.keras", layers, functional=True)
    assert read_keras_file(path)
    twice = [{"args": [[{"config": {"keras_history": [name, 0, 0]}} for name in ("c1", "n1")]]}]
    config = {"class_name": "Functional", "config": {"layers": []}}
    for index, one in enumerate(layers):
        config["config"]["layers"].append(  # type: ignore[index]
            {"class_name": one.kind, "config": one.settings, "inbound_nodes": twice if index else []}
        )
    import json

    path = write_keras(tmp_path / "w.keras", layers, members={"config.json": json.dumps(config).encode()})
    with pytest.raises(BadInput, match=r"is fed by \['c1', 'n1'\], not by"):
        read_keras_file(path)


@pytest.mark.parametrize("missing", ["config.json", "metadata.json", "model.weights.h5"])
def test_an_archive_without_a_member(missing: str, tmp_path: Path) -> None:
    path = write_keras(tmp_path / "w.keras", tempcnn_layers(parameters()))
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist() if name != missing}
    with zipfile.ZipFile(path, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)
    with pytest.raises(BadInput, match=f"holds no {missing}"):
        read_keras_file(path)


def test_tensors_that_share_their_bytes_do_not_multiply_them(tmp_path: Path) -> None:
    names = ",".join(f'"a{index}":{{"dtype":"F32","shape":[256],"data_offsets":[0,1024]}}' for index in range(100))
    header = ("{" + names + "}").encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(1024))
    with pytest.raises(BadInput, match="overlaps another"):
        read_tensors(path)


CONTENTS: dict[str, bytes] = {}


@given(data=st.data(), kind=st.sampled_from([".safetensors", ".pt", ".keras"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_read_or_refused_and_nothing_else(data: st.DataObject, kind: str, tmp_path: Path) -> None:
    if kind not in CONTENTS:
        CONTENTS[kind] = write(kind, tmp_path).read_bytes()
    content = bytearray(CONTENTS[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / f"damaged{kind}"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    # Anything but a refusal is a fault.
    with contextlib.suppress(Refusal):
        imported(path, tmp_path / "out")


def test_a_file_of_another_ending_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.rds"
    path.write_bytes(io.BytesIO(b"X").read())
    with pytest.raises(Refusal, match=r"weights are read from \.safetensors, \.pt, \.pth, \.keras, not from \.rds"):
        imported(path, tmp_path / "out")
