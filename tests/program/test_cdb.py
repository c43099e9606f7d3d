"""postern-cdb: accepted sources, refused ones and why; the target is the old file or the whole new one."""
import os
import random
import resource
import shutil
import signal
import subprocess
import time
import unittest

from harness import CDB, IS_ASAN, LIMIT, NEEDS_STRACE, Place, Session, await_that, environment, resident


def compile_(place, kind, source="source", target="target.cdb", **options):
    return subprocess.run([CDB, kind, source, target], cwd=place.path, env=environment(), timeout=LIMIT * 3,
                          check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def records(cdb):
    """All records in order, key and value, read by the format's own description."""
    at, end, found = 2048, int.from_bytes(cdb[:4], "little"), []
    while at < end:
        k, v = (int.from_bytes(cdb[at + i:at + i + 4], "little") for i in (0, 4))
        found.append((cdb[at + 8:at + 8 + k], cdb[at + 8 + k:at + 8 + k + v]))
        at += 8 + k + v
    return found


SHA = b"$5$rounds=1000$k2XAnEHBqQ1Ct2aM$jgOl0V/Vic8BJZ4wBDLE5hPwrxO8FWvvQqq4b1wm6k0"
BCRYPT = b"$2y$05$KBCwKxOzLha2MUDgW0PjXe/hE/UCO9qF89dOydoHjSwxcHev5LRn."

DOMAINS = (b"", b"domains")  # the last record of a table tells its kind

# kind, source, records but that one, why
GOOD = [
    ("domains", b"", [], "nothing"),
    ("domains", b"\n\n# only remarks\n  # indented\n\t#\n", [], "remarks and empty lines"),
    ("domains", b"example.com\n", [(b"example.com", b"")], "a domain"),
    ("domains", b"example.com", [(b"example.com", b"")], "no line end at the end"),
    ("domains", b"example.com\r\n.example.org\r\n\r\n# x\r\n",
     [(b"example.com", b""), (b".example.org", b"")], "CRLF"),
    ("domains", b"  \texample.com \t\n", [(b"example.com", b"")], "white space around"),
    ("domains", b"Example.COM\n.EXAMPLE.Org\n", [(b"example.com", b""), (b".example.org", b"")],
     "lower case"),
    ("domains", b"example.com # ours\n", [(b"example.com", b"")], "a remark behind"),
    ("domains", b"example.com\n.example.com\n", [(b"example.com", b""), (b".example.com", b"")],
     "two different entries"),
    ("domains", b"[192.0.2.1]\n[IPv6:2001:DB8::1]\nlocalhost\n",
     [(b"[192.0.2.1]", b""), (b"[ipv6:2001:db8::1]", b""), (b"localhost", b"")], "literals"),
    ("domains", "bücher.example\n".encode(), [("bücher.example".encode(), b"")], "not ASCII"),
    ("mailboxes", b"alice@example.com\n", [(b"alice@example.com", b"")], "a mailbox"),
    ("mailboxes", b"Alice@Example.COM   # hello\n", [(b"alice@example.com", b"")], "case, a remark"),
    ("mailboxes", b'"a b"@example.com ./x/\n"bob"@example.com\n',
     [(b"a b@example.com", b"./x/"), (b"bob@example.com", b"")], "quotes"),
    ("mailboxes", b"@example.com ./all/\n", [(b"@example.com", b"./all/")], "a catch-all"),
    ("mailboxes", b"a@b.example /abs/olute/\nb@b.example ../x y/\n",
     [(b"a@b.example", b"/abs/olute/"), (b"b@b.example", b"../x y/")], "paths"),
    ("mailboxes", b"a@b.example\t452 4.2.2 Mailbox  full # no remark\n",
     [(b"a@b.example", b"452 4.2.2 Mailbox  full # no remark")], "a reply"),
    ("mailboxes", b"a@b.example 550 " + b"x" * 396 + b"\n", [(b"a@b.example", b"550 " + b"x" * 396)],
     "the longest reply"),
    ("mailboxes", b"a+b@c.example ./x/\n+a@c.example\n",
     [(b"a+b@c.example", b"./x/"), (b"+a@c.example", b"")], "detail"),
    ("badsenders", b"a@b.example\n@c.example\nd.example # x\n.e.example\n\"x y\"@f.example\n",
     [(b"a@b.example", b""), (b"c.example", b""), (b"d.example", b""), (b".e.example", b""),
      (b"x y@f.example", b"")], "all forms"),
    ("users", b"Alice@Example.com  " + SHA + b"   # sales\n\nbob:" + BCRYPT + b"\r\n",
     [(b"alice@example.com", SHA), (b"bob", BCRYPT)], "both forms"),
    ("users", b"alice:{BLF-CRYPT}" + BCRYPT + b"\nbob {SHA256-CRYPT}" + SHA + b" # doveadm pw\n",
     [(b"alice", BCRYPT), (b"bob", SHA)], "Dovecot's schemes"),
    ("users", "Müller ".encode() + SHA + b"\n" + b"x" * 255 + b":" + SHA,
     [("müller".encode(), SHA), (b"x" * 255, SHA)], "names"),
]

# kind, source, lines with complaints, why
BAD = [
    ("domains", b"a..b\n", [1], "an empty label"),
    ("domains", b"example.com more\n", [1], "two words"),
    ("domains", b"example.com#ours\n", [1], "a remark without a space"),
    ("domains", b"user@example.com\n", [1], "an address"),
    ("domains", b"example.com.\n", [1], "a dot last"),
    ("domains", b"..example.com\n", [1], "two dots"),
    ("domains", b".\n", [1], "a dot"),
    ("domains", b"exa\0mple.com\nexample.com\0\n", [1, 2], "NUL"),
    ("domains", b"*.example.com\n", [1], "a wildcard of another kind"),
    ("domains", b"x" * 64 + b".example\n", [1], "a label too long"),
    ("domains", b".".join([b"x" * 63] * 5) + b"\n", [1], "a name too long"),
    ("domains", b"\xff.example\n", [1], "no UTF-8"),
    ("domains", b"ok.example\n# fine\nb@d\nok2.example\n-x\n\ny-\n", [3, 5, 7],
     "all errors, and their lines"),
    ("domains", b"a.example\nb.example\nA.EXAMPLE\nb.example # again\na.example\n", [3, 4, 5],
     "double lines"),
    ("domains", b"-bad\na.example\na.example\n", [1, 3], "a double line behind an error"),
    ("domains", b"a.example\na.example\n-bad\n", [2, 3], "and before one"),
    ("domains", b"x" * 1000000 + b"\n", [1], "a very long line"),
    ("domains", b"a.example\n# " + b"x" * 65534 + b"\na.example\nb..\n", [2, 3, 4], "others around it"),
    ("mailboxes", b"alice\n", [1], "no domain"),
    ("mailboxes", b"*@example.com\n*x@example.com\n", [1], "meant for all of a domain"),
    ("badsenders", b"*@example.com\n", [1], "meant for all of a domain"),
    ("mailboxes", b"<alice@example.com>\n", [1], "brackets"),
    ("mailboxes", b"alice@\n@\n@@\n", [1, 2, 3], "no domain behind the at sign"),
    ("mailboxes", b"alice@example.com Maildir/\n", [1], "a path that begins like a word"),
    ("mailboxes", b"alice@example.com ./Maildir\n", [1], "a path without its slash"),
    ("mailboxes", b"alice@example.com ./Maildir/ # mine\n", [1], "a remark behind a path"),
    ("mailboxes", b"alice@example.com &bob@example.com\nbob@example.com |cat\n", [1, 2], "not yet"),
    ("mailboxes",
     b"a@b 250 2.0.0 ok\na1@b 354 x\na2@b 55 x\na3@b 5500 x\na4@b 550\na5@b 560 x\na6@b 550  x\na7@b 600 x\n",
     [1, 2, 3, 4, 5, 6, 7, 8], "no refusals"),
    ("mailboxes", "a@b 550 müde\n".encode(), [1], "a reply that is not ASCII"),
    ("mailboxes", b"a@b 550 a\rb\nb@b ./a\x01b/\n", [1, 2], "control bytes"),
    ("mailboxes", b"a@b 550 " + b"x" * 397 + b"\n", [1], "a reply too long"),
    ("mailboxes", b"a b@example.com\n", [1], "a space"),
    ("mailboxes", b"a@b.example\nA@B.example ./x/\n\"a\"@b.example\n", [2, 3], "double in other words"),
    ("mailboxes", b"@b.example ./x/\n@B.example ./y/\n", [2], "two catch-alls"),
    ("mailboxes", b"a@example.com,b@example.com\n", [1], "two addresses"),
    ("badsenders", b"a@\na b@c\n@\n<a@b>\n", [1, 2, 3, 4], "no sender"),
    ("badsenders", b"a@b.example why\n", [1], "a value"),
    ("badsenders", b"b.example\n@b.example\n", [2], "two spellings of one"),
    ("users", b"alice secret\nbob\ncarol:\ndave *\nerin:!" + SHA + b"\n", [1, 2, 3, 4, 5], "no hash"),
    ("users", b"alice kl.bVxHBAClgE\nbob $1$k2XAnEHB$rbDfQq368qWY4bas.D3Ac0\n", [1, 2], "weak"),
    ("users", b"alice {PLAIN}secret\nbob:{SSHA512}abcd\ncarol {MD5-CRYPT}$1$k2XAnEHB$rbDfQq368qWY4bas.D3Ac0\n",
     [1, 2, 3], "Dovecot's schemes that are none of crypt(3), or weak"),
    ("users", b"alice " + SHA[:-1] + b"\nbob " + SHA + b"x\n", [1, 2], "not whole"),
    ("users", b"alice " + SHA + b" more\nbob:" + SHA + b":19000:0:99999:7:::\n", [1, 2], "more"),
    ("users", b"alice " + SHA + b"\nALICE:" + BCRYPT + b"\n", [2], "double in other words"),
    ("users", b"x" * 256 + b" " + SHA + b"\nm\xfcller " + SHA + b"\n:" + SHA + b"\na\0b " + SHA + b"\n", [1, 2, 3, 4],
     "no names"),
]


class Compiler(unittest.TestCase):
    def test_good(self):
        for kind, text, want, why in GOOD:
            with self.subTest(kind, why=why), Place() as place:
                place.write("source", text)
                done = compile_(place, kind)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
                self.assertEqual(records(place.read("target.cdb")), [*want, (b"", kind.encode())])
                self.assertEqual(sorted(os.listdir(place.path)), ["source", "target.cdb"])

    def test_bad(self):
        for kind, text, lines, why in BAD:
            with self.subTest(kind, why=why), Place() as place:
                place.write("source", text)
                place.write("target.cdb", b"the old one")
                done = compile_(place, kind)
                self.assertEqual((done.returncode, done.stdout), (100, b""))
                *complaints, last = done.stderr.decode("latin-1").splitlines()
                for complaint in complaints:
                    self.assertRegex(complaint, r"^source:\d+: [ -~\x80-\xff]+$")
                self.assertEqual(sorted(int(c.split(":")[1]) for c in complaints), lines)
                self.assertEqual(last, "postern-cdb: target.cdb is left as it was")
                self.assertEqual(place.read("target.cdb"), b"the old one")
                self.assertEqual(sorted(os.listdir(place.path)), ["source", "target.cdb"])

    def test_reasons(self):
        """The complaint tells the fault, and of a repeat the first line."""
        with Place() as place:
            place.write("source", "a.example\nb..\na.example\n")
            done = compile_(place, "domains")
            self.assertEqual(done.stderr.decode().splitlines()[:2],
                             ["source:2: bad domain", "source:3: a.example is on line 1 already"])

    def test_a_complaint_has_no_password(self):
        with Place() as place:
            place.write("source", b"alice secret-word\nbob:secret-word:x\ncarol " + SHA + b" secret-word\nsecret-word\n")
            done = compile_(place, "users")
            self.assertEqual(done.stderr.decode().splitlines()[:-1],
                             ["source:1: not a hash of crypt(3)", "source:2: more than a name and a hash",
                              "source:3: more than a name and a hash", "source:4: no hash"])

    def test_usage(self):
        with Place() as place:
            place.write("source", "")
            for arguments in ([], ["domains"], ["domains", "source"], ["domains", "source", "t", "x"],
                              ["relays", "source", "t"],
                              ["", "source", "t"], ["-x"], ["--help", "x"]):
                with self.subTest(arguments):
                    done = subprocess.run([CDB, *arguments], cwd=place.path, env=environment(), timeout=LIMIT,
                                          check=False,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                    self.assertEqual((done.returncode, done.stdout), (100, b""))
                    self.assertIn(b"usage: postern-cdb ", done.stderr)
                    self.assertEqual(os.listdir(place.path), ["source"])

    def test_source_is_no_target(self):
        with Place() as place:
            place.write("domains", "example.com\n")
            (place.path / "link").symlink_to("domains")
            for target in ("domains", "./domains", "link"):
                done = compile_(place, "domains", "domains", target)
                self.assertEqual((done.returncode, done.stderr.decode()),
                                 (100, f"postern-cdb: {target}: the source cannot be the target\n"))
                self.assertEqual(place.read("domains"), b"example.com\n")
                self.assertEqual(sorted(os.listdir(place.path)), ["domains", "link"])

    def test_trouble(self):
        """Trouble that is no fault of the table: exit code 111, the old file untouched, nothing left behind."""
        def no_source(place):
            (place.path / "source").unlink()

        def source_is_a_folder(place):
            no_source(place)
            (place.path / "source").mkdir()

        rows = [
            ("no source", no_source, "target.cdb"),
            ("the source is a folder", source_is_a_folder, "target.cdb"),
            ("no folder for the target", lambda place: None, "none/target.cdb"),
            ("the target is a folder", lambda place: (place.path / "folder").mkdir(), "folder"),
            ("a name too long", lambda place: None, "x" * 255),
            ("a path too long", lambda place: None, "x/" * 3000 + "x"),
        ]
        for why, prepare, target in rows:
            with self.subTest(why), Place() as place:
                place.write("source", "example.com\n")
                place.write("target.cdb", b"the old one")
                prepare(place)
                before = sorted(os.listdir(place.path))
                done = compile_(place, "domains", target=target)
                self.assertEqual((done.returncode, done.stdout), (111, b""))
                self.assertRegex(done.stderr.decode(), r"\Apostern-cdb: .*: .+\n\Z")
                self.assertEqual(place.read("target.cdb"), b"the old one")
                self.assertEqual(sorted(os.listdir(place.path)), before)

    def test_disk_full(self):
        """Bounded by a file size limit, whose signal is ignored: each write beyond fails."""
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        with Place() as place:
            place.write("source", "".join(f"d{i}.example\n" for i in range(10000)))
            place.write("target.cdb", b"the old one")
            done = compile_(place, "domains", preexec_fn=limit)
            self.assertEqual(done.returncode, 111)
            self.assertIn(b"File too large", done.stderr)
            self.assertEqual(place.read("target.cdb"), b"the old one")
            self.assertEqual(sorted(os.listdir(place.path)), ["source", "target.cdb"])

    def test_replaced(self):
        """By a new file, not in place: a program that has the old one open goes on reading it."""
        with Place() as place:
            place.compile("domains", "one.example\n", "x")
            with open(place.path / "x.cdb", "rb") as old:
                place.compile("domains", "two.example\n", "x")
                self.assertEqual(records(old.read()), [(b"one.example", b""), DOMAINS])
            self.assertEqual(records(place.read("x.cdb")), [(b"two.example", b""), DOMAINS])

    def test_rights(self):
        """The readers of the source may read the table, and at no time anybody else."""
        for kind, text in (("users", b"alice " + SHA), ("domains", b"a.example")):
            for mode in (0o600, 0o640, 0o644, 0o440, 0o400, 0o660):
                with self.subTest(kind, mode=oct(mode)), Place() as place:
                    place.write("source", text, mode)
                    self.assertEqual(compile_(place, kind, umask=0o077).returncode, 0)
                    self.assertEqual((place.path / "target.cdb").stat().st_mode & 0o7777, mode)

    def test_rights_of_a_pipe(self):
        for kind, mode in (("users", 0o600), ("domains", 0o644)):
            with self.subTest(kind), Place() as place:
                os.mkfifo(place.path / "fifo", 0o666)
                p = subprocess.Popen([CDB, kind, "fifo", "x.cdb"], cwd=place.path, env=environment(), umask=0o022)
                with open(place.path / "fifo", "wb"):
                    [new] = await_that(lambda: list(place.path.glob("x.cdb.tmp.*")), "it has begun")
                    self.assertEqual(new.stat().st_mode & 0o7777, mode)
                self.assertEqual(p.wait(LIMIT), 0)
                self.assertEqual((place.path / "x.cdb").stat().st_mode & 0o7777, mode)

    @unittest.skipUnless(os.geteuid() == 0, "not root: GROUPS OF TABLES WERE NOT TRIED")
    def test_group(self):
        """The group is copied where that is allowed. Else the mode must not let others read in its place."""
        for mode, who, want in [(0o640, 0, (0o640, 7)), (0o644, 0, (0o644, 7)), (0o640, 65534, (0o600, 65534)),
                                (0o660, 65534, (0o600, 65534)), (0o664, 65534, (0o644, 65534)),
                                (0o604, 65534, (0o604, 65534))]:
            with self.subTest(oct(mode), who=who), Place() as place:
                place.write("source", b"alice " + SHA, mode)
                shutil.copy(CDB, place.path / "compiler")
                os.chown(place.path, who, who)
                os.chown(place.path / "source", who, 7)
                done = subprocess.run(["./compiler", "users", "source", "x.cdb"], cwd=place.path, env=environment(),
                                      timeout=LIMIT, check=False, user=who, group=who, extra_groups=[])
                self.assertEqual(done.returncode, 0)
                found = (place.path / "x.cdb").stat()
                self.assertEqual((found.st_mode & 0o7777, found.st_gid), want)

    def test_target_is_a_link(self):
        """The link is replaced, not its target."""
        with Place() as place:
            place.write("source", "one.example\n")
            place.write("elsewhere", b"old")
            (place.path / "target.cdb").symlink_to("elsewhere")
            self.assertEqual(compile_(place, "domains").returncode, 0)
            self.assertEqual(place.read("elsewhere"), b"old")
            self.assertFalse((place.path / "target.cdb").is_symlink())


class Killed(unittest.TestCase):
    """kill -9 at random moments: the target is always the old one or the new one."""

    def test_anytime(self):
        r = random.Random(20)
        with Place() as place:
            sources = [b"".join(b"d%d.example\n" % i for i in range(n)) for n in (40000, 45000)]
            place.write("source", sources[0])
            began = time.monotonic()
            self.assertEqual(compile_(place, "domains").returncode, 0)
            whole = time.monotonic() - began
            killed = 0
            for i in range(25):
                place.write("source", sources[i % 2])
                p = subprocess.Popen([CDB, "domains", "source", "target.cdb"], cwd=place.path,
                                     env=environment())
                try:
                    p.wait(r.random() * whole)
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.wait(LIMIT)
                    killed += 1
                self.assertIn(len(records(place.read("target.cdb"))), (40001, 45001))
                left = [n for n in os.listdir(place.path) if n not in ("source", "target.cdb")]
                for name in left:
                    self.assertTrue(name.startswith("target.cdb.tmp."), name)
                    (place.path / name).unlink()
            self.assertGreater(killed, 3)

    def test_stopped_before_rename(self):
        """SIGTERM in the midst, from make or a person: the target is whole."""
        with Place() as place:
            place.compile("domains", "old.example\n", "x")
            before = place.read("x.cdb")
            os.mkfifo(place.path / "fifo")
            p = subprocess.Popen([CDB, "domains", "fifo", "x.cdb"], cwd=place.path, env=environment())
            with open(place.path / "fifo", "wb") as fifo:
                fifo.write(b"new.example\n")
                fifo.flush()
                await_that(lambda: [n for n in os.listdir(place.path) if ".tmp." in n], "it has begun")
                p.terminate()
                p.wait(LIMIT)
            self.assertEqual(place.read("x.cdb"), before)


@NEEDS_STRACE
class Order(unittest.TestCase):
    """The new file is wholly on disk before it takes the old one's name, and the name is before the exit."""

    def test_order(self):
        for target, folder in (("target.cdb", "."), ("below/target.cdb", "below")):
            with self.subTest(target), Place() as place:
                place.write("source", "".join(f"d{i}.example\n" for i in range(5000)))
                (place.path / "below").mkdir()
                calls = ["write", "pwrite64", "writev", "fsync", "rename", "renameat", "renameat2"]
                done = subprocess.run(["strace", "-qq", "-y", "-o", "trace", "-e",
                                       "trace=" + ",".join("?" + c for c in calls),
                                       CDB, "domains", "source", target], cwd=place.path, env=environment(),
                                       check=False,
                                      timeout=LIMIT)
                self.assertEqual(done.returncode, 0)
                lines = place.read("trace").decode().splitlines()
                names = [line.split("(")[0] for line in lines if "write" not in line.split("(")[0]]
                self.assertEqual([n.rstrip("at2") for n in names], ["fsync", "rename", "fsync"])
                last_write = max(i for i, line in enumerate(lines) if "write" in line.split("(")[0])
                first, _, last = [i for i, line in enumerate(lines) if "write" not in line.split("(")[0]]
                self.assertLess(last_write, first)
                self.assertIn(".tmp.", lines[first])
                self.assertIn(f"<{(place.path / folder).resolve()}>", lines[last])


class Million(unittest.TestCase):
    """1,000,000 mailboxes: compiled in memory for less than two copies of the list, and found at once."""

    COUNT = 100_000 if IS_ASAN else 1_000_000

    def test_million(self):
        with Place() as place:
            with open(place.path / "source", "w", encoding="ascii") as source:
                source.writelines(f"user{i}@d{i % 1000}.example.com\n" for i in range(self.COUNT))
            bound = int(1.5 * (place.path / "source").stat().st_size)
            limit = "" if IS_ASAN else f"ulimit -v {bound // 1024} && "
            done = subprocess.run(["sh", "-c", limit + 'exec "$@"', "sh", CDB, "mailboxes", "source", "target.cdb"],
                                  cwd=place.path, env=environment(), timeout=LIMIT, check=False)
            self.assertEqual(done.returncode, 0)
            with Session(place, MAILBOXES="target.cdb", MAXERRORS="0", MAXRCPTS="0") as s:
                s.hello()
                s.command("MAIL FROM:<>", 250)
                r = random.Random(1)
                for i in [0, 1, self.COUNT - 1, *(r.randrange(self.COUNT) for _ in range(200))]:
                    s.command(f"RCPT TO:<User{i}@d{i % 1000}.example.com>", 250)
                    s.command(f"RCPT TO:<User{i}@d{(i + 1) % 1000}.example.com>", "550 5.1.1")
                self.assertLess(resident(s.process.pid), 4096 if not IS_ASAN else 1 << 20)
                s.quit()

    def test_double_among_many(self):
        with Place() as place:
            place.write("source",
                        "".join(f"user{i}@example.com\n" for i in range(50000)) + "user7@example.com\nuser49999@example.com\n")
            done = compile_(place, "mailboxes")
            self.assertEqual(done.returncode, 100)
            self.assertEqual(done.stderr.decode().splitlines(),
                             ["source:50001: user7@example.com is on line 8 already",
                              "source:50002: user49999@example.com is on line 50000 already",
                              "postern-cdb: target.cdb is left as it was"])
