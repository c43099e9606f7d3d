"""Memory: fixed for any client, and never misused (valgrind; `make asan` is the other half)."""
import shutil
import subprocess
import unittest

import dnsserver
from harness import CDB, IS_ASAN, LIMIT, Place, Session, environment, resident

MEGABYTE = 1 << 20
ALLOWED = 4096  # kilobytes: the C library, the program, its buffers
GROWTH = 512    # kilobytes: the most to be touched beyond a session's memory after EHLO


class Bounded(unittest.TestCase):
    def measured(self, s, before):
        if IS_ASAN:
            return  # the sanitizer's own memory is not ours
        after = resident(s.process.pid)
        self.assertLess(after, ALLOWED)
        self.assertLess(after - before, GROWTH)

    def begin(self, s):
        s.hello()
        return resident(s.process.pid)

    def test_line_of_a_message(self):
        """One line of 100 MB."""
        with Place() as place, Session(place, DISCARD="1", DATABYTES="0") as s:
            before = self.begin(s)
            s.command("MAIL FROM:<>", 250)
            s.command("RCPT TO:<b@example.com>", 250)
            s.command("DATA", 354)
            block = b"x" * MEGABYTE
            for _ in range(100):
                s.send(block)
            s.send(b"\r\n.\r\n")
            s.expect(250)
            self.measured(s, before)
            s.quit()
            self.assertEqual(s.log().one("message")["size"], str(100 * MEGABYTE + 2))

    def test_header_of_a_message(self):
        """A header that never ends, all of it fields."""
        with Place() as place, Session(place, DISCARD="1", DATABYTES="0", MAXHOPS="0") as s:
            before = self.begin(s)
            s.mail(b"Received: x\r\n" * 1000000)
            self.measured(s, before)
            s.quit()

    def test_stored(self):
        with Place() as place, Session(place, DATABYTES="0") as s:
            before = self.begin(s)
            s.mail(b"\r\n" * (10 * MEGABYTE))
            self.measured(s, before)
            s.quit()

    def test_command_line(self):
        """One command of 4 MB, and one without an end."""
        with Place() as place, Session(place) as s:
            before = self.begin(s)
            s.send(b"NOOP " + b"x" * (4 * MEGABYTE) + b"\r\n")
            s.expect("500 5.5.2 Line too long")
            s.send(b"x" + b"\0" * (4 * MEGABYTE) + b"\r\nNOOP\r\n")
            s.expect("500 5.5.2 Line too long")
            s.expect(250)
            self.measured(s, before)
            s.send(b"x" * (4 * MEGABYTE))
            s.end_of_input()
            self.assertEqual(s.rest(), b"")
            self.assertEqual(s.wait(), 0)
            self.assertEqual(s.log().one("close")["errors"], "2")

    def test_recipients(self):
        """Without MAXRCPTS the arena is the limit: further recipients are put off, and the taken get the message."""
        with Place() as place, Session(place, MAXRCPTS="0", MAXERRORS="0") as s:
            s.hello()
            s.command("MAIL FROM:<>", 250)
            name = ".".join(["d" * 60] * 3)
            codes = []
            for i in range(20):
                s.send("".join(f"RCPT TO:<u{i}.{j}.{'x' * 40}@{name}>\r\n" for j in range(100)))
                codes += [s.reply()[:9] for _ in range(100)]
            taken = codes.count("250 2.1.5")
            self.assertGreater(taken, 900)
            self.assertEqual(set(codes[:taken]), {"250 2.1.5"})
            self.assertEqual(set(codes[taken:]), {"452 4.5.3"})
            s.command("DATA", 354)
            s.send("text\r\n.\r\n")
            s.expect(250)
            self.assertLess(resident(s.process.pid), ALLOWED + 1024 if not IS_ASAN else 1 << 20)
            s.quit()
            [m] = place.messages().values()
            self.assertEqual(m.count(b"\nX-Postern-To: "), taken)
            self.assertEqual(s.log().one("message")["nrcpt"], str(taken))

    def test_maildirs(self):
        """More Maildirs in one message than there is room for."""
        with Place() as place:
            knobs = {"MAILBOXES": place.compile("mailboxes",
                                                "".join(f"u{i}@example.com ./box/{i}/\n" for i in range(1100)))}
            with Session(place, MAXRCPTS="0", MAXERRORS="0", DISCARD="1", **knobs) as s:
                s.hello()
                s.command("MAIL FROM:<>", 250)
                s.send("".join(f"RCPT TO:<u{i}@example.com>\r\n" for i in range(1100)))
                codes = [s.reply()[:9] for _ in range(1100)]
                self.assertEqual(codes, ["250 2.1.5"] * 400 + ["452 4.5.3"] * 700)
                s.command("RCPT TO:<u7@example.com>", 250)
                s.command("DATA", 354)
                s.send("text\r\n.\r\n")
                s.expect(250)
                s.quit()

    @unittest.skipIf(IS_ASAN, "the sanitizer's own memory is not ours")
    def test_idle(self):
        """A session that only said EHLO has touched hardly anything of its own."""
        with Place() as place, Session(place) as s:
            s.hello()
            own = sum(int(line.split()[1]) for line in open(f"/proc/{s.process.pid}/smaps_rollup",
                                                            encoding="ascii")
                      if line.startswith("Private_Dirty:"))
            self.assertLess(own, 512)
            s.quit()


