"""The most that one client can take from us: time by dripping, the log by talking much."""
import contextlib
import random
import select
import threading
import unittest

from harness import PIPES, STREAM, Log, Place, Session

DRIPS = 400


def drip(s, piece, pace=0.05):
    """Sends the piece again and again until the server says something; whether it did."""
    for _ in range(DRIPS):
        if select.select([s.sock or s.reader], [], [], pace)[0]:
            return True
        s.send(piece)
    return False


class Dripping(unittest.TestCase):
    """TIMEOUT is for a line, in any number of reads."""

    def test_line(self):
        with Place() as place:
            for over in (STREAM, PIPES):
                for before, piece in (((), b"N"), (("EHLO client.example",), b"x"), ((), b"y" * 999)):
                    with self.subTest(over=over, before=before, piece=piece[:1]), \
                            Session(place, over=over, TIMEOUT="1") as s:
                        s.expect(220)
                        for line in before:
                            s.command(line, 250)
                        self.assertTrue(drip(s, piece), "held for longer than TIMEOUT by a few bytes")
                        s.expect("421 4.4.2")
                        self.assertEqual(s.log().one("close")["reason"], "timeout")

    def test_each_line_has_its_own(self):
        """A slow client that does its work is not cut off: time begins anew with each line."""
        with Place() as place, Session(place, TIMEOUT="2", MAXNOOPS="0", MAXVRFYS="0") as s:
            s.expect(220)
            for _ in range(30):
                self.assertFalse(select.select([s.sock], [], [], 0.1)[0])
                s.command("VRFY a" if _ % 2 else "RSET", 25)
            s.quit()


MAIL = b"MAIL FROM:<" + b"a" * 60 + b"@" + b"b" * 60 + b".example>\r\n"
RCPT = b"RCPT TO:<c@example.com>\r\n"
BODY = b"DATA\r\nMessage-ID: " + b"\xff" * 300 + b"\r\n.\r\n"

# Said again and again: each piece costs more log than octets, or has no limit of its own.
FLOODS = {
    "recipients beyond MAXRCPTS": (b"EHLO " + b"\xff" * 500 + b"\r\n" + MAIL, RCPT),
    "transactions given up": (b"EHLO " + b"\xff" * 500 + b"\r\n", MAIL + RCPT * 100 + b"RSET\r\n"),
    "transactions begun anew": (b"", b"HELO \xff\r\n" + MAIL + RCPT),
    "messages that are refused later": (b"HELO x\r\n", MAIL + b"RCPT TO:<full@example.com>\r\nRSET\r\n"),
    "messages without end": (b"EHLO \xff\xff\r\n", MAIL + RCPT * 9 + BODY),
    "a long name, refused": (b"", b"HELO " + b"\xff" * 4000 + b"\r\nEXPN x\r\n"),
    "paths that are none": (b"HELO x\r\n", b"MAIL FROM:" + b"\xff" * 256 + b"\r\n"),
    "short errors": (b"HELO x\r\n", b"X\r\n"),
    "tables that fail": (b"HELO x\r\n", b"MAIL FROM:<a@bad.example>\r\n"),
    "VRFY": (b"HELO x\r\n", b"VRFY <\r\n"),
    "AUTH": (b"EHLO x\r\n", b"AUTH PLAIN AGEAYg==\r\n"),
    "too long": (b"HELO x\r\n", b"x" * 5000 + b"\r\n"),
}
SENT = 200_000

OFF = {f"MAX{what}S": "0" for what in ("ERROR", "NOOP", "VRFY", "RCPT", "MSG", "AUTH")}


def flood(s, data):
    """Says it, and reads meanwhile; either may end first."""
    def say():
        with contextlib.suppress(OSError):
            s.send(data)
        s.end_of_input()
    speaker = threading.Thread(target=say)
    speaker.start()
    with contextlib.suppress(OSError):
        s.rest()
    speaker.join()


