from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
from mirror import serving
from typer.testing import CliRunner

from harness.cli.app import app
from harness.data import breizhcrops_published, transfer
from harness.data.breizhcrops_published import BASE_URL, ENVIRONMENT_VARIABLE, SIZES
from harness.data.dataset import Wanted
from harness.data.files import get
from harness.data.sources import source
from harness.data.sources.synthetic_crops import Options, write_layout
from harness.data.transfer import Silent
from harness.errors import DataError, StoreError

REGIONS = ("frh01", "frh02", "frh03", "frh04")
SHAPEFILE = ("shp", "shx", "dbf", "prj")


def packed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def layout(tmp_path_factory):
    """A folder as the data source reads it: simulated, small."""
    root = tmp_path_factory.mktemp("layout")
    write_layout(root, Options(train=36, valid=18, test=18), 4)
    return root


@pytest.fixture(scope="session")
def published(layout) -> dict[str, bytes]:
    """The same as its makers publish it: path below the base address -> bytes."""
    files = {
        "/classmapping.csv": (layout / "classmapping.csv").read_bytes(),
        "/codes.csv": b"Code;Libelle\nBTH;Ble tendre d'hiver\n",
    }
    for region in REGIONS:
        below = layout / "2017" / "L1C"
        files[f"/2017/L1C/{region}.csv"] = (below / f"{region}.csv").read_bytes()
        database = (below / f"{region}.h5").read_bytes()
        files[f"/2017/L1C/{region}.h5.tar.gz"] = packed({f"data/2017/L1C/{region}.h5": database})
        outlines = {f"shp/{region}.{suffix}": suffix.encode() for suffix in SHAPEFILE}
        files[f"/2017/shp/{region}.tar.gz"] = packed(outlines)
    return files


@pytest.fixture
def mirror(published, monkeypatch):
    monkeypatch.setattr(transfer, "PAUSE", 0.001)
    for name in ("http_proxy", "HTTP_PROXY", ENVIRONMENT_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    with serving(dict(published)) as served:
        yield served


@pytest.fixture
def sizes(layout, monkeypatch):
    """The sizes of the simulated files, in the place of the published ones."""
    real = {region: (layout / "2017" / "L1C" / f"{region}.h5").stat().st_size for region in REGIONS}
    monkeypatch.setattr(breizhcrops_published, "SIZES", {"L1C": real, "L2A": {}})


def fetched(mirror, folder, *regions, **options):
    wanted = Wanted(regions=regions, base_url=mirror.url, **options)
    return {str(path.relative_to(folder)) for path in get("breizhcrops", folder, 0, wanted)}


def region_files(region: str) -> set[str]:
    return {f"2017/{region}.{suffix}" for suffix in SHAPEFILE} | {f"2017/L1C/{region}.{end}" for end in ("csv", "h5")}


COMMON = {"classmapping.csv", "codes.csv"}


def left_in(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_was_fetched_is_read_by_the_data_source(mirror, layout, tmp_path, sizes):
    root = tmp_path / "breizhcrops"
    files = fetched(mirror, root, *REGIONS)
    assert files == left_in(root) == COMMON.union(*(region_files(region) for region in REGIONS))
    row = source("breizhcrops")
    here, there = (row.read(row.options(root=str(folder)), tmp_path, 0) for folder in (root, layout))
    for part, series in there.parts.items():
        assert np.array_equal(here.parts[part].values, series.values)
        assert np.array_equal(here.parts[part].ids, series.ids)
    assert here.info.class_names == there.info.class_names


def test_a_second_region_keeps_what_is_there(mirror, tmp_path, sizes):
    fetched(mirror, tmp_path, "frh04", shapefile=False)
    assert left_in(tmp_path) == COMMON | {"2017/L1C/frh04.csv", "2017/L1C/frh04.h5"}
    mirror.asked.clear()
    fetched(mirror, tmp_path, "frh04", "frh03", "frh04", shapefile=False)
    assert [path for path, _ in mirror.asked] == ["/2017/L1C/frh03.csv", "/2017/L1C/frh03.h5.tar.gz"]
    mirror.asked.clear()
    fetched(mirror, tmp_path, "frh04")
    assert [path for path, _ in mirror.asked] == ["/2017/shp/frh04.tar.gz"]


def test_an_interrupted_archive_goes_on_with_the_next_command(mirror, tmp_path, sizes):
    fetched(mirror, tmp_path, "frh04", shapefile=False)
    (tmp_path / "2017/L1C/frh04.h5").unlink()
    mirror.breaks = [1000, 0, 0, 0]
    with pytest.raises(DataError, match=r"frh04.h5.tar.gz: .*run the same command again: it goes on from here"):
        fetched(mirror, tmp_path, "frh04", shapefile=False)
    mirror.asked.clear()
    fetched(mirror, tmp_path, "frh04", shapefile=False)
    assert mirror.asked == [("/2017/L1C/frh04.h5.tar.gz", "bytes=1000-")]
    assert not any(".part" in name or "tar.gz" in name for name in left_in(tmp_path))


def test_files_of_another_size_are_fetched_anew_or_taken_by_flag(mirror, layout, tmp_path, sizes):
    fetched(mirror, tmp_path, "frh04", shapefile=False)
    path = tmp_path / "2017/L1C/frh04.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    fetched(mirror, tmp_path, "frh04", shapefile=False)
    assert path.read_bytes() == whole
    mirror.files["/2017/L1C/frh03.h5.tar.gz"] = packed({"frh03.h5": whole + b"more"})
    with pytest.raises(DataError, match=r"frh03.h5: has \d+ bytes, not the \d+ that were published; .*--any-size"):
        fetched(mirror, tmp_path, "frh03", shapefile=False)
    assert not (tmp_path / "2017/L1C/frh03.h5").exists()
    assert "2017/L1C/frh03.h5" in fetched(mirror, tmp_path, "frh03", shapefile=False, any_size=True)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("/classmapping.csv", b"<!DOCTYPE html><html>log in</html>", "the server sent a web page or nothing"),
        ("/classmapping.csv", b"", "the server sent a web page or nothing"),
        ("/classmapping.csv", b"a,b\n1,2\n", "column id is missing; there are a, b"),
        ("/2017/L1C/frh04.csv", b"\xff\xfe\x00\x01", "not a CSV file"),
        ("/2017/L1C/frh04.csv", b"id,path\n", "column CODE_CULTU is missing"),
        ("/2017/L1C/frh04.h5.tar.gz", b"Sorry", "not an archive"),
        ("/2017/L1C/frh04.h5.tar.gz", packed({"frh03.h5": b"x"}), "the archive does not hold frh04.h5"),
        ("/2017/L1C/frh04.h5.tar.gz", packed({"frh04.h5": b"text"}), "not an HDF5 file"),
        ("/2017/L1C/frh04.h5.tar.gz", packed({"../frh04.h5": b"text"}), "would lie outside of the folder"),
        ("/2017/L1C/frh04.h5.tar.gz", packed({"frh04.h5": bytes(9000)})[:-20], "a damaged archive"),
        ("/2017/shp/frh04.tar.gz", packed({"frh04.shp": b"x", "frh04.shx": b"x"}), "does not hold frh04.dbf"),
    ],
    # Archives hold the time at which they were packed.
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else None,
)
def test_what_is_not_the_data_is_named_and_not_kept(mirror, tmp_path, sizes, path, content, message):
    mirror.files[path] = content
    with pytest.raises(DataError, match=message):
        fetched(mirror, tmp_path / "root", "frh04")
    target = {"2017/shp/frh04.tar.gz": "2017/frh04.dbf"}.get(path[1:], path[1:].removesuffix(".tar.gz"))
    assert target not in left_in(tmp_path / "root")
    assert not any(one.endswith((".part", ".tar.gz", ".json")) for one in left_in(tmp_path / "root"))
    assert {one.name for one in tmp_path.iterdir()} == {"root"}


