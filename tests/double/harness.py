"""harness: shared by the scenario tests: a folder, clients, servers, and a strict reader of the log.

Every wait has a bound (LIMIT); every process is ended by its own id."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
DOUBLE = TESTS / "double"  # stand-ins for the rest of the world
BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", ROOT / "build")).resolve()
SMTPD = str(BUILD / "postern-smtpd")
CDB = str(BUILD / "postern-cdb")
IS_ASAN = BUILD.name == "asan"
IS_STATIC = BUILD.name == "static"

LIMIT = 60  # seconds; no single wait of a sound run comes near
CLIENT = "192.0.2.7"
ME = "mx.example.net"
KINDS = ("domains", "mailboxes", "badsenders")


def environment(**knobs):
    """A session's whole environment: a program's bare needs, and the knobs. None takes one away."""
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    env["ASAN_OPTIONS"] = "detect_leaks=0"  # nothing allocates; and it cannot work under strace
    env["DNSCACHEIP"] = "127.0.0.1"  # no test asks any other server
    env.update(ME=ME, SPOOL="spool", TCPREMOTEIP=CLIENT, TIMEOUT="30", SESSION_TIMEOUT="120")
    for name, value in knobs.items():
        env.pop(name, None)
        if value is not None:
            env[name] = value if isinstance(value, bytes) else str(value)
    return env


# Where an example's paths are in a test's folder.
PREFIXES = {"/etc/postern/": "./", "/var/spool/postern": "./spool", "/var/qmail/bin/": "./", "./var/mail": "./spool"}


def example(name):
    """Exactly the knobs of etc/NAME.env; only the paths are a test's."""
    knobs = {"SPOOL": None, "TIMEOUT": None, "SESSION_TIMEOUT": None}
    for line in (ROOT / "etc" / f"{name}.env").read_text().splitlines():
        if line.startswith("#"):
            continue
        found = re.fullmatch(r'([A-Z_]+)="([^"\\$`]*)"', line)
        if not found or knobs.get(found[1]):
            raise AssertionError(f"{name}.env: {line}")
        knobs[found[1]] = found[2]
        for here, there in PREFIXES.items():
            if found[2].startswith(here):
                knobs[found[1]] = there + found[2].removeprefix(here)
    return knobs


# The log ---------------------------------------------------------------------------------------------------

PAIR = re.compile(rb"""([a-z]+)=
                       (?:([!#-<>-\[\]-~]+) | "((?:[ ]|[!#-\[\]-~]|\\["\\]|\\x[0-9a-f]{2})*)"(\.\.\.)?)
                       (?:[ ](?=.)|$)""", re.X)
ESCAPE = re.compile(r"\\(x..|.)")
LOG_LINE = 4096


class Log(list):
    """Events in order, each a dict of strings (bytes as Latin-1)."""

    def __init__(self, data):
        super().__init__(parse_line(line) for line in data.split(b"\n")[:-1])
        if data and not data.endswith(b"\n"):
            raise AssertionError(f"the log ends in the midst of a line: {data[-200:]!r}")

    def events(self, event, **pairs):
        return [e for e in self if e["event"] == event and all(e.get(k) == v for k, v in pairs.items())]

    def one(self, event, **pairs):
        found = self.events(event, **pairs)
        if len(found) != 1:
            raise AssertionError(f"{len(found)} events {event} {pairs} in {self}")
        return found[0]


def parse_line(line):
    at, event = 0, {}
    if len(line) + 1 > LOG_LINE:
        raise AssertionError(f"log line of {len(line)} bytes")
    while at < len(line):
        found = PAIR.match(line, at)
        if not found or found[1].decode() in event:
            raise AssertionError(f"not a log line at byte {at}: {line.decode('latin-1')!r}")
        bare, quoted, cut = found[2], found[3], found[4]
        text = (bare if quoted is None else quoted).decode("latin-1")
        if quoted is not None:
            text = ESCAPE.sub(lambda e: chr(int(e[1][1:], 16)) if len(e[1]) > 1 else e[1], text)
        event[found[1].decode()] = text + ("..." if cut else "")
        at = found.end()
    if next(iter(event), None) != "event":
        raise AssertionError(f"a log line that does not begin with its event: {line!r}")
    return event


# The folder ------------------------------------------------------------------------------------------------

NAME = re.compile(r"^\d+\.M\d{6}P\d+_\d+\.[^/:]+,S=(\d+)$")


