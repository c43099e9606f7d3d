"""The steps of INSTALL, the units and `make run`, carried out: the run scripts as they stand there, with other paths,
users and ports; a letter goes through each."""
import contextlib
import grp
import os
import pwd
import re
import selectors
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import unittest
from pathlib import Path

import tlschain
from harness import BUILD, CDB, LIMIT, ROOT, Place, Server, SocketActivate, await_that

INSTALL = (ROOT / "INSTALL").read_text()
SCRIPTS = [re.sub("^    ", "", block, flags=re.M)
           for block in re.findall(r"\n\n((?:    .*\n)+)", INSTALL) if block.startswith("    #!/bin/sh\n")]
USER = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name
IS_ROOT = os.geteuid() == 0
BECOMES = tlschain.ANYBODY if IS_ROOT else USER
PROGRAMS = tlschain.REACHABLE.place.path if IS_ROOT else BUILD
LETTER = "From: a@example.org\r\nSubject: x\r\n\r\nhello\r\n"


def script(*words):
    """The one script of INSTALL that has all these words."""
    found = [text for text in SCRIPTS if all(word in text for word in words)]
    assert len(found) == 1, (words, found)
    return found[0]


def send(port, tls, user=None, password="secret", to="b@example.com", letter=LETTER):
    """A letter from a client that begins with TLS, asks for it, or does not."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    kind = {"context": context} if tls == "first" else {}
    with (smtplib.SMTP_SSL if tls == "first" else smtplib.SMTP)("127.0.0.1", port, "client.example", timeout=LIMIT,
                                                                **kind) as client:
        if tls == "starttls":
            client.starttls(context=context)
        if user:
            client.login(user, password)
        client.sendmail("a@example.org", to, letter)


def burst(port, pid, clients=300):
    """So many clients at once while the server is stopped: the kernel holds them, and then each gets its banner."""
    with contextlib.ExitStack() as stack:
        os.kill(pid, signal.SIGSTOP)
        stack.callback(os.kill, pid, signal.SIGCONT)
        selector = stack.enter_context(selectors.DefaultSelector())
        socks = [stack.enter_context(socket.socket()) for _ in range(clients)]
        for sock in socks:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            selector.register(sock, selectors.EVENT_WRITE)
        waiting = set(socks)
        while waiting and (ready := selector.select(5)):
            for key, _ in ready:
                selector.unregister(key.fileobj)
                waiting.remove(key.fileobj)
        if waiting:
            raise AssertionError(f"{len(waiting)} of {clients} clients were not held")
        os.kill(pid, signal.SIGCONT)
        for sock in socks:
            sock.settimeout(LIMIT)
            with sock.makefile("rb") as lines:
                banner = lines.readline()
                sock.sendall(b"QUIT\r\n")
                if not banner.startswith(b"220 ") or not lines.readline().startswith(b"221 "):
                    raise AssertionError(banner)


def heed_sigint():
    """A shell in the background starts the tests with SIGINT ignored, and shells leave an ignored signal alone."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Daemon(Server):
    """A script that tells its port first; behind it come its log and the sessions'."""

    host = "127.0.0.1"

    def __init__(self, command, cwd, env):
        self.process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=heed_sigint)
        self.said = self.process.stdout.readline()

    def stop(self):
        """Ends the script and its children: they are a process group of their own."""
        if self.process.returncode is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.said += self.process.communicate(timeout=LIMIT)[0]


