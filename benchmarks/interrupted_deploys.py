"""Interrupt first deploys of `local` at random moments, and require that the next run converges.

Run it with `./esq python benchmarks/interrupted_deploys.py`; it deletes `local` before each round. By default
ten SIGKILLs and ten SIGTERMs: about 13 minutes on a quiet machine with two cores and built tools and images.

A round is one first deploy that is interrupted several times. Only `esq` itself receives the signal; the
engine and the provider must end with it. After the last interrupt a deploy must complete, the next one must
change nothing, nothing may differ from the deployed state, and the credentials must be those of the first
attempt that saved them.

Each round is a line of the results file. A repeated command with the same file continues after the last one;
without it, the file is in a new temporary folder. No round starts that would probably exceed `--minutes`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ESQ = Path(__file__).resolve().parents[1] / "esq"
COMMAND_TIMEOUT_SECONDS = 300.0
"""A deploy from nothing takes 80 s on a quiet machine."""
STOP_TIMEOUT_SECONDS = 120.0
FIRST_DEPLOY_SECONDS = 75.0
"""The interrupts of a round are spread over this time."""


class RoundError(Exception):
    """A command of a round failed: the environment did not converge."""


def run(*arguments: str, check: bool = True) -> str:
    """Run `esq` and return its standard output.

    Args:
        *arguments: its arguments.
        check: whether a failure ends the round.

    Raises:
        RoundError: it failed, or did not end in time.
    """
    with subprocess.Popen(
        [ESQ, *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=COMMAND_TIMEOUT_SECONDS)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise RoundError(f"`esq {' '.join(arguments)}` did not end in {error.timeout:g} s") from error
            raise
    if check and process.returncode:
        raise RoundError(f"`esq {' '.join(arguments)}` exited with code {process.returncode}")
    return output


def interrupt(number: signal.Signals, seconds: float, log: Path) -> dict[str, object]:
    """Start a deploy and send it a signal; return what happened.

    Args:
        number: the signal.
        seconds: time of the signal after the start.
        log: file for the output.

    Raises:
        RoundError: the deploy did not end after the signal.
    """
    stop: float | None = None
    with (
        log.open("a") as output,
        subprocess.Popen(
            [ESQ, "deploy", "local", "--yes"], stdout=output, stderr=output, start_new_session=True
        ) as process,
    ):
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            started = time.monotonic()
            try:
                process.wait(STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired as error:
                os.killpg(process.pid, signal.SIGKILL)
                raise RoundError(f"{number.name} did not end a deploy in {error.timeout:g} s") from error
            stop = round(time.monotonic() - started, 1)
    return {"after": round(seconds, 1), "code": process.returncode, "stop_seconds": stop}


def require_converged(unchanged: dict[str, Any], credentials: set[str]) -> None:
    """Require a deploy without changes, and the same credentials in all exports.

    Args:
        unchanged: result of the deploy after the one that completed.
        credentials: the different exports.

    Raises:
        RoundError: the environment did not converge.
    """
    if changes := [change for layer in unchanged["layers"] for change in layer["resources"]]:
        raise RoundError(f"the next deploy changed {changes}")
    if len(credentials) != 1:
        raise RoundError(f"{len(credentials)} different credentials")


def run_round(number: signal.Signals, moments: list[float], log: Path) -> dict[str, Any]:
    """Interrupt one first deploy at each of the moments, then require that it converges.

    Args:
        number: the signal.
        moments: seconds after the start of each attempt.
        log: file for the output of the attempts.

    Returns:
        What happened; `problem` is empty if it converged.
    """
    interrupts: list[dict[str, object]] = []
    outcome: dict[str, Any] = {"signal": number.name, "interrupts": interrupts, "problem": ""}
    try:
        run("destroy", "local", "--yes")
        exports = set()
        for moment in moments:
            interrupts.append(interrupt(number, moment, log))
            exports.add(run("credentials", "export", "local", check=False))
        started = time.monotonic()
        run("deploy", "local", "--yes", "--json")
        outcome["final_deploy_seconds"] = round(time.monotonic() - started, 1)
        exports.add(run("credentials", "export", "local"))
        unchanged = json.loads(run("deploy", "local", "--yes", "--json"))
        run("drift", "local")
        require_converged(unchanged, exports - {""})
    except RoundError as error:
        outcome["problem"] = str(error)
    return outcome


def read_results(file: Path) -> list[dict[str, Any]]:
    """Return the rounds of a results file; none if it does not exist. A line that was cut off is dropped."""
    if not file.exists():
        return []
    complete = [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
    file.write_text("".join(complete))
    return [json.loads(line) for line in complete]


def main() -> None:
    """Run the rounds; exit code 1 when one did not converge, or when not all of them were run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--signal", choices=("KILL", "TERM"), nargs="+", default=["KILL", "TERM"])
    parser.add_argument("--rounds", type=int, default=2, help="rounds for each signal")
    parser.add_argument("--interrupts", type=int, default=5, help="interrupts of each first deploy")
    parser.add_argument("--minutes", type=float, default=15.0, help="limit of the whole run")
    parser.add_argument("--results", type=Path, help="file to append to, or to continue")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    file = options.results or Path(tempfile.mkdtemp(prefix="esq-interrupted-")) / "results.jsonl"
    sys.stderr.write(f"results: {file}, output of the deploys: {file}.log\n")
    outcomes = read_results(file)
    total, ends_at, longest = (
        options.rounds * len(options.signal),
        time.monotonic() + 60 * options.minutes,
        0.0,
    )
    for index in range(len(outcomes), total):
        started = time.monotonic()
        if started + longest > ends_at:
            break
        # Of its own for each round, so that a continued run has the same moments.
        randomness = random.Random(f"{options.seed} {index}")  # noqa: S311 - reproducible moments
        latest = min(FIRST_DEPLOY_SECONDS, 2 * FIRST_DEPLOY_SECONDS / options.interrupts)
        moments = [randomness.uniform(0, latest) for _ in range(options.interrupts)]
        name = options.signal[index % len(options.signal)]
        outcomes.append(run_round(signal.Signals[f"SIG{name}"], moments, Path(f"{file}.log")))
        line = json.dumps(outcomes[-1])
        with file.open("a") as output:
            output.write(line + "\n")
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        longest = max(longest, time.monotonic() - started)
    sent = [
        entry for outcome in outcomes for entry in outcome["interrupts"] if entry["stop_seconds"] is not None
    ]
    converged = sum(not outcome["problem"] for outcome in outcomes)
    sys.stdout.write(f"{converged} of {len(outcomes)} rounds converged, {len(sent)} deploys interrupted")
    sys.stdout.write(f"; {total - len(outcomes)} rounds not run\n" if len(outcomes) < total else "\n")
    sys.exit(converged < total)


if __name__ == "__main__":
    main()