class Place:
    """A fresh folder; the programs run in it, so that paths in knobs and tables are short and relative."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="postern-"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def write(self, name, data, mode=0o644):
        path = self.path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        path.chmod(mode)
        return name

    def read(self, name):
        return (self.path / name).read_bytes()

    def compile(self, kind, text, name=None):
        """A cdb made by postern-cdb; its name is fit for the knob."""
        name = name or kind
        self.write(name, text)
        done = subprocess.run([CDB, kind, name, name + ".cdb"], cwd=self.path, env=environment(),
                              timeout=LIMIT,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode or done.stdout:
            raise AssertionError(f"postern-cdb {kind}: {done.returncode} {done.stdout.decode()}")
        return name + ".cdb"

    def maildirs(self):
        return sorted(p.parent for p in self.path.rglob("new") if (p.parent / "tmp").is_dir())

    def messages(self, maildir="spool"):
        """name: bytes, of all files in new/. Every name has Maildir's form, and tells the size."""
        fresh = self.path / maildir / "new"
        found = {p.name: p.read_bytes() for p in sorted(fresh.iterdir())} if fresh.is_dir() else {}
        for name, data in found.items():
            match = NAME.match(name)
            if not match or int(match[1]) != len(data):
                raise AssertionError(f"{name} holds {len(data)} bytes")
        return found

    def stored(self):
        """How many messages are in the new/ of each Maildir that has any."""
        names = [str(m.relative_to(self.path)) for m in self.maildirs()]
        counts = {name: len(self.messages(name)) for name in names}
        return {name: n for name, n in counts.items() if n}

    def leftovers(self):
        return [str(p) for m in self.maildirs() for p in (m / "tmp").iterdir()]


def body_of(message):
    """The client's own text: all behind the fields put on top. The last of these is Received (in a Maildir) or
    X-Postern-To (in SPOOL)."""
    lines = message.split(b"\n")
    i = 0
    while i < len(lines) and re.match(rb"(Return-Path|Delivered-To|Received|X-Postern-[A-Za-z]+): |\t",
                                      lines[i]):
        i += 1
        if lines[i - 1].startswith(b"Received:"):
            while lines[i].startswith(b"\t"):
                i += 1
            if not lines[i].startswith(b"X-Postern-"):
                break
    return b"\n".join(lines[i:])


