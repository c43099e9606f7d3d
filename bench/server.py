"""A program under tcpserver, on a port of its own, with its CPU counted."""

import os
import select
import signal
import subprocess
import time


class Failed(Exception):
    """A measurement that did not come about; the text says why."""


class Server:
    """With a Server, its `port` takes so many `sessions` at once. tcprules `rules` (a compiled file) tell them about
    their clients; `ids` (uid, gid) is their user, if given. Behind the block, `cpu` holds the seconds of CPU that all
    of them took together, tcpserver's share included."""

    def __init__(self, meter, program, log, env=None, sessions=400, rules=None, ids=None):
        self.meter, self.program, self.log = meter, program, log
        self.options = ["-c", str(sessions), *(["-x", rules] if rules else []),
                        *(["-u", str(ids[0]), "-g", str(ids[1])] if ids else [])]
        self.env = {"PATH": "/usr/local/bin:/usr/bin:/bin", **(env or {})}
        self.cpu = None

    def __enter__(self):
        self.group = self.meter.open()
        try:
            with open(self.log, "ab") as log:
                self.process = self._start(log)
        except (OSError, subprocess.SubprocessError) as trouble:
            self.group.close()
            raise Failed(f"{self.program[0]}: {trouble}")
        try:
            self.port = self._read_port()
            self.before = self.group.seconds() if self.group.live else 0
        except BaseException:
            self._end()
            raise
        return self

    def _start(self, log):
        command = ["tcpserver", "-1", "-HRDl0", "-b", "400", *self.options, "127.0.0.1", "0", *self.program]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=self.env,
                                preexec_fn=self.group.enter)

    def _read_port(self):
        if not select.select([self.process.stdout], [], [], 10)[0]:
            raise Failed("tcpserver did not name its port")
        line = self.process.stdout.readline().strip()
        if not line.isdigit():
            raise Failed("tcpserver did not start: " + self.last_words())
        return int(line)

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self._await_sessions()
                if self.group.live:
                    self.cpu = self.group.seconds() - self.before
        finally:
            usage = self._end()
        if kind is None and self.cpu is None:
            self.cpu = usage.ru_utime + usage.ru_stime

    def sessions(self):
        """Process ids of the sessions: tcpserver's children."""
        return self.children(self.process.pid)

    def children(self, pid):
        try:
            with open(f"/proc/{pid}/task/{pid}/children") as f:
                return [int(word) for word in f.read().split()]
        except FileNotFoundError:
            return [child for child in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(child) == pid]

    def _await_sessions(self):
        """tcpserver does not tell when the last of its children is gone: it has to be asked."""
        end = time.monotonic() + 20
        while self.sessions():
            if time.monotonic() > end:
                raise Failed("a session did not end")
            time.sleep(0.001)

    def _end(self):
        orphans = self.sessions()
        self.process.terminate()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.process.stdout.close()
        for pid in orphans:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        self.group.close()
        return usage

    def last_words(self):
        with open(self.log, "rb") as f:
            lines = f.read().decode(errors="replace").splitlines()
        return lines[-1] if lines else "(its log is empty)"


class Listener(Server):
    """A program that makes its own socket, on a free port, and ends after one connection."""

    def _start(self, log):
        return subprocess.Popen(self.program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log,
                                env=self.env, preexec_fn=self.group.enter)

    def _read_port(self):
        end = time.monotonic() + 10
        while time.monotonic() < end and self.process.poll() is None:
            port = _listening_port(self.process.pid)
            if port:
                return port
            time.sleep(0.001)
        raise Failed(f"{self.program[0]} does not listen: " + self.last_words())

    def _await_sessions(self):
        """Awaits the program's own end, and leaves its status to be taken."""
        end = time.monotonic() + 20
        while not os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            if time.monotonic() > end:
                raise Failed(f"{self.program[0]} did not end")
            time.sleep(0.001)

    def _end(self):
        self.process.stdin.close()
        os.kill(self.process.pid, signal.SIGTERM)  # Popen's own way would wait for it, and lose its usage
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.group.close()
        return usage


def _listening_port(pid):
    """The port of the one socket on which it listens; 0 while there is none."""
    folder = f"/proc/{pid}/fd"
    sockets = {os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)}
    with open(f"/proc/{pid}/net/tcp") as f:
        rows = [line.split() for line in f]
    listening = "0A"
    ports = [int(row[1].split(":")[1], 16) for row in rows if row[3] == listening and f"socket:[{row[9]}]" in sockets]
    return ports[0] if ports else 0


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return int(f.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0
