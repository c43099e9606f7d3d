"""etc/sendmail-queue: the interface of qmail-queue on one side, sendmail's on the other; behind postern-smtpd, and
with a real Postfix behind it."""
import contextlib
import os
import signal
import subprocess
import unittest
from pathlib import Path

import postfix
from harness import LIMIT, ROOT, Place, Session, Tcpserver, await_that

PROGRAM = str(ROOT / "etc/sendmail-queue")
MESSAGE = b"Subject: x\n\n.\nhello \xfc\0\n.. and more\n"
# Keeps its words and the message under names of its own, and ends as it is told.
SENDMAIL = """#!/bin/sh
printf '%s\\0' "$@" >words.$$
cat >message.$$
[ "$END" != KILL ] || kill -9 $$
exit "$END"
"""

# the envelope, the arguments of sendmail, the exit code
ENVELOPES = (
    (b"Fa@b\0Tc@d\0\0", ["a@b", "--", "c@d"], 0, "one"),
    (b"Fa@b\0Tc@d\0Te@f\0\0", ["a@b", "--", "c@d", "e@f"], 0, "two"),
    (b"F\0Tc@d\0\0", ["<>", "--", "c@d"], 0, "the null sender"),
    (b"F-t\0T-C/etc/x\0T--\0T\"-a, b\"@c\0\0", ["-t", "--", "-C/etc/x", "--", '"-a, b"@c'], 0, "never options"),
    (b"F$(id);\0T`id` *\0\0", ["$(id);", "--", "`id` *"], 0, "nothing for a shell"),
    (b"Fa@b\0" + b"Tc@d\0" * 3000 + b"\0", ["a@b", "--"] + ["c@d"] * 3000, 0, "many"),
    (b"", None, 54, "given up"),
    (b"F", None, 54, "cut off"),
    (b"Fa@b\0", None, 54, "cut off"),
    (b"Fa@b\0Tc@", None, 54, "cut off"),
    (b"Fa@b\0Tc@d\0", None, 54, "cut off before the last NUL"),
    (b"Fa@b\0\0", None, 91, "nobody"),
    (b"Fa@b\0T\0\0", None, 91, "a recipient without a name"),
    (b"Fa@b\0c@d\0\0", None, 91, "no T"),
    (b"Tc@d\0\0", None, 91, "no F"),
    (b"Fa@b\0Tc@d\0\0Te@f\0\0", None, 91, "more behind the end"),
)
CODES = ((0, 0), (1, 71), (64, 71), (65, 31), (67, 31), (68, 31), (69, 71), (70, 71), (75, 71), (78, 71), (127, 71),
         ("KILL", 71))


class Queue:
    """The program with its two pipes, in a folder with a sendmail that keeps its input."""

    def __init__(self, place, end=0, before="", **env):
        self.place = place
        place.write("sendmail", SENDMAIL, 0o755)
        (message, self.message), (envelope, self.envelope) = os.pipe(), os.pipe()
        # The shell makes descriptor 1 a pipe to read from, as postern-smtpd does.
        command = ["sh", "-c", f'{before}exec "$0" <&{message} 1<&{envelope} {message}<&- {envelope}<&-', PROGRAM]
        self.process = subprocess.Popen(command, cwd=place.path, stderr=subprocess.PIPE, pass_fds=[message, envelope],
                                        env={**os.environ, "SENDMAIL": "./sendmail", "END": str(end), **env})
        os.close(message)
        os.close(envelope)

    def give(self, message, envelope):
        """Writes message and envelope; returns the exit code, and leaves the complaints in `said`."""
        for fd, data in ((self.message, message), (self.envelope, envelope)):
            with open(fd, "wb") as pipe:
                pipe.write(data)
        self.said = self.process.communicate(timeout=LIMIT)[1]
        return self.process.returncode

    def got(self):
        """The words and the message of the one time sendmail was started; None: never."""
        words, messages = (list(self.place.path.glob(f"{name}.*")) for name in ("words", "message"))
        if not words:
            return None
        [words], [message] = words, messages
        return words.read_bytes().decode().split("\0")[:-1], message.read_bytes()


class Interface(unittest.TestCase):
    def test_envelopes(self):
        for envelope, words, code, why in ENVELOPES:
            with self.subTest(why, envelope=envelope[:40]), Place() as place:
                queue = Queue(place)
                self.assertEqual(queue.give(MESSAGE, envelope), code, queue.said)
                self.assertEqual(queue.got(), words and (["-i", "-f", *words], MESSAGE))
                self.assertEqual(queue.said, b"")

    def test_codes(self):
        for end, code in CODES:
            with self.subTest(end), Place() as place:
                self.assertEqual(Queue(place, end).give(MESSAGE, b"Fa@b\0Tc@d\0\0"), code)

    def test_no_sendmail(self):
        with Place() as place:
            queue = Queue(place, SENDMAIL="./none")
            self.assertEqual(queue.give(MESSAGE, b"Fa@b\0Tc@d\0\0"), 71)
            self.assertIn(b"./none", queue.said)

    def test_large(self):
        """More than a pipe holds is read before the envelope comes."""
        with Place() as place:
            queue = Queue(place)
            message = bytes(range(256)) * 40000
            self.assertEqual(queue.give(message, b"Fa@b\0Tc@d\0\0"), 0)
            self.assertEqual(queue.got(), (["-i", "-f", "a@b", "--", "c@d"], message))

    def test_no_space(self):
        with Place() as place:
            queue = Queue(place, before="trap '' XFSZ; ulimit -f 1; ")
            self.assertEqual(queue.give(b"x" * 5000, b"Fa@b\0Tc@d\0\0"), 53)
            self.assertIsNone(queue.got())

    def test_killed(self):
        with Place() as place:
            queue = Queue(place)
            os.write(queue.message, MESSAGE)
            queue.process.send_signal(signal.SIGKILL)
            queue.process.communicate(timeout=LIMIT)
            os.close(queue.message)
            os.close(queue.envelope)
            self.assertIsNone(queue.got())


