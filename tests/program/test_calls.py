"""The system calls of a session from its banner on are those of tests/program/calls.txt: a new one is a decision.

A filter of system calls would have to let that list through. A call of the list that is not seen here is as wrong as
one that is seen and is not in the list."""
import contextlib
import os
import re
import signal
import unittest

from dnsserver import Server, Zone, why_not
from harness import IS_ASAN, IS_STATIC, NEEDS_STRACE, ROOT, STREAM, Gone, Place, Session

LIST = ROOT / "tests/program/calls.txt"
CALL = re.compile(r"^\d+ +(\w+)\(|<\.\.\. (\w+) resumed>", re.M)
PARENT = re.compile(r"^(\d+) ")

HELLO = ["EHLO client.example"]
MAIL = ["MAIL FROM:<a@example.org>", "RCPT TO:<alice@example.com>"]


def listed(section):
    """The calls of a section. Where C libraries differ the first is glibc's, the second musl's: open/openat."""
    text = LIST.read_text().split(f"[{section}]\n")[1].split("\n[")[0]
    return {word.split("/")[-1 if IS_STATIC else 0] for word in text.split()} - {"-"}


def say(s, lines, body=False):
    for line in lines:
        s.command(line)
    if body and s.command("DATA").startswith("354"):
        s.send("Subject: x\r\n\r\nx\r\n.\r\n")
        s.expect(None)


def calls_of(place, talk, over=STREAM, **knobs):
    """The calls of postern-smtpd itself, not of programs it starts, from the first write to the client on."""
    trace = place.path / "calls"
    with Session(place, over=over, before=["strace", "-f", "-o", str(trace)], **knobs) as s:
        s.expect(220)
        talk(s)
        s.end_of_input()
        with contextlib.suppress(OSError, Gone):
            s.rest()
        s.close()
        s.wait()
    lines = trace.read_text(errors="replace").splitlines()
    own = PARENT.match(lines[0])[1]
    mine = [line for line in lines if line.startswith(own + " ")]
    begin = next(i for i, line in enumerate(mine) if '"220 ' in line)
    return {a or b for line in mine[begin:] for a, b in CALL.findall(line)} - {""}


@NEEDS_STRACE
@unittest.skipIf(IS_ASAN, "the sanitizers have calls of their own")
class Calls(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.__exit__)
        self.tables = {
            "DOMAINS": self.place.compile("domains", "example.com\n"),
            "BADSENDERS": self.place.compile("badsenders", "bad.example\n"),
            "MAILBOXES": self.place.compile("mailboxes", "alice@example.com\nbob@example.com ./bob/\ncarol@example.com ./carol/\n"),
        }

    def check(self, section, seen):
        allowed = listed(section)
        self.assertEqual(seen - allowed, set(), f"new in [{section}]: add it to {LIST.name} only if it must be there")
        self.assertEqual(allowed - seen, set(), f"in [{section}], but never seen")

    def mail(self, s):
        say(s, HELLO + MAIL + ["RCPT TO:<bob@example.com>", "RCPT TO:<carol@example.com>", "RCPT TO:<x@example.com>"], True)
        say(s, MAIL, True)
        say(s, ["NOOP", "FOO", "x" * 5000, "VRFY a", "QUIT"])

    def stop(self, s):
        say(s, HELLO)
        s.signal(signal.SIGTERM)

    def wait(self, s):
        say(s, HELLO)
        s.expect("421 4.4.2")

    def break_off(self, s):
        say(s, HELLO + MAIL + ["DATA"])
        s.send("x")

    def test_port_25(self):
        """Maildirs, new and old, delays, early talk, broken tables, all ways to end."""
        seen = set()
        for talk, knobs in ((self.mail, {}), (self.mail, {"TARPITCOUNT": "1", "TARPITDELAY": "0.01", "ERRORDELAY": "0.01"}),
                            (self.mail, {"MAILBOXES": "missing.cdb", "VERBOSE": "1"}), (self.break_off, {}),
                            (self.stop, {}), (self.wait, {"TIMEOUT": "1"}), (self.wait, {"SESSION_TIMEOUT": "1"})):
            for over in (STREAM, "pipes"):
                seen |= calls_of(self.place, talk, over, **{**self.tables, **knobs})
        self.check("port 25", seen)

    @unittest.skipIf(why_not(), f"{why_not()}: NO DNS LIST WAS ASKED")
    def test_lists(self):
        with Server(**{"l.x": Zone({"192.0.2.7": "127.0.0.2"})}) as server:
            seen = calls_of(self.place, self.mail, DNSCACHEIP=server.address, DNSBL="l.x", **self.tables)
        self.check("port 25 with DNS lists", seen)

    def test_programs(self):
        self.place.write("queue", "#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null\n", 0o755)
        seen = calls_of(self.place, self.mail, QMAILQUEUE="./queue", **self.tables)
        self.place.write("check", "#!/bin/sh\ncat <&3 >/dev/null\nexit 1\n", 0o755)
        seen |= calls_of(self.place, lambda s: say(s, HELLO + ["AUTH PLAIN AGEAYg==", "QUIT"]),
                         CHECKPASSWORD="./check", AUTH_INSECURE="1")
        self.check("programs", seen)


if __name__ == "__main__":
    unittest.main()
