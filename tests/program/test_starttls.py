"""STARTTLS as postern-smtpd sees it, with a double of a UCSPI-TLS server in front (ucspitls.py). The transcripts
starttls-* have the conversations; here is the rest."""
import os
import pathlib
import random
import unittest

import ucspitls
from harness import LIMIT, NEEDS_STRACE, TERM, Place, Session, await_that, body_of
from ucspitls import Gated


def descriptors(pid):
    """number: file, for a process's descriptors."""
    found = {}
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        found[int(entry.name)] = os.readlink(entry)
    return found


class Offered(unittest.TestCase):
    """EHLO offers STARTTLS where the descriptors are there and UCSPITLS allows it."""

    def offers(self, **knobs):
        with Place() as place, Gated(place, "hang-up", **knobs) as s:
            s.expect(220)
            offered = "STARTTLS" in s.command("EHLO client.example", 250)
            if not offered:
                s.command("STARTTLS", "502 5.5.1")
            s.quit()
            self.assertEqual(s.double.asked if s.double.join(LIMIT) is None else None, b"")
            return offered

    def test_knob(self):
        for value, offered in (("", True), ("1", True), ("!", True), ("-", False), (None, False)):
            with self.subTest(value):
                self.assertEqual(self.offers(UCSPITLS=value), offered)

    def test_descriptors(self):
        for name in ("SSLCTLFD", "SSLREADFD", "SSLWRITEFD"):
            for value in (None, "", "0", "1", "2", "999", "-1", "x", "3x", "4294967299", " 3"):
                with self.subTest(name, value=value):
                    self.assertFalse(self.offers(**{name: value}))

    def test_no_gate(self):
        with Place() as place, Session(place, UCSPITLS="") as s:
            self.assertNotIn("STARTTLS", s.hello())
            s.quit()


class Descriptors(unittest.TestCase):
    """After STARTTLS the connection is the two pipes, and the old descriptors are gone."""

    def test_replaced(self):
        with Place() as place, Gated(place) as s:
            s.hello()
            before = descriptors(s.process.pid)
            self.assertEqual(len(before), 6)
            self.assertEqual(before[0], before[1])
            s.command("STARTTLS", 220)
            s.tls()
            s.command("EHLO client.example", 250)
            after = descriptors(s.process.pid)
            self.assertEqual(sorted(after), [0, 1, 2])
            self.assertEqual(after[0], before[s.double.theirs["SSLREADFD"]])
            self.assertEqual(after[1], before[s.double.theirs["SSLWRITEFD"]])
            s.quit()

    def test_not_inherited(self):
        """Neither the queue program nor the one that checks passwords has them, with and without STARTTLS."""
        with Place() as place:
            place.write("queue", "#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null\nexec ls -1 /proc/self/fd >queue-fds\n", 0o755)
            place.write("check", "#!/bin/sh\ncat <&3 >/dev/null; ls -1 /proc/self/fd >check-fds\nexec \"$@\"\n", 0o755)
            for inside in (False, True):
                with self.subTest(inside=inside), Gated(place, QMAILQUEUE="./queue", SPOOL=None, CHECKPASSWORD="./check",
                                                        AUTH_INSECURE="1") as s:
                    if inside:
                        s.starttls()
                    else:
                        s.hello()
                    s.command("AUTH PLAIN AGEAYg==", 235)
                    s.mail("text")
                    s.quit()
                    self.assertEqual(place.read("queue-fds").split(), [b"0", b"1", b"2", b"3"])  # the last is ls's
                    self.assertEqual(place.read("check-fds").split(), [b"0", b"1", b"2", b"3", b"4"])

    @NEEDS_STRACE
    def test_order(self):
        """220 has left before the server in front is asked; from there on nothing is written to the connection."""
        with Place() as place:
            before = ["strace", "-qq", "-f", "-o", "calls", "-e", "trace=sendto,write,dup2,dup3"]
            with Gated(place, before=before) as s:
                s.starttls()
                s.quit()
            calls = place.read("calls").decode()
            ready, asked = calls.index("220 2.0.0 Ready"), calls.index('"Y", 1')
            changed = calls.index("dup", asked)
            self.assertLess(ready, asked)
            self.assertNotIn("(1, ", calls[asked:changed])


class Failed(unittest.TestCase):
    """A handshake that fails ends the session, with nothing more in plain text."""

    def check(self, behave, error, **knobs):
        with Place() as place, Gated(place, behave, **knobs) as s:
            s.hello()
            s.command("STARTTLS", 220)
            self.assertEqual(s.rest(), b"")
            self.assertEqual(s.wait(), 0)
            log = s.log()
            self.assertRegex(log.one("trouble")["error"], error)
            self.assertEqual(log.one("close")["reason"], "handshake")
            self.assertEqual(log.events("tls"), [])

    def test_each(self):
        for behave, error in (("hang-up", "Connection reset by peer"), ("hang-up-late", "Connection reset by peer"),
                              ("endless", "Protocol error")):
            with self.subTest(behave):
                self.check(behave, error)

    def test_silent(self):
        for behave in ("silent", "garbage"):
            with self.subTest(behave):
                self.check(behave, "timed out$", SESSION_TIMEOUT="1")  # each C library has words of its own

    def test_client_speaks_plainly(self):
        """The client goes on in plain text: that is no handshake, and none of it is obeyed."""
        with Place() as place, Gated(place) as s:
            s.hello()
            s.command("STARTTLS", 220)
            s.send("EHLO client.example\r\nMAIL FROM:<a@example.org>\r\n")
            try:
                left = s.rest()
            except ConnectionResetError:
                left = b""
            self.assertEqual(left, b"")
            s.wait()
            log = s.log()
            self.assertEqual(log.one("close")["reason"], "handshake")
            self.assertEqual((log.events("mail"), log.events("command")), ([], []))

    def test_client_leaves(self):
        with Place() as place, Gated(place) as s:
            s.hello()
            s.command("STARTTLS", 220)
            s.send(ucspitls.HELLO[:3])
            s.end_of_input()
            self.assertEqual(s.rest(), b"")
            s.wait()
            self.assertEqual(s.log().one("close")["reason"], "handshake")

    def test_stopped(self):
        """SIGTERM ends the wait for the handshake; nothing may be said in plain text any more."""
        with Place() as place, Gated(place, "silent") as s:
            s.hello()
            s.command("STARTTLS", 220)
            await_that(lambda: s.double.asked, "asked")
            s.signal(TERM)
            self.assertEqual(s.rest(), b"")
            self.assertEqual(s.wait(), 0)
            self.assertEqual(s.log().one("close")["reason"], "handshake")


