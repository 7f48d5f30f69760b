"""Interrupt first deploys of `local` at random moments, and require that the next run converges.

Run it with `./esq python benchmarks/interrupted_deploys.py`; it deletes `local` before each round. A round is
one first deploy that is interrupted several times. Only `esq` itself receives the signal; the engine and the
provider must end with it. After the last interrupt a deploy must complete, the next one must change nothing,
nothing may differ from the deployed state, and the credentials must be those of the first attempt that saved
them.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ESQ = Path(__file__).resolve().parents[1] / "esq"
COMMAND_TIMEOUT_SECONDS = 900
STOP_TIMEOUT_SECONDS = 120


def run(*arguments: str, check: bool = True) -> str:
    """Run `esq` and return its standard output."""
    process = subprocess.run(
        [ESQ, *arguments], stdout=subprocess.PIPE, text=True, timeout=COMMAND_TIMEOUT_SECONDS, check=False
    )
    if check and process.returncode:
        sys.exit(f"`esq {' '.join(arguments)}` exited with code {process.returncode}")
    return process.stdout


def interrupt(number: signal.Signals, seconds: float, log: Path) -> dict[str, object]:
    """Start a deploy and send it a signal; return what happened.

    Args:
        number: the signal.
        seconds: time of the signal after the start.
        log: file for the output.
    """
    with log.open("a") as output:
        process = subprocess.Popen(
            [ESQ, "deploy", "local", "--yes"], stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            started = time.monotonic()
            code = process.wait(STOP_TIMEOUT_SECONDS)
            stop = round(time.monotonic() - started, 1)
            return {"after": round(seconds, 1), "code": code, "stop_seconds": stop}
    return {"after": round(seconds, 1), "code": code, "stop_seconds": None}


def run_round(number: signal.Signals, moments: list[float], log: Path) -> dict[str, object]:
    """Interrupt one first deploy at each of the moments, then require that it converges.

    Args:
        number: the signal.
        moments: seconds after the start of each attempt.
        log: file for the output of the attempts.
    """
    run("destroy", "local", "--yes")
    interrupts, exports = [], set()
    for moment in moments:
        interrupts.append(interrupt(number, moment, log))
        exports.add(run("credentials", "export", "local", check=False))
    started = time.monotonic()
    run("deploy", "local", "--yes", "--json")
    seconds = round(time.monotonic() - started, 1)
    exports.add(run("credentials", "export", "local"))
    unchanged = json.loads(run("deploy", "local", "--yes", "--json"))
    changes = [change for layer in unchanged["layers"] for change in layer["resources"]]
    run("drift", "local")
    return {
        "signal": number.name,
        "interrupts": interrupts,
        "final_deploy_seconds": seconds,
        "changes_of_the_next_deploy": changes,
        "different_credentials": len(exports - {""}),
    }


def main() -> None:
    """Run the rounds and print one JSON line for each; exit code 1 when one did not converge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signal", choices=("KILL", "TERM"), default="KILL")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--interrupts", type=int, default=1, help="interrupts of each first deploy")
    parser.add_argument(
        "--horizon", type=float, default=80.0, help="latest moment of an interrupt, in seconds"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    moments, converged = random.Random(options.seed), True  # noqa: S311 - reproducible moments
    log = Path(tempfile.mkdtemp(prefix="esq-interrupted-")) / "deploys.log"
    sys.stderr.write(f"output of the deploys: {log}\n")
    for _ in range(options.rounds):
        times = [moments.uniform(0, options.horizon) for _ in range(options.interrupts)]
        outcome = run_round(signal.Signals[f"SIG{options.signal}"], times, log)
        converged &= not outcome["changes_of_the_next_deploy"] and outcome["different_credentials"] == 1
        sys.stdout.write(json.dumps(outcome) + "\n")
        sys.stdout.flush()
    sys.exit(not converged)


if __name__ == "__main__":
    main()
