"""The bytes of a candidate, and the hash of a plan: whatever changes, the hash is another one."""

from __future__ import annotations

import os

import pytest

from netpolicy.service.candidate import ABSENT, Digest, digest_of, gather, is_that_plan, plan_hash

FILES = {"/a": b"one", "/b": b"two"}


def test_the_main_file_is_whole_and_others_up_to_a_size(tmp_path):
    paths = {name: str(tmp_path / name) for name in ("main", "small", "long", "more", "gone")}
    for name, size in (("main", 900), ("small", 100), ("long", 101), ("more", 100)):
        (tmp_path / name).write_bytes(b"x" * size)
    found = gather([*paths.values(), paths["main"]], each=100, together=150)
    assert list(found) == list(paths.values())
    assert (found[paths["main"]], found[paths["small"]]) == (b"x" * 900, b"x" * 100)
    assert found[paths["long"]] == digest_of(b"x" * 101)
    assert found[paths["more"]] == digest_of(b"x" * 100), "together they are too long"
    assert found[paths["gone"]] == ABSENT


def test_a_candidate_that_is_not_on_the_disk_stands_for_its_file(tmp_path):
    (tmp_path / "main").write_bytes(b"old")
    main = str(tmp_path / "main")
    assert gather([main], {main: b"new"}) == {main: b"new"}
    assert gather([main, "/more"], {"/more": b"x" * 10}, each=5)["/more"] == digest_of(b"x" * 10)


def test_what_cannot_be_a_configuration_is_an_error_with_its_path(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 9 << 20)
    (tmp_path / "main").touch()
    for paths in (["none"], ["fifo"], ["."], ["huge"], ["main", "fifo"]):
        with pytest.raises(OSError) as caught:
            gather([str(tmp_path / name) for name in paths])
        assert caught.value.filename


def test_the_hash_of_a_plan_changes_with_everything_it_is_made_of():
    seen = {
        plan_hash(files, kernel, number)
        for files in (
            FILES, {"/a": b"one"}, {"/a": b"one", "/b": b"twO"}, {"/a": b"one", "/c": b"two"},
            {"/a": b"two", "/b": b"one"},
            {"/a": b"one", "/b": ABSENT}, {"/a": b"one", "/b": Digest(digest_of(b"two").sha256, 4)}, {},
        )
        for kernel in (b"", b"k", b"k1")
        for number in (0, 1, 11)
    }  # fmt: skip
    assert len(seen) == 8 * 3 * 3 and all(len(one) == 64 for one in seen)


def test_the_hash_is_the_same_for_the_same_whatever_the_order_and_whether_it_is_kept():
    hash = plan_hash(FILES, b"k", 3)
    assert hash == plan_hash(dict(reversed(FILES.items())), b"k", 3)
    assert hash == plan_hash({"/a": b"one", "/b": digest_of(b"two")}, b"k", 3)
    assert plan_hash({"/a": b""}, b"", 0) != plan_hash({"/a": ABSENT}, b"", 0)


def test_a_plan_is_named_by_the_beginning_of_its_hash():
    hash = plan_hash(FILES, b"", 0)
    assert is_that_plan(hash, hash) and is_that_plan(f" {hash[:8].upper()} ", hash)
    assert not any(is_that_plan(word, hash) for word in ("", hash[:7], hash + "0", "0" * 8, hash[1:]))
