"""postern-spool: the interface of qmail-queue in front of Maildirs; by itself, behind postern-smtpd, and with faults."""
import collections
import errno
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import tempfile
import unittest

from harness import (BREAKS, BUILD, DOUBLE, IS_ASAN, IS_STATIC, LIMIT, ME, NEEDS_STRACE, ROOT, Log, Place, Session, Tcpserver,
                     await_that, body_of, environment)
from test_crash import CALL, STORAGE, check_order

PROGRAM = str(BUILD / "postern-spool")
MESSAGE = b"Subject: x\n\n.\nhello \xfc\n.. and more\n"
RECEIVED = (rb"Received: by mx\.example\.net \(Postern, from uid %d\) id \d+\.\d+"
            rb"(?:\n\tfor <([^>]*)>)?; [A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d{4} [\d:]{8} \+0000\n" % os.getuid())

DOMAINS = "example.com\n.sub.example\n"
MAILBOXES = """alice@example.com
bob@example.com ./bob/
bobby@example.com ./bob/
carol@example.com ./carol/
spooled@example.com ./spool/
gone@example.com 550 5.1.1 Gone away
full@example.com 452 4.2.2 Mailbox full
postmaster@a.sub.example 550 5.1.1 No
@b.sub.example ./all/
"""


def envelope_of(*to, sender="a@example.org"):
    return "".join(f"{word}\0" for word in ("F" + sender, *("T" + t for t in to), "")).encode()


class Caller:
    """A program made for qmail-queue: a pipe for the message, one for the envelope, and then the exit code."""

    def __init__(self, place, before=(), shell="", **knobs):
        (message, self.message), (envelope, self.envelope) = os.pipe(), os.pipe()
        self.was_cut_off = False
        knobs = {"TCPREMOTEIP": None, "TIMEOUT": None, "SESSION_TIMEOUT": None, **knobs}
        self.said_file = tempfile.TemporaryFile()
        # The shell makes descriptor 1 a pipe to read from.
        script = f'exec <&{message} 1<&{envelope} {message}<&- {envelope}<&-; {shell}exec "$@"'
        self.process = subprocess.Popen(["sh", "-c", script, "sh", *before, PROGRAM], cwd=place.path,
                                        stderr=self.said_file, pass_fds=[message, envelope], env=environment(**knobs))
        os.close(message)
        os.close(envelope)

    def write(self, message=b"", envelope=b""):
        """Where the program has seen enough, that is noted, and its exit code tells."""
        for fd, data in ((self.message, message), (self.envelope, envelope)):
            view = memoryview(data)
            while view and not self.was_cut_off:
                try:
                    view = view[os.write(fd, view):]
                except BrokenPipeError:
                    self.was_cut_off = True

    def close(self, *names):
        for name in names or ("message", "envelope"):
            if getattr(self, name) is not None:
                os.close(getattr(self, name))
                setattr(self, name, None)

    def end(self):
        """The exit code; what was logged is in `log` then."""
        try:
            code = self.process.wait(LIMIT)
        finally:
            self.stop()
        return code

    def stop(self):
        self.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(LIMIT)
        if not self.said_file.closed:
            self.said_file.seek(0)
            self.said = self.said_file.read()
            self.said_file.close()

    @property
    def log(self):
        return Log(self.said)

    def give(self, message, envelope):
        """All of both, as qmail's own programs do it: the message to its end, and then the envelope."""
        try:
            self.write(message)
            self.close("message")
            self.write(envelope=envelope)
            self.close("envelope")
            return self.end()
        finally:
            self.stop()


class Case(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.__exit__)

    def give(self, envelope, message=MESSAGE, place=None, code=0, **options):
        """Gives it to the program; returns what was logged of a refusal, None of a success."""
        place = place or self.place
        caller = Caller(place, **options)
        found = caller.give(message, envelope)
        self.assertEqual(found, code, caller.said)
        self.assertEqual(place.leftovers(), [])
        if not code:
            self.assertEqual(caller.said, b"")
            return None
        [line] = caller.log
        self.assertEqual((line["event"], line["exit"]), ("spool", str(code)))
        return line

    def tables(self, place=None, mailboxes=MAILBOXES):
        place = place or self.place
        return {"DOMAINS": place.compile("domains", DOMAINS), "MAILBOXES": place.compile("mailboxes", mailboxes)}


