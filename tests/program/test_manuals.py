"""The documents agree with the code: knobs, replies, events, rooms; manuals, scripts and units are sound."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

import dnsserver
import vocabulary

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", ROOT / "build"))
SMTPD, CDB = BUILD / "postern-smtpd", BUILD / "postern-cdb"
PAGES = sorted(path.name for path in (ROOT / "man").iterdir())
UNITS = sorted(path.name for path in (ROOT / "etc/systemd").glob("postern*"))
FLOORS = re.search(r"^FLOORS += (.*)$", (ROOT / "Makefile").read_text(), re.M)[1]
FOLDERS = {folder: floor for floor, folders in enumerate(FLOORS.split()) for folder in folders.split("+")}
CODE = sorted([*ROOT.glob("*.c"), *(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.c"))])
SERVICES = [name for name in UNITS if name.endswith(".service")]
TLS_SERVICES = ["postern-smtps@.service", "postern-starttls@.service", "postern-submission@.service"]

PAIR = re.compile(r'([a-z]+)=("(?:[ !#-\[\]-~]|\\["\\]|\\x[0-9a-f]{2})*"(?:\.\.\.)?|[!#-<>-\[\]-~]{1,256})')


def read(name):
    return (ROOT / name).read_text()


def page(name):
    """A manual without mdoc's own marks in the text."""
    return read("man/" + name).replace("\\&", "")


def section(text, title):
    """From the heading to the next one of its sort."""
    kind = ".Ss" if f"\n.Ss {title}\n" in text else ".Sh"
    rest = text.split(f"\n{kind} {title}\n", 1)[1]
    return re.split(r"^\.Sh |^\.Ss " if kind == ".Ss" else r"^\.Sh ", rest, maxsplit=1, flags=re.M)[0]


def review(**environment):
    return subprocess.run([SMTPD, "-n"], env={"ME": "mx.example.com", "DISCARD": "1", **environment},
                          capture_output=True, text=True, timeout=60)


def knobs():
    """Each knob in the order of -n, with its default; None where there is none, or a flag is off."""
    rows = [re.match(r"(#?)([A-Z_]+)(?:=(.*))?$", line) for line in review().stdout.splitlines()
            if not line.startswith("# ")]
    return {row[2]: None if row[1] or row[2] in ("ME", "DISCARD") else row[3] for row in rows}


def bounds(name):
    """The range of a number of seconds; None where the knob is another kind."""
    return re.search(r"seconds (from \d+ to \d+)", review(**{name: "\x7f"}).stderr)


def programs():
    return sorted(f"postern-{path.stem}" for path in ROOT.glob("*.c"))


def all_code():
    return "\n".join(source.read_text() for source in CODE)


def items(text):
    """The nested lists of a piece of mdoc: [(heads, paragraph lines, [inner items])]."""
    top, stack = [], []
    for line in text.splitlines():
        if line.startswith(".Bl"):
            stack.append(stack[-1][-1][2] if stack else top)
        elif line.startswith(".El"):
            stack.pop()
        elif line.startswith(".It") and stack:
            heads = re.sub(r"^\.It (?:Cm|Li|Ev) ", "", line)
            stack[-1].append(([head.strip() for head in heads.split(" , ")], [], []))
        elif stack and stack[-1]:
            stack[-1][-1][1].append(line)
    return top


def early(said, **environment):
    """The same, where the client has said all before the server is there: only a socket has turns."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(said)
        ours.shutdown(socket.SHUT_WR)
        done = subprocess.run([SMTPD], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, timeout=60,
                              env={"ME": "mx.example.com", "DISCARD": "1", **environment})
    return done.stderr.decode("ascii").splitlines()


def session(lines, **environment):
    """The program's log of a session with these lines."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([SMTPD], input=lines.replace("\n", "\r\n").encode(), capture_output=True, timeout=60,
                              cwd=folder, env={"ME": "mx.example.com", **environment})
    return done.stderr.decode("ascii").splitlines()


