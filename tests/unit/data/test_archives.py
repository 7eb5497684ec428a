from __future__ import annotations

import gzip
import io
import shutil
import stat
import tarfile
import zipfile
from collections import namedtuple

import pytest

from harness.data import archives
from harness.data.archives import unpack
from harness.data.transfer import Silent
from harness.errors import DataError, StoreError


def tar(path, members: dict[str, bytes], **changes):
    """A .tar.gz of files; ``changes`` are attributes of the last member."""
    with tarfile.open(path, "w:gz") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in changes.items() if name == list(members)[-1] else ():
                setattr(info, key, value)
            file.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return path


def zipped(path, members: dict[str, bytes], mode: int = 0):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, data)
    return path


def everything(name: str) -> bool:
    return True


def unpacked(archive, folder, wanted=everything, largest=10**6):
    return [path.name for path in unpack(archive, folder, wanted, largest, Silent())]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out" / "here"


@pytest.mark.parametrize("pack", [tar, zipped])
def test_wanted_files_land_flat_in_the_folder(tmp_path, folder, pack):
    archive = pack(tmp_path / "a", {"top/deep/x.shp": b"shape", "x.dbf": b"table", "._x.shp": b"?", "other": b"?"})
    assert unpacked(archive, folder, lambda name: name.startswith("x.")) == ["x.dbf", "x.shp"]
    assert (folder / "x.shp").read_bytes() == b"shape"
    assert {path.name for path in folder.iterdir()} == {"x.dbf", "x.shp"}


OUTSIDE = ["../x", "/tmp/x", "a/../../x", "..\\x", "a/.."]


@pytest.mark.parametrize("pack", [tar, zipped])
@pytest.mark.parametrize("name", OUTSIDE)
def test_no_path_escapes_the_folder(tmp_path, folder, pack, name):
    archive = pack(tmp_path / "a", {"good": b"1", name: b"evil"})
    with pytest.raises(DataError, match="would lie outside of the folder"):
        unpacked(archive, folder)
    assert list(folder.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"a", "out"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "is a link"),
        ({"type": tarfile.LNKTYPE, "linkname": "good"}, "is a link"),
        ({"type": tarfile.CHRTYPE}, "is not a plain file"),
        ({"type": tarfile.FIFOTYPE}, "is not a plain file"),
    ],
)
def test_links_and_devices_refuse_the_archive(tmp_path, folder, changes, message):
    archive = tar(tmp_path / "a", {"good": b"1", "bad": b""}, **changes)
    with pytest.raises(DataError, match=f"member 'bad' {message}"):
        unpacked(archive, folder)
    assert list(folder.iterdir()) == []


def test_links_in_zip_archives_refuse_them(tmp_path, folder):
    archive = zipped(tmp_path / "a", {"bad": b"/etc/passwd"}, stat.S_IFLNK | 0o777)
    with pytest.raises(DataError, match="member 'bad' is a link or a device"):
        unpacked(archive, folder)


@pytest.mark.parametrize("pack", [tar, zipped])
def test_sizes_and_counts_are_bounded(tmp_path, folder, pack, monkeypatch):
    archive = pack(tmp_path / "a", {"x": bytes(600), "y": bytes(600)})
    assert unpacked(archive, folder, largest=1200) == ["x", "y"]
    with pytest.raises(DataError, match="would unpack to more than 1199 bytes"):
        unpacked(archive, folder, largest=1199)
    monkeypatch.setattr(archives, "MOST_MEMBERS", 1)
    with pytest.raises(DataError, match="more than 1 files"):
        unpacked(archive, folder)


def test_a_bomb_beside_the_wanted_file_is_not_unpacked(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(archives, "_OVERHEAD", 1 << 20)
    archive = tar(tmp_path / "a", {"bomb": bytes(4 << 20), "x": b"1"})
    with pytest.raises(DataError, match="would unpack to more than"):
        unpacked(archive, folder, lambda name: name == "x", largest=10)


def test_a_header_cannot_fill_the_memory(tmp_path, folder):
    # An extended header of 64 MiB: tarfile would read it at once.
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 64 << 20
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(info.tobuf() + bytes(1 << 16)))
    with pytest.raises(DataError, match="states a header of 67108864 bytes"):
        unpacked(path, folder)


@pytest.mark.parametrize("pack", [tar, zipped])
def test_a_damaged_archive_leaves_nothing(tmp_path, folder, pack):
    archive = pack(tmp_path / "a", {"x": bytes(range(256)) * 400})
    whole = archive.read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:200] + b"\xff" * 8 + whole[208:]):
        archive.write_bytes(broken)
        with pytest.raises(DataError, match=r"a damaged archive .*; fetch it again"):
            unpacked(archive, folder)
        assert list(folder.iterdir()) == []


def test_a_wrong_checksum_at_the_very_end_is_noticed(tmp_path, folder):
    archive = tar(tmp_path / "a", {"x": b"data"})
    whole = bytearray(archive.read_bytes())
    whole[-8] ^= 1
    archive.write_bytes(whole)
    with pytest.raises(DataError, match="damaged archive"):
        unpacked(archive, folder)
    assert list(folder.iterdir()) == []


def test_two_files_of_one_name_are_refused(tmp_path, folder):
    with pytest.raises(DataError, match="holds two files named x"):
        unpacked(tar(tmp_path / "a", {"1/x": b"1", "2/x": b"2"}), folder)
    assert list(folder.iterdir()) == []


def test_what_is_no_archive_is_named(tmp_path, folder):
    (tmp_path / "a").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"neither a .tar.gz nor a .zip archive"):
        unpacked(tmp_path / "a", folder)


def test_a_file_without_room_is_not_begun(tmp_path, folder, monkeypatch):
    archive = tar(tmp_path / "a", {"x": bytes(5000)})
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 4999))
    with pytest.raises(StoreError, match="x needs 0 MB, and the disk has 0 MB"):
        unpacked(archive, folder)