# what is on descriptor 1, the exit code, what is wrong
ENVELOPES = (
    (b"Fa@b\0Tc@d\0\0", 0, None),
    (b"Fa@b\0Tc@d\0Te@f\0\0", 0, None),
    (b"F\0Tc@d\0\0", 0, None),
    (b"Fa@b\0Tc@d\0\0and more\0", 0, None),
    (b"Fa@b\0" + b"Tc@d\0" * 3000 + b"\0", 0, None),
    (b"", 54, "cut off"),
    (b"F", 54, "cut off"),
    (b"Fa@b", 54, "cut off"),
    (b"Fa@b\0", 54, "cut off"),
    (b"Fa@b\0Tc@", 54, "cut off"),
    (b"Fa@b\0Tc@d\0", 54, "cut off"),
    (b"Fa@b\0Tnobody at all\0Tc@d\0", 54, "cut off"),
    (b"Fa@b\0\0", 91, "no recipients"),
    (b"\0", 91, "no sender"),
    (b"Tc@d\0\0", 91, "no sender"),
    (b"garbage", 91, "no sender"),
    (b"Fa@b\0T\0\0", 91, "no recipient where one must be"),
    (b"Fa@b\0c@d\0\0", 91, "no recipient where one must be"),
    (b"Fa@b\0Tc@d\0Fe@f\0\0", 91, "no recipient where one must be"),
    (b"F" + b"a" * 252 + b"@b\0Tc@d\0\0", 0, None),
    (b"F" + b"a" * 253 + b"@b\0Tc@d\0\0", 11, "address too long"),
    (b"Fa@b\0T" + b"c" * 252 + b"@d\0\0", 0, None),
    (b"Fa@b\0T" + b"c" * 253 + b"@d\0\0", 11, "address too long"),
    (b"Fa@b\0T" + b"c" * 1000000, 11, "address too long"),
    (b"Fa@b\0" + b"".join(b"T%d@%s\0" % (i, b"x" * 63) for i in range(3000)) + b"\0", 31, "too many recipients"),
)

# an address of an envelope, what becomes of it as recipient; None: refused
ADDRESSES = (
    ("c@d", "c@d"), ("C@EXAMPLE.Com", "C@example.com"), ('"a b"@d', '"a b"@d'), ("a b@d", '"a b"@d'), ("a..b@d", '"a..b"@d'),
    ('a"\\b@d', '"a\\"\\\\b"@d'), ("a@b@d", '"a@b"@d'), ("root", f"root@{ME}"), ("postmaster", f"postmaster@{ME}"),
    ("a b", f'"a b"@{ME}'), ("c@[192.0.2.7]", "c@[192.0.2.7]"), ("b\xf6b@d", "b\xf6b@d"), ("<c@d>", None), ("@d", None),
    ("c@", None), ("c@d e", None), ("c@d\n", None), ("c\n@d", None), ("a\rBcc: x@d", None), ("c@-d", None), ("c@[]", None),
    ("#@[]", None), ("\x7f@d", None),
)