class Inside(unittest.TestCase):
    def test_large(self):
        """A message of some megabytes through the pipes, byte for byte."""
        r = random.Random(4)
        text = b"".join(r.randbytes(r.randrange(900)).translate(HARMLESS) + b"\r\n" for _ in range(10000))
        with Place() as place, Gated(place) as s:
            s.starttls()
            s.mail(b"Subject: large\r\n\r\n" + text.replace(b"\r\n.", b"\r\n.."))
            s.quit()
            (stored,) = place.messages().values()
            self.assertEqual(body_of(stored), b"Subject: large\n\n" + text.replace(b"\r\n", b"\n"))

    def test_pipelined(self):
        """Groups of commands, and replies to more of them than a buffer holds."""
        with Place() as place, Gated(place, MAXNOOPS="0") as s:
            s.starttls()
            s.send("NOOP\r\n" * 2000)
            for _ in range(2000):
                s.expect("250 2.0.0")
            s.quit()

    def test_byte_by_byte(self):
        with Place() as place, Gated(place) as s:
            s.starttls()
            for c in b"MAIL FROM:<a@example.org>\r\n":
                s.send(bytes([c]))
            s.expect(250)
            s.quit()

    def test_stopped(self):
        """421 comes through the pipes, wherever SIGTERM finds the session."""
        for lines in ([], ["MAIL FROM:<>"], ["MAIL FROM:<>", "RCPT TO:<b@example.com>", "DATA"]):
            with self.subTest(lines), Place() as place, Gated(place) as s:
                s.starttls()
                for line in lines:
                    s.command(line)
                s.signal(TERM)
                s.expect("421 4.3.2")
                self.assertEqual(s.rest(), b"")
                self.assertEqual(s.wait(), 0)
                self.assertEqual(s.log().one("close")["reason"], "shutdown")
                self.assertEqual(place.stored(), {})

    def test_slow(self):
        """MINRATE and TIMEOUT hold inside."""
        with Place() as place, Gated(place, TIMEOUT="1") as s:
            s.starttls()
            s.command("MAIL FROM:<>", 250)
            s.command("RCPT TO:<b@example.com>", 250)
            s.command("DATA", 354)
            s.send("half a line")
            s.expect("421 4.4.2")
            self.assertEqual(s.rest(), b"")

    def test_delay(self):
        """ERRORDELAY, and a client that does not wait for it."""
        with Place() as place, Gated(place, ERRORDELAY="0.3") as s:
            s.starttls()
            s.send("FOO\r\n")
            s.expect("500 5.5.2")
            s.command("NOOP", 250)
            s.quit()

    def test_client_gone(self):
        with Place() as place, Gated(place) as s:
            s.starttls()
            s.end_of_input()
            self.assertEqual(s.rest(), b"")
            self.assertEqual(s.wait(), 0)
            self.assertEqual(s.log().one("close")["reason"], "eof")


class Injected(unittest.TestCase):
    """STARTTLS and more in one segment, cut anywhere: words from before the handshake are never obeyed."""

    BEHIND = b"EHLO evil.example\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.com>\r\n"

    def test_any_length(self):
        for earlytalk in ("off", "reject"):
            for n in (1, 2, 3, 18, 19, 20, len(self.BEHIND)):
                with self.subTest(earlytalk, n=n), Place() as place, Gated(place, EARLYTALK=earlytalk) as s:
                    s.hello()
                    s.send(b"STARTTLS\r\n" + self.BEHIND[:n])
                    s.expect("521 5.5.0")
                    self.assertEqual(s.rest(), b"")
                    s.end_of_input()
                    self.assertEqual(s.wait(), 0)
                    log = s.log()
                    self.assertEqual(log.one("close")["reason"], "injection")
                    self.assertEqual(log.one("command")["reason"], "injection")
                    self.assertFalse(log.events("mail") or log.events("rcpt") or log.events("tls"))
                    s.double.join(LIMIT)
                    self.assertEqual(s.double.asked, b"", "TLS was never asked for")

    def test_other_segment(self):
        """Later words, still before the handshake, are for the server in front: they are not obeyed either."""
        with Place() as place, Gated(place) as s:
            s.hello()
            s.command("STARTTLS", 220)
            s.sock.sendall(ucspitls.HELLO)
            s.sock.recv(len(ucspitls.DONE))
            s.inside = True
            s.command("MAIL FROM:<a@example.org>", "503 5.5.1")
            s.quit()


HARMLESS = bytes(c if c not in b"\0\r\n" else ord("~") for c in range(256))
