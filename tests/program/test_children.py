"""The programs that a session starts, CHECKPASSWORD's and QMAILQUEUE's: SIGTERM while one does not come to an
end, and their descriptors."""
import os
import pathlib
import re
import time
import unittest

from dnsserver import Server, Zone, why_not
from harness import LIMIT, PIPES, STREAM, TERM, Place, Session, await_that
from test_auth import plain

STOPPED = 10  # seconds: all the time there is once SIGTERM has come
BODY = b"Subject: x\r\n\r\n" + b"line\r\n" * 100000

# Each has a child of its own, as a shell script has for most of its commands.
NEVER_ENDS = "sleep 1000 & echo $$ $! >pids.tmp; mv pids.tmp pids; wait"
PROGRAMS = [
    # name, script; the client's words behind its greeting, and the replies at SIGTERM
    ("checkpassword", NEVER_ENDS, [f"AUTH PLAIN {plain()}\r\n"], [r"421 4\.3\.2 "]),
    ("queue, no verdict", f"cat >/dev/null; cat <&1 >/dev/null; {NEVER_ENDS}", ["DATA", b"Subject: x\r\n\r\n.\r\n"],
     [r"451 4\.3\.0 ", r"421 4\.3\.2 "]),
    ("queue, does not read", NEVER_ENDS, ["DATA", BODY], [r"421 4\.3\.2 "]),
    ("queue, does not read the end", NEVER_ENDS, ["DATA", BODY + b".\r\n"], [r"(451 4\.3\.0|421 4\.3\.2) "]),
]


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


class Stopping(unittest.TestCase):
    """SIGTERM while the session waits for a program: an answer, and soon the end of program and children."""

    def session(self, place, **knobs):
        return Session(place, **{"CHECKPASSWORD": "./program", "AUTH_INSECURE": "1", "QMAILQUEUE": "./program",
                                 "SPOOL": None, "TIMEOUT": "300", "SESSION_TIMEOUT": "3600", "MINRATE": "0", **knobs})

    def begin(self, s, said):
        s.hello()
        if said[0] == "DATA":
            s.command("MAIL FROM:<a@example.org>", 250)
            s.command("RCPT TO:<b@example.com>", 250)
            s.command("DATA", 354)
            said = said[1:]
        for data in said:
            self.send(s, data)

    def send(self, s, data):
        """As far as it is taken: the rest waits for a program that does not read."""
        if s.sock:
            s.sock.settimeout(1)
        try:
            s.send(data)
        except TimeoutError:
            pass
        if s.sock:
            s.sock.settimeout(LIMIT)

    def test_each(self):
        for name, script, said, replies in PROGRAMS:
            for over in (STREAM, PIPES) if "AUTH" in str(said) else (STREAM,):
                with self.subTest(name, over=over), Place() as place:
                    place.write("program", f"#!/bin/sh\n{script}\n", 0o755)
                    self.check(place, over, said, replies)

    def check(self, place, over, said, replies):
        with self.session(place, over=over) as s:
            self.begin(s, said)
            await_that((place.path / "pids").exists, "the program runs")
            pids = [int(pid) for pid in place.read("pids").split()]
            s.signal(TERM)
            begin = time.monotonic()
            lines = s.rest().decode().splitlines()
            self.assertEqual(s.wait(), 0)
            self.assertLess(time.monotonic() - begin, STOPPED)
            self.assertRegex("\n".join(lines[:1]), rf"\A{replies[0]}")
            for line, wanted in zip(lines, replies):
                self.assertRegex(line, wanted)
            self.assertEqual(s.log().one("close")["reason"], "shutdown")
            for pid in pids:
                await_that(lambda pid=pid: not is_running(pid), f"the end of {pid}")


class Listing(Session):
    """With a descriptor left open by its parent; its programs list theirs."""

    def __init__(self, place, **knobs):
        place.write("program", "#!/bin/sh\ncat >/dev/null\nls -l /proc/self/fd >fds\nexit 0\n", 0o755)
        with open("/dev/zero", "rb") as left:
            self.inherit = (left.fileno(),)
            super().__init__(place, **knobs)

    def listed(self):
        """The file behind each descriptor."""
        return dict(re.findall(r" (\d+) -> (.*)", self.place.read("fds").decode()))


class Inheriting(unittest.TestCase):
    """Descriptors 0 to 2, and those of the interface: no resolver's socket, and none of our parent's."""

    def check(self, s, numbers):
        listed = s.listed()
        self.assertEqual(sorted(map(int, listed)), numbers, listed)  # the last one is ls's own
        self.assertFalse([to for to in listed.values() if to.startswith("socket:") or to == "/dev/zero"], listed)

    def test_checkpassword(self):
        knobs = {"CHECKPASSWORD": "./program", "AUTH_INSECURE": "1"}
        with Place() as place, Listing(place, **knobs) as s:
            s.hello()
            s.command(f"AUTH PLAIN {plain()}", 235)
            s.quit()
            self.check(s, [0, 1, 2, 3, 4])

    @unittest.skipIf(why_not(), why_not())
    def test_checkpassword_beside_a_question(self):
        """A resolver's socket is open as long as its answer is awaited."""
        with Place() as place, Server(**{"l.x": Zone(silent=True)}) as server:
            knobs = {"CHECKPASSWORD": "./program", "AUTH_INSECURE": "1", "DNSBL": "l.x", "DNSBL_TIMEOUT": "50"}
            with Listing(place, DNSCACHEIP=server.address, **knobs) as s:
                s.hello()
                await_that(lambda: server.questions, "the question")
                s.command(f"AUTH PLAIN {plain()}", 235)
                self.check(s, [0, 1, 2, 3, 4])

    def test_queue(self):
        with Place() as place, Listing(place, QMAILQUEUE="./program", SPOOL=None) as s:
            s.hello()
            s.mail("text")
            s.quit()
            self.check(s, [0, 1, 2, 3])
