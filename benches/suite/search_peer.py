"""SQLite FTS5 on the documents and queries of the benchmark `search`: python3 TEXTS QUERIES DATABASE."""

import json
import os
import resource
import sqlite3
import sys
import threading
import time

TEXTS, QUERIES, DATABASE = sys.argv[1:4]
# As many documents become durable together as clients hand them in at the same time.
TOGETHER = 256


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def fill():
    connection = sqlite3.connect(DATABASE)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE VIRTUAL TABLE documents USING fts5(text, tokenize = 'porter unicode61')")
    with open(TEXTS, encoding="utf-8") as lines:
        texts = [(line.rstrip("\n"),) for line in lines]
    began, used = time.monotonic(), cpu()
    for at in range(0, len(texts), TOGETHER):
        with connection:
            connection.executemany("INSERT INTO documents VALUES (?)", texts[at : at + TOGETHER])
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    seconds, used = time.monotonic() - began, cpu() - used
    connection.close()
    size = os.path.getsize(DATABASE)
    return {"rate": len(texts) / seconds, "cpu_rate": len(texts) / used, "bytes": size / len(texts)}


def ask(queries, clients):
    took, lock, waiting = [], threading.Lock(), iter(queries)

    def work():
        connection = sqlite3.connect(DATABASE)
        while True:
            with lock:
                query = next(waiting, None)
            if query is None:
                return
            began = time.monotonic()
            connection.execute(
                "SELECT rowid, text FROM documents WHERE documents MATCH ? ORDER BY rank LIMIT 10", (query,)
            ).fetchall()
            took.append((time.monotonic() - began) * 1000)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took.sort()
    return {"p50": took[len(took) // 2], "p99": took[len(took) * 99 // 100]}


result = fill()
with open(QUERIES, encoding="utf-8") as file:
    asked = json.load(file)
result["queries"] = {
    kind: {str(clients): ask(queries, clients) for clients in (1, 8)} for kind, queries in asked.items()
}
print(json.dumps(result))
