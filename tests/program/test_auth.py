"""AUTH: that a password is nowhere afterwards, real clients, and programs of the checkpassword interface.
The words on the wire are in the transcripts auth-*."""
import base64
import os
import pathlib
import re
import shutil
import smtplib
import time
import unittest

from harness import IS_ASAN, LIMIT, TERM, Place, Session, Tcpserver, await_that, writable_memory
from test_delivery import run
from ucspitls import Gated

USER, PASSWORD = "alice", "Wonder-land/8271"
CHECK = f"""#!/bin/sh
tr '\\000' ' ' <&3 >asked
read -r user password <asked
[ "$user $password" = "{USER} {PASSWORD}" ] || exit 1
exec "$@"
"""


def b64(text):
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def plain(user=USER, password=PASSWORD, authzid=""):
    return b64(f"{authzid}\0{user}\0{password}")


class Checked(Place):
    """A folder with a checkpassword program."""

    def __init__(self, script=CHECK):
        super().__init__()
        self.write("check", script, 0o755)

    def session(self, **knobs):
        return Session(self, **{"CHECKPASSWORD": "./check", "AUTH_INSECURE": "1", **knobs})

    def gated(self, **knobs):
        return Gated(self, CHECKPASSWORD="./check", **knobs)


def login(s, user=USER, password=PASSWORD, code=235):
    s.command("AUTH LOGIN", "334 VXNlcm5hbWU6")
    s.command(b64(user), "334 UGFzc3dvcmQ6")
    return s.command(b64(password), code)


def traces(secret):
    """A secret in clear, and the part of it that base64 shows, at each of three offsets."""
    found = {secret.encode()}
    for shift in range(3):
        text = b64(b"\0" * shift + secret.encode()).rstrip("=")
        found.add(text[shift + 1 if shift else 0:-1].encode())
    return found


# A process that is not dumpable shows its memory to root only.
NEEDS_SIGHT = unittest.skipIf(IS_ASAN or os.geteuid() != 0, "the memory of the process cannot be searched here: "
                              "the sanitizer keeps copies of its own, or we are not root")


