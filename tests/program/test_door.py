"""The door by the table: refuse modes, delays, early talkers, foreign protocols, and postern-smtpd -w."""
import os
import re
import subprocess
import time
import unittest

from harness import LIMIT, PIPES, SMTPD, STREAM, TERM, Accepted, Place, Session, environment

LONG = "3600"  # seconds that no test waits for: what comes must come before they are over

# Refuse modes ----------------------------------------------------------------------------------------------

STAGES = ("connect", "helo", "mail", "rcpt", "data", "dot")
# stage: the event it is logged with, and what is known by then
LEARNT = {
    "connect": ("banner", {}),
    "helo": ("command", {"verb": "EHLO", "helo": "client.example"}),
    "mail": ("mail", {"helo": "client.example", "from": "<a@example.org>"}),
    "rcpt": ("rcpt", {"helo": "client.example", "from": "<a@example.org>", "to": "<b@example.com>"}),
    "data": ("command", {"verb": "DATA", "helo": "client.example"}),
    "dot": ("message", {"nrcpt": "1", "place": "spool", "size": "6"}),
}
REFUSALS = (
    # reply, verdict, the session ends with it
    ("421 4.3.2 Try another server", "tempfail", True),
    ("450 4.2.0 Try again", "tempfail", False),
    ("451 4.3.0 Come back", "tempfail", False),
    ("521 5.3.2 No mail here", "reject", True),
    ("550 5.7.1 Not you", "reject", False),
    ("554 5.7.1 No", "reject", False),
)
# What each command is told behind a refusal at that stage; NULL reverse-path and all else would have been good.
BEHIND = {
    "connect": ["503 5.5.1 No mail is taken in this session"] * 4,
    "helo": ["503 5.5.1 Say HELO or EHLO first"] * 3,
    "mail": ["503 5.5.1 Say MAIL first"] * 2,
    "rcpt": ["554 5.5.1 No valid recipients"],
    "data": [],
    "dot": [],
}
COMMANDS = ("EHLO client.example", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.com>", "DATA")


class Refuse(unittest.TestCase):
    """REFUSE at every stage, with every kind of reply: a well-formed session up to there, and behind it."""

    def test_each(self):
        for stage in STAGES:
            for reply, verdict, ends in REFUSALS:
                with self.subTest(stage, reply=reply), Place() as place, \
                        Session(place, REFUSE=f"{stage} {reply}") as s:
                    self.assertEqual(self.go_to(s, STAGES.index(stage)), reply)
                    if ends:
                        self.assertEqual(s.rest(), b"")
                        s.close()
                    else:
                        self.go_on(s, stage)
                        s.quit()
                    self.check(place, s.log(), stage, reply, verdict, ends)

    def go_to(self, s, stage):
        """The reply at that stage; at those before it all is well."""
        said = s.reply()
        for line in COMMANDS[:stage]:
            self.assertRegex(said, r"\A2")
            said = s.command(line)
        if stage == len(COMMANDS) + 1 or STAGES[stage] == "dot":
            said = s.command(COMMANDS[-1], 354) if not said.startswith("354") else said
            s.send("text\r\n.\r\n")
            said = s.reply()
        return said

    def go_on(self, s, stage):
        behind = BEHIND[stage]
        for line, want in zip(COMMANDS[len(COMMANDS) - len(behind):], behind):
            self.assertEqual(s.command(line), want)

    def check(self, place, log, stage, reply, verdict, ends):
        event, learnt = LEARNT[stage]
        self.assertTrue(log.events(event, **learnt, verdict=verdict, reason="refuse", reply=reply), log)
        self.assertEqual(sum(e.get("reason") == "refuse" for e in log), 1 + ends)
        self.assertEqual(log.one("close")["reason"], "refuse" if ends else "quit")
        self.assertEqual(place.stored(), {"spool": 1} if stage == "dot" else {})
        self.assertEqual(place.leftovers(), [])

    def test_accepted_are_known(self):
        """At DATA and behind it, the log has told all recipients before."""
        for stage in ("data", "dot"):
            with self.subTest(stage), Place() as place, Session(place, REFUSE=f"{stage} 451 4.3.0 Later") as s:
                self.go_to(s, STAGES.index(stage))
                s.quit()
                known = s.log().one("rcpt")
                self.assertEqual((known["from"], known["to"], known["verdict"]),
                                 ("<a@example.org>", "<b@example.com>", "accept"))

    def test_dot_elsewhere(self):
        """REFUSE=dot with every place for mail."""
        with Place() as place:
            place.write("queue", "#!/bin/sh\ncat >mail; cat <&1 >envelope\n", 0o755)
            boxes = place.compile("mailboxes", "b@example.com ./box/\n")
            for where, knobs in (("discard", {"DISCARD": "1"}), ("queue", {"QMAILQUEUE": "./queue"}),
                                 ("maildir", {"MAILBOXES": boxes})):
                with self.subTest(where), Session(place, REFUSE="dot 451 4.3.0 Later", **knobs) as s:
                    self.assertEqual(self.go_to(s, STAGES.index("dot")), "451 4.3.0 Later")
                    s.quit()
                    self.assertEqual(s.log().one("message")["place"], where)
            self.assertTrue(place.read("mail").endswith(b"\ntext\n"))
            self.assertEqual(place.stored(), {"box": 1})

    def test_dot_trouble(self):
        """What could not be stored is our trouble, not a plan."""
        with Place() as place:
            place.write("spool", "a file")
            with Session(place, REFUSE="dot 550 5.7.1 No") as s:
                s.hello()
                s.command("MAIL FROM:<>", 250)
                s.command("RCPT TO:<b@example.com>", 250)
                self.assertEqual(s.command("DATA"), "451 4.3.0 Temporary storage failure")
                s.quit()
                self.assertEqual(s.log().one("message")["reason"], "storage")


# Delays ----------------------------------------------------------------------------------------------------

def readable(s):
    """There is something to read, or the end, now."""
    import select
    return bool(select.select([s.sock], [], [], 0)[0])


class Delays(unittest.TestCase):
    """Order is proved by delays far longer than any test, which something else must end."""

    def test_greetdelay_silent(self):
        """Nothing comes before the delay is over, not even when the session is known to be at work."""
        with Place() as place, Session(place, GREETDELAY=LONG) as s:
            self.await_log(s, b"event=connect")
            self.assertFalse(readable(s))
            s.close()
            self.assertEqual(s.wait(), 0)
            self.assertIn(s.log().one("close")["reason"], ("eof", "lost"))

    def await_log(self, s, text):
        until = time.monotonic() + LIMIT
        while text not in os.pread(s.log_file.fileno(), 100000, 0):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)

    def test_greetdelay_left(self):
        """A client that leaves is not waited for, however it goes."""
        for over in (STREAM, PIPES):
            for knobs in ({}, {"EARLYTALK": "off"}):
                with self.subTest(over=over, **knobs), Place() as place, \
                        Session(place, over=over, GREETDELAY=LONG, **knobs) as s:
                    self.await_log(s, b"event=connect")
                    s.close()
                    self.assertEqual(s.wait(), 0)
                    self.assertEqual(len(s.log()), 2)

    def test_greetdelay_reset(self):
        for knobs in ({}, {"EARLYTALK": "off"}):
            with self.subTest(**knobs), Place() as place, Accepted(place, GREETDELAY=LONG, **knobs) as s:
                self.await_log(s, b"event=connect")
                s.reset()
                self.assertEqual(s.wait(), 0)
                self.assertEqual(len(s.log()), 2)

    def test_greetdelay_stopped(self):
        """SIGTERM: 421 in place of the banner."""
        for over in (STREAM, PIPES):
            for knobs in ({}, {"EARLYTALK": "off"}):
                with self.subTest(over=over, **knobs), Place() as place, \
                        Session(place, over=over, GREETDELAY=LONG, **knobs) as s:
                    await_held(s)
                    s.signal(TERM)
                    self.assertEqual(s.rest(), b"421 4.3.2 Shutting down\r\n")
                    s.close()
                    self.assertEqual((s.wait(), s.log().one("close")["reason"]), (0, "shutdown"))

    def test_greetdelay_beyond_the_session(self):
        """SESSION_TIMEOUT cuts it; the client is not greeted to a session that is over."""
        for over in (STREAM, PIPES):
            with self.subTest(over=over), Place() as place, \
                    Session(place, over=over, GREETDELAY=LONG, SESSION_TIMEOUT="1") as s:
                self.assertEqual(s.rest(), b"421 4.4.2 Timeout\r\n")
                s.close()
                self.assertEqual((s.wait(), s.log().one("close")["reason"]), (0, "timeout"))

    def test_not_before(self):
        """A short delay takes at least its time."""
        with Place() as place:
            start = time.monotonic()
            with Session(place, GREETDELAY="0.2", ERRORDELAY="0.1", TARPITCOUNT="1", TARPITDELAY="0.3") as s:
                s.expect(220)
                self.assertGreaterEqual(time.monotonic() - start, 0.2)
                s.command("EHLO client.example", 250)
                for n in (1, 2, 3):
                    self.assertGreaterEqual(self.took(s, "FOO", 500), 0.1 * n)
                s.command("MAIL FROM:<>", 250)
                s.command("RCPT TO:<a@example.com>", 250)
                self.assertGreaterEqual(self.took(s, "RCPT TO:<b@example.com>", 250), 0.3)
                self.assertGreaterEqual(self.took(s, "RCPT TO:<c@example.com>", 250), 0.3)
                self.assertGreaterEqual(self.took(s, "RCPT TO:<c@", 501), 0.3 + 0.4)
                s.quit()

    def took(self, s, line, code):
        start = time.monotonic()
        s.command(line, code)
        return time.monotonic() - start

    def test_greetdelay_legal(self):
        """Who waits for the banner is served as ever."""
        for over in (STREAM, PIPES):
            with self.subTest(over=over), Place() as place, Session(place, over=over, GREETDELAY="0.1") as s:
                s.hello()
                s.mail("text")
                s.quit()
                self.assertFalse(s.log().events("early"))

    def test_errordelay_errors_only(self):
        """What is no error costs no time: neither success nor 4xx."""
        with Place() as place:
            boxes = place.compile("mailboxes", "a@example.com\nfull@example.com 452 4.2.2 Full\n")
            with Session(place, ERRORDELAY=LONG, MAILBOXES=boxes) as s:
                s.hello()
                s.command("VRFY a", 252)
                s.command("MAIL FROM:<>", 250)
                s.command("RCPT TO:<full@example.com>", 452)
                s.command("RCPT TO:<a@example.com>", 250)
                s.command("DATA", 354)
                s.send("text\r\n.\r\n")
                s.expect(250)
                s.quit()

    def test_errordelay_every_error(self):
        """Each kind of error is delayed: no reply is there when the delay is cut short by SIGTERM."""
        kinds = {"unknown": b"FOO\r\n", "argument": b"EHLO\r\n", "sequence": b"DATA\r\n", "syntax": b"VRFY <\r\n",
                 "AUTH": b"AUTH PLAIN x\r\n", "too long": b"x" * 5000 + b"\r\n", "early": b"HELO x\r\nNOOP\r\n"}
        for kind, line in kinds.items():
            with self.subTest(kind), Place() as place, Session(place, ERRORDELAY=LONG) as s:
                s.expect(220)
                s.command("VRFY a", 252)
                s.send(line)
                await_held(s)
                self.assertFalse(readable(s))
                s.signal(TERM)
                self.assertEqual(s.reply(), "421 4.3.2 Shutting down")  # in place of the reply
                self.assertEqual(s.rest(), b"")

    def test_errordelay_beyond_the_session(self):
        """The session's deadline cuts a delay."""
        with Place() as place, Session(place, ERRORDELAY=LONG, SESSION_TIMEOUT="1") as s:
            s.hello()
            s.command("FOO", "421 4.4.2 Timeout")
            self.assertEqual(s.rest(), b"")
            s.close()
            self.assertLess(float(s.log().one("close")["took"]), 25)  # and not half a minute

    def test_tarpit(self):
        """The first recipients are free; what was replied before a delay is sent before it."""
        with Place() as place, Session(place, TARPITCOUNT="2", TARPITDELAY=LONG) as s:
            s.hello()
            s.send("MAIL FROM:<>\r\n" + "RCPT TO:<b@example.com>\r\n" * 4 + "DATA\r\n")
            for reply in ("250 2.1.0", "250 2.1.5", "250 2.1.5"):
                s.expect(reply)
            await_held(s)
            self.assertFalse(readable(s))
            s.close()
            self.assertEqual(s.wait(), 0)

    def test_tarpit_counts_all(self):
        """In the session, not the transaction; refused ones, too; but not what is no RCPT in its place."""
        with Place() as place:
            boxes = place.compile("mailboxes", "a@example.com\n")
            with Session(place, TARPITCOUNT="4", TARPITDELAY=LONG, MAILBOXES=boxes, MAXERRORS="0") as s:
                s.hello()
                for _ in range(6):
                    s.command("RCPT TO:<a@example.com>", "503 5.5.1")
                s.mail("text", to=["a@example.com"])
                s.command("MAIL FROM:<>", 250)
                s.command("RCPT TO:<no@example.com>", "550 5.1.1")
                s.command("RCPT TO:<x", "501 5.1.3")
                s.command("RSET", 250)
                s.command("MAIL FROM:<>", 250)
                s.command("RCPT TO:<a@example.com>", 250)
                s.send("RCPT TO:<a@example.com>\r\n")
                await_held(s)
                self.assertFalse(readable(s))
                s.signal(TERM)
                s.expect("421 4.3.2")  # in place of the reply
                self.assertEqual(s.rest(), b"")
                self.assertEqual([e["to"] for e in s.log().events("rcpt", verdict="accept")],
                                 ["<a@example.com>"] * 2)

    def test_tarpit_off(self):
        """TARPITCOUNT=0: never, whatever TARPITDELAY."""
        with Place() as place, Session(place, TARPITDELAY=LONG, MAXRCPTS="0") as s:
            s.hello()
            s.mail("text", to=[f"u{i}@example.com" for i in range(50)])
            s.quit()