PAGE = 4  # kilobytes


def written(pid):
    """Kilobytes of the program's own variables that it has written."""
    total, end, ours = 0, None, False
    with open(f"/proc/{pid}/smaps", encoding="ascii") as maps:
        for line in maps:
            words = line.split()
            if not words[0].endswith(":"):  # variables without an initial value: behind the others, without a name
                start, behind = words[0].split("-")
                ours = words[-1].endswith("/postern-smtpd") or (len(words) == 5 and start == end)
                end = behind if ours else end
            elif words[0] == "Anonymous:" and ours:
                total += int(words[1])
    return total


@unittest.skipIf(IS_ASAN, "the sanitizer's own memory is not ours")
class Pages(unittest.TestCase):
    """Parts that lie together are used together: see smtp/parts.h."""

    def test_recipients_need_no_page_more(self):
        """Nor does a client that waits for the reply to one."""
        with Place() as place, Session(place, TARPITCOUNT="2", TARPITDELAY="600") as s:
            s.hello()
            before = written(s.process.pid)
            s.send("MAIL FROM:<alice@sender.example>\r\nRCPT TO:<bob@example.com>\r\n"
                   "RCPT TO:<carol@example.com>\r\nRCPT TO:<dan@example.com>\r\n")
            for _ in range(3):
                s.expect(250)
            self.assertEqual(written(s.process.pid), before)

    def test_a_message_needs_one(self):
        with Place() as place, Session(place, DISCARD="1") as s:
            s.hello()
            before = written(s.process.pid)
            s.mail("text")
            self.assertEqual(written(s.process.pid), before + PAGE)
            s.quit()

    @unittest.skipIf(dnsserver.why_not(), dnsserver.why_not())
    def test_lists_need_one(self):
        with Place() as place, Session(place) as s:
            s.hello()
            before = written(s.process.pid)
            s.quit()
        zones = {f"l{i}.example": dnsserver.Zone(silent=True) for i in range(5)}
        with dnsserver.Server(**zones) as server, Place() as place, \
                Session(place, DNSBL=" ".join(zones), DNSCACHEIP=server.address, TCPREMOTEIP="8.8.4.4") as s:
            s.hello()
            self.assertEqual(written(s.process.pid), before + PAGE)
            s.quit()