class Nowhere(unittest.TestCase):
    """A password is neither logged nor kept."""

    def may_look(self, s):
        try:
            return writable_memory(s.process.pid)
        except OSError as error:
            self.skipTest(f"the memory of another process cannot be read here: {error}")

    def check_memory(self, s, *secrets):
        memory = self.may_look(s)
        self.assertTrue(b"client.example" in memory, "the right memory was read")
        for secret in secrets:
            for trace in traces(secret):
                self.assertFalse(trace in memory, f"{trace} is in the memory")  # it must not be shown

    @NEEDS_SIGHT
    def test_memory(self):
        wrong = "Looking-glass/5590"
        with Checked() as place:
            for how in ("plain", "plain initial", "login", "login initial"):
                for password, code in ((PASSWORD, 235), (wrong, 535)):
                    with self.subTest(how, code=code), place.session(VERBOSE="1") as s:
                        s.hello()
                        self.say(s, how, password, code)
                        self.check_memory(s, password)
                        s.command("NOOP", 250)
                        s.quit()

    @NEEDS_SIGHT
    def test_memory_inside(self):
        with Checked() as place, place.gated(VERBOSE="1") as s:
            s.starttls()
            self.say(s, "plain initial", "Looking-glass/5590", 535)
            self.check_memory(s, "Looking-glass/5590")
            self.say(s, "login", PASSWORD, 235)
            self.check_memory(s, PASSWORD, "Looking-glass/5590")
            s.quit()

    @NEEDS_SIGHT
    def test_memory_refused(self):
        """Where AUTH was refused before the password was looked at."""
        with Checked() as place:
            for knobs, line, code in (({"CHECKPASSWORD": None}, f"AUTH PLAIN {plain()}", 502),
                                      ({"AUTH_INSECURE": None}, f"AUTH PLAIN {plain()}", 538),
                                      ({}, f"AUTH PLAI {plain()}", 504),
                                      ({}, f"AUTH PLAIN {plain()}!", 501),
                                      ({}, f"AUTH PLAIN {plain(authzid='bob')}", 535)):
                with self.subTest(line[:10], code=code), place.session(**knobs) as s:
                    s.hello()
                    s.command(line, code)
                    self.check_memory(s, PASSWORD)
                    s.quit()

    @NEEDS_SIGHT
    def test_memory_behind(self):
        """A line that is too long to be read, and lines behind an AUTH that was refused."""
        with Checked() as place:
            for knobs, lines in (({}, [f"AUTH PLAIN {plain()}{'A' * 5000}"]),
                                 ({}, ["AUTH PLAIN", plain() + "A" * 5000]),
                                 ({"CHECKPASSWORD": None}, ["AUTH LOGIN", b64(USER), b64(PASSWORD)]),
                                 ({"CHECKPASSWORD": None}, ["AUTH PLAIN", plain()]),
                                 ({}, ["AUTH NTLM", PASSWORD])):
                with self.subTest(lines[0][:12], n=len(lines)), place.session(**knobs) as s:
                    s.hello()
                    for line in lines:
                        s.command(line)
                    self.check_memory(s, PASSWORD)
                    s.quit()

    def say(self, s, how, password, code):
        if how == "plain":
            s.command("AUTH PLAIN", "334 ")
            s.command(plain(password=password), code)
        elif how == "plain initial":
            s.command(f"AUTH PLAIN {plain(password=password)}", code)
        elif how == "login":
            login(s, password=password, code=code)
        else:
            s.command(f"AUTH LOGIN {b64(USER)}", 334)
            s.command(b64(password), code)

    @NEEDS_SIGHT
    def test_found(self):
        """The search finds text that is there: a command's argument that is no secret."""
        with Place() as place, Session(place) as s:
            s.hello()
            s.command("NOOP " + plain(), 250)
            memory = self.may_look(s)
            self.assertTrue(any(trace in memory for trace in traces(PASSWORD)))
            s.quit()

    def test_log(self):
        """With VERBOSE, at any outcome of the AUTH: not in plain, not in base64."""
        conversations = [
            [f"AUTH PLAIN {plain()}"], [f"auth plain {plain()}"], ["AUTH PLAIN", plain()],
            ["AUTH LOGIN", b64(USER), b64(PASSWORD)], [f"AUTH LOGIN {b64(USER)}", b64(PASSWORD)],
            [f"AUTH CRAM-MD5 {plain()}"], [f"AUTH PLAIN {plain()} x"], [f"AUTH\tPLAIN\t{plain()}"],
            [f" AUTH PLAIN {plain()}"], [f"AUTHPLAIN {plain()}"], [f"AUTH:{plain()}"],
            [f"AUTH {plain()}"], ["AUTH PLAIN", PASSWORD], ["AUTH LOGIN", USER, PASSWORD],
            [f"AUTH PLAIN {plain()}{'A' * 5000}"], ["AUTH PLAIN", plain() + "A" * 5000],
            ["AUTH LOGIN", "*", b64(PASSWORD), PASSWORD], ["RSET", f"AUTH PLAIN {plain()}", f"AUTH PLAIN {plain()}"],
            ["MAIL FROM:<a@example.org>", f"AUTH PLAIN {plain()}"],
            ["AUTH NTLM", b64(USER), b64(PASSWORD), PASSWORD, f"{PASSWORD} x"],
        ]
        settings = [{}, {"CHECKPASSWORD": None}, {"AUTH_INSECURE": None}, {"CHECKPASSWORD": "./missing"},
                    {"MAXERRORS": "1"}, {"MAXAUTHS": "1"}]
        with Checked() as place:
            for knobs in settings:
                for lines in conversations:
                    with self.subTest(knobs, lines=lines[0][:12]), place.session(VERBOSE="1", **knobs) as s:
                        self.tell(s, lines)
                        self.check_log(s)

    def tell(self, s, lines):
        s.hello()
        for line in lines:
            if s.command(line).startswith("421"):
                break
        s.end_of_input()
        s.rest()

    def check_log(self, s):
        self.assertEqual(s.wait(), 0)
        s.log()
        s.log_file.seek(0)
        logged = s.log_file.read()
        self.assertTrue(any(word in logged for word in (b"AUTH", b"line-too-long", b"unknown-command")))
        for trace in traces(PASSWORD):
            self.assertNotIn(trace, logged)

    def test_log_early(self):
        """A text behind AUTH, or in place of an answer, is not told either."""
        pieces = [f"AUTH PLAIN {plain()}\r\n{plain()}\r\n", f"AUTH LOGIN\r\n{b64(USER)}\r\n{b64(PASSWORD)}\r\n",
                  f"NOOP\r\nAUTH LOGIN\r\n{b64(USER)}\r\n{b64(PASSWORD)}\r\n{PASSWORD}\r\n"]
        with Checked() as place:
            for earlytalk in ("drop", "reject", "log", "off"):
                for piece in pieces:
                    for knobs in ({}, {"CHECKPASSWORD": None}):
                        with self.subTest(earlytalk, piece=piece[:12]), \
                                place.session(VERBOSE="1", EARLYTALK=earlytalk, **knobs) as s:
                            s.hello()
                            s.send(piece)
                            s.end_of_input()
                            s.rest()
                            self.check_log(s)

    def test_log_early_letters(self):
        """A secret of nothing but letters, as a verb is."""
        with Checked() as place:
            for knobs in ({}, {"CHECKPASSWORD": None}):
                with self.subTest(knobs=knobs), place.session(VERBOSE="1", EARLYTALK="log", **knobs) as s:
                    s.hello()
                    s.send("AUTH LOGIN\r\nYWJjYWJj\r\n")
                    s.end_of_input()
                    s.rest()
                    self.assertNotIn(b"YWJjYWJj", self.logged(s))

    def test_log_elsewhere(self):
        """Without an AUTH that was understood: other protocols, typing errors, a password behind any verb."""
        secret = b64(PASSWORD)
        lines = [f"AUHT PLAIN {plain()}", f"NOOP AUTH PLAIN {plain()}", f"LOGIN {USER} {PASSWORD}", f"PASS {PASSWORD}",
                 f"EHLO AUTH PLAIN {plain()}", f"MAIL AUTH PLAIN {plain()}", f"HELP {PASSWORD}", f"RSET {PASSWORD}",
                 f"USER {USER}\r\nPASS {PASSWORD}", f"a1 LOGIN {USER} {PASSWORD}", f"AUHT LOGIN\r\n{b64(USER)}\r\n{secret}",
                 f"RCPT AUTH PLAIN {plain()}", f"MAIL AUTH PLAIN {plain()}\r\nRCPT TO:<b@example.com>",
                 "AUHT LOGIN\r\n\x01abcdefgh", f"PLAIN\r\n{secret}\r\nabcdefgh", f"GET /x?password={PASSWORD} HTTP/1.1",
                 f"POST /login HTTP/1.1\r\n\r\nuser={USER}&password={PASSWORD}"]
        with Checked() as place:
            for line in lines:
                for knobs in ({}, {"CHECKPASSWORD": None}):
                    for early in (False, True):
                        with self.subTest(line[:14], knobs=knobs, early=early), \
                                place.session(VERBOSE="1", early=line.encode() + b"\r\n" if early else b"", **knobs) as s:
                            s.expect(None)
                            if not early:
                                s.command("EHLO client.example", 250)
                                s.send(line + "\r\n")
                            s.end_of_input()
                            s.rest()
                            log = self.logged(s)
                            self.assertNotIn(b"abcdefgh", log)
                            for trace in traces(PASSWORD):
                                self.assertNotIn(trace, log)

    def logged(self, s):
        self.assertEqual(s.wait(), 0)
        s.log_file.seek(0)
        return s.log_file.read()

    def test_log_name(self):
        """A failure is logged with a short beginning of the name that came."""
        for user, shown in ((USER, USER), ("a" * 64, "a" * 64), ("a" * 65, "a" * 64), ("alice secret", "alice"),
                            (" alice", ""), ("a\x1bb\xe9", "a\x1bb\xc3\xa9"), ("alice:secret", "alice"),
                            ("alice\tsecret", "alice"), ("alice\nsecret", "alice")):
            for how in ("plain", "login", "trouble", "authzid"):
                knobs = {"CHECKPASSWORD": "./missing"} if how == "trouble" else {}
                with self.subTest(user, how=how), Checked() as place, place.session(**knobs) as s:
                    s.hello()
                    if how == "login":
                        login(s, user, "x", 535)
                    else:
                        s.command(f"AUTH PLAIN {plain(user, 'x', 'other' if how == 'authzid' else '')}", how == "trouble" and 454 or 535)
                    s.command("AUTH PLAIN !", 501)
                    s.quit()
                    failed, malformed = s.log().events("command", verb="AUTH")
                    self.assertEqual(failed.get("user", ""), shown)
                    self.assertNotIn("user", malformed)

    def test_log_name_of_another_mechanism(self):
        """AUTH LOGIN with the message of AUTH PLAIN: the password comes within the name."""
        for user, shown in ((f"\0{USER}\0{PASSWORD}", ""), (f"{USER}\0{PASSWORD}", USER), (f"{USER}:{PASSWORD}", USER)):
            with self.subTest(user), Checked() as place, place.session() as s:
                s.hello()
                login(s, user, PASSWORD, 535)
                s.quit()
                self.assertEqual(s.log().one("command").get("user", ""), shown)

    def test_not_dumpable(self):
        """Where a password may come there is no core from the start: the process belongs to root in /proc."""
        before = []
        if os.getuid() == 0:
            if not shutil.which("setpriv"):
                self.skipTest("started as root, and no setpriv to become somebody else")
            before = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        with Checked() as place:
            place.path.chmod(0o755)
            for program, owner in ((None, 65534 if before else os.getuid()), ("./check", 0)):
                with self.subTest(program), place.session(before=before, SPOOL=None, DISCARD="1",
                                                          CHECKPASSWORD=program) as s:
                    s.expect(220)
                    self.assertEqual(os.stat(f"/proc/{s.process.pid}/environ").st_uid, owner)
                    s.quit()