class Installed(Place):
    """The files of `make setup`, below a folder, with one user and a certificate by certbot's hook."""

    def __init__(self):
        super().__init__()
        subprocess.run([ROOT / "tools/setup", CDB], check=True, timeout=LIMIT, stdout=subprocess.DEVNULL,
                       env={**os.environ, "DESTDIR": str(self.path), "BINDIR": "/usr/local/bin", "ME": "mx.example.com"})
        self.etc = self.path / "etc/postern"
        for folder in ("env", "submission"):
            for knob in (self.etc / folder).iterdir():
                knob.write_text(self.here(knob.read_text()))
        for file in ("postern.env", "submission.env"):
            (self.etc / file).write_text(self.here((self.etc / file).read_text()))
        self.table("domains", "example.com\n")
        self.table("mailboxes", f"b@example.com {self.path}/var/spool/postern/b/\n")
        self.make_user()
        self.make_certificate()
        tlschain.give(self.path)

    def here(self, text):
        text = re.sub(r"/(?:etc|var/spool)/postern\b", lambda m: f"{self.path}{m[0]}", text)
        text = text.replace("/usr/local/bin", str(PROGRAMS)).replace("-g postern-tls", f"-g {GROUP}")
        return text.replace("-u postern -U postern-tls", f"-u {BECOMES} -U {BECOMES}")

    def table(self, kind, text):
        with (self.etc / kind).open("a") as source:
            source.write(text)
        subprocess.run([CDB, kind, self.etc / kind, self.etc / f"{kind}.cdb"], check=True, timeout=LIMIT)

    def make_user(self):
        """By the line of INSTALL."""
        line = re.search(r'^    (printf .*openssl passwd -6\)".*)$', INSTALL, re.M)[1]
        subprocess.run(["sh", "-euc", line.replace("passwd -6", "passwd -6 secret")], check=True, cwd=self.etc,
                       timeout=LIMIT)
        self.table("users", "")

    def make_certificate(self):
        """By the command of INSTALL, where certbot has it, and from there by the hook of INSTALL."""
        live = self.path / "live/mx.example.com"
        live.mkdir(parents=True)
        command = re.search(r"^    (openssl req (?:.*\\\n)+.*)$", INSTALL, re.M)[1]
        subprocess.run(["sh", "-euc", command.replace("key.pem", "privkey.pem").replace("cert.pem", "fullchain.pem")],
                       check=True, cwd=live, timeout=LIMIT, stderr=subprocess.DEVNULL)
        subprocess.run(["sh", "-c", self.here(script("RENEWED_LINEAGE"))], check=True, timeout=LIMIT,
                       env={**os.environ, "RENEWED_LINEAGE": str(live)})


class Backlog(unittest.TestCase):
    def test_all_lines_have_one(self):
        """Where a document bounds the clients, it tells how many more the kernel holds back."""
        files = [ROOT / "INSTALL", ROOT / "tools/serve", *ROOT.glob("man/*"), *ROOT.glob("etc/systemd/*"),
                 *ROOT.glob("etc/*.md")]
        lines = [line for path in files for line in path.read_text().splitlines()
                 if re.search(r"tcpserver .*-c \d+ ", line)]
        self.assertGreaterEqual(len(lines), 11)
        for line in lines:
            self.assertRegex(line, r" -c \d+ -b 400 ")
        self.assertIn("\nBacklog=", (ROOT / "etc/systemd/accept.conf").read_text())
        for path in ROOT.glob("etc/systemd/*.socket"):
            self.assertIn("\n.include accept.conf\n", path.read_text())


class Setup(unittest.TestCase):
    """tools/setup below a folder."""

    def run_setup(self, place, path=os.environ["PATH"], **env):
        done = subprocess.run([ROOT / "tools/setup", CDB], timeout=LIMIT, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=True,
                              env={"PATH": path, "DESTDIR": str(place.path), **env})
        return done.stdout.decode()

    def tools_but(self, place, name):
        """A folder with all programs of /usr/bin but one."""
        folder = place.path / "bin"
        folder.mkdir()
        for tool in os.listdir("/usr/bin"):
            if tool != name:
                (folder / tool).symlink_to(f"/usr/bin/{tool}")
        return folder

    def test_missing_rules_are_told_with_what_makes_them(self):
        with Place() as place:
            said = self.run_setup(place, str(self.tools_but(place, "tcprules")), ME="mx.example.com")
            etc = place.path / "etc/postern"
            self.assertFalse((etc / "rules.cdb").exists())
            subprocess.run(["sh", "-euc", re.search(r"say: (.*)", said)[1]], check=True, timeout=LIMIT)
            self.assertTrue((etc / "rules.cdb").exists())
            self.assertEqual(self.run_setup(place, str(place.path / "bin"), ME="mx.example.com"), "")

    def test_name_of_the_host(self):
        for given, found, kept in (("mx.example.com", "vm", "mx.example.com"), (None, "mx.example.org", "mx.example.org"),
                                   (None, "vm", None), ("vm", "mx.example.org", None), ("", "mx.example.org", None)):
            with self.subTest(given=given, found=found), Place() as place:
                folder = self.tools_but(place, "hostname")
                place.write("bin/hostname", f"#!/bin/sh\n[ $* = -f ] && echo {found}\n", 0o755)
                said = self.run_setup(place, str(folder), **({} if given is None else {"ME": given}))
                etc = place.path / "etc/postern"
                for name in ("env", "submission"):
                    if kept:
                        self.assertEqual((etc / name / "ME").read_text(), f"{kept}\n")
                    else:
                        self.assertFalse((etc / name / "ME").exists())
                for name in ("postern.env", "submission.env"):
                    line = re.search(r"^#?ME=.*", (etc / name).read_text(), re.M)[0]
                    self.assertEqual(line, f"ME={kept}" if kept else "#ME=mx.example.com")
                self.assertEqual(said.count("ME is not set"), 0 if kept else 1)

    def test_an_environment_without_a_name(self):
        """The name is not written into files that are there; a message asks for it, with the name if there is one."""
        for me, word in (("mx.example.com", "ME is not set: write mx.example.com into"), ("vm", 'as "vm" has no dot: write')):
            with Place() as place:
                self.run_setup(place, ME="vm")
                etc = place.path / "etc/postern"
                self.assertIn(word, self.run_setup(place, ME=me))
                self.assertFalse((etc / "env/ME").exists())
                with (etc / "postern.env").open("a") as file:
                    file.write("ME=mx.example.org\n")
                self.assertEqual(self.run_setup(place, ME=me), "")

    def test_what_it_needs_comes_first(self):
        """INSTALL has the package of tcprules and of envdir before the steps that run them."""
        setup = INSTALL.index("    sudo make setup")
        for package in ("ucspi-tcp", "daemontools"):
            self.assertLess(re.search(rf"    apt-get install .*\b{package}\b", INSTALL).start(), setup, package)