def others():
    """The log of the other programs, without certificate and table."""
    with open(os.devnull, "rb") as nothing:
        fds = [os.dup(nothing.fileno()) for _ in range(3)]
        commands = [["postern-tls", "-u", "no-such-user", "-U", "no-such-user", "/bin/true"],
                    ["postern-tlsio", *map(str, fds)], ["postern-spool"]]
        scripts = [[BUILD / name, *words] for name, *words in commands]
        scripts.append(["sh", "-c", 'printf "x\\0y\\0\\0" | "$0" 3<&0', BUILD / "postern-checkpw"])
        done = [subprocess.run(words, pass_fds=fds, stdin=nothing, capture_output=True, timeout=60,
                               env={"PATH": "/usr/bin:/bin"}) for words in scripts]
        for fd in fds:
            os.close(fd)
    return [line for each in done for line in each.stderr.decode("ascii").splitlines()]


def parse(line):
    """A line of the log by the grammar of postern-log(5), or None."""
    if not re.fullmatch(f"{PAIR.pattern}(?: {PAIR.pattern})*", line):
        return None
    return [(key, value) for key, value in PAIR.findall(line)]


class Knobs(unittest.TestCase):
    def test_each_has_a_paragraph_with_its_default(self):
        paragraphs = {head: "\n".join(lines)
                      for heads, lines, _ in items(section(page("postern-smtpd.8"), "ENVIRONMENT")) for head in heads}
        self.assertEqual(sorted(paragraphs), sorted(knobs()))
        for name, preset in knobs().items():
            text = paragraphs[name]
            if preset is None:
                self.assertNotRegex(text, r"The default is\n\.(?:Cm|Ql) (?!0 \.)", name)
            else:
                self.assertRegex(text, rf"The default is\s(?:\.(?:Cm|Ql) )?{re.escape(preset)}(?!\w)", name)
            if found := bounds(name):
                self.assertIn(found[1], text, name)

    def test_readme_has_some_with_their_defaults(self):
        rows = dict(re.findall(r"^\| `([A-Z_]+)` \|.*\| (.*) \|$", read("README.md"), re.M))
        self.assertEqual(len(rows), 10)
        self.assertIn(f"has all {len(knobs())}.", read("README.md"))
        for name in rows:
            preset = knobs()[name]
            if preset is not None:
                self.assertEqual(rows[name].strip("`"), preset, name)
            elif name != "ME":
                self.assertRegex(rows[name], "^unset", name)

    def test_all_are_seen(self):
        self.assertGreater(len(knobs()), 35)
        self.assertGreater(sum(1 for name in knobs() if bounds(name)), 5)


class Commands(unittest.TestCase):
    def test_each_is_in_the_manual(self):
        words = re.findall(r"\b[A-Z]{4,}\b", section(page("postern-smtpd.8"), "COMMANDS"))
        self.assertEqual(set(vocabulary.verbs()) - set(words), set())


class Replies(unittest.TestCase):
    def test_each_refusal_is_in_the_manual(self):
        rows = set(re.findall(r"^\.It (\d{3} \d\.\d+\.\d+) Ta .* Ta ([a-z0-9-]+)$", page("postern-smtpd.8"), re.M))
        wanted = {(" ".join(text.split(" ")[:2]), reason) for reason, text in vocabulary.replies().values() if reason}
        self.assertEqual(rows, wanted)

    def test_each_reason_is_in_the_manual_once_in_order(self):
        words = [head for heads, _, _ in items(section(page("postern-log.5"), "Reasons")) for head in heads]
        self.assertEqual(words, sorted(vocabulary.reasons()))


