"""A module is put off until something is asked that its stand-in does not know, and is itself from then on."""

from __future__ import annotations

import functools
import inspect
import subprocess
import sys

import pytest

from netpolicy.daemon import later

NAME = "wave"  # a module of the standard library that nothing here uses


@pytest.fixture(autouse=True)
def _not_loaded(monkeypatch):
    monkeypatch.delitem(sys.modules, NAME, raising=False)


def test_it_is_loaded_when_something_is_asked_that_the_stand_in_does_not_know():
    with later.put_off({NAME: {"known": 3}}):
        standing = __import__(NAME)
        assert standing.known == 3
    assert NAME not in sys.modules
    assert standing.open is sys.modules[NAME].open and standing.known == 3


def test_it_can_be_asked_while_it_is_put_off():
    with later.put_off({NAME: {}}):
        standing = __import__(NAME)
        assert isinstance(standing, later.Later)
        assert standing.open is __import__(NAME).open is not None
        assert not isinstance(__import__(NAME), later.Later)
    assert NAME in sys.modules


def test_who_asks_for_something_that_no_module_has_is_told_so():
    with later.put_off({NAME: {}}):
        standing = __import__(NAME)
    assert not hasattr(standing, "__path__") and NAME not in sys.modules
    assert not hasattr(standing, "no_such_thing") and NAME in sys.modules


def test_one_that_is_loaded_already_is_not_replaced():
    with later.put_off({"sys": {}}):
        assert __import__("sys") is sys
    assert sys.modules["sys"] is sys


def test_after_an_import_that_failed_nothing_stands_in_for_it():
    with pytest.raises(RuntimeError), later.put_off({NAME: {}}):
        raise RuntimeError
    assert __import__(NAME).open


async def _coroutine() -> None: ...


@functools.wraps(_coroutine)
def _wrapper() -> None: ...


class _Annotated:
    number: int


class _Below(_Annotated): ...


@pytest.mark.parametrize("name", ["iscoroutinefunction", "isfunction", "unwrap"])
@pytest.mark.parametrize("one", [_coroutine, _wrapper, print, functools.partial(_wrapper), "text"])
def test_what_a_stand_in_answers_is_what_the_module_says(name, one):
    assert later.PUT_OFF["inspect"][name](one) == getattr(inspect, name)(one)


@pytest.mark.parametrize("kind", [_Annotated, _Below])
def test_the_annotations_of_a_class_are_its_own(kind):
    assert later.PUT_OFF["inspect"]["get_annotations"](kind) == inspect.get_annotations(kind)


def test_what_is_wrapped_in_itself_has_an_end():
    def circle() -> None: ...

    circle.__wrapped__ = circle
    assert later.PUT_OFF["inspect"]["unwrap"](circle) is circle


# All that a daemon at rest does with these modules. Prints which of them it had to load.
REST = """
import sys
from netpolicy.daemon import later
with later.put_off():
    import asyncio, dataclasses, signal, subprocess

@dataclasses.dataclass(frozen=True)
class One:
    number: int

async def rest():
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, print)
    repr(asyncio.current_task())
    await asyncio.to_thread(subprocess.run, ["true"])
    await (await asyncio.create_subprocess_exec("true", stdout=-1)).communicate()
    await asyncio.wait_for(asyncio.sleep(0), 60)

asyncio.run(rest())
print(*[name for name in later.PUT_OFF if name in sys.modules])
if "fault" in sys.argv:
    asyncio.log.logger.error("told by %s", "asyncio")
    subprocess.run(["true"], text=True, stdout=-1)
    print(asyncio.iscoroutinefunction(rest), repr(One(1)), len(asyncio.base_events.traceback.extract_stack()))
"""


def run_rest(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", REST, *words], capture_output=True, text=True, check=True)


def test_a_loop_that_runs_programs_loads_none_of_what_is_put_off():
    done = run_rest()
    assert done.stdout == "\n" and not done.stderr


def test_a_fault_is_told_as_always():
    done = run_rest("fault")
    assert done.stderr == "told by asyncio\n" and done.stdout.splitlines()[1] == "True One(number=1) 1"