# How to spoil a compiled table.
BREAKS = {
    "missing": lambda p: p.unlink(),
    "empty": lambda p: p.write_bytes(b""),
    "text": lambda p: p.write_bytes(b"alice@example.com\n" * 300),
    "zeros": lambda p: p.write_bytes(b"\0" * p.stat().st_size),
    "toc-only": lambda p: p.write_bytes(p.read_bytes()[:2048]),
    "cut": lambda p: p.write_bytes(p.read_bytes()[:-1]),
    "half": lambda p: p.write_bytes(p.read_bytes()[:p.stat().st_size // 2]),
    "longer": lambda p: p.write_bytes(p.read_bytes() + b"\0" * 8),
    "folder": lambda p: (p.unlink(), p.mkdir()),
    "loop": lambda p: (p.unlink(), p.symlink_to(p.name)),
    # every used slot leads behind the end of the records
    "astray": lambda p: p.write_bytes(send_astray(p.read_bytes())),
}


def send_astray(cdb):
    at = int.from_bytes(cdb[:4], "little")
    slots = bytearray(cdb[at:])
    for i in range(0, len(slots), 8):
        if any(slots[i:i + 8]):
            slots[i + 4:i + 8] = len(cdb).to_bytes(4, "little")
    return cdb[:at] + bytes(slots)


# Clients ---------------------------------------------------------------------------------------------------

# An enhanced code of the same class in all but the banner, 334, 354, and the replies to HELO and EHLO (RFC 2034 4).
REPLY_LINE = re.compile(rb"^(?:220 |334 |354 |250[ -]|(?:([245])[0-5][0-9][ -]\1\.[0-9]{1,3}\.[0-9]{1,3} ))[\x20-\x7e]*\r\n$")
REPLY_MAX = 512


class Gone(AssertionError):
    """The server closed where a reply was due."""


class Client:
    """A client's end of a connection. Reads replies strictly (RFC 5321 4.2)."""

    def __init__(self, sock=None, reader=None, writer=None):
        self.sock, self.reader, self.writer = sock, reader, writer
        self.buffer = b""
        self.received = self.sent = self.reads = 0
        if sock:
            sock.settimeout(LIMIT)

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        if self.sock:
            self.sock.sendall(data)
        else:
            view = memoryview(data)
            while view:
                view = view[os.write(self.writer, view):]
        self.sent += len(data)

    def recv(self):
        data = self.sock.recv(65536) if self.sock else read_by(self.reader, 65536)
        self.received += len(data)
        self.reads += bool(data)
        return data

    def line(self):
        while b"\n" not in self.buffer:
            data = self.recv()
            if not data:
                raise Gone(f"closed after {self.buffer!r}")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        line += b"\n"
        if not REPLY_LINE.match(line) or len(line) > REPLY_MAX:
            raise AssertionError(f"not a reply line: {line!r}")
        return line[:-2].decode()

    def reply(self):
        """One reply, its lines joined by newlines."""
        lines = [self.line()]
        while lines[-1][3] == "-":
            lines.append(self.line())
            if lines[-1][:3] != lines[0][:3]:
                raise AssertionError(f"one reply with two codes: {lines}")
        return "\n".join(lines)

    def command(self, line, code=None):
        self.send(line + "\r\n" if isinstance(line, str) else line + b"\r\n")
        return self.expect(code)

    def expect(self, code):
        reply = self.reply()
        if code is not None and not reply.startswith(str(code)):
            raise AssertionError(f"wanted {code}, got {reply}")
        return reply

    def hello(self):
        self.expect(220)
        return self.command("EHLO client.example", 250)

    def mail(self, body, sender="a@example.org", to=("b@example.com",), code=250):
        """One message; `body` as it goes over the wire, without its end."""
        self.command(f"MAIL FROM:<{sender}>", 250)
        for recipient in to:
            self.command(f"RCPT TO:<{recipient}>", 250)
        self.command("DATA", 354)
        self.send(body if isinstance(body, bytes) else body.encode())
        self.send(b"\r\n.\r\n" if body and not body[-2:] in ("\r\n", b"\r\n") else b".\r\n")
        return self.expect(code)

    def end_of_input(self):
        """No more will be sent, but replies are still read."""
        if self.sock:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)
        elif self.writer is not None:
            os.close(self.writer)
            self.writer = None

    def rest(self):
        """All bytes until the server closes."""
        data, self.buffer = self.buffer, b""
        while more := self.recv():
            data += more
        return data

    def close(self):
        if self.sock:
            self.sock.close()
        for fd in (self.reader, self.writer):
            if fd is not None:
                os.close(fd)
        self.reader = self.writer = None


def read_by(fd, n):
    """read(2) that does not wait forever."""
    import select
    if not select.select([fd], [], [], LIMIT)[0]:
        raise TimeoutError(f"nothing to read for {LIMIT} s")
    try:
        return os.read(fd, n)
    except OSError:  # a terminal whose other end is closed
        return b""


# One session -----------------------------------------------------------------------------------------------

STREAM, PACKETS, PIPES = "stream", "packets", "pipes"


class Session(Client):
    """One postern-smtpd and its client: over a socket pair, one that keeps write boundaries, or two pipes."""

    inherit = ()  # descriptors, by their numbers, beside 0, 1 and 2

    def __init__(self, place, over=STREAM, before=(), log=None, early=b"", **knobs):
        self.place, self.log_to = place, log
        if over == PIPES:
            server_in, writer = os.pipe()
            reader, server_out = os.pipe()
            super().__init__(reader=reader, writer=writer)
            ends = (server_in, server_out)
        else:
            ours, theirs = socket.socketpair(socket.AF_UNIX,
                                             socket.SOCK_SEQPACKET if over == PACKETS else socket.SOCK_STREAM)
            super().__init__(sock=ours)
            ends = (theirs.detach(),) * 2
        if early:
            self.send(early)  # there before the server is
        self.start(place, ends, before, knobs)

    def start(self, place, ends, before, knobs):
        self.log_file = tempfile.TemporaryFile()
        try:
            self.process = subprocess.Popen([*before, SMTPD], cwd=place.path, env=environment(**knobs),
                                            stdin=ends[0], stdout=ends[1],
                                            stderr=self.log_to or self.log_file, pass_fds=self.inherit)
        finally:
            for fd in set(ends):
                os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(LIMIT)
        self.log_file.close()

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(LIMIT)

    def log(self):
        """The log; the process has ended."""
        self.wait()
        self.log_file.seek(0)
        return Log(self.log_file.read())

    def quit(self):
        self.command("QUIT", 221)
        left = self.rest()
        if left or self.wait():
            raise AssertionError(f"after QUIT: {left!r}, exit code {self.process.returncode}")


class Accepted(Session):
    """The same over TCP, as an inetd would start it: the connection is descriptors 0 and 1."""

    def __init__(self, place, listen="127.0.0.1", connect=None, **knobs):
        self.place, self.log_to = place, None
        family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind((listen, 0))
            listener.listen(1)
            listener.settimeout(LIMIT)
            Client.__init__(self,
                            socket.create_connection((connect or listen, listener.getsockname()[1]), LIMIT))
            accepted, _ = listener.accept()
        accepted.settimeout(None)
        self.start(place, (accepted.detach(),) * 2, (), knobs)

    def reset(self):
        """Goes away rudely: RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


# Servers ---------------------------------------------------------------------------------------------------

class Server:
    """A real server in front of the program. `with Server(...) as s`: s.port; after s.stop(): s.log()."""

    process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def family(self):
        """The processes below it, by process id: its sessions', orphans too, but none that has ended."""
        found = {}
        for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                name, fields = re.fullmatch(r"\d+ \((.*)\) (.*)\n", stat.read_text(), re.S).groups()
                pid, (state, _, _, session) = int(stat.parent.name), fields.split()[:4]
                if int(session) == self.process.pid and pid != self.process.pid and state not in "ZX":
                    found[pid] = name
        return found

    def connect(self):
        return Client(socket.create_connection((self.host, self.port), LIMIT))

    def end(self, process):
        if process and process.poll() is None:
            process.terminate()
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(LIMIT)


class Tcpserver(Server):
    """tcpserver | multilog, as INSTALL has it; tcpserver chooses the port."""

    host = "127.0.0.1"

    def __init__(self, place, sessions=40, program=(SMTPD,), **knobs):
        self.place = place
        env = environment(**{"TCPREMOTEIP": None, **knobs})
        reader, writer = os.pipe()
        self.multilog = subprocess.Popen(["multilog", "t", "s16777215", "./log"], cwd=place.path,
                                         stdin=reader)
        os.close(reader)
        self.process = subprocess.Popen(
            ["tcpserver", "-1HRDl0", "-c", str(sessions), self.host, "0", *program], cwd=place.path, env=env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=writer, start_new_session=True)
        os.close(writer)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        """Returns when the last session has ended: then nobody holds the log's pipe any more."""
        self.end(self.process)
        self.process.stdout.close()
        try:
            self.multilog.wait(LIMIT)
        finally:
            self.end(self.multilog)

    def log(self):
        lines = (self.place.path / "log" / "current").read_bytes().splitlines(True)
        if not all(re.match(rb"@[0-9a-f]{24} ", line) for line in lines):
            raise AssertionError("a log line without multilog's time")
        return Log(b"".join(line[26:] for line in lines))


class SocketActivate(Server):
    """systemd-socket-activate --accept --inetd. It takes no port 0, but a socket that listens already."""

    def __init__(self, place, host="127.0.0.1", program=(SMTPD,), **knobs):
        self.place, self.host = place, host
        env = environment(**{"TCPREMOTEIP": None, **knobs})
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
            listener.bind((host, 0))
            listener.listen(100)
            self.port = listener.getsockname()[1]
            fd = listener.fileno()
            self.process = subprocess.Popen(
                ["sh", "-c", f'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&{fd}', "sh", "systemd-socket-activate",
                 "--accept",
                 "--inetd", *(f"-E{name}={value}" for name, value in env.items()), *program],
                cwd=place.path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                pass_fds=[fd])
        self.said = b""
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        """Until the last session has ended: then nobody holds the log's pipe any more."""
        while data := self.process.stderr.read1():
            self.said += data

    def stop(self):
        self.end(self.process)
        self.listener.join(LIMIT)
        self.process.stderr.close()

    def log(self):
        """Its own words are lines that do not begin with an event."""
        return Log(b"".join(line for line in self.said.splitlines(True) if line.startswith(b"event=")))


def await_that(condition, what):
    """For a change that no event announces: asks again and again, up to the limit."""
    until = time.monotonic() + LIMIT
    while not (found := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"never came true: {what}")
        time.sleep(0.01)
    return found


def resident(pid):
    """The most memory that a process has held, in kilobytes."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no VmHWM")


def writable_memory(pid):
    """All that a process can have written, but its stack's unused part."""
    data = b""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not found or "[vvar" in line:
                continue
            start, end = int(found[1], 16), int(found[2], 16)
            memory.seek(start)
            while start < end:
                part = memory.read(min(end - start, 1 << 20))
                data += part
                start += len(part)
    return data


def may_trace():
    """Whether strace is there, and may trace."""
    if not shutil.which("strace"):
        return False
    done = subprocess.run(["strace", "-qq", "-o", "/dev/null", "-e", "inject=getppid:error=EIO:when=1",
                           "true"], check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=LIMIT)
    return done.returncode == 0


NEEDS_STRACE = unittest.skipUnless(may_trace(),
                                   "strace is missing, or may not trace here: NO FAULT WAS INJECTED")

TERM = signal.SIGTERM