class Log(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.page = page("postern-log.5")
        cls.events = {}
        titles = re.findall(r"^\.Ss ((?:The e|E)vents?\b.*)$", cls.page, re.M)  # one for each program that logs
        for heads, lines, inner in [item for title in titles for item in items(section(cls.page, title))]:
            keys = [key for keys, _, _ in inner for key in keys]
            for head in heads:
                cls.events[head] = keys, "\n".join(lines), {key: "\n".join(text)
                                                            for keys, text, _ in inner for key in keys}
                if head == "gate":
                    cls.gate_steps = [word for keys, _, steps in inner for words, _, _ in steps for word in words]

    def test_each_event_is_in_the_manual(self):
        calls = re.findall(r"\blog_event\([^,;{]*, ([^;{]*)\);", all_code())
        named = {word for call in calls for word in re.findall(r'"([a-z]+)"', call)}
        self.assertEqual(sorted(self.events), sorted(named))

    def test_each_event_of_checkpw_is_in_the_manual(self):
        found = items(section(self.page, "Events of postern-checkpw"))
        code = read("checkpw.c")
        self.assertEqual([head for heads, _, _ in found for head in heads], re.findall(r'log_event\(&log, "(\w+)"\)', code))
        self.assertEqual([key for _, _, inner in found for keys, _, _ in inner for key in keys],
                         re.findall(r'log_string\(&log, "(\w+)"', code))

    def test_each_step_is_in_the_manual(self):
        code = all_code()
        steps = set(re.findall(r'(?:fail\(d, |d->step = |(?:log|begin)_trouble\(s, )"([a-z-]+)"', code))
        words = set(re.findall(r"^\.Li ([a-z-]+)\b", self.events["trouble"][2]["step"], re.M))
        self.assertEqual(words, steps)

    def test_each_step_of_the_gate_is_in_the_manual(self):
        steps = re.findall(r'\b(?:complain|try_file|die)\((?:EXIT_\w+, )?"(\w+)"', read("tls.c"))
        self.assertEqual(sorted(self.gate_steps), sorted(set(steps)))

    def test_each_end_is_in_the_manual(self):
        words = set(re.findall(r"^\.Li ([a-z]+) :", self.events["close"][2]["reason"], re.M))
        self.assertEqual(words, vocabulary.ends())

    def test_examples_follow_the_grammar(self):
        examples = section(read("man/postern-log.5"), "EXAMPLES").replace("\\(dq", '"').replace("\\e", "\\")
        lines = [line for block in re.findall(r"^\.Bd[^\n]*\n(event=.*?)\n\.Ed", examples, re.M | re.S)
                 for line in block.replace("\n  ", " ").splitlines()]
        self.assertGreater(len(lines), 5)
        for line in lines:
            with self.subTest(line):
                self.check_line(line)

    def check_line(self, line):
        pairs = parse(line)
        self.assertIsNotNone(pairs, "against the grammar")
        keys, values = [key for key, _ in pairs], dict(pairs)
        self.assertEqual(keys[0], "event")
        self.assertIn(values["event"], self.events)
        allowed = iter(["event", "sid", "client", "mode"] + self.events[values["event"]][0])
        for key in keys:
            self.assertIn(key, allowed, "unknown, or out of order")
        if values["event"] != "close" and "reason" in values:
            self.assertIn(values["reason"], vocabulary.reasons())

    def test_what_is_logged_is_as_the_manual_says(self):
        transaction = "MAIL FROM:<a@b.example>\nRCPT TO:<c@example.com>\nDATA\n"
        talks = [
            (transaction + "EHLO x y=z\n" + transaction + "hello\n.\nQUIT\n", {"SPOOL": "./mail/", "VERBOSE": "1"}),
            ("EHLO x\nMAIL FROM:<\x01\n" + transaction + "hel", {"DISCARD": "1", "TCPREMOTEIP": "192.0.2.7",
                                                               "TCPREMOTEPORT": "7", "TCPLOCALIP": "192.0.2.8"}),
            ("EHLO x\n" + transaction + "QUIT\n", {"SPOOL": "/dev/null/"}),
            ("EHLO x\n" + transaction + "hello\n.\nQUIT\n", {"QMAILQUEUE": "/bin/false"}),
            ("EHLO x\n" + transaction + "QUIT\n", {"SPOOL": "./mail/", "DOMAINS": "./none"}),
            ("", {"TIMEOUT": "soon", "SPOOL": ""}),
            ("EHLO x\nQUIT\n", {"DISCARD": "1", "REFUSE": "connect 554 5.7.1 No"}),
            ("GET / HTTP/1.1\n", {"DISCARD": "1"}),
            ("EHLO x\nAUTH PLAIN AHgAeQ==\n" + transaction + "hello\n.\n",
             {"DISCARD": "1", "CHECKPASSWORD": "/bin/true", "AUTH_INSECURE": "1"}),
            ("EHLO x\nAUTH PLAIN AHgAeQ==\n",
             {"DISCARD": "1", "CHECKPASSWORD": "/dev/null", "AUTH_INSECURE": "1"}),
            ("QUIT\n", {"DISCARD": "1", "SSL_PROTOCOL": "TLSv1.3", "SSL_CIPHER": "x", "SSL_TLS_SNI_SERVERNAME": "y"}),
        ]
        lines = [line for said, environment in talks for line in session(said, **environment)]
        lines += early(b"EHLO x\r\n") + early(b"\x16\x03\x01") + others()
        unseen = set()
        if dnsserver.why_not():
            unseen = {"dnsbl", "listed"}
        else:
            lines += self.listed(transaction)
        seen = set()
        for line in lines:
            with self.subTest(line):
                self.check_line(line)
                seen.add(parse(line)[0][1])
        self.assertEqual(seen, set(self.events) - unseen, "events that this test does not bring about")

    def listed(self, transaction):
        """A client with all kinds of findings: listed, welcome, and trouble."""
        client = "8.8.4.4"
        zones = {"hit.example": dnsserver.Zone({client: "127.0.0.2"}, text="because"),
                 "sick.example": dnsserver.Zone({client: "127.255.255.254"}),
                 "failing.example": dnsserver.Zone(code=dnsserver.SERVFAIL)}
        with dnsserver.Server(**zones) as server:
            knobs = {"DISCARD": "1", "TCPREMOTEIP": client, "DNSCACHEIP": server.address}
            said = "EHLO x\n" + transaction + "QUIT\n"
            return [line for more in ({"DNSBL": "sick.example failing.example hit.example*3"},
                                      {"DNSBL": "hit.example", "DNSBL_ACTION": "log"},
                                      {"DNSBL": "failing.example", "RWL": "hit.example"})
                    for line in session(said, **knobs, **more)]


class House(unittest.TestCase):
    def test_folders_include_only_downwards(self):
        """The floors are the Makefile's. OpenSSL, cdb and libowfat's DNS each have one folder; rooms have names of their own."""
        names = [path.stem for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.h")]
        self.assertEqual(sorted(names), sorted(set(names)))
        fences = {"openssl": "tls", "cdb.h": "table", "dns.h": "dns"}
        libowfat = {f"{name}.h" for name in "buffer byte case fmt iopause ip4 ip6 open scan socket str stralloc tai taia "
                    "textcode uint16 uint32".split()}
        apart = ("base", "log", "net", "tls")  # postern-tlsio takes rooms of these folders
        for path in [path for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.[ch]")]:
            here, text = path.parent.name, path.read_text()
            for other in re.findall(r'^ *# *include "(.*?)(?:/.*)?"', text, re.M):
                self.assertIn(other, FOLDERS, path)
                self.assertTrue(other == here or FOLDERS[other] < FOLDERS[here], f"{path} includes {other}")
            for library in re.findall(r"^ *# *include <([\w.]+)", text, re.M):
                self.assertEqual(fences.get(library, here), here, f"{path} includes <{library}>")
                self.assertFalse(library in libowfat and here in apart, f"{path} includes <{library}>")
        for path in ROOT.glob("*.c"):
            fenced = r"table/tinycdb\.h|cdb\.h|dns\.h" + ("" if path.stem == "tlsio" else "|tls/|openssl/")
            self.assertEqual(re.findall(rf'^ *# *include ([<"](?:{fenced}).*)', path.read_text(), re.M), [], path)

    def test_each_room_says_its_subject_first(self):
        """`make rooms` prints the first lines alone."""
        for path in [*ROOT.glob("*.c"), *(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/*.h"))]:
            name = path.stem if path.suffix == ".h" else f"postern-{path.stem}"
            self.assertRegex(path.read_text().split("\n", 1)[0], rf"^/\* {name}: .*[.?)](?: \*/)?$", path)


class Manuals(unittest.TestCase):
    @unittest.skipUnless(shutil.which("mandoc"), "no mandoc here")
    def test_lint(self):
        for name in PAGES:
            with self.subTest(name):
                done = subprocess.run(["mandoc", "-T", "lint", "-W", "all", ROOT / "man" / name], timeout=60,
                                      capture_output=True, text=True)
                # Other pages that it refers to need not be installed here; ours are looked for below.
                found = [line for line in done.stdout.splitlines() if "referenced manual not found" not in line]
                self.assertEqual(found, [])

    def test_references_to_our_own_pages(self):
        for name in PAGES:
            for other, number in re.findall(r"^\.Xr (postern-\w+) (\d)", read("man/" + name), re.M):
                self.assertIn(f"{other}.{number}", PAGES, name)

    def test_each_program_has_one(self):
        self.assertEqual([name for name in PAGES if name.endswith(".8")], sorted(f"{name}.8" for name in programs()))

    def test_usage_is_the_synopsis(self):
        told = 0
        for name in programs():
            with self.subTest(name):
                done = subprocess.run([BUILD / name, "-?"], stdin=subprocess.DEVNULL, capture_output=True,
                                      text=True, env={}, timeout=60)
                if "usage:" not in done.stderr:
                    continue  # it has none
                told += 1
                self.assertEqual(done.returncode, 100)
                usage = re.sub(r"\(.*?\)", "", done.stderr.split("usage:", 1)[1])
                synopsis = section(page(f"{name}.8"), "SYNOPSIS")
                flags = re.findall(r"(?:^\.|\.Op )Fl (\w)", synopsis, re.M)
                self.assertEqual(sorted(set(re.findall(r"(?<!\w)-(\w)", usage))), sorted(set(flags)))
                for word in re.findall(r"(?<![\w-])[a-z]+", usage):
                    self.assertRegex(page(f"{name}.8"), rf"\b{word}\b")
        self.assertGreater(told, 3)

    def test_each_says_version_and_usage(self):
        version = re.search(r'ABOUT_VERSION "(.*)"', read("base/about.h"))[1]
        self.assertTrue(read("CHANGES").startswith(version + ","))
        for name in programs():
            for word in ("--version", "-h", "--help"):
                with self.subTest(name, word=word):
                    done = subprocess.run([BUILD / name, word], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                          env={}, timeout=60)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    want = f"postern {version}\n" if word == "--version" else f"usage: {name} "
                    self.assertEqual(done.stdout[:len(want)], want)
                    with open("/dev/full", "wb") as full:
                        self.assertEqual(subprocess.run([BUILD / name, word], stdout=full, env={}, timeout=60).returncode, 111)

    def test_readme_names_each(self):
        for name in PAGES:
            self.assertIn(name.replace(".", "(") + ")", read("README.md"))


class Install(unittest.TestCase):
    def test_contents_are_the_headings(self):
        text = read("INSTALL")
        contents = re.findall(r"^ ?(\d+)\. (.*)$", text.split("\n\n\n", 1)[0], re.M)
        headings = re.findall(r"\n\n\n(\d+)\. (.*)\n\n", text)
        self.assertEqual(contents, headings)
        self.assertEqual([int(number) for number, _ in contents], list(range(1, len(contents) + 1)))
        for number in re.findall(r"\bsections? (\d+)", text):
            self.assertIn(int(number), range(1, len(contents) + 1))


class Scripts(unittest.TestCase):
    @unittest.skipUnless(shutil.which("shellcheck"), "no shellcheck here")
    def test_shellcheck(self):
        scripts = [path for folder in ("tools", "tests", "etc") for path in sorted((ROOT / folder).iterdir())
                   if path.is_file() and path.read_bytes().startswith(b"#!/bin/sh")]
        self.assertIn(ROOT / "tools/setup", scripts)
        done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.stdout, "")


class Setup(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name) / "root"
        self.etc = self.root / "etc/postern"

    def run_setup(self):
        return subprocess.run([ROOT / "tools/setup", CDB], timeout=60,
                              env={**os.environ, "DESTDIR": str(self.root), "ME": "mx.example.com"},
                              capture_output=True, text=True)

    def files(self):
        return {path: path.read_bytes() for path in self.root.rglob("*") if path.is_file()}

    def test_makes_what_the_program_takes(self):
        self.assertEqual((self.run_setup().returncode, self.run_setup().stderr), (0, ""))
        for part in ("tmp", "new", "cur"):
            self.assertEqual((self.root / "var/spool/postern" / part).stat().st_mode & 0o777, 0o700)
        for folder, file, tables in (("env", "postern.env", 3), ("submission", "submission.env", 2)):
            env = {path.name: path.read_text().strip() for path in (self.etc / folder).iterdir()}
            lines = (self.etc / file).read_text().splitlines()
            self.assertEqual(dict(line.split("=", 1) for line in lines if not line.startswith("#")), env)
            here = {name: f"{self.root}{value}" if value.startswith("/") else value for name, value in env.items()}
            done = subprocess.run([SMTPD, "-n"], env=here, capture_output=True, text=True, timeout=60)
            complaints = [line for line in done.stderr.splitlines() if ": warning: " not in line]
            self.assertEqual((done.returncode, complaints), (0, []))
            self.assertEqual(done.stdout.count(": 0 entries"), tables)

    def test_secrets_are_not_for_all(self):
        self.assertEqual(self.run_setup().returncode, 0)
        for name, mode in (("users", 0o640), ("users.cdb", 0o640), ("tls", 0o750)):
            self.assertEqual((self.etc / name).stat().st_mode & 0o777, mode, name)

    def test_a_second_time_changes_nothing(self):
        self.assertEqual(self.run_setup().returncode, 0)
        (self.etc / "env/MAILBOXES").unlink()
        (self.etc / "postern.env").write_text("DISCARD=1\n")
        before = self.files()
        self.assertEqual(self.run_setup().returncode, 0)
        self.assertEqual(self.files(), before)

    def test_a_table_with_errors_leaves_the_old_one(self):
        self.assertEqual(self.run_setup().returncode, 0)
        (self.etc / "domains").write_text("example.com\nnot a domain\n")
        before = self.files()
        done = self.run_setup()
        self.assertEqual(done.returncode, 100)
        self.assertIn("domains:2: ", done.stderr)
        self.assertEqual(self.files(), before)

    def test_example_tables_compile(self):
        self.root.mkdir()
        for kind in (path.name for path in (ROOT / "cdb").iterdir() if "." not in path.name):
            done = subprocess.run([CDB, kind, ROOT / "cdb" / kind, self.root / kind], capture_output=True, text=True,
                                  timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, ""))


@unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze here")
class Units(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        subprocess.run([ROOT / "tools/units", self.folder, BUILD], check=True, timeout=60)
        unit = self.folder / "postern-tcpserver.service"
        unit.write_text(unit.read_text().replace("/usr/bin/tcpserver", shutil.which("tcpserver") or "/bin/true"))

    def unit(self, name):
        return (self.folder / name).read_text()

    def analyze(self, *arguments):
        return subprocess.run(["systemd-analyze", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=120, cwd=self.folder)

    def test_verify(self):
        done = self.analyze("verify", "--man=no", *(f"./{name}" for name in UNITS))
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_exposure_is_at_most_two(self):
        for name in UNITS:
            if name.endswith(".service"):
                done = self.analyze("security", "--offline=yes", "--threshold=20", f"./{name}")
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertIn("Overall exposure level", done.stdout)

    def test_what_keeps_the_sockets_open(self):
        for name in UNITS:
            text = self.unit(name)
            if name.endswith(".socket"):
                for line in ("Accept=yes", "TriggerLimitIntervalSec=0"):
                    self.assertIn(f"\n{line}\n", text)
                for limit in ("MaxConnections", "MaxConnectionsPerSource"):
                    self.assertRegex(text, rf"\n{limit}=\d+\n")
                self.assertIn(name.replace(".socket", "@.service"), UNITS)
            elif "@" in name:
                self.assertIn("\nCollectMode=inactive-or-failed\n", text)

    def test_environments(self):
        files = {name: re.findall(r"^EnvironmentFile=-/etc/postern/(.*)$", self.unit(name), re.M)
                 for name in SERVICES}
        submission = ["postern-smtps@.service", "postern-submission@.service"]
        self.assertEqual(files, {name: ["submission.env" if name in submission else "postern.env"]
                                 for name in SERVICES})

    def test_what_units_share_is_said_once(self):
        """Each shared file is used, none is missed, and no unit repeats a setting of one."""
        shared = {path.name: path.read_text() for path in (ROOT / "etc/systemd").glob("*.conf")}
        used = {name: re.findall(r"^\.include (.*)$", read("etc/systemd/" + name), re.M) for name in UNITS}
        self.assertEqual({name for names in used.values() for name in names}, set(shared))
        for name in UNITS:
            self.assertNotIn(".include", self.unit(name))
            lines = [line for line in self.unit(name).splitlines() if re.match(r"\w+=", line)]
            self.assertEqual(len(lines), len(set(lines)), name)
            for part in used[name]:
                self.assertIn("\n" + shared[part], self.unit(name))

    def test_installed_where_asked(self):
        """Below a relative folder, with the programs' folder; a shared file that is missing stops it."""
        shutil.copytree(ROOT / "etc/systemd", self.folder / "etc/systemd")
        shutil.copytree(ROOT / "tools", self.folder / "tools")
        (self.folder / "to").mkdir()
        def install():
            return subprocess.run(["tools/units", "to", "/opt/bin"], cwd=self.folder, capture_output=True, timeout=60)
        self.assertEqual(install().returncode, 0)
        self.assertEqual(sorted(path.name for path in (self.folder / "to").iterdir()), UNITS)
        self.assertIn("ExecStart=/opt/bin/postern-tls -i -u postern -U postern-tls /opt/bin/postern-smtpd\n",
                      (self.folder / "to/postern-smtps@.service").read_text())
        (self.folder / "etc/systemd/gate.conf").unlink()
        self.assertNotEqual(install().returncode, 0)

    def test_services_behind_the_gate_differ_in_little(self):
        def essence(name):
            return [line for line in self.unit(name).splitlines()
                    if not line.startswith(("#", "Description=", "ExecStart=", "EnvironmentFile="))]
        for name in TLS_SERVICES[1:]:
            self.assertEqual(essence(name), essence(TLS_SERVICES[0]))
        filters = [line for line in essence(TLS_SERVICES[0]) if line.startswith("SystemCallFilter=")]
        self.assertEqual(filters[-2:], ["SystemCallFilter=~@privileged @resources", "SystemCallFilter=@setuid"])
        plain, behind = set(essence("postern@.service")), set(essence(TLS_SERVICES[0]))
        self.assertEqual(plain - behind, {"User=postern", "Group=postern", "PrivateUsers=yes", "CapabilityBoundingSet=",
                                          "RestrictAddressFamilies=none", "Documentation=man:postern-smtpd(8)"})
        self.assertEqual(behind - plain, {"CapabilityBoundingSet=CAP_SETUID CAP_SETGID", "SystemCallFilter=@setuid",
                                          "RestrictAddressFamilies=AF_UNIX",
                                          "Documentation=man:postern-smtpd(8) man:postern-tls(8)"})


if __name__ == "__main__":
    unittest.main()