class Delays(unittest.TestCase):
    """ERRORDELAY comes before 535, and 454 is no error."""

    def test_wrong(self):
        with Checked() as place, place.session(ERRORDELAY="0.4") as s:
            s.hello()
            begin = time.monotonic()
            s.command(f"AUTH PLAIN {plain(password='x')}", 535)
            first = time.monotonic() - begin
            s.command(f"AUTH PLAIN {plain(password='x')}", 535)
            self.assertGreaterEqual(first, 0.4)
            self.assertGreaterEqual(time.monotonic() - begin, 1.2)
            s.quit()


class Programs(unittest.TestCase):
    """The program when the client ends, or we."""

    def test_stopped(self):
        """SIGTERM while it works: its verdict is awaited, then the session ends."""
        with Checked("#!/bin/sh\necho >ready; read word <go; exec \"$@\"\n") as place:
            os.mkfifo(place.path / "go")
            with place.session() as s:
                s.hello()
                s.send(f"AUTH PLAIN {plain()}\r\n")
                await_that((place.path / "ready").exists, "the program runs")
                s.signal(TERM)
                (place.path / "go").write_text("go\n")
                self.assertIn(s.reply()[:3], ("235", "421"))
                s.rest()
                self.assertEqual(s.wait(), 0)
                self.assertEqual(s.log().one("close")["reason"], "shutdown")

    def test_hangs(self):
        """It is given up, and ended, and the session goes on."""
        with Checked("#!/bin/sh\necho $$ >pid; exec sleep 1000\n") as place, place.session(TIMEOUT="1") as s:
            s.hello()
            s.command(f"AUTH PLAIN {plain()}", "454 4.7.0")
            with self.assertRaises(ProcessLookupError):
                os.kill(int(place.read("pid")), 0)
            s.command("NOOP", 250)
            s.quit()

    def test_question(self):
        """It reads the same on 3 for each mechanism: name NUL password NUL timestamp NUL."""
        with Checked("#!/bin/sh\ncat <&3 >asked; printf '%s ' \"$@\" >arguments; exec \"$@\"\n") as place:
            for say in (lambda s: s.command(f"AUTH PLAIN {plain()}", 235), login,
                        lambda s: s.command(f"AUTH PLAIN {plain(authzid=USER)}", 235)):
                with place.session() as s:
                    s.hello()
                    say(s)
                    s.quit()
                self.assertEqual(place.read("asked"), f"{USER}\0{PASSWORD}\0\0".encode())
                self.assertEqual(place.read("arguments"), b"/bin/true ")

    def test_lengths(self):
        """512 octets in all, the interface's limit; one more is wrong without asking."""
        with Checked("#!/bin/sh\ncat <&3 >asked; exec \"$@\"\n") as place:
            for n, code in ((504, 235), (505, 535), (2000, 535)):
                with self.subTest(n), place.session() as s:
                    s.hello()
                    s.command(f"AUTH PLAIN {plain(password='p' * n)}", code)
                    s.quit()
            self.assertEqual(len(place.read("asked")), 512)

    def test_odd_users(self):
        """Any bytes in a name: logged and put into the header cleaned; a long one is cut."""
        with Checked("#!/bin/sh\nexec \"$@\"\n") as place:
            for user in ("a b", "x\r\nX-Evil: yes", "\u00f6\u20ac", 'q"\\=', "n" * 400, "event=auth user=root"):
                with self.subTest(user[:20]), place.session() as s:
                    s.hello()
                    s.command(f"AUTH PLAIN {plain(user=user)}", 235)
                    s.mail("text")
                    s.quit()
                    logged = s.log().one("auth")["user"].encode("latin-1")
                    self.assertTrue(user.encode().startswith(logged.removesuffix(b"...")), logged)
            for message in place.messages().values():
                lines = re.findall(rb"^X-Postern-User: (.*)$", message, re.M)
                self.assertEqual(len(lines), 1)
                self.assertRegex(lines[0], rb"\A[!-~]{1,400}\Z")
                self.assertNotIn(b"\nX-Evil", message)


