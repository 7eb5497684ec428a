from __future__ import annotations

import fcntl
import json
import random
import shutil
import socket
from collections import namedtuple

import pytest
from mirror import serving

from harness.data import transfer
from harness.data.transfer import Silent, check_address, fetch
from harness.errors import DataError, StoreError

DATA = random.Random(3).randbytes(300_000)


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setattr(transfer, "PAUSE", 0.001)
    monkeypatch.setattr(transfer, "_BLOCK", 1 << 14)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving({"/data": DATA}) as served:
        yield served


def anything(path) -> None:
    pass


def get(mirror, folder, check=anything, progress=None):
    fetch(f"{mirror.url}/data", folder / "data.bin", check, progress or Silent())
    return (folder / "data.bin").read_bytes()


def left_in(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_arrives_whole_under_its_name(mirror, tmp_path):
    assert get(mirror, tmp_path / "new") == DATA
    assert left_in(tmp_path / "new") == {"data.bin"}
    assert mirror.asked == [("/data", None)]


@pytest.mark.parametrize("tags", [True, False])
def test_a_transfer_goes_on_where_it_broke_off(mirror, tmp_path, tags):
    mirror.tags = tags
    mirror.breaks = [100_000, 50_000]
    assert get(mirror, tmp_path) == DATA
    assert mirror.asked == [("/data", None), ("/data", "bytes=100000-"), ("/data", "bytes=150000-")]


def test_a_later_command_goes_on_where_the_first_gave_up(mirror, tmp_path):
    mirror.breaks = [70_000, 0, 0, 0]
    with pytest.raises(
        DataError, match=r"sent 70000 bytes and had announced 300000 \(4 attempts\); run the same command"
    ):
        get(mirror, tmp_path)
    assert left_in(tmp_path) == {"data.bin.part", "data.bin.part.json"}
    mirror.asked.clear()
    assert get(mirror, tmp_path) == DATA
    assert mirror.asked == [("/data", "bytes=70000-")]
    assert left_in(tmp_path) == {"data.bin"}


def test_every_new_byte_earns_new_attempts(mirror, tmp_path):
    mirror.breaks = [30_000] * 9
    assert get(mirror, tmp_path) == DATA
    assert len(mirror.asked) == 10


def test_a_server_without_ranges_starts_anew(mirror, tmp_path):
    mirror.ranges = False
    mirror.breaks = [100_000]
    assert get(mirror, tmp_path) == DATA
    assert len(mirror.asked) == 2
    mirror.breaks = [100_000] * 9
    (tmp_path / "data.bin").unlink()
    with pytest.raises(DataError, match="had announced 300000"):
        get(mirror, tmp_path)


@pytest.mark.parametrize("tags", [True, False])
def test_a_file_that_changed_meanwhile_is_not_spliced(mirror, tmp_path, tags):
    mirror.tags = tags
    mirror.breaks = [100_000, 0, 0, 0]
    with pytest.raises(DataError):
        get(mirror, tmp_path)
    mirror.files["/data"] = other = DATA[::-1][:-1]
    assert get(mirror, tmp_path) == other


def test_a_shorter_new_file_is_fetched_anew(mirror, tmp_path):
    mirror.tags = False
    mirror.breaks = [100_000, 0, 0, 0]
    with pytest.raises(DataError):
        get(mirror, tmp_path)
    mirror.files["/data"] = b"short"
    assert get(mirror, tmp_path) == b"short"


def test_a_whole_part_is_not_asked_for_again(mirror, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(DATA)
    stamp = {"url": f"{mirror.url}/data", "validator": None, "size": len(DATA)}
    (tmp_path / "data.bin.part.json").write_text(json.dumps(stamp))
    assert get(mirror, tmp_path) == DATA
    assert mirror.asked == [("/data", f"bytes={len(DATA)}-")]


@pytest.mark.parametrize("stamp", [None, "{", "[]", '{"url": "http://elsewhere/data", "validator": "x", "size": 1}'])
def test_a_part_of_unknown_origin_is_not_continued(mirror, tmp_path, stamp):
    (tmp_path / "data.bin.part").write_bytes(b"something else")
    if stamp is not None:
        (tmp_path / "data.bin.part.json").write_text(stamp)
    assert get(mirror, tmp_path) == DATA
    assert mirror.asked == [("/data", None)]


def test_a_size_that_is_not_kept_is_an_error(mirror, tmp_path):
    mirror.exaggeration = 10
    with pytest.raises(DataError, match="the server has no byte 300000, and had announced 300010"):
        get(mirror, tmp_path)
    assert not (tmp_path / "data.bin").exists()


def test_a_server_that_states_no_size_is_believed(mirror, tmp_path):
    mirror.lengths = False
    assert get(mirror, tmp_path) == DATA


def test_passing_errors_are_tried_again_others_are_not(mirror, tmp_path):
    mirror.statuses = [503, 429]
    assert get(mirror, tmp_path) == DATA
    mirror.asked.clear()
    mirror.statuses = [403]
    with pytest.raises(DataError, match="answers 403 Forbidden"):
        get(mirror, tmp_path)
    assert len(mirror.asked) == 1
    mirror.statuses = [503] * 9
    with pytest.raises(DataError, match=r"answers 503 .* \(4 attempts\)"):
        get(mirror, tmp_path)
    del mirror.files["/data"]
    mirror.statuses.clear()
    with pytest.raises(DataError, match=r"/data: the server answers 404 Not Found; .*--base-url"):
        get(mirror, tmp_path)


def test_without_a_network_one_line_says_so(mirror, tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}/data"
        with pytest.raises(DataError, match=r"the server refuses the connection \(4 attempts\)"):
            fetch(nowhere, tmp_path / "x", anything, Silent())

    def unknown(*arguments, **named):
        raise socket.gaierror(-2, "Name or service not known")

    assert left_in(tmp_path) == set()
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DataError, match="is there a network"):
        fetch("http://host.invalid/data", tmp_path / "x", anything, Silent())


def test_a_silent_server_is_given_up(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(DataError, match="the server does not answer"):
        fetch(f"http://127.0.0.1:{mute.getsockname()[1]}/data", tmp_path / "x", anything, Silent())


def test_a_file_that_fails_its_check_leaves_nothing(mirror, tmp_path):
    def refuse(path):
        raise DataError("no")

    with pytest.raises(DataError, match="no"):
        get(mirror, tmp_path, refuse)
    assert left_in(tmp_path) == set()


def test_two_processes_do_not_write_one_file(mirror, tmp_path):
    with (tmp_path / "data.bin.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process is fetching this file"):
            get(mirror, tmp_path)
        assert left_in(tmp_path) == {"data.bin.part"}


def test_a_full_disk_is_told_before_and_while_writing(mirror, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 1000))
        with pytest.raises(StoreError, match=r"data.bin needs 0 MB more, and the disk has 0 MB; free some space"):
            get(mirror, tmp_path)

    class Full:
        def write(self, block):
            raise OSError(28, "No space left on device")

        def __getattr__(self, name):
            return getattr(self.file, name)

    real = transfer._alone

    @transfer.contextlib.contextmanager
    def alone(part):
        with real(part) as file:
            full = Full()
            full.file = file
            yield full

    monkeypatch.setattr(transfer, "_alone", alone)
    with pytest.raises(StoreError, match="the disk is full; free some space, then run the same command again"):
        get(mirror, tmp_path)


def test_progress_is_told_from_where_it_goes_on(mirror, tmp_path):
    told = []

    class Listener(Silent):
        def began(self, name, done, total):
            told.append(("began", name, done, total))

        def advanced(self, done):
            told.append(("advanced", done))

        def ended(self):
            told.append(("ended",))

    mirror.breaks = [100_000]
    get(mirror, tmp_path, progress=Listener())
    assert [one for one in told if one[0] == "began"] == [
        ("began", "data.bin", 0, 300_000),
        ("began", "data.bin", 100_000, 300_000),
    ]
    assert told[-2:] == [("advanced", 300_000), ("ended",)]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "data", "http://"])
def test_only_http_addresses_are_fetched(tmp_path, url):
    with pytest.raises(DataError, match="is not an http or https address"):
        check_address(url)
    with pytest.raises(DataError):
        fetch(url, tmp_path / "x", anything, Silent())