class Interface(Case):
    def test_envelopes(self):
        for data, code, error in ENVELOPES:
            with self.subTest(data[:40]), Place() as place:
                line = self.give(data, place=place, code=code)
                self.assertEqual(place.stored(), {} if code else {"spool": 1})
                if code:
                    self.assertEqual(line["error"], error)

    def test_addresses(self):
        for text, want in ADDRESSES:
            with self.subTest(text), Place() as place:
                self.give(envelope_of(text), place=place, code=0 if want else 31)
                messages = list(place.messages().values())
                self.assertEqual([re.search(rb"^X-Postern-To: <(.*)>$", m, re.M)[1].decode() for m in messages],
                                 [want] if want else [])

    def test_senders(self):
        """A sender that is no address is nobody: mail is not lost for that, and nothing of it reaches a header."""
        for text, want in ADDRESSES:
            with self.subTest(text), Place() as place:
                self.give(envelope_of("c@d", sender=text), place=place)
                [message] = place.messages().values()
                self.assertEqual(message.split(b"\n")[0].decode(), f"Return-Path: <{want or ''}>")

    def test_messages(self):
        """Every byte is stored as it came, whatever its size: what memory holds, a little more, and much more."""
        block = bytes(range(256)) * 256
        samples = [b"", b"x", b"\n", b"\0", b"no end", b"a\rb\r\nc\n", b"\n.\n..\n", block[:-1], block, block + b"x",
                   block * 2, block * 2 + b"x", block * 40]
        for message in samples:
            with self.subTest(len(message)), Place() as place:
                self.give(envelope_of("c@d"), message, place)
                [stored] = place.messages().values()
                head, _, body = stored.partition(b"X-Postern-To: <c@d>\n")
                self.assertTrue(body == message and head.startswith(b"Return-Path: <a@example.org>\n"))

    @unittest.skipIf(IS_ASAN, "the sanitizers have memory of their own")
    def test_memory(self):
        """It does not grow with the message."""
        used = []
        for size in (200_000, 60_000_000):
            with Place() as place:
                caller = Caller(place, before=["/usr/bin/python3", "-c", MEASURE])
                self.assertEqual(caller.give(b"x" * size, envelope_of("c@d")), 0, caller.said)
                used.append(int(caller.said))
                self.assertEqual(place.stored(), {"spool": 1})
        self.assertLess(used[1] - used[0], 1000)

    def test_end_of_the_envelope_is_enough(self):
        """As qmail-queue: nothing is waited for behind the last NUL."""
        caller = Caller(self.place)
        self.addCleanup(caller.stop)
        caller.write(MESSAGE)
        caller.close("message")
        caller.write(envelope=envelope_of("c@d"))
        self.assertEqual(caller.process.wait(LIMIT), 0)
        self.assertEqual(self.place.stored(), {"spool": 1})

    def test_byte_by_byte(self):
        caller = Caller(self.place)
        self.addCleanup(caller.stop)
        for byte in MESSAGE:
            caller.write(bytes([byte]))
        caller.close("message")
        for byte in envelope_of("c@d", "e@f"):
            caller.write(envelope=bytes([byte]))
        self.assertEqual(caller.end(), 0)
        [stored] = self.place.messages().values()
        self.assertEqual(body_of(stored), MESSAGE)

    def test_refused_callers_can_write_to_the_end(self):
        """No pipe is closed to a caller before it has said all: not each ignores SIGPIPE."""
        caller = Caller(self.place, MAILBOXES=self.tables()["MAILBOXES"])
        self.assertEqual(caller.give(b"x" * 300_000, envelope_of("nobody", *["c@d"] * 50_000)), 31)
        self.assertEqual((caller.log.one("spool")["to"], caller.was_cut_off), ("<nobody>", False))

    def test_files(self):
        """What a caller hands over may be files, too, and none of them may be missing or closed."""
        self.place.write("m", MESSAGE)
        self.place.write("e", envelope_of("c@d"))
        for redirect, code, error in (("<m 1<e", 0, None), ("<&- 1<e", 54, "message"), ("<m 1<&-", 54, "envelope"),
                                      ("<&- 1<&-", 54, "envelope"), ("<. 1<e", 54, "message"), ("<m 1<.", 54, "envelope"),
                                      ("<m 1>out", 54, "envelope"), ("<m 1<e 2<&-", 0, None), ("<e 1<m", 91, "envelope"),
                                      ("</dev/null 1<e", 0, None), ("<m 1</dev/null", 54, "envelope")):
            with self.subTest(redirect):
                before = self.place.stored().get("spool", 0)
                done = subprocess.run(["sh", "-c", f'exec "$0" {redirect}', PROGRAM], cwd=self.place.path,
                                      env=environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LIMIT)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertEqual(self.place.stored().get("spool", 0), before + (not code))
                if error:
                    self.assertEqual(Log(done.stderr).one("spool")["object"], error)

    def test_closed_envelope(self):
        """The file in which a large message is held is not taken for it."""
        done = subprocess.run(["sh", "-c", 'head -c 300000 /dev/zero | "$0" 1<&-', PROGRAM], cwd=self.place.path,
                              env=environment(), stderr=subprocess.PIPE, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, 54)
        self.assertEqual(Log(done.stderr).one("spool")["error"], os.strerror(errno.EBADF))

    def test_closed_log(self):
        """What is to be logged never gets into a message: descriptor 2 is no file of ours."""
        self.place.write("m", MESSAGE)
        self.place.write("e", envelope_of("c@d"))
        for knobs, code in (({}, 0), ({"SPOOL": "/dev/null/x"}, 62), ({"MAILBOXES": "none.cdb"}, 55)):
            done = subprocess.run(["sh", "-c", 'exec "$0" <m 1<e 2>&-', PROGRAM], cwd=self.place.path, timeout=LIMIT,
                                  env=environment(**knobs), check=False)
            self.assertEqual(done.returncode, code)
        [stored] = self.place.messages().values()
        self.assertEqual(body_of(stored), MESSAGE)

    def test_nobody_reads_the_log(self):
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "wb") as log, open(os.devnull, "rb") as nothing:
            done = subprocess.run([PROGRAM], cwd=self.place.path, env=environment(), stdin=nothing, stdout=nothing,
                                  stderr=log, timeout=LIMIT)
        self.assertEqual(done.returncode, 54)

    def test_misuse(self):
        done = subprocess.run([PROGRAM, "x"], capture_output=True, timeout=LIMIT)
        self.assertEqual((done.returncode, done.stdout), (100, b""))


