"""What is applied is what is kept: the bytes of a configuration are those that were read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netpolicy.service import reading
from netpolicy.service.candidate import KEPT_EACH, Digest
from netpolicy.service.loading import Loader
from netpolicy.service.reading import Unsettled, read
from tests.service.parts import CONFIG

RULES = "rule {name}:\n  match dest_port=1\n  action block=drop\n"
MAIN = CONFIG.replace("option mode 'enforce'", "option mode 'enforce'\n\tlist ruleset 'more.dsl'")
MAIN += "config list 'local'\n\toption file 'local.txt'\n"


@pytest.fixture
def main(tmp_path: Path) -> Path:
    path = tmp_path / "netpolicy"
    path.write_text(MAIN)
    (tmp_path / "more.dsl").write_text(RULES.format(name="first"))
    (tmp_path / "local.txt").write_text("192.0.2.0/24\n")
    return path


async def test_every_file_that_was_read_is_kept_the_main_one_first(main) -> None:
    found = await read(Loader(), str(main))
    assert [Path(name).name for name in found.files] == ["netpolicy", "more.dsl", "local.txt"]
    assert found.main == MAIN.encode()
    assert "first" in [rule.name for rule in found.loaded.ruleset.rules]


async def test_content_that_is_given_stands_for_the_file_on_disk(main) -> None:
    given = {str(main.parent / "more.dsl"): RULES.format(name="earlier").encode()}
    found = await read(Loader(), str(main), instead=given)
    assert "earlier" in [rule.name for rule in found.loaded.ruleset.rules]
    assert found.files[str(main.parent / "more.dsl")] == given[str(main.parent / "more.dsl")]


async def test_a_file_written_while_it_is_read_is_read_again_until_both_agree(main) -> None:
    writes = ["second", "third"]

    class Written(Loader):
        async def load(self, path, before=None, instead=None, fresh=()):
            found = await super().load(path, before, instead)
            if writes:
                (main.parent / "more.dsl").write_text(RULES.format(name=writes.pop()))
            return found

    found = await read(Written(), str(main))
    assert found.files[str(main.parent / "more.dsl")] == RULES.format(name="second").encode()
    assert "second" in [rule.name for rule in found.loaded.ruleset.rules]


async def test_one_that_never_comes_to_rest_is_refused(main) -> None:
    class Restless(Loader):
        count = 0

        async def load(self, path, before=None, instead=None, fresh=()):
            Restless.count += 1
            main.write_text(MAIN + f"# {Restless.count}\n")
            return await super().load(path, before, instead)

    with pytest.raises(Unsettled, match="netpolicy"):
        await read(Restless(), str(main))
    assert Restless.count == reading.ATTEMPTS


async def test_of_long_lists_the_digest_is_known_and_a_change_is_noticed(main) -> None:
    path = main.parent / "local.txt"
    path.write_bytes(b"192.0.2.0/24\n" + b"#" * KEPT_EACH)
    found = (await read(Loader(), str(main))).files[str(path)]
    assert isinstance(found, Digest)
    path.write_bytes(b"192.0.3.0/24\n" + b"#" * KEPT_EACH)
    assert (await read(Loader(), str(main))).files[str(path)] != found


@pytest.mark.parametrize("spoil", ["unlink", "fifo", "folder"])
async def test_what_cannot_be_read_is_told_by_loading_and_nothing_waits(main, spoil: str) -> None:
    main.unlink()
    if spoil == "fifo":
        os.mkfifo(main)
    elif spoil == "folder":
        main.mkdir()
    found = await read(Loader(), str(main))
    assert found.loaded.fatal and found.main == b""