def await_held(s):
    """The session has read all that was sent, and sleeps in poll(2) for something else than that."""
    until = time.monotonic() + LIMIT
    pid = s.process.pid
    while time.monotonic() < until:
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            words = file.read().split()
        if words[0] in POLLS and int(words[3], 16) > 1000:  # with a timeout that is no client's
            return
        time.sleep(0.01)
    raise AssertionError("the session is not held")


POLLS = ("7", "73", "271")  # poll and ppoll of x86-64 and of arm64
TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32))
RDP = b"\x03\x00\x00\x2b\x26\xe0\x00\x00\x00\x00\x00Cookie: mstshash=hello\r\n\x01\x00\x08\x00\x03\x00\x00\x00"
FOREIGN = [
    # name, bytes, what, why
    ("GET", b"GET / HTTP/1.1\r\nHost: mx.example.net\r\n\r\n", "http", "a browser"),
    ("POST", b"POST / HTTP/1.1\r\n\r\nHELO x\r\nMAIL FROM:<a@b.example>\r\n", "http", "with commands in its body"),
    ("CONNECT", b"CONNECT mx.example.net:25 HTTP/1.1\r\n\r\n", "http", "looks for a proxy"),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http", "its preface"),
    ("SSH", b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "ssh", "a banner"),
    ("TLS", TLS, "tls", "no line end, ever"),
    ("RDP", RDP, "rdp", "a cookie"),
    ("SSL 2", b"\x80\x2e\x01\x00\x02\x00\x15", "binary", "no line end"),
    ("NULs", b"\0" * 100, "binary", "no line end"),
    ("SOCKS", b"\x05\x01\x00", "binary", "no line end"),
    ("a NUL", b"\0", "binary", "one byte is enough"),
]
LAST = b"221 2.7.0 This is SMTP\r\n"
TEXTS = ("http", "ssh")
BYTES = 16  # of what is no text: behind them there may be a password