# Runs a command on the same descriptors, and says on descriptor 2 how many kilobytes it has held at most.
MEASURE = """
import os, sys
pid = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(pid, 0)
os.write(2, b"%d" % used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""

# recipients; where the mail is; the exit code with the recipient at fault, and what is said
ROUTES = (
    (["alice@example.com"], {"spool": 1}, 0, None, None),
    (["bob@example.com"], {"bob": 1}, 0, None, None),
    (["BOB@Example.COM"], {"bob": 1}, 0, None, None),
    (["bob+list@example.com"], {"bob": 1}, 0, None, None),
    (["bob@example.com", "bobby@example.com", "bob+x@example.com"], {"bob": 1}, 0, None, None),
    (["bob@example.com", "carol@example.com", "alice@example.com"], {"bob": 1, "carol": 1, "spool": 1}, 0, None, None),
    (["spooled@example.com", "alice@example.com"], {"spool": 1}, 0, None, None),
    (["anybody@b.sub.example"], {"all": 1}, 0, None, None),
    (["postmaster@example.com"], {"spool": 1}, 0, None, None),
    (["postmaster@a.sub.example"], {"spool": 1}, 0, None, None),
    (["postmaster@b.sub.example"], {"all": 1}, 0, None, None),
    (["postmaster"], {"spool": 1}, 0, None, None),
    (["nobody@example.com"], {}, 31, "nobody@example.com", "no such mailbox"),
    (["root"], {}, 31, "root", "no such mailbox"),
    (["gone@example.com"], {}, 31, "gone@example.com", "550 5.1.1 Gone away"),
    (["full@example.com"], {}, 71, "full@example.com", "452 4.2.2 Mailbox full"),
    (["bob@elsewhere.example"], {}, 31, "bob@elsewhere.example", "no mail for this domain here"),
    (["postmaster@elsewhere.example"], {}, 31, "postmaster@elsewhere.example", "no mail for this domain here"),
    (["bob@example.com", "nobody@example.com", "carol@example.com"], {}, 31, "nobody@example.com", "no such mailbox"),
    (["bob@example.com", "full@example.com", "gone@example.com"], {}, 71, "full@example.com", "452 4.2.2 Mailbox full"),
    (["bob@example.com", "gone@example.com", "full@example.com"], {}, 31, "gone@example.com", "550 5.1.1 Gone away"),
)


class Tables(Case):
    def test_routes(self):
        for to, stored, code, who, error in ROUTES:
            with self.subTest(to), Place() as place:
                line = self.give(envelope_of(*to), place=place, code=code, **self.tables(place))
                self.assertEqual(place.stored(), stored)
                if code:
                    self.assertEqual((line["from"], line["to"], line["error"]), ("<a@example.org>", f"<{who}>", error))
                    self.assertEqual(place.maildirs(), [])

    def test_as_the_session_says(self):
        """The door of postern-smtpd says of each recipient what this program does."""
        tables = self.tables()
        for to, stored, code, _, _ in ROUTES:
            if len(to) > 1 or to == ["root"]:
                continue
            with self.subTest(to), Place() as place, Session(self.place, SPOOL=str(place.path / "spool"), **tables) as s:
                s.hello()
                s.command("MAIL FROM:<>", 250)
                s.command(f"RCPT TO:<{to[0]}>", {0: 250, 31: 55, 71: 45}[code])
                s.quit()

    def test_no_spool(self):
        """A mailbox whose mail would go to SPOOL, where there is none, is an error of the operator."""
        tables = self.tables()
        line = self.give(envelope_of("bob@example.com", "alice@example.com"), code=55, SPOOL=None, **tables)
        self.assertEqual((line["object"], line["to"]), ("SPOOL", "<alice@example.com>"))
        self.give(envelope_of("bob@example.com"), SPOOL=None, **tables)
        self.assertEqual(self.place.stored(), {"bob": 1})

    def test_broken(self):
        for variable in ("DOMAINS", "MAILBOXES"):
            for how, spoil in BREAKS.items():
                with self.subTest(variable, how=how), Place() as place:
                    tables = self.tables(place)
                    spoil(place.path / tables[variable])
                    line = self.give(envelope_of("bob@example.com"), place=place, code=55, **tables)
                    self.assertEqual((line["object"], line["to"]), (tables[variable], "<bob@example.com>"))
                    self.assertEqual(place.stored(), {})

    def test_settings(self):
        for knobs, name, error in (({"SPOOL": None}, "SPOOL", "no place for mail is set"), ({"SPOOL": ""}, "SPOOL", "empty"),
                                   ({"ME": "two words"}, "ME", "not a host name"), ({"DOMAINS": ""}, "DOMAINS", "empty"),
                                   ({"MAILBOXES": "x" * 5000}, "MAILBOXES", "too long")):
            with self.subTest(knobs):
                line = self.give_nothing(55, **knobs)
                self.assertEqual((line["object"], line["error"]), (name, error))

    def give_nothing(self, code, **knobs):
        """To a program that does not read."""
        done = subprocess.run([PROGRAM], cwd=self.place.path, env=environment(**knobs), stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=LIMIT)
        self.assertEqual(done.returncode, code)
        return Log(done.stderr).one("spool")


class Fields(Case):
    def test_maildir_and_spool(self):
        self.give(envelope_of("bob@example.com", "alice@example.com", "carol@example.com"), **self.tables())
        for folder in ("bob", "carol"):
            [stored] = self.place.messages(folder).values()
            self.assertRegex(stored, rb"\AReturn-Path: <a@example\.org>\n" + RECEIVED + re.escape(MESSAGE) + rb"\Z")
        [stored] = self.place.messages().values()
        self.assertRegex(stored, rb"\AReturn-Path: <a@example\.org>\n" + RECEIVED + rb"X-Postern-Mode: local\n"
                         rb"X-Postern-From: <a@example\.org>\nX-Postern-To: <alice@example\.com>\n" + re.escape(MESSAGE) + rb"\Z")

    def test_one_recipient(self):
        self.give(envelope_of("bob+list@example.com", sender=""), **self.tables())
        [stored] = self.place.messages("bob").values()
        found = re.match(rb"Return-Path: <>\nDelivered-To: bob\+list@example\.com\n" + RECEIVED, stored)
        self.assertEqual(found[1], b"bob+list@example.com")
        self.assertEqual(stored[found.end():], MESSAGE)

    def test_collector(self):
        self.give(envelope_of("bob@example.com"))
        self.assertIn(b"\nX-Postern-Mode: collector\n", *self.place.messages().values())


# The scripts of the manual ----------------------------------------------------------------------------------

CLAMDSCAN = """#!/bin/sh
! grep -q virus
"""


class Examples(Case):
    def script(self, number, **names):
        """That script, with programs in the test's folder, ready to be run."""
        text = (ROOT / "man/postern-spool.8").read_text().replace("\\e", "\\")
        script = re.findall(r"^(#!/bin/sh\n.*?)^\.Ed$", text, re.M | re.S)[number]
        for name, path in {"postern-spool": PROGRAM, **names}.items():
            script = script.replace(name, path)
        return self.place.write("script", script, 0o755)

    def test_deliver(self):
        self.script(0, **{"envdir /etc/postern/env ": ""})
        done = subprocess.run(["./script", "a@example.org", "b c@example.com", "d@example.com"], cwd=self.place.path,
                              env=environment(), input=MESSAGE, stderr=subprocess.PIPE, timeout=LIMIT)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        [stored] = self.place.messages().values()
        self.assertEqual(body_of(stored), MESSAGE)
        self.assertIn(b'\nX-Postern-To: <"b c"@example.com>\nX-Postern-To: <d@example.com>\n', stored)
        done = subprocess.run(["./script", "a@example.org"], cwd=self.place.path, env=environment(), input=MESSAGE,
                              stderr=subprocess.PIPE, timeout=LIMIT)
        self.assertEqual(done.returncode, 91)

    def test_scan(self):
        self.script(1, clamdscan="./clamdscan")
        self.place.write("clamdscan", CLAMDSCAN, 0o755)
        with Session(self.place, QMAILQUEUE="./script") as s:
            s.hello()
            s.mail("good", code=250)
            s.mail("a virus", code="554 5.3.0")
            self.place.write("clamdscan", "#!/bin/sh\nexit 2\n", 0o755)
            s.mail("good", code="451 4.3.0")
            s.quit()
        [stored] = self.place.messages().values()
        self.assertTrue(stored.endswith(b"\ngood\n"))


