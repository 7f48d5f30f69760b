"""dramatiq on Redis: threads; priorities apply only to messages already fetched by a worker, so none here."""

from __future__ import annotations

import threading
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from peer import ResultRecorder, parse_args, print_fill_time, trickle_times

ARGS = parse_args()
MAX_THREADS = 16
# The messages of a worker silent for 2 s are requeued; the default is a minute, checked rarely.
broker = RedisBroker(url=ARGS.url, heartbeat_timeout=2000, maintenance_chance=50_000, middleware=[])
dramatiq.set_broker(broker)
recorder = ResultRecorder(ARGS.count, ARGS.file)
lock = threading.Lock()


@dramatiq.actor(actor_name="run")
def run(sent_at: float, milliseconds: float, priority: int, number: int) -> None:
    """Run and record a job.

    Args:
        sent_at: send time of the job, `time.time`.
        milliseconds: duration of the job.
        priority: priority of the job.
        number: number of the job.
    """
    started_at = time.time()
    if milliseconds:
        time.sleep(milliseconds / 1000)
    with lock:
        recorder.record(sent_at, priority, number, started_at)


def main() -> None:
    """Run the verb of the command line."""
    if ARGS.verb == "work":
        dramatiq.Worker(broker, worker_threads=min(MAX_THREADS, ARGS.concurrency)).start()
        threading.Event().wait()
    elif ARGS.verb == "fill":
        started_at = time.time()
        for number in range(ARGS.count):
            run.send(time.time(), ARGS.milliseconds, ARGS.priority, number)
        print_fill_time(time.time() - started_at)
    else:
        broker.client.ping()
        for number, due_at in enumerate(trickle_times(ARGS.count)):
            time.sleep(max(0.0, due_at - time.time()))
            run.send(due_at, ARGS.milliseconds, ARGS.priority, number)


main()