class Foreign(unittest.TestCase):
    """One reply, close; the log has what it was."""

    def each(self, begin, before=b"", **options):
        for name, data, what, why in FOREIGN:
            for over in (STREAM, PIPES):
                with self.subTest(name, over=over, why=why), Place() as place, \
                        Session(place, over=over, **{k: data if k == "early" else v for k, v in options.items()}) as s:
                    begin(s, data)
                    self.assertEqual(s.rest(), before + LAST)
                    s.close()
                    self.assertEqual(s.wait(), 0)
                    self.check(s.log(), data, what)

    def check(self, log, data, what):
        found = log.one("foreign")
        if what:
            self.assertEqual(found["what"], what)
            self.assertTrue(data.startswith(found["data"].encode("latin-1")), found)
            shown = len(found["data"].removesuffix("..."))
            self.assertEqual(shown, int(found["bytes"]) if what in TEXTS else min(int(found["bytes"]), BYTES))
        self.assertEqual(log.one("close")["reason"], "foreign")
        self.assertEqual(log.one("close")["errors"], "0")
        self.assertFalse(log.events("early") + log.events("command") + log.events("mail"))

    def test_greeted(self):
        def begin(s, data):
            s.expect(220)
            s.send(data)
        self.each(begin)

    def test_in_session(self):
        def begin(s, data):
            s.hello()
            s.command("MAIL FROM:<>", 250)
            s.send(data)
        self.each(begin)

    def test_whatever_earlytalk(self):
        for word in ("drop", "log", "off"):
            def begin(s, data):
                s.hello()
                s.send(data)
            self.each(begin, EARLYTALK=word)

    def test_before_the_banner(self):
        for name, data, what, why in FOREIGN:
            for word in ("drop", "reject", "log"):
                with self.subTest(name, earlytalk=word, why=why), Place() as place, \
                        Session(place, early=data, EARLYTALK=word) as s:
                    self.assertEqual(s.rest(), LAST)
                    s.close()
                    self.check_early(s.log(), data, what)

    def check_early(self, log, data, what):
        found = log.one("foreign")
        self.assertEqual((found["what"], found["bytes"]), (what, str(len(data))))
        shown = data.split(b"\r\n")[0] if what in TEXTS else data[:BYTES]
        self.assertEqual(found["data"].encode("latin-1"), shown)
        self.assertEqual(log.one("close")["reason"], "foreign")
        self.assertFalse(log.events("early"))

    def test_in_the_delay(self):
        for name, data, what, why in FOREIGN:
            with self.subTest(name, why=why), Place() as place, Session(place, GREETDELAY=LONG) as s:
                s.send(data)
                self.assertEqual(s.rest(), LAST)
                s.close()
                self.check_early(s.log(), data, what)

    def test_by_bytes(self):
        """One byte at a time: the same end, though the first may tell less."""
        for name, data, what, why in FOREIGN:
            with self.subTest(name, why=why), Place() as place, Session(place) as s:
                s.expect(220)
                try:
                    for i in range(len(data)):
                        s.send(data[i:i + 1])
                except OSError:
                    pass  # it has heard enough
                self.assertEqual(s.rest(), LAST)
                s.close()
                self.check(s.log(), data, what if what in ("http", "ssh") else None)

    def test_tcp(self):
        with Place() as place, Accepted(place) as s:
            s.expect(220)
            s.send(TLS)
            self.assertEqual(s.rest(), LAST)
            s.close()
            self.check(s.log(), TLS, "tls")