@unittest.skipUnless(all(map(shutil.which, ("tcpserver", "envdir", "openssl"))), "no tcpserver here")
class RunScripts(unittest.TestCase):
    def start(self, place, text):
        text, n = re.subn(r"tcpserver -U?(HRDl0 .*) 0 \d+ ", r"tcpserver -1\1 127.0.0.1 0 ", place.here(text))
        self.assertEqual(n, 1)
        server = Daemon(["sh", "-c", text], place.path, dict(os.environ))
        self.addCleanup(server.stop)
        return server, int(server.said)

    def test_hook_leaves_the_key_to_its_group(self):
        with Installed() as place:
            self.assertEqual((place.etc / "tls/key.pem").stat().st_mode & 0o777, 0o640)
            self.assertEqual(sorted(path.name for path in (place.etc / "tls").iterdir()), ["cert.pem", "key.pem"])

    def test_port_25(self):
        with Installed() as place:
            server, port = self.start(place, script("postern-tls", " 0 25 "))
            send(port, "starttls")
            send(port, "no")
            server.stop()
            self.assertEqual(place.stored(), {"var/spool/postern/b": 2})
            messages = b"".join(place.messages("var/spool/postern/b").values())
            self.assertEqual((messages.count(b"with ESMTPS\n"), messages.count(b"with ESMTP ")), (1, 1))

    def test_burst(self):
        for words in (("postern-tls", " 0 25 "), ("envuidgid", " 0 25 "), ("postern-tls", " 0 587 ")):
            with self.subTest(words), Installed() as place:
                text = script(*words).replace("exec envuidgid postern envdir", "exec envdir")
                server, port = self.start(place, text)
                burst(port, server.process.pid)
                server.stop()

    def refuse_strangers(self, port, tls):
        with self.assertRaises(smtplib.SMTPSenderRefused) as refused:
            send(port, tls)
        self.assertEqual(refused.exception.smtp_code, 530)
        with self.assertRaises(smtplib.SMTPAuthenticationError):
            send(port, tls, "alice@example.com", "wrong")

    def check_submission(self, number, tls):
        with Installed() as place:
            server, port = self.start(place, script("postern-tls", f" 0 {number} "))
            self.refuse_strangers(port, tls)
            send(port, tls, "alice@example.com")
            server.stop()
            self.assertEqual(place.stored(), {"var/spool/postern/b": 1})
            self.assertIn(b" user=alice@example.com ", server.said)
            self.assertNotIn(b"secret", server.said)

    def test_port_587(self):
        self.check_submission(587, "starttls")

    def test_port_465(self):
        self.check_submission(465, "first")

    def test_mail_for_others_goes_to_sendmail(self):
        """By the commands of INSTALL 13."""
        commands = re.search(r"((?:    .*\n)*    echo QMAILQUEUE=.*\n)", INSTALL)[1].replace("sudo ", "")
        with Installed() as place:
            commands = place.here(commands.replace("/usr/local/bin", str(place.path)))
            subprocess.run(["sh", "-euc", commands], cwd=ROOT, check=True, timeout=LIMIT)
            place.write("sendmail", "#!/bin/sh\necho \"$@\" >$0.words\ncat >$0.message\n", 0o755)
            (place.etc / "submission/SENDMAIL").write_text(f"{place.path}/sendmail\n")
            server, port = self.start(place, script("postern-tls", " 0 587 "))
            send(port, "starttls", "alice@example.com", to="c@example.org")
            server.stop()
            self.assertEqual(place.read("sendmail.words"), b"-i -f a@example.org -- c@example.org\n")
            self.assertTrue(place.read("sendmail.message").endswith(b"\n\nhello\n"))
            self.assertRegex((place.etc / "submission.env").read_text(), "(?m)^QMAILQUEUE=/.*/sendmail-queue$")

    def test_removal(self):
        """While supervise has just begun to end the services."""
        commands = re.search(r"((?:    .*\n)*        svc -dx .*\n(?:    .*\n)*)", INSTALL)[1]
        with Place() as place:
            services = place.path / "service"
            for name in ("postern", "smtps"):
                for folder in (services / name, services / name / "log"):
                    folder.mkdir(parents=True)
                    place.write(folder / "run", "#!/bin/sh\ntrap 'sleep 1; exit' TERM\nwhile :; do sleep 0.1; done\n",
                                0o755)
            scan = subprocess.Popen(["svscan", services], stdin=subprocess.DEVNULL, start_new_session=True)
            try:
                for name in ("postern", "smtps"):
                    for folder in (services / name, services / name / "log"):
                        await_that(lambda: not subprocess.call(["svok", folder]), folder)
                subprocess.run(["sh", "-euc", commands.replace("/etc/service", str(services))], check=True,
                               timeout=LIMIT)
                self.assertEqual(list(services.iterdir()), [])
                left = Path(f"/proc/{scan.pid}/task/{scan.pid}/children").read_text().split()
                states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in left]
                self.assertEqual(set(states) - {"Z"}, set())
            finally:
                os.killpg(scan.pid, signal.SIGTERM)
                scan.wait(LIMIT)

    def test_mail_for_others_is_not_swallowed(self):
        """INSTALL 12: without a queue program and SPOOL."""
        with Installed() as place:
            line = [BUILD / "postern-smtpd", "-w", "192.0.2.7", "client.example", "b@example.com", "c@example.org"]
            done = subprocess.run(["envdir", place.etc / "submission", "env", "RELAYCLIENT=", *line], timeout=LIMIT,
                                  stdout=subprocess.PIPE, check=False)
            self.assertIn(b"451 4.3.5", done.stdout)


