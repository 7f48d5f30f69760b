"""dramatiq on Redis: threads; priorities only among what a worker has fetched already, so none here."""

from __future__ import annotations

import threading
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from peer import Tally, orders, timetable, told

ASKED = orders()
MOST_THREADS = 16
# A worker silent for 2 s has its messages put back; by default that is a minute, and rarely looked at.
broker = RedisBroker(url=ASKED.url, heartbeat_timeout=2000, maintenance_chance=50_000, middleware=[])
dramatiq.set_broker(broker)
tally = Tally(ASKED.count, ASKED.file)
lock = threading.Lock()


@dramatiq.actor(actor_name="run")
def run(sent: float, milliseconds: float, priority: int, number: int) -> None:
    """Count it."""
    started = time.time()
    if milliseconds:
        time.sleep(milliseconds / 1000)
    with lock:
        tally.ran(sent, priority, number, started)


def main() -> None:
    """Do as asked."""
    if ASKED.verb == "work":
        dramatiq.Worker(broker, worker_threads=min(MOST_THREADS, ASKED.concurrency)).start()
        threading.Event().wait()
    elif ASKED.verb == "fill":
        began = time.time()
        for number in range(ASKED.count):
            run.send(time.time(), ASKED.milliseconds, ASKED.priority, number)
        told(time.time() - began)
    else:
        broker.client.ping()
        for number, due in enumerate(timetable(ASKED.count)):
            time.sleep(max(0.0, due - time.time()))
            run.send(due, ASKED.milliseconds, ASKED.priority, number)


main()