class BehindPostern(unittest.TestCase):
    KNOBS = {"SPOOL": None, "QMAILQUEUE": PROGRAM, "SENDMAIL": "./sendmail", "END": "0"}

    def session(self, place, **knobs):
        place.write("sendmail", SENDMAIL, 0o755)
        return Session(place, **{**self.KNOBS, **knobs})

    def test_taken(self):
        with Place() as place:
            with self.session(place) as client:
                client.hello()
                client.mail(b"Subject: x\r\n\r\nhello", "", ("-b@example.com", '"c d"@example.com'))
                client.quit()
            [words], [message] = place.path.glob("words.*"), place.path.glob("message.*")
            self.assertEqual(words.read_bytes().split(b"\0")[:-1],
                             [b"-i", b"-f", b"<>", b"--", b"-b@example.com", b'"c d"@example.com'])
            self.assertRegex(message.read_bytes(), rb"\AReceived: (?s:.*)\nSubject: x\n\nhello\n\Z")

    def test_answers(self):
        for end, code in ((67, 554), (75, 451), (77, 451)):
            with self.subTest(end), Place() as place, self.session(place, END=end) as client:
                client.hello()
                client.mail(b"Subject: x\r\n\r\nhello", code=code)

    def begin(self, place, text):
        """A client in the midst of a message."""
        client = self.session(place)
        client.hello()
        for command, code in (("MAIL FROM:<a@b.example>", 250), ("RCPT TO:<c@d.example>", 250), ("DATA", 354)):
            client.command(command, code)
        client.send(text)
        return client

    def test_client_is_gone(self):
        with Place() as place, self.begin(place, b"Subject: x\r\n\r\nhel") as client:
            client.close()
            client.wait()
            self.assertEqual(list(place.path.glob("words.*")), [])

    def test_session_is_killed(self):
        with Place() as place, self.begin(place, b"Subject: x\r\n\r\n" + b"hello\r\n" * 20000) as client:
            children = Path(f"/proc/{client.process.pid}/task/{client.process.pid}/children")
            [child] = await_that(lambda: children.read_text().split(), "the program")
            client.process.kill()
            client.wait()
            await_that(lambda: not is_alive(child), "its end")
            self.assertEqual(list(place.path.glob("words.*")), [])


def is_alive(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@unittest.skipIf(postfix.reason_to_skip(), postfix.reason_to_skip())
class WithPostfix(unittest.TestCase):
    def test_relayed(self):
        """From Postern's client into Postfix's queue, and from there to another Postern."""
        with Place() as place, Tcpserver(place, SPOOL="spool") as relay:
            with postfix.Postfix(place, f"relayhost = [127.0.0.1]:{relay.port}\n") as queue:
                queue.log_line("daemon started")
                knobs = {**queue.env, "SPOOL": None, "QMAILQUEUE": PROGRAM, "TCPREMOTEIP": "192.0.2.7",
                         "SENDMAIL": str(postfix.COMMANDS / "sendmail")}
                with Session(place, **knobs) as client:
                    client.hello()
                    for sender, recipient in (("a@example.org", "b@example.com"), ("", '"c, d"@example.com'),
                                              ("-x@example.org", "e@example.com")):
                        client.mail(b"From: a@example.org\r\nSubject: x\r\n\r\n..\r\nFrom \xc3\xbc", sender, (recipient,))
                        queue.log_line("postfix/smtp", f"to=<{recipient}>", "status=sent")
                    client.quit()
                await_that(lambda: len(place.messages()) == 3, "three messages")
            messages = place.messages().values()
            for message in messages:
                self.assertTrue(message.endswith(b"\n\n.\nFrom \xc3\xbc\n"), message)
            senders = sorted(line for message in messages for line in message.splitlines()
                             if line.startswith((b"X-Postern-From", b"X-Postern-To")))
            self.assertEqual(senders, [b"X-Postern-From: <-x@example.org>", b"X-Postern-From: <>",
                                       b"X-Postern-From: <a@example.org>", b'X-Postern-To: <"c, d"@example.com>',
                                       b"X-Postern-To: <b@example.com>", b"X-Postern-To: <e@example.com>"])


if __name__ == "__main__":
    unittest.main()