# Time, signals ----------------------------------------------------------------------------------------------

STAGES = ("before the message", "in the message", "behind the message", "in the envelope", "before its end")


def unread(sock):
    """Whether bytes wait at this end."""
    return bool(select.select([sock], [], [], 0)[0])


class Stopped(Case):
    def at(self, stage, **options):
        """A program that has taken all there is to take up to a stage."""
        caller = Caller(self.place, **options)
        self.addCleanup(caller.stop)
        parts = [(b"",), (b"x" * 200_000,), None, (b"", b"Fa@b\0Tc@"), (b"", b"d\0")]
        for part in parts[:STAGES.index(stage) + 1]:
            if part is None:
                caller.close("message")
            else:
                caller.write(*part)
        return caller

    def wait_until_asleep(self, caller):
        """All that came is taken: it waits."""
        stat = pathlib.Path(f"/proc/{caller.process.pid}/stat")
        name = pathlib.Path(f"/proc/{caller.process.pid}/comm")
        await_that(lambda: name.read_text() == "postern-spool\n" and stat.read_text().split(") ")[1][0] == "S", "asleep")

    def test_sigterm(self):
        for stage in STAGES:
            with self.subTest(stage):
                caller = self.at(stage)
                self.wait_until_asleep(caller)
                caller.process.terminate()
                self.assertEqual(caller.process.wait(LIMIT), 71)
                caller.stop()
                self.assertEqual(caller.log.one("spool")["error"], "SIGTERM")
                self.assertEqual(self.place.maildirs(), [])

    def test_sigterm_on_a_socket(self):
        """A message that it breaks off is never taken for a whole one, though its envelope is there."""
        self.place.write("e", envelope_of("c@d"))
        ours, theirs = socket.socketpair()
        with ours, theirs, open(self.place.path / "e", "rb") as envelope:
            process = subprocess.Popen([PROGRAM], cwd=self.place.path, env=environment(), stdin=theirs, stdout=envelope,
                                       stderr=subprocess.DEVNULL)
            ours.sendall(b"Subject: ha")
            await_that(lambda: not unread(theirs), "taken")
            process.terminate()
            self.assertEqual(process.wait(LIMIT), 71)
        self.assertEqual(self.place.maildirs(), [])

    def test_sigterm_in_a_flood(self):
        """Where there is always more to read, too."""
        with open("/dev/zero", "rb") as zeros, open(os.devnull, "rb") as nothing:
            process = subprocess.Popen([PROGRAM], cwd=self.place.path, env=environment(), stdin=zeros, stdout=nothing,
                                       stderr=subprocess.PIPE)
        fds = pathlib.Path(f"/proc/{process.pid}/fd")
        try:
            await_that(lambda: any(os.readlink(fd).startswith("/tmp/") for fd in fds.iterdir()), "more than memory holds")
            process.terminate()
            self.assertIn(b"error=SIGTERM", process.communicate(timeout=LIMIT)[1])
            self.assertEqual(process.returncode, 71)
        finally:
            process.kill()
            process.communicate()

    def test_kill(self):
        for stage in STAGES:
            with self.subTest(stage):
                caller = self.at(stage)
                self.wait_until_asleep(caller)
                caller.process.kill()
                self.assertEqual(caller.end(), -signal.SIGKILL)
                self.assertEqual(self.place.maildirs(), [])

    def test_caller_gone(self):
        for stage in STAGES:
            with self.subTest(stage):
                caller = self.at(stage)
                caller.close()
                self.assertEqual(caller.end(), 54)
                self.assertEqual(self.place.maildirs(), [])

    @unittest.skipIf(IS_STATIC, "nothing can be loaded before it")
    def test_a_day(self):
        """Who has not said all within a day of the program's is not waited for."""
        library = self.place.path / "clock.so"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-o", library, DOUBLE / "preload_clock.c"],
                       check=True, timeout=LIMIT)
        before = str(library)
        if IS_ASAN:  # its own library must come first
            asan = subprocess.run(["cc", "-print-file-name=libasan.so"], check=True, timeout=LIMIT, stdout=subprocess.PIPE)
            before = f"{asan.stdout.decode().strip()}:{library}"
        for stage in ("in the message", "in the envelope"):
            with self.subTest(stage):
                caller = self.at(stage, before=["env", f"LD_PRELOAD={before}", "CLOCK_SPEED=40000"])
                self.assertEqual(caller.process.wait(LIMIT), 52)
                caller.stop()
                self.assertEqual(caller.log.one("spool")["object"], stage.split()[-1])
                self.assertEqual(self.place.maildirs(), [])


