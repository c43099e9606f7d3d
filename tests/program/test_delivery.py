"""End to end: real servers in front, real senders behind, and time."""
import contextlib
import email
import email.message
import email.policy
import hashlib
import os
import pty
import random
import re
import shutil
import smtplib
import subprocess
import termios
import threading
import tty
import unittest

import harness
from harness import (LIMIT, ROOT, Accepted, Client, Gone, Place, Session, SocketActivate, Tcpserver, body_of)

SMTP_SOURCE = ROOT / "dep" / "bin" / "smtp-source"
LARGE = 50_000_000


def random_lines(seed, size):
    """Text that is hard on a receiver: dotted lines, lone dots, 8-bit bytes, empty and long lines."""
    r = random.Random(seed)
    pieces = [b".", b"..", b"", b".\xe4\xf6\xfc", b"From here", b"\t", b"x" * 998,
              bytes(range(1, 10)) + bytes(range(14, 256))]
    block = b"".join(r.choice(pieces) + r.randbytes(r.randrange(60)).translate(HARMLESS) + b"\n"
                     for _ in range(20000))
    return (block * (size // len(block) + 1))[:size - 1] + b"\n"


HARMLESS = bytes(c if c not in b"\0\r\n" else ord("~") for c in range(256))


def run(arguments, **options):
    done = subprocess.run([str(a) for a in arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=LIMIT * 2,
                          check=False, stdin=options.pop("stdin", subprocess.DEVNULL), **options)
    if done.returncode:
        said = done.stdout.decode(errors="replace")[-3000:]
        raise AssertionError(f"{arguments[0]}: exit code {done.returncode}\n{said}")
    return done.stdout


# A client that keeps below MINRATE is let go after half a minute: it runs beside the other tests.
# ---------------------------------------------------------------------------------------------------------

class Slow(threading.Thread):
    """Sends a byte whenever the server has taken the last one and a while has passed."""

    def __init__(self):
        super().__init__(daemon=True)
        self.place = Place()
        self.session = Session(self.place, MINRATE="1000", TIMEOUT="40")
        self.reply = self.error = None
        self.start()

    def run(self):
        s = self.session
        try:
            s.hello()
            for line, code in (("MAIL FROM:<>", 250), ("RCPT TO:<b@example.com>", 250), ("DATA", 354)):
                s.command(line, code)
            s.send(b"x" * 20000)  # 20 s worth of patience: less than the half minute that every client has
            s.sock.settimeout(1)
            for _ in range(60):
                try:
                    self.reply = s.reply()
                    break
                except TimeoutError:
                    s.send(b"x")
        except Exception as error:  # shown by the test that looks
            self.error = error

    def end(self):
        self.session.__exit__()
        self.place.__exit__()


slow = None


def setUpModule():
    global slow
    slow = Slow()


def tearDownModule():
    slow.end()


class ZSlow(unittest.TestCase):
    """The name puts these tests last."""

    def test_minrate(self):
        slow.join(LIMIT)
        self.assertIsNone(slow.error)
        self.assertEqual(slow.reply, "421 4.4.2 Message comes too slowly")
        self.assertEqual(slow.session.rest(), b"")
        slow.session.close()
        self.assertEqual(slow.session.wait(), 0)
        log = slow.session.log()
        self.assertEqual(log.one("message")["reason"], "slow")
        self.assertGreaterEqual(float(log.one("message")["took"]), 30)
        self.assertEqual(log.one("close")["reason"], "slow")
        self.assertEqual((slow.place.stored(), slow.place.leftovers()), ({}, []))


# Real senders
# ---------------------------------------------------------------------------------------------------------

TEXT = b"Subject: text\nFrom: a@example.org\nTo: b@example.com\n\nfirst\n.\n..\n.dot\n\nlast\n"
EIGHT = "Subject: Grüße\nFrom: a@example.org\nTo: b@example.com\n\näöü €\n.ü\n".encode()


def attachment():
    m = email.message.EmailMessage(policy=email.policy.SMTP)
    m["Subject"], m["From"], m["To"] = "attachment", "a@example.org", "b@example.com"
    m.set_content("see there\n.\n")
    m.add_attachment(random.Random(1).randbytes(300_000), maintype="application", subtype="octet-stream",
                     filename="a.bin")
    return m


class Senders:
    """Each sender's message arrives unchanged, through each server; mixed into one class for each server."""

    @classmethod
    def setUpClass(cls):
        cls.place = Place()
        cls.server = cls.start(cls.place, DATABYTES="100000000", MAXMSGS="1000",
                               DOMAINS=cls.place.compile("domains", "example.com\n"))
        cls.before = {}

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        log = cls.server.log()
        stored = len(cls.place.messages()) + len(list(cls.place.path.glob("large*")))
        leftovers = cls.place.leftovers()
        cls.place.__exit__()
        assert len(log.events("message", verdict="accept")) == stored, "each message is logged once"
        assert len(log.events("close")) == len(log.events("connect")), "each session is logged"
        assert all(e["client"] == cls.client for e in log), "with its client"
        assert all("port" in e or cls is not ByTcpserver for e in log.events("connect")), "and its port"
        assert not log.events("trouble"), log.events("trouble")
        assert not log.events("early"), "nobody here talks out of turn"
        assert not leftovers, leftovers

    def fresh(self, count=1):
        """The messages that have come since the last call."""
        now = self.place.messages()
        new = [data for name, data in now.items() if name not in self.before]
        type(self).before = now
        self.assertEqual(len(new), count)
        return new

    def setUp(self):
        type(self).before = self.place.messages()

    @property
    def address(self):
        return f"{self.server.host}:{self.server.port}"

    def test_swaks(self):
        self.place.write("eml", TEXT)
        run(["swaks", "--server", self.server.host, "--port", self.server.port, "--from", "a@example.org",
             "--to",
             "b@example.com,c@example.com", "--data", "@eml", "--helo", "swaks.example"], cwd=self.place.path)
        [m] = self.fresh()
        self.assertIn(b"X-Postern-Helo: swaks.example\n", m)
        self.assertIn(b"X-Postern-To: <b@example.com>\nX-Postern-To: <c@example.com>\n", m)
        self.assertEqual(body_of(m).rstrip(b"\n"), TEXT.rstrip(b"\n"))  # swaks adds empty lines

    def test_swaks_pipeline_attachment(self):
        data = random.Random(2).randbytes(100_000)
        self.place.write("a.bin", data)
        run(["swaks", "--server", self.server.host, "--port", self.server.port, "--from", "<>", "--to",
             "b@example.com",
             "--pipeline", "--attach-type", "application/octet-stream", "--attach", "@a.bin"],
             cwd=self.place.path)
        [m] = self.fresh()
        self.assertTrue(m.startswith(b"Return-Path: <>\n"))
        parts = list(email.message_from_bytes(m).walk())
        self.assertIn(data, [p.get_payload(decode=True) for p in parts])

    def test_swaks_refused(self):
        done = subprocess.run(["swaks", "--server", self.server.host, "--port", str(self.server.port), "--to",
                               "b@elsewhere.example"],
                              stdout=subprocess.PIPE, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, 24, done.stdout)  # its code for: no recipient was taken
        self.fresh(0)

    def test_curl(self):
        self.place.write("eml", EIGHT.replace(b"\n", b"\r\n"))
        run(["curl", "-sS", f"smtp://{self.address}/curl.example", "--mail-from", "a@example.org",
             "--mail-rcpt", "b@example.com",
             "--upload-file", "eml"], cwd=self.place.path)
        [m] = self.fresh()
        self.assertEqual(body_of(m), EIGHT)

    def test_msmtp(self):
        run(["msmtp", f"--host={self.server.host}", f"--port={self.server.port}", "--from=a@example.org",
             "--domain=msmtp.example",
             "--auth=off", "--tls=off", "b@example.com", "c@example.com"], input=None,
             stdin=self.as_file(EIGHT))
        [m] = self.fresh()
        self.assertTrue(body_of(m).endswith(EIGHT), m)  # it adds Date and Message-ID
        self.assertIn(b"Return-Path: <a@example.org>\n", m)

    def as_file(self, data):
        self.place.write("stdin", data)
        file = open(self.place.path / "stdin", "rb")
        self.addCleanup(file.close)
        return file

    def smtplib(self):
        return smtplib.SMTP(self.server.host, self.server.port, "python.example", LIMIT)

    def test_smtplib(self):
        with self.smtplib() as s:
            self.assertEqual(s.send_message(attachment(), "a@example.org",
                                            ["b@example.com", "c@example.com"]), {})
        [m] = self.fresh()
        self.assertEqual(body_of(m), attachment_text(m))
        [part] = [p for p in email.message_from_bytes(m).walk() if p.get_filename() == "a.bin"]
        self.assertEqual(part.get_payload(decode=True), random.Random(1).randbytes(300_000))

    def test_smtplib_utf8(self):
        with self.smtplib() as s:
            s.sendmail("jörg@bücher.example", ["jörg@example.com"], EIGHT.replace(b"\n", b"\r\n"),
                       ["SMTPUTF8", "BODY=8BITMIME"])
        [m] = self.fresh()
        self.assertEqual(body_of(m), EIGHT)
        self.assertIn("X-Postern-To: <jörg@example.com>\n".encode(), m)
        self.assertIn(b" with UTF8SMTP id ", m)

    def test_smtplib_partly_refused(self):
        with self.smtplib() as s:
            refused = s.sendmail("a@example.org", ["b@example.com", "no@elsewhere.example"],
                                 TEXT.replace(b"\n", b"\r\n"))
        self.assertEqual(list(refused), ["no@elsewhere.example"])
        [m] = self.fresh()
        self.assertEqual(body_of(m), TEXT)

    def test_hundred_in_one(self):
        with self.smtplib() as s:
            for i in range(100):
                s.sendmail("a@example.org", [f"u{i}@example.com"],
                           TEXT.replace(b"first", b"number %d" % i).replace(b"\n", b"\r\n"))
        bodies = sorted(body_of(m) for m in self.fresh(100))
        self.assertEqual(bodies, sorted(TEXT.replace(b"first", b"number %d" % i) for i in range(100)))

    def test_smtp_source(self):
        if not SMTP_SOURCE.exists():
            self.skipTest("dep/bin/smtp-source is not there: tools/deps check")
        run([SMTP_SOURCE, "-d", "-s", "20", "-m", "200", "-l", "5000", "-r", "2", "-f", "a@example.org", "-t",
             "b@example.com",
             "-M", "source.example", f"inet:{self.address}"])
        for m in self.fresh(200):
            self.assertGreater(len(m), 5000)
            self.assertEqual(m.count(b"X-Postern-To: "), 2)

    def test_large(self):
        """50 MB, byte for byte."""
        text = b"Subject: large\n\n" + random_lines(3, LARGE)
        c = self.server.connect()
        self.addCleanup(c.close)
        c.hello()
        c.command(f"MAIL FROM:<a@example.org> SIZE={len(text)} BODY=8BITMIME", 250)
        c.command("RCPT TO:<b@example.com>", 250)
        c.command("DATA", 354)
        c.send(re.sub(rb"(?m)^\.", b"..", text).replace(b"\n", b"\r\n") + b".\r\n")
        c.expect(250)
        c.command("QUIT", 221)
        [m] = self.fresh()
        self.assertEqual(hashlib.sha256(body_of_large(m)).digest(), hashlib.sha256(text).digest())
        for file in (self.place.path / "spool" / "new").iterdir():
            if file.stat().st_size > LARGE:
                file.rename(self.place.path / "large")  # the other tests need not look at it again

    def test_parallel(self):
        """20 sessions at once, all of them open before any sends; each 5 messages."""
        clients = [self.server.connect() for _ in range(20)]
        errors = []
        for c in clients:
            self.addCleanup(c.close)
            c.hello()

        def send(c, n):
            try:
                for i in range(5):
                    c.mail(f"X-N: {n}.{i}\r\n\r\n" + "text\r\n" * 1000)
                c.command("QUIT", 221)
            except Exception as error:  # told below
                errors.append(error)

        threads = [threading.Thread(target=send, args=(c, n)) for n, c in enumerate(clients)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(LIMIT)
        self.assertEqual(errors, [])
        self.assertEqual(sorted(body_of(m) for m in self.fresh(100)),
                         sorted(b"X-N: %d.%d\n\n" % (n,
                                                     i) + b"text\n" * 1000 for n in range(20) for i in range(5)))


def attachment_text(stored):
    """The boundary is new in each rendering: take it from the stored message."""
    boundary = re.search(rb'boundary="([^"]+)"', stored)[1].decode()
    m = attachment()
    m.set_boundary(boundary)
    return m.as_bytes().replace(b"\r\n", b"\n")


def body_of_large(message):
    """body_of, without taking all lines apart."""
    head = message[:4096]
    return message[len(head) - len(body_of(head)):]


class ByTcpserver(Senders, unittest.TestCase):
    client = "127.0.0.1"

    @staticmethod
    def start(place, **knobs):
        return Tcpserver(place, **knobs)


class BySocketActivate(Senders, unittest.TestCase):
    client = "127.0.0.1"

    @staticmethod
    def start(place, **knobs):
        return SocketActivate(place, **knobs)


class BySocketActivate6(unittest.TestCase):
    """A second server, for the one difference: IPv6."""

    def test_curl(self):
        with Place() as place, SocketActivate(place, host="::1") as server:
            place.write("eml", EIGHT)
            run(["curl", "-sS", "--crlf", f"smtp://[::1]:{server.port}/curl.example", "--mail-from",
                 "a@example.org",
                 "--mail-rcpt", "b@example.com", "--upload-file", "eml"], cwd=place.path)
            c = server.connect()
            c.hello()
            c.command("QUIT", 221)
            self.assertEqual(c.rest(), b"")
            c.close()
            [m] = place.messages().values()
            self.assertIn(b"\nReceived: from curl.example ([IPv6:::1])\n", m)
            self.assertIn(b"\nX-Postern-Client: ::1\n", m)
            server.stop()
            self.assertEqual([e["client"] for e in server.log().events("close")], ["::1", "::1"])


# Where the client is
# ---------------------------------------------------------------------------------------------------------

class Clients(unittest.TestCase):
    """TCPREMOTEIP, else REMOTE_ADDR, else getpeername(2)."""

    # listen, connect, knobs, client, port is the socket's, why
    ROWS = [
        ("127.0.0.1", None, {}, "127.0.0.1", True, "IPv4 by getpeername"),
        ("::1", None, {}, "::1", True, "IPv6 by getpeername"),
        ("::", "127.0.0.1", {}, "127.0.0.1", True, "IPv4-mapped by getpeername"),
        ("127.0.0.1", None, {"REMOTE_ADDR": "192.0.2.9"}, "192.0.2.9", False, "systemd's word counts"),
        ("127.0.0.1", None, {"REMOTE_ADDR": "192.0.2.9", "TCPREMOTEIP": "192.0.2.10"}, "192.0.2.10", False,
         "tcpserver's before it"),
        ("127.0.0.1", None, {"REMOTE_ADDR": "nonsense", "TCPREMOTEIP": ""}, "127.0.0.1", True,
         "nonsense is passed over"),
        ("127.0.0.1", None, {"REMOTE_ADDR": "::ffff:192.0.2.9"}, "192.0.2.9", False, "mapped"),
    ]

    def test_each(self):
        for listen, connect, knobs, client, has_port, why in self.ROWS:
            with self.subTest(why), Place() as place, \
                 Accepted(place, listen, connect, **{"TCPREMOTEIP": None, **knobs}) as s:
                s.hello()
                s.mail("text")
                s.quit()
                start = s.log().one("connect")
                self.assertEqual(start["client"], client)
                self.assertEqual(start.get("port"), str(s.sock.getsockname()[1]) if has_port else None)
                [m] = place.messages().values()
                literal = f"[IPv6:{client}]" if ":" in client else f"[{client}]"
                self.assertIn(f"Received: from client.example ({literal})\n".encode(), m)


class Terminal(Session):
    """A person at a terminal: descriptors 0 and 1 are a pty's far end."""

    def __init__(self, place, raw, **knobs):
        self.place, self.log_to = place, None
        near, far = pty.openpty()
        if raw:
            tty.setraw(far)
        else:  # as a shell leaves it, but without the echo, which would stand between the replies
            mode = termios.tcgetattr(far)
            mode[3] &= ~termios.ECHO
            termios.tcsetattr(far, termios.TCSANOW, mode)
        Client.__init__(self, reader=near, writer=os.dup(near))
        self.start(place, (far,) * 2, (), knobs)


def has_terminals():
    with contextlib.suppress(OSError):
        for fd in pty.openpty():
            os.close(fd)
        return True
    return False


@unittest.skipUnless(has_terminals(), "no terminal can be had, /dev/pts is not mounted: NONE WAS TRIED")
class Terminals(unittest.TestCase):
    def test_raw(self):
        with Place() as place, Terminal(place, raw=True, TCPREMOTEIP=None) as s:
            s.hello()
            s.mail("..text\r\n" * 1000)
            s.quit()
            self.assertEqual(place.stored(), {"spool": 1})
            self.assertEqual(s.log().one("connect")["client"], "unknown")

    def test_typed(self):
        """The Return key is a LF, and a LF goes out as CRLF, with the CR there was: ^M before it."""
        with Place() as place, Terminal(place, raw=False, TCPREMOTEIP=None) as s:
            self.assertIn("220 ", s.line_of_terminal())
            for typed in ("HELO me\n", "NOOP\r", "QUIT\n"):
                s.send(typed)
                self.assertRegex(s.line_of_terminal(), "^2..[ ]")
            self.assertEqual(s.wait(), 0)
            self.assertEqual(s.log().one("close")["reason"], "quit")

    def test_timeout(self):
        with Place() as place, Terminal(place, raw=True, TIMEOUT="1") as s:
            s.expect(220)
            self.assertEqual(s.reply(), "421 4.4.2 Timeout")
            self.assertEqual(s.wait(), 0)

    def test_hangup(self):
        """The terminal goes away."""
        with Place() as place, Terminal(place, raw=True) as s:
            s.hello()
            s.close()
            self.assertEqual(s.wait(), 0)
            self.assertIn(s.log().one("close")["reason"], ("eof", "lost"))


def line_of_terminal(self):
    while b"\n" not in self.buffer:
        data = self.recv()
        if not data:
            raise Gone(f"closed after {self.buffer!r}")
        self.buffer += data
    line, _, self.buffer = self.buffer.partition(b"\n")
    return line.decode()


Terminal.line_of_terminal = line_of_terminal


# How it ends
# ---------------------------------------------------------------------------------------------------------

class Stopping(unittest.TestCase):
    """SIGTERM over TCP (the socket pair is in tests/transcripts)."""

    def begun(self, s):
        s.hello()
        s.command("MAIL FROM:<>", 250)
        s.command("RCPT TO:<b@example.com>", 250)
        s.command("DATA", 354)
        s.send("Subject: test\r\n\r\n" + "text\r\n" * 10000)

    def test_each(self):
        for where in ("banner", "command", "data"):
            with self.subTest(where), Place() as place, Accepted(place) as s:
                if where == "data":
                    self.begun(s)
                elif where == "command":
                    s.hello()
                    s.send("NOOP")
                else:
                    s.expect(220)
                s.signal(harness.TERM)
                self.assertEqual(s.reply(), "421 4.3.2 Shutting down")
                self.assertEqual(s.rest(), b"")
                s.close()
                self.assertEqual(s.wait(), 0)
                self.assertEqual(s.log().one("close")["reason"], "shutdown")
                self.assertEqual((place.stored(), place.leftovers()), ({}, []))

    def test_not_reading(self):
        """A client that does not read is not waited for, either."""
        with Place() as place, Session(place, TIMEOUT="1000", MAXNOOPS="0", SESSION_TIMEOUT="1000") as s:
            s.expect(220)
            s.sock.settimeout(0.2)
            with self.assertRaises(TimeoutError):
                for _ in range(1000):
                    s.sock.sendall(b"NOOP\r\n" * 10000)
            s.signal(harness.TERM)
            self.assertEqual(s.wait(), 0)

    def test_accepted_first(self):
        """A message taken before the signal stays taken."""
        with Place() as place, Accepted(place) as s:
            s.hello()
            s.mail("text")
            s.signal(harness.TERM)
            s.expect("421 4.3.2")
            s.close()
            self.assertEqual(s.wait(), 0)
            self.assertEqual(place.stored(), {"spool": 1})


class Excess(unittest.TestCase):
    """A message that is too big is read to its end, but not one that is far too big."""

    def test_far(self):
        with Place() as place, Accepted(place, DATABYTES="1000") as s:
            s.hello()
            s.command("MAIL FROM:<>", 250)
            s.command("RCPT TO:<b@example.com>", 250)
            s.command("DATA", 354)
            block = b"0123456789\r\n" * 10000
            sent = 0
            with self.assertRaises(OSError):
                for _ in range(2000):
                    s.sock.sendall(block)
                    sent += len(block)
            self.assertGreater(sent, 64 << 20)
            self.assertEqual(s.wait(), 0)
            log = s.log()
            self.assertEqual(log.one("message")["reply"], "552 5.3.4 Message far too big")
            self.assertEqual(log.one("close")["reason"], "toobig")
            self.assertEqual((place.stored(), place.leftovers()), ({}, []))


if not shutil.which("tcpserver"):
    raise unittest.SkipTest("tcpserver is not installed: tools/deps check")
