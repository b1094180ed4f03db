"""Whole files in buckets: written, listed, taken away; by servers on this machine."""

import threading
import time

import pytest

from mbjax.atomic_files import written_beside
from mbjax.safe_files import json_files
from mbjax.storage import local_copy, objects
from mbjax.storage.mirror import Mirror
from mbjax.storage.places import on_disk, place


def test_what_is_written_is_read_listed_and_removed(bucket):
    folder = f"{bucket.url}/files"
    assert objects.names(folder) == [] and not objects.exists(folder)
    objects.write(f"{folder}/a.txt", b"one")
    objects.write(f"{folder}/a.txt", b"two")  # in the place of the first
    objects.write(f"{folder}/below/b.txt", b"")
    assert objects.read_bytes(f"{folder}/a.txt") == b"two"
    assert objects.names(folder) == ["a.txt", "below"]
    assert {name: size for name, (size, _) in objects.listing(folder).items()} == {
        "a.txt": 3, "below/b.txt": 0,
    }  # fmt: skip
    objects.remove(f"{folder}/a.txt")
    objects.remove(f"{folder}/a.txt")  # which is gone already
    assert objects.names(folder) == ["below"]
    objects.remove_folder(folder)
    assert not objects.exists(folder)


def test_of_two_that_write_at_once_one_is_first(bucket):
    path = f"{bucket.url}/once"
    found, start = [], threading.Barrier(4)

    def write(number):
        start.wait()
        try:
            objects.write_new(path, b"%d" % number)
            found.append(b"%d" % number)
        except FileExistsError:
            pass

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [objects.read_bytes(path)]


def test_a_file_appears_when_its_block_ends_well(bucket):
    path = f"{bucket.url}/table.json"
    with pytest.raises(RuntimeError), written_beside(path) as beside:
        beside.write_text("{")
        raise RuntimeError
    assert not objects.exists(path) and not beside.exists()
    with written_beside(path) as beside:
        beside.write_text('{"a": 1}')
    assert json_files.read_object(place(path)) == {"a": 1} and not beside.exists()


def test_errors_name_the_place_in_one_line(bucket):
    with pytest.raises(FileNotFoundError) as found:
        objects.read_bytes(f"{bucket.url}/nothing")
    assert found.value.filename == f"{bucket.url}/nothing"
    other = bucket.url.replace("mbjax-test", "another-bucket")
    with pytest.raises(FileNotFoundError, match=f"{other}/run: there is not a bucket {other}"):
        objects.check_writable(f"{other}/run")


def test_a_request_waits_for_the_network(bucket):
    objects.write(f"{bucket.url}/patience", b"before")
    with bucket.line.cut():
        thread = threading.Thread(
            target=objects.write, args=(f"{bucket.url}/patience", b"after"), daemon=True
        )
        thread.start()
        time.sleep(2)
        assert thread.is_alive()
    thread.join(60)
    assert objects.read_bytes(f"{bucket.url}/patience") == b"after"


def test_a_copy_on_disk_is_made_again_only_where_something_changed(bucket):
    folder = f"{bucket.url}/copied"
    objects.write(f"{folder}/a", b"1")
    objects.write(f"{folder}/b/c", b"2")
    there = local_copy.folder(folder, lambda name: True)
    assert (there / "a").read_bytes() == b"1" and (there / "b" / "c").read_bytes() == b"2"
    assert local_copy.folder(folder, lambda name: True) == there
    objects.write(f"{folder}/a", b"3")
    again = local_copy.folder(folder, lambda name: name == "a")
    assert (again / "a").read_bytes() == b"3" and not (again / "b").exists()


def test_a_mirror_uploads_what_grew(bucket):
    folder = f"{bucket.url}/mirrored"
    mirror = Mirror(folder, every_s=0.2)
    log = mirror.folder / "log"
    log.write_text("one\n")
    deadline = time.monotonic() + 30
    while not objects.exists(f"{folder}/log"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with log.open("a") as file:
        file.write("two\n")
    mirror.sync()
    assert objects.read_bytes(f"{folder}/log") == b"one\ntwo\n"
    (mirror.folder / "below").mkdir()
    (mirror.folder / "below" / "event").write_bytes(b"e")
    mirror.close()
    assert objects.read_bytes(f"{folder}/below/event") == b"e" and not mirror.folder.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gs://bucket", "should read gs://BUCKET/FOLDER"),
        ("ftp://host/run", "places of the kind ftp://"),
        ("hf://owner/name", "places of the kind hf://"),
    ],
)
def test_other_urls_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        place(text)


def test_a_url_where_a_disk_is_needed():
    with pytest.raises(ValueError, match="--out gs://b/o is a URL; give a folder on disk"):
        on_disk("gs://b/o", "--out")