# Storage ----------------------------------------------------------------------------------------------------

BOXES = "bob@example.com ./bob/\ncarol@example.com ./carol/\nalice@example.com\n"
ALL = ["bob@example.com", "carol@example.com", "alice@example.com"]
FOLDERS = {"bob", "carol", "spool"}


class Full(Case):
    def test_limit_of_a_file(self):
        """In /tmp, where a large message is held, and in the Maildir."""
        for size in (300_000, 5000):
            with self.subTest(size):
                line = self.give(envelope_of("c@d"), b"x" * size, code=53, shell="ulimit -f 4; ")
                self.assertEqual(line["object"], "/tmp" if size > 65536 else "spool")
                self.assertEqual(self.place.stored(), {})

    def test_no_maildir(self):
        line = self.give(envelope_of("c@d"), code=62, SPOOL="/dev/null/spool")
        self.assertEqual(line["object"], "/dev/null/spool")

    def test_many_maildirs(self):
        """As many Maildirs as a message may have, and one more."""
        table = "".join(f"u{i}@example.com ./box/{i}/\n" for i in range(401))
        tables = self.tables(mailboxes=table)
        line = self.give(envelope_of(*(f"u{i}@example.com" for i in range(401))), code=31, **tables)
        self.assertEqual((line["to"], line["error"]), ("<u400@example.com>", "too many recipients"))
        self.give(envelope_of(*(f"u{i}@example.com" for i in range(400))), **tables)
        self.assertEqual(self.place.stored(), {f"box/{i}": 1 for i in range(400)})