class Flooding(unittest.TestCase):
    """At most four octets of log for each of the client's, and 64 KiB, for any words."""

    def place(self):
        place = Place()
        self.addCleanup(place.__exit__)
        place.compile("mailboxes", "@example.com\nfull@example.com 452 4.2.2 Mailbox full\n")
        return place

    def check(self, s):
        self.assertEqual(s.wait(), 0)
        s.log_file.seek(0)
        log = s.log_file.read()
        close = Log(log).one("close")
        self.assertLessEqual(len(log), 4 * int(close["in"]) + 65536)
        self.assertEqual(Log(log)[-1]["event"], "close")
        return Log(log), close

    def test_one_thing(self):
        place = self.place()
        tables = {"MAILBOXES": "mailboxes.cdb", "CHECKPASSWORD": "/bin/false", "AUTH_INSECURE": "1", "DISCARD": "1"}
        for name, (first, again) in FLOODS.items():
            for knobs in ({}, OFF, {**OFF, "BADSENDERS": "missing.cdb"}):
                with self.subTest(name, **knobs), Session(place, EARLYTALK="off", **tables, **knobs) as s:
                    flood(s, first + again * (SENT // (20 if name == "AUTH" else 1) // len(again)))
                    self.check(s)

    def test_anything(self):
        place = self.place()
        pieces = [piece for pair in FLOODS.values() for piece in pair] + [b"NOOP\r\n", b"HELP\r\n", b"RSET\r\n"]
        for seed in range(20):
            chance = random.Random(seed)
            some = chance.sample(pieces, 6)
            with self.subTest(seed=seed), Session(place, EARLYTALK="off", MAILBOXES="mailboxes.cdb", DISCARD="1",
                                                  **(OFF if seed % 2 else {})) as s:
                flood(s, b"".join(chance.choice(some) for _ in range(SENT // 100)))
                self.check(s)

    def test_what_is_left_out_is_counted(self):
        with Place() as place, Session(place, DISCARD="1", MAXRCPTS="0") as s:
            s.hello()
            s.command("MAIL FROM:<a@example.org>", 250)
            n = 2000
            flood(s, RCPT * n)
            log, close = self.check(s)
            logged = len(log.events("rcpt"))
            self.assertLess(logged, n)
            self.assertEqual(int(close["unlogged"]), n - logged)

    def test_each_command_that_moves_no_mail_is_counted(self):
        for line in ("NOOP", "HELP", "RSET", "HELO x", "EHLO x"):
            with self.subTest(line), Place() as place, Session(place, MAXNOOPS="3") as s:
                s.expect(220)
                for _ in range(3):
                    s.command(line, 2)
                s.command(line, "421 4.7.0 Too many commands without a message")

    def test_recipients_too_many_are_told_once(self):
        """Once in each transaction; the number of the others is told at the end."""
        with Place() as place, Session(place, DISCARD="1", MAXRCPTS="1") as s:
            s.hello()
            for _ in range(2):
                s.command("MAIL FROM:<a@example.org>", 250)
                s.command("RCPT TO:<b@example.com>", 250)
                for _ in range(10):
                    s.command("RCPT TO:<c@example.com>", 452)
                s.command("RSET", 250)
            s.quit()
            log, close = self.check(s)
            self.assertEqual([e["verdict"] for e in log.events("rcpt")], ["accept", "tempfail"] * 2)
            self.assertEqual(close["unlogged"], "18")

    def test_what_each_line_repeats_is_cut(self):
        with Place() as place, Session(place, DISCARD="1") as s:
            s.expect(220)
            s.command("EHLO " + "h" * 60 + "." + "h" * 60, 250)
            s.command(f"MAIL FROM:<{'a' * 200}@example.org>", 250)
            s.command(f"RCPT TO:<{'b' * 200}@example.com>", 250)
            s.quit()
            rcpt = s.log().one("rcpt")
            self.assertEqual(rcpt["helo"], "h" * 60 + ".hhh...")
            self.assertEqual(rcpt["from"], "<" + "a" * 127 + "...")
            self.assertEqual(rcpt["to"], f"<{'b' * 200}@example.com>")

    def test_an_honest_session_is_logged_whole(self):
        """A list's mail: a hundred recipients, a message of some size, again and again."""
        with Place() as place, Session(place, DISCARD="1") as s:
            s.hello()
            for _ in range(20):
                s.mail(b"Subject: x\r\n\r\n" + b"x" * 70 * 50, to=[f"user{i}@example.com" for i in range(100)])
            s.quit()
            log, close = self.check(s)
            self.assertNotIn("unlogged", close)
            self.assertEqual(len(log.events("rcpt")), 2000)

    def test_verbose_is_whole(self):
        with Place() as place, Session(place, DISCARD="1", VERBOSE="1", MAXNOOPS="0") as s:
            s.hello()
            flood(s, b"NOOP\r\n" * 3000)
            self.assertEqual(len(s.log().events("in")), 3001)

    def test_recipients_for_later_are_errors_at_last(self):
        place = self.place()
        for recipient, reply in (("full@example.com", b"452 4.2.2"), ("c@example.com", b"452 4.5.3")):
            with self.subTest(recipient), Session(place, MAILBOXES="mailboxes.cdb", MAXRCPTS="1") as s:
                s.hello()
                s.command("MAIL FROM:<a@example.org>", 250)
                if recipient == "c@example.com":
                    s.command("RCPT TO:<c@example.com>", 250)
                s.send(f"RCPT TO:<{recipient}>\r\n" * 1010)
                for _ in range(1010):
                    s.expect(reply.decode())
                s.command(f"RCPT TO:<{recipient}>", "421 4.7.0 Too many errors")
                self.assertEqual(s.log().one("close")["errors"], "11")


if __name__ == "__main__":
    unittest.main()