@unittest.skipUnless(all(map(shutil.which, ("systemd-socket-activate", "openssl"))), "no systemd-socket-activate here")
class Units(unittest.TestCase):
    def check(self, name, tls, user, refused):
        unit = (ROOT / "etc/systemd" / name).read_text()
        with Installed() as place:
            command = place.here(re.search(r"^ExecStart=(.*)$", unit, re.M)[1]).split()
            file = place.etc / re.search(r"^EnvironmentFile=-/etc/postern/(.*)$", unit, re.M)[1]
            env = dict(line.split("=", 1) for line in file.read_text().splitlines() if not line.startswith("#"))
            server = SocketActivate(place, program=command, **{"SPOOL": None, **env})
            try:
                for client in refused:
                    with self.assertRaises(smtplib.SMTPSenderRefused):
                        send(server.port, client)
                send(server.port, tls, user)
            finally:
                server.stop()
            self.assertEqual(place.stored(), {"var/spool/postern/b": 1})
            self.assertTrue(server.log().events("message", tls="TLSv1.3"), server.log())

    def test_starttls(self):
        self.check("postern-starttls@.service", "starttls", None, [])

    def test_submission(self):
        self.check("postern-submission@.service", "starttls", "alice@example.com", ["no", "starttls"])

    def test_smtps(self):
        self.check("postern-smtps@.service", "first", "alice@example.com", ["first"])