@NEEDS_STRACE
class Faults(Case):
    def traced(self, place, inject=(), large=False, what=STORAGE):
        """The exit code and the storage calls of one message for three Maildirs: (name, which of that name, arguments)."""
        before = ["strace", "-qq", "-y", "-o", "trace", "-e", "trace=" + ",".join("?" + name for name in [*what, "exit_group"])]
        for rule in inject:
            before += ["-e", f"inject={rule}"]
        caller = Caller(place, before=before, MAILBOXES=place.compile("mailboxes", BOXES))
        code = caller.give(MESSAGE * (5000 if large else 1), envelope_of(*ALL))
        lines = place.read("trace").decode("latin-1").splitlines()
        calls = [m.groups() for m in map(CALL.match, lines) if m]
        counts, steps = collections.Counter(), []
        for name, arguments, _, _ in calls:
            counts[name] += 1
            if name in what and not re.search(r'"/(etc|usr|proc|lib)', arguments) and "ELF" not in arguments:
                steps.append((name, counts[name], arguments))
        return code, steps, calls, caller.said

    def test_order(self):
        """Nothing is shown before it is on disk, and 0 is said when the names are, too."""
        for large in (False, True):
            with self.subTest(large=large), Place() as place:
                code, _, calls, _ = self.traced(place, large=large)
                self.assertEqual((code, set(place.stored())), (0, FOLDERS))
                self.assertEqual(calls[-1][:2], ("exit_group", "0"))
                self.assertEqual(check_order(self, [*calls[:-1], ("sendto", '"250 2.0.0 Ok ', "0", "")]), 1)

    def prepare(self, place):
        for folder in FOLDERS:
            for part in ("tmp", "new", "cur"):
                (place.path / folder / part).mkdir(parents=True)

    def steps(self, prepared, large=False):
        with Place() as place:
            if prepared:
                self.prepare(place)
            code, steps, _, _ = self.traced(place, large=large)
            self.assertEqual(code, 0)
            first = next(i for i, step in enumerate(steps) if "mailboxes.cdb" in step[2])
            self.assertGreater(len(steps[first:]), 15)
            return steps[first:]

    def test_killed(self):
        """At each storage call: nobody hears 0, and what is in any new/ is whole."""
        for prepared in (True, False):
            for name, which, arguments in self.steps(prepared):
                with self.subTest(name, which=which, arguments=arguments), Place() as place:
                    if prepared:
                        self.prepare(place)
                    code, _, _, _ = self.traced(place, [f"{name}:signal=KILL:when={which}"])
                    self.assertIn(code, (-signal.SIGKILL, 128 + signal.SIGKILL))
                    for folder in place.stored():
                        [stored] = place.messages(folder).values()
                        self.assertEqual(body_of(stored), MESSAGE)

    def test_errors(self):
        """At each storage call: a code that says try again, nothing in any new/, nothing left in tmp/, one line."""
        errors = ["EIO", "ENOSPC", "EDQUOT"]
        for i, (name, which, arguments) in enumerate(self.steps(True)):
            error = errors[i % 3]
            with self.subTest(name, which=which, arguments=arguments, error=error), Place() as place:
                self.prepare(place)
                code, _, calls, said = self.traced(place, [f"{name}:error={error}:when={which}"])
                self.assertEqual(sum("INJECTED" in c[3] for c in calls), 1)
                if name == "linkat":  # then a copy is made
                    self.assertEqual((code, place.stored()), (0, {folder: 1 for folder in FOLDERS}))
                else:
                    wanted = (55,) if "mailboxes.cdb" in arguments else (53,) if error != "EIO" else (53, 62)
                    self.assertIn(code, wanted, said)
                    self.assertEqual(place.stored(), {})
                    [line] = Log(said)
                    self.assertEqual((line["event"], line["exit"]), ("spool", str(code)))
                self.assertEqual(place.leftovers(), [])

    def test_stopped(self):
        """SIGTERM within the storing changes nothing: the caller hears 0, and has the message in all Maildirs."""
        for name in ("fsync", "renameat2" if any(s[0] == "renameat2" for s in self.steps(True)) else "renameat", "writev"):
            with self.subTest(name), Place() as place:
                self.prepare(place)
                code, _, _, said = self.traced(place, [f"{name}:signal=TERM:when=1"])
                self.assertEqual((code, said), (0, b""))
                self.assertEqual(place.stored(), {folder: 1 for folder in FOLDERS})


