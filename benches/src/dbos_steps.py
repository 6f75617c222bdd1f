"""Workflows of three cheap durable steps on DBOS, for the benchmark that starts this.

Its one argument is the URL of the database. A line of the standard input says how many clients there
are and for how many seconds; the answer is a line with the milliseconds that each workflow took, from
its beginning to its result. Each client is a thread, and waits for one workflow before it begins the next.
"""

import sys
import threading
import time

from dbos import DBOS


@DBOS.step()
def say(text: str) -> str:
    return text


@DBOS.workflow()
def three_steps() -> str:
    first = say("hello")
    second = say(f"{first} and")
    return say(f"{second} good night")


def client(until: float, took: list[float]) -> None:
    while time.monotonic() < until:
        began = time.monotonic()
        if three_steps() != "hello and good night":
            raise RuntimeError("a workflow came to another result")
        took.append((time.monotonic() - began) * 1e3)


def measure(clients: int, seconds: float) -> list[float]:
    took: list[float] = []
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=client, args=(until, took)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def main() -> None:
    config = {
        "name": "bench",
        "system_database_url": sys.argv[1],
        # All processes are one application, and none does what another one had begun.
        "application_version": "1",
        "executor_id": sys.argv[2],
        # As many connections as clients, of those that PostgreSQL takes.
        "sys_db_pool_size": 40,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    three_steps()
    print("ready", flush=True)
    for line in sys.stdin:
        clients, seconds = line.split()
        took = measure(int(clients), float(seconds))
        print(" ".join(f"{milliseconds:.3f}" for milliseconds in took), flush=True)
    DBOS.destroy()


main()
