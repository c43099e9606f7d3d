"""Many clients that a server keeps waiting, and fresh ones beside them."""

import os
import resource
import selectors
import socket
import struct
import time

from server import Failed

BATCH = 250  # connections on their way at once: tcpserver's backlog holds 400
PATIENCE = 60


def most_held(wanted):
    """(how many sessions can be held here, the limit that forbids more: "" where all of them can)"""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if os.getuid() == 0 or processes == resource.RLIM_INFINITY:
        processes = wanted + 1000  # root is not limited
    with open("/proc/loadavg") as f:
        running = int(f.read().split()[3].split("/")[1])
    limits = {
        "open files (ulimit -n)": wanted if hard == resource.RLIM_INFINITY else hard - 200,
        "processes of this user (ulimit -u)": processes - 500,
        "process ids (kernel.pid_max)": _number("/proc/sys/kernel/pid_max") - running - 500,
        "threads (kernel.threads-max)": _number("/proc/sys/kernel/threads-max") - running - 500,
        "free memory": available_kib() // 250,
    }
    least = min(limits, key=limits.get)
    return (wanted, "") if limits[least] >= wanted else (max(limits[least], 0), least)


def _number(path):
    with open(path) as f:
        return int(f.read())


def available_kib():
    with open("/proc/meminfo") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("MemAvailable:"))


def _connect(port, source):
    s = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing is noticed at once
    return s


class Crowd:
    """With a Crowd, its sessions are held: join() brings more of them. They are cut off at the end."""

    def __init__(self, server):
        self.server, self.sockets = server, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self.sockets:
            s.close()

    def join(self, count, source, *groups):
        """Opens so many more sessions, from this address. Without `groups` they hear nothing. Else each group of lines
        is sent behind the replies to the group before, the first behind the banner; the last line is not answered."""
        for first in range(0, count, BATCH):
            batch = [_connect(self.server.port, source) for _ in range(first, min(first + BATCH, count))]
            self.sockets += batch
            self._await_processes()
            replies = 1
            for group in groups:
                for s in batch:
                    _hear(s, replies)
                    s.sendall("".join(line + "\r\n" for line in group).encode())
                replies = len(group)
            for s in batch if groups else ():
                _hear(s, replies - 1)

    def _await_processes(self):
        end = time.monotonic() + PATIENCE
        while len(self.server.sessions()) < len(self.sockets):
            if time.monotonic() > end:
                raise Failed(f"{len(self.server.sessions())} processes for {len(self.sockets)} sessions "
                             f"({self.server.last_words()})")
            time.sleep(0.005)

    def check(self):
        """All of them are still there, and none has been told anything further."""
        with selectors.DefaultSelector() as selector:
            for s in self.sockets:
                selector.register(s, selectors.EVENT_READ)
            heard = len(selector.select(0))
        if heard:
            raise Failed(f"{heard} of {len(self.sockets)} sessions were not held")
        if len(self.server.sessions()) != len(self.sockets):
            raise Failed(f"{len(self.server.sessions())} processes for {len(self.sockets)} sessions")


def _hear(s, replies):
    """Reads so many replies, and nothing behind them."""
    text, ends = b"", []
    while len(ends) < replies or text and not text.endswith(b"\n"):
        data = s.recv(4096)
        if not data:
            raise Failed(f"connection closed after {text.decode(errors='replace')!r}")
        text += data
        ends = [line for line in text.split(b"\n")[:-1] if line[3:4] != b"-"]
    if len(ends) > replies or any(line[:1] not in b"23" for line in ends):
        raise Failed(f"{replies} replies awaited: {text.decode(errors='replace')!r}")


def banner_delays(port, source, count, apart):
    """Seconds from connecting to the banner of so many clients, each beginning so many seconds after the other."""
    began, delays = {}, []
    start = time.monotonic()
    with selectors.DefaultSelector() as selector:
        try:
            while len(delays) < count:
                now = time.monotonic()
                if now - start > PATIENCE:
                    raise Failed(f"{count - len(delays)} of {count} fresh clients got no banner")
                if len(began) < count and now >= start + len(began) * apart:
                    s = socket.socket()
                    s.bind((source, 0))
                    began[s] = time.monotonic()
                    s.connect(("127.0.0.1", port))
                    selector.register(s, selectors.EVENT_READ)
                left = start + len(began) * apart - time.monotonic() if len(began) < count else 1
                for key, _ in selector.select(max(left, 0)):
                    delays.append(time.monotonic() - began[key.fileobj])
                    if not key.fileobj.recv(4096).startswith(b"220 "):
                        raise Failed("a fresh client got no banner")
                    selector.unregister(key.fileobj)
                    key.fileobj.sendall(b"QUIT\r\n")
        finally:
            for s in began:
                s.close()
    return delays