# Behind postern-smtpd ---------------------------------------------------------------------------------------

class Chain(Case):
    """QMAILQUEUE=postern-spool."""

    def test_session(self):
        tables = self.tables()
        with Session(self.place, QMAILQUEUE=PROGRAM, **tables) as s:
            s.hello()
            s.mail("Subject: x\r\n\r\n..dot\r\nfunny \xfc\0"[:-1].encode(), to=["bob@example.com", "alice@example.com"])
            s.quit()
            log = s.log()
        self.assertEqual(log.one("message")["place"], "queue")
        self.assertEqual(self.place.stored(), {"bob": 1, "spool": 1})
        [stored] = self.place.messages("bob").values()
        self.assertRegex(stored, rb"\AReturn-Path: <a@example\.org>\n" + RECEIVED +
                         rb"Received: from client\.example \(\[192\.0\.2\.7\]\)\n\tby mx\.example\.net with ESMTP id [^;]*; [^\n]*\n"
                         rb"Subject: x\n\n\.dot\nfunny \xc3\xbc\n\Z")

    def test_codes(self):
        """What the client is told where the session takes a recipient that the program does not."""
        tables = self.tables()
        for to, knobs, reply in (("x@elsewhere.example", {}, "554 5.3.0"), ("x@example.com", {"SPOOL": "/dev/null/x"}, "451 4.3.0")):
            with self.subTest(to), Session(self.place, QMAILQUEUE=PROGRAM, RELAYCLIENT="", DOMAINS=tables["DOMAINS"],
                                           **knobs) as s:
                s.hello()
                s.mail("x", to=[to], code=reply)
                s.quit()
                self.assertEqual(s.log().one("spool")["exit"], "31" if reply[0] == "5" else "62")
        self.assertEqual(self.place.maildirs(), [])

    def test_given_up(self):
        """A client that goes within its message leaves nothing behind."""
        for size in (10, 300_000):
            with self.subTest(size), Session(self.place, QMAILQUEUE=PROGRAM) as s:
                s.hello()
                for line in ("MAIL FROM:<>", "RCPT TO:<c@d>", "DATA"):
                    s.command(line)
                s.send("x" * size)
                s.close()
                s.wait()
                self.assertEqual(s.log().one("message")["verdict"], "lost")
            self.assertEqual(self.place.maildirs(), [])

    def test_swaks(self):
        with Tcpserver(self.place, QMAILQUEUE=PROGRAM, **self.tables()) as server:
            done = subprocess.run(["swaks", "--server", server.host, "--port", str(server.port), "--from", "a@example.org",
                                   "--to", "bob@example.com,carol@example.com", "--body", "hello"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(self.place.stored(), {"bob": 1, "carol": 1})


if __name__ == "__main__":
    unittest.main()