@unittest.skipUnless(all(map(shutil.which, ("tcpserver", "openssl"))), "no tcpserver here")
class MakeRun(unittest.TestCase):
    """tools/serve, which finds all by names relative to its folder."""

    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.__exit__)
        self.place.path.chmod(0o755)
        (self.place.path / "build").symlink_to(PROGRAMS)
        shutil.copytree(ROOT / "etc", self.place.path / "etc")
        (self.place.path / "cdb").mkdir()
        for kind, text in (("domains", "example.com\n"), ("mailboxes", "@example.com\n"), ("badsenders", "")):
            self.place.compile(kind, text, f"cdb/{kind}")

    def serve(self, **knobs):
        command = [str(ROOT / "tools/serve"), "0"]
        server = Daemon(command, self.place.path, {**os.environ, "ME": "mx.example.net", **knobs})
        self.addCleanup(server.process.stdout.close)
        self.addCleanup(server.stop)
        return server

    def port(self, server):
        return int(re.match(rb"Serving on 127\.0\.0\.1 port (\d+);", server.said)[1])

    def read_until(self, server, pattern):
        """Its output while it runs, up to a line that has the pattern."""
        while line := server.process.stdout.readline():
            server.said += line
            if found := re.search(pattern, line):
                return found
        self.fail(server.said)

    def children(self, server):
        pid = server.process.pid
        pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {Path(f"/proc/{pid}/comm").read_text().strip(): int(pid) for pid in pids}

    def test_burst(self):
        server = self.serve()
        burst(self.port(server), self.children(server)["tcpserver"])

    def test_any_recipient(self):
        server = self.serve()
        send(self.port(server), "no", to="me@my.own.example")
        with self.assertRaises(smtplib.SMTPNotSupportedError):
            send(self.port(server), "starttls")
        self.assertEqual(self.place.stored(), {"var/mail": 1})

    def test_tables(self):
        for knobs in ({"TABLES": "1"}, {"DOMAINS": "cdb/domains.cdb"}):
            with self.subTest(knobs):
                port = self.port(self.serve(**knobs))
                send(port, "no")
                with self.assertRaises(smtplib.SMTPRecipientsRefused):
                    send(port, "no", to="me@my.own.example")
        self.assertEqual(self.place.stored(), {"var/mail": 2})
        send(self.port(self.serve(TABLES="1", DOMAINS="")), "no", to="postmaster@my.own.example")

    def test_messages_are_shown(self):
        """Messages are told as they arrive: sender, recipients, subject, file. No octet of it can move the terminal."""
        server = self.serve(VERBOSE="1")
        for subject, shown in (("hello", "hello"), ("\x1b[31m \"h\xfc\"\\\x9b", r'\x1b[31m \"h\xfc\"\\\x9b'),
                               ("two\r\n lines", "two lines"), ("x" * 2000, "x" * 100 + "..."),
                               ("hello\r\nX-Postern-From: <forged@example.org>\r\nSubject: another", "hello")):
            with self.subTest(subject[:40]):
                letter = f"Subject: {subject}\r\n\r\nSubject: body\r\n".encode("latin-1")
                send(self.port(server), "no", letter=letter)
                line = self.read_until(server, rb"^mail from=(.*)")[1].decode()
                found = re.fullmatch(r'<a@example\.org> to=<b@example\.com> subject="(.*)" file=(var/mail/new/\S+)', line)
                self.assertEqual(found[1], shown)
                self.assertIn(letter.replace(b"\r\n", b"\n"), self.place.read(found[2]))
        server.stop()
        self.assertFalse(re.search(rb"[^ -~\n\t]", server.said), server.said)
        self.assertIn(b"event=message ", server.said)

    def test_messages_without_subject_or_file(self):
        server = self.serve()
        recipients = [f"b{n}@example.com" for n in range(5)]
        send(self.port(server), "no", to=recipients, letter="\r\nno header\r\n")
        said = self.read_until(server, rb"^mail (.*) file=")[1]
        self.assertEqual(said, b'from=<a@example.org> to=<b0@example.com> to=<b1@example.com> to=<b2@example.com>'
                               b' and 2 more subject=""')
        self.place.write("queue", "#!/bin/sh\ncat >/dev/null; cat <&1 >/dev/null\n", 0o755)
        for knobs in ({"DISCARD": "1"}, {"QMAILQUEUE": "./queue"}):
            server = self.serve(**knobs)
            send(self.port(server), "no")
            self.read_until(server, rb"^mail id=\w+\.1 size=\d+ place=(discard|queue)$")

    def test_it_ends_as_a_whole(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number):
                server = self.serve()
                with socket.create_connection(("127.0.0.1", self.port(server)), LIMIT) as client, \
                     client.makefile("rb") as lines:
                    self.assertEqual(lines.readline()[:4], b"220 ")
                    server.process.send_signal(number)  # to the shell alone
                    server.said += server.process.communicate(timeout=LIMIT)[0]  # its output is closed by all
                    self.assertEqual([line[:4] for line in lines], [b"421 "])
                self.assertEqual(server.process.returncode, 0)
                self.assertIn(b"event=close ", server.said)

    def test_it_ends_with_tcpserver(self):
        server = self.serve()
        with socket.create_connection(("127.0.0.1", self.port(server)), LIMIT):
            self.read_until(server, b"event=connect ")
            os.kill(self.children(server)["tcpserver"], signal.SIGKILL)
            server.said += server.process.communicate(timeout=LIMIT)[0]
        self.assertEqual(server.process.returncode, 111)

    def test_port_in_use(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen(1)
            done = subprocess.run([ROOT / "tools/serve", str(other.getsockname()[1])], cwd=self.place.path,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, 111)
        self.assertIn(b"cannot be had", done.stdout)
        self.assertNotIn(b"Serving", done.stdout)

    def test_tls_and_auth(self):
        """Also where the folders were made without TLS."""
        self.serve().stop()
        server = self.serve(TLS="1", AUTH="1")
        send(self.port(server), "starttls", "anybody", "at all")
        send(self.port(server), "no", "anybody", "at all")
        self.assertEqual(self.place.stored(), {"var/mail": 2})
        key = self.place.path / "var/tls/key.pem"
        self.assertEqual(key.stat().st_mode & 0o777, 0o600)
        before = key.read_bytes()
        server.stop()
        send(self.port(self.serve(TLS="1")), "starttls")
        self.assertEqual(key.read_bytes(), before)

    def test_what_it_tells_to_type(self):
        server = self.serve(TLS="1", AUTH="1")
        self.port(server)
        server.said += server.process.stdout.readline()
        line = server.process.stdout.readline().decode().strip()
        self.assertTrue(line.startswith("printf"), line)
        done = subprocess.run(["sh", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(self.place.stored(), {"var/mail": 1})

    def test_a_port_is_one_word(self):
        for port in ("", "25 26", "25;"):
            done = subprocess.run(["make", "-n", "run", f"PORT={port}"], cwd=ROOT, stdout=subprocess.PIPE, timeout=LIMIT,
                                  check=True)
            self.assertIn(f"\ntools/serve '{port}'\n", done.stdout.decode())
            done = subprocess.run([ROOT / "tools/serve", port], cwd=self.place.path, stderr=subprocess.PIPE,
                                  timeout=LIMIT, check=False)
            self.assertEqual((done.returncode, done.stderr.decode()),
                             (100, f"PORT={port}: a port is a number up to 65535\n"))

    def test_wrong_settings_are_told_at_once(self):
        """Also a file that only the sessions' user may not read."""
        self.place.write("own.pem", "", 0o600)
        for folder in ("tmp", "new", "cur"):
            (self.place.path / "own" / folder).mkdir(parents=True, mode=0o755)
        for knobs, word in (({"TLS": "yes"}, b"TLS=yes"), ({"AUTH": "2"}, b"AUTH=2"), ({"TIMEOUT": "soon"}, b"TIMEOUT"),
                            ({"TLS": "1", "CERTFILE": "none.pem"}, b"none.pem"), ({"TABLES": "yes"}, b"TABLES=yes"),
                            ({"SPOOL": "/dev/null/mail"}, b"SPOOL=/dev/null/mail"), ({"SPOOL": "/dev/null"}, b"SPOOL="),
                            ({"QMAILQUEUE": "./none"}, b"QMAILQUEUE=./none"), ({"DOMAINS": "none.cdb"}, b"none.cdb"),
                            ({"CHECKPASSWORD": "/dev/null"}, b"CHECKPASSWORD=/dev/null"),
                            ({"UCSPITLS": "!"}, b"UCSPITLS=!"), ({"TLS": "1", "CERTFILE": "own.pem"}, b"own.pem"),
                            ({"TLS": "1", "SPOOL": "./own"}, b"SPOOL=./own: nobody may not write there")):
            if "own" in word.decode() and not IS_ROOT:
                continue
            with self.subTest(knobs):
                server = self.serve(**knobs)
                said = server.said + server.process.communicate(timeout=LIMIT)[0]
                self.assertIn(word, said)
                self.assertNotIn(b"Serving", said)
                self.assertIn(server.process.returncode, (100, 111))


if __name__ == "__main__":
    unittest.main()
