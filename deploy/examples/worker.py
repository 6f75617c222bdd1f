#!/usr/bin/env python3
"""A worker outside the node: takes jobs of the pool `math`, with Python's standard library alone.

The node needs, in its configuration:

    [[query.workers.pools]]
    name = "math"
    tools = [{ name = "add", description = "Adds numbers.",
               parameters = [{ name = "numbers", type = "array", required = true }] }]

Run it with `python3 worker.py http://127.0.0.1:8000`, and the node's token in PERENNIAL_TOKEN if it has one.
"""

import json
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.request

POOL = "math"
WORKER = f"{socket.gethostname()}-{os.getpid()}"


def add(arguments):
    return sum(arguments["numbers"])


TOOLS = {"add": add}


def post(url, body):
    """The status and the JSON of the answer; None for an answer without a body."""
    headers = {"content-type": "application/json"}
    if os.environ.get("PERENNIAL_TOKEN"):
        headers["authorization"] = "Bearer " + os.environ["PERENNIAL_TOKEN"]
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        return error.code, None


def keep(base, job, done):
    """Says that this worker is alive until the job is done, or is another one's."""
    while not done.wait(5):
        status, _ = post(f"{base}/jobs/{job['id']}/heartbeat", {"lease": job["lease"]})
        if status == 409:
            return


def do(base, job):
    done = threading.Event()
    threading.Thread(target=keep, args=(base, job, done), daemon=True).start()
    answer = {"lease": job["lease"]}
    try:
        answer["value"] = TOOLS[job["tool"]](job["arguments"])
    except Exception as error:
        answer["error"] = {"kind": "failed", "message": repr(error)}
    finally:
        done.set()
    status, _ = post(f"{base}/jobs/{job['id']}/result", answer)
    # 409: somebody else has the job by now, and this result counts for nothing.
    print(job["label"], job["tool"], "->", status, flush=True)


def main():
    base = f"{sys.argv[1].rstrip('/')}/v1/workers/{POOL}"
    while True:
        try:
            status, job = post(f"{base}/poll?wait=20", {"worker": WORKER})
        except OSError as error:
            print("no node:", error, flush=True)
            time.sleep(1)
            continue
        if status == 200:
            do(base, job)
        elif status != 204:
            sys.exit(f"the node answered {status}")


if __name__ == "__main__":
    main()