class Allowed(unittest.TestCase):
    """The rights of an authenticated client, and of no other."""

    def test_relay(self):
        with Checked() as place:
            knobs = {"DOMAINS": place.compile("domains", "example.com\n")}
            for password, code, relays in ((PASSWORD, 235, 250), ("x", 535, 550)):
                with place.session(**knobs) as s:
                    s.hello()
                    s.command("MAIL FROM:<>", 250)
                    s.command("RCPT TO:<b@elsewhere.example>", 550)
                    s.command("RSET", 250)
                    s.command(f"AUTH PLAIN {plain(password=password)}", code)
                    s.command("MAIL FROM:<>", 250)
                    s.command("RCPT TO:<b@elsewhere.example>", relays)
                    s.quit()

    def test_required(self):
        with Checked() as place:
            for knobs, code in (({}, 530), ({"RELAYCLIENT": ""}, 250), ({"AUTH_REQUIRED": None}, 250)):
                with place.session(**{"AUTH_REQUIRED": "1", **knobs}) as s:
                    s.hello()
                    s.command("MAIL FROM:<>", code)
                    s.quit()

    def test_not_kept(self):
        """The next session knows nothing of it."""
        with Checked() as place:
            for _ in range(2):
                with place.session(AUTH_REQUIRED="1") as s:
                    s.hello()
                    s.command("MAIL FROM:<>", 530)
                    login(s)
                    s.command("MAIL FROM:<>", 250)
                    s.quit()