# Early talk ------------------------------------------------------------------------------------------------

class Early(unittest.TestCase):
    def test_tcp(self):
        """Over TCP as over a socket pair; the bytes are in the log, cut where they are many."""
        data = b"EHLO x\r\n" + b"MAIL FROM:<\"\\\x01\xff>\r\n" * 100
        for word, first in (("reject", "554 5.5.0"), ("drop", "521 5.5.0"), ("log", "220 ")):
            with self.subTest(word), Place() as place, \
                    Accepted(place, GREETDELAY="0.2" if word == "log" else LONG, EARLYTALK=word, MAXERRORS="0") as s:
                s.send(data)
                s.expect(first)
                s.end_of_input()
                s.rest()
                s.close()
                found = s.log().events("early")[0]
                self.assertEqual((found["at"], found["bytes"]), ("banner", str(len(data))))
                self.assertEqual(found["data"], data[:256].decode("latin-1") + "...")

    def test_half_closed(self):
        """A client that sends no more is none that talks."""
        for make in (Session, Accepted):
            with self.subTest(make.__name__), Place() as place, make(place, GREETDELAY="0.1") as s:
                s.end_of_input()
                s.rest()
                s.close()
                self.assertFalse(s.log().events("early"))

    def test_pipelining_by_bytes(self):
        """Legal groups, cut anywhere: nobody is punished."""
        groups = [b"EHLO client.example\r\n",
                  b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\nDATA\r\n",
                  b"text\r\n.\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n",
                  b"text\r\n.\r\nRSET\r\nQUIT\r\n"]
        replies = [1, 4, 4, 3]
        for size in (1, 2, 7, 30, 1000):
            with self.subTest(size=size), Place() as place, Session(place, EARLYTALK="drop") as s:
                s.expect(220)
                for group, count in zip(groups, replies):
                    for i in range(0, len(group), size):
                        s.send(group[i:i + size])
                    for _ in range(count):
                        self.assertRegex(s.reply(), r"\A[23]")
                self.assertEqual(s.rest(), b"")
                s.close()
                self.assertFalse(s.log().events("early"))
                self.assertEqual(place.stored(), {"spool": 2})


