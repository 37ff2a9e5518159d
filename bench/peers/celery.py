"""Celery's side of the benchmark: real workers, and the caller.

    celery.py workers N     N workers in processes of their own
    celery.py caller N      reads `ping`, `ping-default` or `note ROUND` a line from its
                            input, and writes how many have answered

PEERS_BROKER is the URL of the broker, PEERS_TALLY the socket for the handlers' times.
"""
import os
import socket
import struct
import sys
import time

from celery import Celery
from celery.apps.worker import Worker
from celery.worker.control import control_command

# What a worker loads as it starts, so that the processes begin with it.
import celery.concurrency.solo  # noqa: F401
import celery.worker.autoscale  # noqa: F401
import celery.worker.components  # noqa: F401
import celery.worker.consumer  # noqa: F401
import celery.worker.strategy  # noqa: F401
import kombu.transport.redis  # noqa: F401

app = Celery("peers", broker=os.environ.get("PEERS_BROKER", ""))
app.conf.broker_connection_retry = False
tally = None


@control_command(args=[("round", int)])
def note(state, round, **_):
    """What a handler of an application would be: tells when it was called."""
    now = time.time_ns()
    tally.send(struct.pack("!qqq", round, 1, now))


def worker(i):
    global tally
    tally = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    tally.connect(os.environ["PEERS_TALLY"])
    Worker(
        app=app, hostname="w%d@peers" % i, pool="solo", loglevel="ERROR", quiet=True,
        # What the workers would tell each other; a hundred of them would be busy with it.
        without_gossip=True, without_mingle=True, without_heartbeat=True,
    ).start()


def workers(n):
    app.finalize()
    app.loader.import_default_modules()
    for i in range(n):
        pid = os.fork()
        if pid == 0:
            worker(i)
            os._exit(0)
    print("started", flush=True)
    pid, status = os.wait()
    sys.exit("worker %d has ended with status %d" % (pid, status))


def caller(n):
    deadline = time.time() + 110
    while len(ping(n, 1)) < n:
        if time.time() > deadline:
            sys.exit("not all of the %d workers answer" % n)
    print("ready", flush=True)
    for line in sys.stdin:
        command, _, rest = line.strip().partition(" ")
        if command == "note":
            app.control.broadcast("note", arguments={"round": int(rest)})
            print(0, flush=True)
        elif command == "ping-default":
            print(len(app.control.inspect().ping() or {}), flush=True)
        else:
            print(len(ping(n, 10)), flush=True)


def ping(n, timeout):
    """`inspect ping` that knows how many answers to expect."""
    return app.control.inspect(limit=n, timeout=timeout).ping() or {}


if __name__ == "__main__":
    {"workers": workers, "caller": caller}[sys.argv[1]](int(sys.argv[2]))