class Clients(unittest.TestCase):
    """Real clients; in clear, as AUTH_INSECURE lets them."""

    def setUp(self):
        self.place = Checked()
        self.addCleanup(self.place.__exit__)
        self.place.write("mail", "Subject: test\n\ntext\n")
        self.server = Tcpserver(self.place, CHECKPASSWORD="./check", AUTH_INSECURE="1", AUTH_REQUIRED="1",
                                DOMAINS=self.place.compile("domains", "example.com\n"))
        self.addCleanup(self.server.stop)

    def check(self, mechanism=None):
        self.server.stop()
        log = self.server.log()
        event = log.one("auth", user=USER)
        if mechanism:
            self.assertEqual(event["mechanism"], mechanism)
        log.one("message", user=USER, verdict="accept")
        (message,) = self.place.messages().values()
        self.assertIn(f"\nX-Postern-User: {USER}\n".encode(), message)
        self.assertRegex(message, rb"\tby mx.example.net with ESMTPA id ")

    def needs(self, program):
        if not shutil.which(program):
            self.skipTest(f"{program} is missing")

    def swaks(self, mechanism):
        self.needs("swaks")
        run(["swaks", "--server", self.server.host, "--port", self.server.port, "--from", "a@example.org", "--to",
             "b@elsewhere.example", "--auth", mechanism, "--auth-user", USER, "--auth-password", PASSWORD])
        self.check(mechanism)

    def test_swaks_plain(self):
        self.swaks("PLAIN")

    def test_swaks_login(self):
        self.swaks("LOGIN")

    def curl(self, mechanism, *more):
        self.needs("curl")
        run(["curl", "-sS", f"smtp://{self.server.host}:{self.server.port}/client.example", "--mail-from",
             "a@example.org", "--mail-rcpt", "b@elsewhere.example", "--upload-file", "mail", "--user",
             f"{USER}:{PASSWORD}", "--login-options", f"AUTH={mechanism}", *more], cwd=self.place.path)
        self.check(mechanism)

    def test_curl_plain(self):
        self.curl("PLAIN")

    def test_curl_login(self):
        self.curl("LOGIN")

    def test_curl_initial(self):
        self.curl("PLAIN", "--sasl-ir")

    def msmtp(self, mechanism):
        self.needs("msmtp")
        run(["msmtp", f"--host={self.server.host}", f"--port={self.server.port}", "--from=a@example.org",
             f"--auth={mechanism}", f"--user={USER}", f"--passwordeval=echo {PASSWORD}", "--tls=off",
             "b@elsewhere.example"], cwd=self.place.path, stdin=open(self.place.path / "mail", "rb"))
        self.check(mechanism.upper())

    def test_msmtp_plain(self):
        self.msmtp("plain")

    def test_msmtp_login(self):
        self.msmtp("login")

    def smtplib(self, method):
        with smtplib.SMTP(self.server.host, self.server.port, timeout=LIMIT) as client:
            client.ehlo()
            client.user, client.password = USER, PASSWORD
            client.auth(method, getattr(client, f"auth_{method.lower()}"))
            client.sendmail("a@example.org", ["b@elsewhere.example"], "Subject: test\r\n\r\ntext\r\n")
        self.check(method)

    def test_smtplib_plain(self):
        self.smtplib("PLAIN")

    def test_smtplib_login(self):
        self.smtplib("LOGIN")

    def test_smtplib_wrong(self):
        with smtplib.SMTP(self.server.host, self.server.port, timeout=LIMIT) as client:
            with self.assertRaises(smtplib.SMTPAuthenticationError) as raised:
                client.login(USER, "wrong")
            self.assertEqual((raised.exception.smtp_code, raised.exception.smtp_error),
                             (535, b"5.7.8 Authentication failed"))
