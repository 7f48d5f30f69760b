"""Parts of `esq test` beside each other: output, results and interruption."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.actions.test_lanes import Part, PartResult, run_in_foreground, run_lanes

WAIT_FOR_FILE = "import pathlib, sys, time; mine, other = map(pathlib.Path, sys.argv[1:]); mine.touch()\nwhile not other.exists(): time.sleep(0.01)"
"""Creates a file and waits for the other's."""

INTERRUPTIBLE = """
import pathlib, sys, time
try:
    print("started", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    pathlib.Path(sys.argv[1]).write_text("cleaned up")
    raise
"""
RUN_LANES = """
import json, pathlib, sys
from cli.actions.test_lanes import Part, run_lanes
lanes = [[Part(name, (tuple(command),))] for name, command in json.loads(sys.argv[1]).items()]
run_lanes(lanes, pathlib.Path(sys.argv[2]))
"""


def python(script: str, *args: object) -> tuple[str, ...]:
    return (sys.executable, "-c", script, *map(str, args))


def outcomes(results: list[PartResult]) -> list[tuple[str, bool]]:
    return [(result.part, result.passed) for result in results]


def test_lanes_run_beside_each_other_and_print_one_after_another(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    lanes = [
        [
            Part("one", (python(WAIT_FOR_FILE, a, b), python("print('output of one')"))),
            Part("two", (python("print('output of two')"),)),
        ],
        [Part("beside", (python("print('output of beside')"), python(WAIT_FOR_FILE, b, a)))],
    ]
    results = run_lanes(lanes, tmp_path)
    assert outcomes(results) == [("one", True), ("two", True), ("beside", True)]
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("output of")]
    assert lines == ["output of one", "output of two", "output of beside"]


def test_part_with_a_failed_command_runs_the_others_and_fails(tmp_path: Path) -> None:
    lanes = [
        [
            Part(
                "bad",
                (
                    python("raise SystemExit(3)"),
                    python("import sys; open(sys.argv[1], 'w')", tmp_path / "ran"),
                ),
            ),
            Part("good", (python("import os; assert os.environ['COLOUR'] == 'red'"),), {"COLOUR": "red"}),
        ]
    ]
    assert outcomes(run_lanes(lanes, tmp_path)) == [("bad", False), ("good", True)]
    assert (tmp_path / "ran").exists()


def test_missing_program_ends_the_other_lanes(tmp_path: Path) -> None:
    lanes = [
        [Part("none", (("/no/such/program",),))],
        [Part("long", (python("import time; time.sleep(60)"),))],
    ]
    with pytest.raises(FileNotFoundError, match="/no/such/program"):
        run_lanes(lanes, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_waits_for_the_clean_up_of_all_lanes(tmp_path: Path, number: signal.Signals) -> None:
    traces = [tmp_path / "a", tmp_path / "b"]
    lanes = {trace.name: python(INTERRUPTIBLE, trace) for trace in traces}
    script = f"import signal; signal.signal(signal.SIGTERM, signal.default_int_handler){RUN_LANES}"
    command = python(script, json.dumps(lanes), tmp_path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        while not all("\nstarted" in read(tmp_path / f"{name}.log") for name in lanes):
            assert running.poll() is None, running.communicate()
            time.sleep(0.02)
        running.send_signal(number)
        _, errors = running.communicate(timeout=30)
    assert b"KeyboardInterrupt" in errors
    assert [trace.read_text() for trace in traces] == ["cleaned up", "cleaned up"]


def test_foreground_part_accepts_further_exit_codes() -> None:
    part = Part("unit", (python("raise SystemExit(5)"),))
    assert run_in_foreground(part, {0, 5}).passed
    assert not run_in_foreground(part, {0}).passed


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