@unittest.skipIf(IS_ASAN, "valgrind does not run programs built with AddressSanitizer")
@unittest.skipUnless(shutil.which("valgrind"), "valgrind is missing: NOTHING WAS CHECKED")
class Valgrind(unittest.TestCase):
    """No error in a conversation that takes every turn once."""

    def session(self, place, **knobs):
        return Session(place,
                       before=["valgrind", "-q", "--error-exitcode=99", "--track-fds=no",
                               "--trace-children=no",
                                      "--log-file=valgrind"], **knobs)

    def check(self, place, s):
        s.end_of_input()
        s.rest()
        self.assertEqual((s.wait(), place.read("valgrind")), (0, b""))

    def test_session(self):
        with Place() as place:
            knobs = {"DOMAINS": place.compile("domains", "example.com\n.example.org\n"),
                     "MAILBOXES": place.compile("mailboxes",
                                                "alice@example.com\nbob@example.com ./bob/\nno@example.com 550 5.1.1 No\n@b.example.org ./all/\n"),
                     "BADSENDERS": place.compile("badsenders", "spam@bad.example\n.worse.example\n"),
                     "VERBOSE": "1", "DATABYTES": "100000", "MAXERRORS": "0", "MAXHOPS": "3"}
            with self.session(place, **knobs) as s:
                s.hello()
                for line in ("HELO x\1y", "VRFY <a@b>", "VRFY", "EXPN x", "HELP", "NOOP", "FOO", "",
                             "MAIL FROM:<spam@bad.example>",
                             "MAIL FROM:<a@x.worse.example>",
                             "MAIL FROM:<@r:\"a b\"@[IPv6:2001:db8::1]> SIZE=1 BODY=8BITMIME SMTPUTF8",
                             "MAIL FROM:<>", "RCPT TO:<alice+x@example.com>", "RCPT TO:<bob@example.com>",
                             "RCPT TO:<no@example.com>",
                             "RCPT TO:<who@example.com>", "RCPT TO:<x@b.example.org>",
                             "RCPT TO:<a@elsewhere.example>", "RCPT TO:<j\u00f6@example.com>",
                             "RCPT TO:<postmaster>", "x" * 5000, "NOOP " + "\0" * 300):
                    s.command(line)
                s.command("DATA", 354)
                s.send(b"Subject: x\r\n\r\n..a\nb\rc\r\n.\r\n")
                s.expect(250)
                for body in (b"\0", b"x" * 200000, b"Received: x\r\n" * 5 + b"\r\n"):
                    s.mail(body, to=["alice@example.com"], code=55)
                s.command("MAIL FROM:<>", 250)
                s.command("RCPT TO:<alice@example.com>", 250)
                s.command("DATA", 354)
                s.send(b"unfinished")
                self.check(place, s)
            self.assertEqual(place.stored(), {"all": 1, "bob": 1, "spool": 1})

    def test_queue(self):
        with Place() as place:
            place.write("queue", "#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null; exit $(cat code)\n", 0o755)
            place.write("code", "0")
            with self.session(place, QMAILQUEUE="./queue", RELAYCLIENT="@gate.example") as s:
                s.hello()
                s.mail("text")
                place.write("code", "31")
                s.mail("text", code=554)
                s.command("QUIT", 221)
                self.check(place, s)

    def test_misconfigured(self):
        with Place() as place, self.session(place, ME="-", DATABYTES="x") as s:
            self.assertEqual(s.reply(), "421 4.3.5 Misconfigured")
            s.end_of_input()
            s.rest()
            self.assertEqual((s.wait(), place.read("valgrind")), (100, b""))

    def test_compiler(self):
        with Place() as place:
            place.write("source",
                        "a@b.example\nb..\na@b.example ./x/\n\"q\"@c.example 550 5.1.1 No\n@d.example ./d/\n" * 20)
            done = subprocess.run(["valgrind", "-q", "--error-exitcode=99", "--log-file=valgrind", CDB,
                                   "mailboxes", "source", "target"],
                                  cwd=place.path, env=environment(), timeout=LIMIT, check=False,
                                  stderr=subprocess.DEVNULL)
            self.assertEqual((done.returncode, place.read("valgrind")), (100, b""))