def test_an_archive_that_found_no_room_is_kept(mirror, tmp_path, sizes, monkeypatch):
    def full(*arguments):
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(breizhcrops_published, "unpack", full)
        with pytest.raises(StoreError, match="the disk is full"):
            fetched(mirror, tmp_path, "frh04", shapefile=False)
    mirror.asked.clear()
    fetched(mirror, tmp_path, "frh04", shapefile=False)
    assert mirror.asked == []


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(), r"--region: no region is named; choose one or more of frh01 \(2560 MB\), .*belle-ile \(17 MB\)"),
        (Wanted(regions=("frh05",)), "L1C has no region 'frh05'; did you mean 'frh0"),
        (Wanted(regions=("kermaux",), level="L2A"), "L2A has no region 'kermaux'"),
        (Wanted(regions=("frh04",), level="L3"), "there is no level 'L3'; choose L1C or L2A"),
        (Wanted(regions=("frh04",), base_url="file:///etc"), "'file:///etc' is not an http or https address"),
    ],
)
def test_regions_levels_and_addresses_are_checked_first(tmp_path, wanted, message):
    with pytest.raises(DataError, match=message):
        breizhcrops_published.obtain(tmp_path, wanted, Silent())
    assert left_in(tmp_path) == set()


def test_sources_that_make_their_files_take_no_regions(tmp_path):
    with pytest.raises(DataError, match="synthetic-crops: makes its files itself"):
        get("synthetic-crops", tmp_path / "x", 0, Wanted(regions=("frh04",)))
    with pytest.raises(DataError, match=r"the files of npy cannot be made here; save your own with numpy.save"):
        get("npy", tmp_path / "x", 0)


def test_a_folder_that_cannot_be_written_is_named(mirror, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="name another folder with --folder"):
        fetched(mirror, tmp_path / "file" / "root", "frh04")


def test_the_command_line(mirror, tmp_path, sizes, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"{mirror.url}/")
    arguments = ["data", "get", "breizhcrops", "--folder", str(tmp_path), "--region", "frh04", "--region", "frh03"]
    plain = CliRunner().invoke(app, [*arguments, "--no-shapefile"])
    assert plain.exit_code == 0
    expected = COMMON | {f"2017/L1C/{region}.{end}" for region in ("frh03", "frh04") for end in ("csv", "h5")}
    assert set(plain.stdout.split()) == {str(tmp_path / "breizhcrops" / name) for name in expected}
    assert plain.stderr == ""
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert told["folder"] == str(tmp_path / "breizhcrops")
    assert str(tmp_path / "breizhcrops" / "2017" / "frh03.shp") in told["files"]


def test_the_published_sizes_cover_what_the_paper_splits_by():
    assert BASE_URL.startswith("https://")
    for level in SIZES.values():
        assert {*REGIONS, "belle-ile"} <= set(level)
