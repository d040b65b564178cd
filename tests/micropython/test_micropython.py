"""What is written in the MicroPython dialect, on a real MicroPython and against CPython."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from tests.micropython.interpreter import on_cpython, on_micropython
from tests.repository.dialect import dialect, module_name

HERE = Path(__file__).parent
VECTORS = HERE.parent / "data/vectors.json"

# Under CPython's grammar and library each of them is fine, or fails in another way.
LACKING = {
    "a module": "import dataclasses\n",
    "a future": "from __future__ import annotations\n",
    "a statement": "match 1:\n    case 1:\n        pass\n",
    "a display": "a = (1,)\nprint((*a, 2))\n",
    "a method": "print((5).bit_length())\n",
    "a module that is not in dialect": "import netpolicy.service.engine\n",
}


@functools.cache
def imported() -> dict[str, str]:
    """The outcome of importing each module in dialect."""
    names = [module_name(path) for path in dialect()]
    done = on_micropython(HERE / "import_one_by_one.py", *names)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize("path", dialect())
def test_a_module_in_dialect_is_imported_by_micropython(path: str) -> None:
    assert imported()[module_name(path)] == "imported"


@pytest.mark.parametrize(
    ("program", "word"),
    [
        ("on_micropython.py", "decision"),
        ("dsl_on_micropython.py", "decision"),
        ("text_on_micropython.py", "ip -6 rule add"),
        ("index_on_micropython.py", "decision 24 True"),
    ],
)
def test_the_same_program_prints_the_same_text_under_both_interpreters(program: str, word: str) -> None:
    there = on_micropython(HERE / program)
    assert (there.returncode, there.stderr) == (0, "")
    here = on_cpython(HERE / program)
    assert (here.returncode, here.stderr) == (0, "")
    assert there.stdout == here.stdout
    assert word in there.stdout


def test_every_vector_is_decided_as_it_says() -> None:
    done = on_micropython(HERE / "vectors_on_micropython.py", "/vectors.json", files={"/vectors.json": VECTORS})
    assert done.returncode == 0, done.stderr
    outcomes = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    vectors = json.loads(VECTORS.read_text())
    assert sorted(outcomes) == sorted(one["id"] for name in ("evaluate", "state_machine") for one in vectors[name])
    assert {name: outcome for name, outcome in outcomes.items() if outcome} == {}


@pytest.mark.parametrize("what", LACKING)
def test_what_micropython_lacks_is_reported_as_a_failure(tmp_path: Path, what: str) -> None:
    program = tmp_path / "canary.py"
    program.write_text(LACKING[what])
    done = on_micropython(program)
    assert done.returncode == 1
    assert "canary.py" in done.stderr
    assert "Error" in done.stderr


@pytest.mark.parametrize(
    ("text", "status", "stderr"),
    [
        ("assert 1 == 2\n", 1, "AssertionError"),
        ("import sys\nsys.exit(3)\n", 3, ""),
        ("import sys\nsys.exit('no such file')\n", 1, "no such file"),
        ("import sys\nsys.exit()\n", 0, ""),
        ("a = [0] * 100000000\n", 1, "MemoryError"),
    ],
)
def test_the_exit_status_is_that_of_the_program(tmp_path: Path, text: str, status: int, stderr: str) -> None:
    program = tmp_path / "program.py"
    program.write_text("print('before')\n" + text)
    done = on_micropython(program)
    assert (done.returncode, done.stdout) == (status, "before\n")
    assert stderr in done.stderr