# Why? ------------------------------------------------------------------------------------------------------

TABLES = {
    "domains": "example.com\n",
    "mailboxes": "alice@example.com\nbob@example.com ./bob/\nfull@example.com 452 4.2.2 Full\ngone@example.com 550 5.1.6 Moved\n",
    "badsenders": "spam@bad.example\n",
}
A, B = "a@example.org", "alice@example.com"
WHY = [
    # name, knobs, sender, recipient, exit code, last line
    ("good", {}, A, B, 0, "accept"),
    ("brackets", {}, f"<{A}>", f"<{B}>", 0, "accept"),
    ("null sender", {}, "<>", B, 0, "accept"),
    ("nothing is the null sender", {}, "", B, 0, "accept"),
    ("maildir", {}, A, "bob@example.com", 0, "accept"),
    ("case", {}, A, "Alice+x@Example.COM", 0, "accept"),
    ("postmaster", {}, A, "postmaster@example.com", 0, "accept"),
    ("bare postmaster", {}, A, "Postmaster", 0, "accept"),
    ("no such mailbox", {}, A, "nobody@example.com", 1, "reject: nouser"),
    ("not local", {}, A, "a@elsewhere.example", 1, "reject: notlocal"),
    ("relay client", {"RELAYCLIENT": ""}, A, "a@elsewhere.example", 0, "accept"),
    ("bad sender", {}, "spam@bad.example", B, 1, "reject: badsender"),
    ("scripted, for now", {}, A, "full@example.com", 2, "tempfail: scripted"),
    ("scripted, for good", {}, A, "gone@example.com", 1, "reject: scripted"),
    ("rblsmtpd", {"RBLSMTPD": "Listed"}, A, B, 2, "tempfail: rblsmtpd"),
    ("rblsmtpd, for good", {"RBLSMTPD": "-Listed"}, A, B, 1, "reject: rblsmtpd"),
    ("rblsmtpd, let in", {"RBLSMTPD": ""}, A, B, 0, "accept"),
    ("no place", {"SPOOL": None}, A, B, 2, "tempfail: noplace"),
    ("table missing", {"DOMAINS": "none"}, A, B, 2, "tempfail: lookup"),
    ("queue is not run", {"QMAILQUEUE": "/bin/false"}, A, B, 0, "accept"),
    ("delays are not waited for", {"GREETDELAY": LONG, "TARPITCOUNT": "1", "ERRORDELAY": LONG}, A, B, 0, "accept"),
    *((f"refuse {stage} {code}", {"REFUSE": f"{stage} {code} {code[0]}.7.1 x"}, A, B, 1 if code == "554" else 2,
       "reject: refuse" if code == "554" else "tempfail: refuse")
      for stage in STAGES for code in ("421", "450", "554")),
]
WRONG = [
    # name, arguments, what is complained of
    ("no address", ["example.com", "x", A, B], "example.com: no IP address"),
    ("empty address", ["", "x", A, B], ": no IP address"),
    ("port", ["192.0.2.7:25", "x", A, B], "192.0.2.7:25: no IP address"),
    ("prefix", ["192.0.2.0/24", "x", A, B], "192.0.2.0/24: no IP address"),
    ("sender", ["192.0.2.7", "x", "a@", B], "a@: no sender"),
    ("sender and more", ["192.0.2.7", "x", f"<{A}> SIZE=1", B], f"<{A}> SIZE=1: no sender"),
    ("recipient", ["192.0.2.7", "x", A, "a"], "a: no recipient"),
    ("no recipient", ["192.0.2.7", "x", A, "<>"], "<>: no recipient"),
    ("empty recipient", ["192.0.2.7", "x", A, ""], ": no recipient"),
]


class Why(unittest.TestCase):
    """postern-smtpd -w asks what a session would ask, in the order it would, and stores nothing."""

    def ask(self, place, arguments, **knobs):
        return subprocess.run([SMTPD, "-w", *arguments], cwd=place.path, timeout=LIMIT, check=False,
                              env=environment(**knobs), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL)

    def compile(self, place):
        return {kind.upper(): place.compile(kind, text) for kind, text in TABLES.items()}

    def test_each(self):
        with Place() as place:
            tables = self.compile(place)
            before = sorted(place.path.rglob("*"))
            for name, knobs, sender, recipient, code, last in WHY:
                with self.subTest(name):
                    done = self.ask(place, ["192.0.2.7", "client.example", sender, recipient], **{**tables, **knobs})
                    self.assertEqual((done.returncode, done.stdout.decode().splitlines()[-1]), (code, last))
                    self.assertEqual(done.stderr.count(b"\n"), last.endswith("lookup"))
            self.assertEqual(sorted(place.path.rglob("*")), before)

    def test_as_the_session(self):
        """The same verdict and the same reply as in the session itself."""
        with Place() as place:
            tables = self.compile(place)
            for name, knobs, sender, recipient, code, last in WHY:
                if "delays" in name or "queue" in name:
                    continue
                with self.subTest(name), Session(place, **{**tables, **knobs}) as s:
                    done = self.ask(place, ["192.0.2.7", "client.example", sender, recipient], **{**tables, **knobs})
                    said = self.refusal(s, sender.strip("<>"), recipient.strip("<>"))
                    lines = done.stdout.decode().splitlines()
                    self.assertEqual(said[0] if said else "2", {0: "2", 1: "5", 2: "4"}[code])
                    if said:
                        self.assertTrue(lines[-2].endswith(": " + said), (lines, said))

    def refusal(self, s, sender, recipient):
        """The first reply that refuses, or nothing."""
        said = s.reply()
        for line in ("EHLO client.example", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"):
            if said[0] in "45":
                return said
            said = s.command(line)
        if said[0] == "3":
            s.send(".\r\n")
            said = s.reply()
        return said if said[0] in "45" else ""

    def test_checks_in_order(self):
        """Each check has a line: its stage, its name, what it went by; stages in the order of a session."""
        with Place() as place:
            done = self.ask(place, ["2001:db8::7", "x", A, B], **self.compile(place))
            lines = [re.fullmatch(r"(\w+) +(\w+) +(.+)", line) for line in done.stdout.decode().splitlines()[:-1]]
            self.assertTrue(all(lines), done.stdout)
            stages = [STAGES.index(line[1]) for line in lines]
            self.assertEqual(stages, sorted(stages))
            self.assertEqual(set(stages), set(range(len(STAGES))))
            told = {line[2]: line[3] for line in lines}
            self.assertEqual((told["BADSENDERS"], told["DOMAINS"], told["MAILBOXES"], told["place"]),
                             ("not listed", "local", "found", "SPOOL"))

    def test_stops_at_the_refusal(self):
        with Place() as place:
            done = self.ask(place, ["192.0.2.7", "x", "spam@bad.example", B], **self.compile(place))
            self.assertEqual(done.stdout.decode().splitlines()[-2:],
                             ["mail     BADSENDERS listed: 553 5.1.8 Sender refused", "reject: badsender"])

    def test_wrong(self):
        with Place() as place:
            for name, arguments, complaint in WRONG:
                with self.subTest(name):
                    done = self.ask(place, arguments)
                    self.assertEqual((done.returncode, done.stdout, done.stderr.decode()),
                                     (100, b"", f"postern-smtpd: {complaint}\n"))
            done = self.ask(place, ["192.0.2.7", "x", A, B], DATABYTES="much")
            self.assertEqual((done.returncode, done.stdout), (100, b""))
            self.assertIn(b"DATABYTES", done.stderr)

    def test_clients(self):
        """IPv4, IPv6, mapped, with a zone; whatever the environment says of a client."""
        with Place() as place:
            for client in ("192.0.2.7", "::1", "::ffff:192.0.2.7", "fe80::1%eth0"):
                with self.subTest(client):
                    self.assertEqual(self.ask(place, [client, "x", A, B], TCPREMOTEIP="nonsense").returncode, 0)
