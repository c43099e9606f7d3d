"""postern-checkpw: the users that it lets in, its answers, and its traces."""
import ctypes
import ctypes.util
import json
import os
import pathlib
import re
import resource
import shutil
import socket
import subprocess
import sys
import unittest

from harness import BREAKS, BUILD, IS_ASAN, IS_STATIC, LIMIT, DOUBLE, Log, Place, await_that, environment

CHECKPW = str(BUILD / "postern-checkpw")


def setUpModule():
    if IS_STATIC:
        raise unittest.SkipTest("never static: it is the ordinary program")


OK, NO, MISUSED, TROUBLE = 0, 1, 2, 111
WHAT_IT_RUNS_SEES = r"""
import json, os, resource, sys
def closed(fd):
    try:
        os.fstat(fd)
    except OSError:
        return True
    return False
print(json.dumps({"closed": [fd for fd in range(3, 20) if closed(fd)], "user": os.environ.get("USER"),
                  "argv": sys.argv[1:], "core": resource.getrlimit(resource.RLIMIT_CORE),
                  "environ": open("/proc/self/environ", "rb").read().decode("latin-1"),
                  "cmdline": open("/proc/self/cmdline", "rb").read().decode("latin-1")}))
sys.exit(42)
"""

libcrypt = ctypes.CDLL(ctypes.util.find_library("crypt"))
libcrypt.crypt_gensalt.restype = ctypes.c_char_p

# The methods that postern-cdb takes, each at its cheapest.
METHODS = {"$y$": 1, "$gy$": 1, "$7$": 6, "$6$": 1000, "$5$": 1000, "$2b$": 4, "$2y$": 4, "$2a$": 4}


def hashed(password, method="$5$"):
    setting = libcrypt.crypt_gensalt(method.encode(), ctypes.c_ulong(METHODS[method]), os.urandom(32), 32)
    # Not in this process: it would grow by scrypt's memory, and its children would count as that large.
    return subprocess.run(["perl", "-e", "print crypt($ARGV[0], $ARGV[1])", password, setting], check=True,
                          stdout=subprocess.PIPE, timeout=LIMIT).stdout.decode()


def fields(user, password, stamp=b"1700000000"):
    return b"".join(field + b"\0" for field in (user, password, stamp))


def start(place, fd, *prog, limit=(0, 0), checkpw=CHECKPW, identity=None, **env):
    """The program with `fd`, which may be None, as its descriptor 3."""
    def in_child():
        resource.setrlimit(resource.RLIMIT_CORE, limit)
        if fd is None:
            os.closerange(3, 20)
        elif fd == 3:
            os.set_inheritable(3, True)
        else:
            os.dup2(fd, 3)
    # Python closes its own descriptors at exec.
    return subprocess.Popen([checkpw, *prog], cwd=place.path, close_fds=False, preexec_fn=in_child,
                            env=environment(**{"USERS": "users.cdb", **env}), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **(identity or {}))


class Done:
    def __init__(self, process):
        try:
            out, self.errors = process.communicate(timeout=LIMIT)
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self.code, self.output, self.log = process.returncode, out.decode(), Log(self.errors)


def check(place, data, *prog, **env):
    """All of the credentials are there before the program is."""
    reader, writer = os.pipe()
    try:
        os.write(writer, data)
        os.close(writer)
        process = start(place, reader, *prog, **env)
    finally:
        os.close(reader)
    return Done(process)


NO_TABLE = "Not a whole table: compile it with postern-cdb"


class Checkpw(unittest.TestCase):
    def setUp(self):
        self.place = Place()
        self.addCleanup(self.place.__exit__)

    def users(self, *lines):
        return self.place.compile("users", "".join(f"{name} {value}\n" for name, value in lines))

    def quietly(self, done, code):
        self.assertEqual((done.code, done.output, done.errors), (code, "", b""))

    def trouble(self, done, obj, error):
        self.assertEqual((done.code, done.output), (TROUBLE, ""))
        self.assertEqual(done.log, [{"event": "checkpw", "object": obj, "error": error}])

    def spoil(self, old, new):
        """Octets of the compiled table replaced by as many others."""
        data = self.place.read("users.cdb")
        self.assertEqual((data.count(old), len(old)), (1, len(new)))
        self.place.write("users.cdb", data.replace(old, new))


class Verdicts(Checkpw):
    def test_who_is_let_in(self):
        self.users(("Alice@Example.com", hashed(b"wonder land")), ("bob", hashed(b"builder")),
                   ("m\u00fcller", hashed("pässwörd".encode())), ("nobody", hashed(b"")))
        rows = [
            (b"alice@example.com", b"wonder land", OK, "right"),
            (b"ALICE@EXAMPLE.COM", b"wonder land", OK, "upper case"),
            (b"bob", b"builder", OK, "another"),
            ("müller".encode(), "pässwörd".encode(), OK, "UTF-8"),
            (b"alice@example.com", b"Wonder land", NO, "a password has its case"),
            (b"alice@example.com", b"wonder lan", NO, "short"),
            (b"alice@example.com", b"wonder land ", NO, "long"),
            (b"alice@example.com", b"builder", NO, "another's"),
            (b"alice@example.com", b"", NO, "none"),
            (b"nobody", b"", NO, "none, though the hash is that of none"),
            (b"alice", b"wonder land", NO, "part of a name"),
            (b"alice@example.com ", b"wonder land", NO, "more than a name"),
            (b"carol", b"wonder land", NO, "unknown, the first one's password"),
            (b"", b"wonder land", NO, "no name"),
            (b"", b"", NO, "nothing"),
            (b"x" * 255, b"wonder land", NO, "the longest name"),
            (b"x" * 256, b"wonder land", NO, "longer than any name"),
            (b"x" * 400, b"wonder land", NO, "far longer"),
            ("MÜLLER".encode(), "pässwörd".encode(), NO, "only ASCII has a case here"),
            (b"m\xfcller", "pässwörd".encode(), NO, "Latin-1"),
            (b"alice@example.com", self.hash_of("alice@example.com"), NO, "the hash is not the password"),
        ]
        for user, password, code, why in rows:
            with self.subTest(why):
                self.quietly(check(self.place, fields(user, password)), code)

    def hash_of(self, name):
        data = self.place.read("users.cdb")
        at = data.index(name.encode()) + len(name)
        return data[at:at + 75]

    def test_methods(self):
        for method in METHODS:
            for password in (b"secret", "Füße ändern".encode(), b"latin \xe4\xf6\xfc", b"x" * 70, b" !\"#$%&'()*+,-./:;<=>?@"):
                with self.subTest(method, password=password):
                    value = hashed(password, method)
                    self.assertTrue(value.startswith(method))
                    self.users(("alice", value))
                    self.quietly(check(self.place, fields(b"alice", password)), OK)
                    self.quietly(check(self.place, fields(b"alice", password[:-1])), NO)
                    self.quietly(check(self.place, fields(b"alice", b"x" + password[1:-1] + b"z")), NO)

    @unittest.skipUnless(shutil.which("openssl"), "no openssl here")
    def test_hashes_of_openssl(self):
        """Made by a program that shares no line with libcrypt."""
        for option in ("-5", "-6"):
            made = subprocess.run(["openssl", "passwd", option, "correct horse"], stdout=subprocess.PIPE, check=True,
                                  timeout=LIMIT).stdout.decode().strip()
            self.users(("alice", made))
            self.quietly(check(self.place, fields(b"alice", b"correct horse")), OK)
            self.quietly(check(self.place, fields(b"alice", b"correct horsf")), NO)

    def test_known_answers(self):
        """Of crypt_blowfish's own tests."""
        self.users(("alice", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"))
        self.quietly(check(self.place, fields(b"alice", b"U*U")), OK)
        self.quietly(check(self.place, fields(b"alice", b"U*U*")), NO)

    def test_line_of_htpasswd(self):
        self.place.write("users", "alice:" + hashed(b"x", "$2y$") + "\n")
        self.place.compile("users", self.place.read("users"))
        self.quietly(check(self.place, fields(b"alice", b"x")), OK)

    def test_nobody_at_all(self):
        self.users()
        self.quietly(check(self.place, fields(b"alice", b"x")), NO)
        self.quietly(check(self.place, fields(b"", b"")), NO)


class Interface(Checkpw):
    def setUp(self):
        super().setUp()
        self.users(("alice", hashed(b"secret")))

    def test_misuse(self):
        rows = [
            (b"", "nothing"),
            (b"alice", "no NUL"),
            (b"alice\0", "a name"),
            (b"alice\0secret", "no NUL behind the password"),
            (b"alice\0secret\0", "no timestamp"),
            (b"alice\0secret\x001700000000", "no NUL behind the timestamp"),
            (b"x" * 512, "512 octets without a NUL"),
            (fields(b"alice", b"secret", b"x" * 499), "513 octets"),
            (fields(b"alice", b"secret") + b"\0" * 1000, "more behind"),
            (fields(b"alice", b"x" * 10000), "far too long"),
        ]
        for data, why in rows:
            with self.subTest(why):
                self.quietly(check(self.place, data), MISUSED)
                self.quietly(check(self.place, data, USERS="./none"), MISUSED)

    def test_all_that_may_come(self):
        for data, code, why in [
                (fields(b"alice", b"secret", b""), OK, "an empty timestamp"),
                (fields(b"alice", b"secret", b"x" * 498), OK, "512 octets"),
                (fields(b"alice", b"secret") + b"more", OK, "more data, as the interface allows"),
                (fields(b"alice", b"secret") + b"\0\0a\0", OK, "more data"),
                (fields(b"alice", b"x" * 504, b""), NO, "the longest password"),
                (fields(b"x" * 509, b"", b""), NO, "the longest name")]:
            with self.subTest(why):
                self.assertLessEqual(len(data), 512)
                self.quietly(check(self.place, data), code)

    def test_no_descriptor(self):
        self.quietly(Done(start(self.place, None)), MISUSED)

    def test_descriptor_that_cannot_be_read(self):
        folder = os.open(self.place.path, os.O_RDONLY)
        try:
            self.trouble(Done(start(self.place, folder)), "descriptor 3", "Is a directory")
        finally:
            os.close(folder)

    def test_does_not_wait_for_more_than_it_takes(self):
        reader, writer = os.pipe()
        try:
            os.write(writer, b"x" * 513)
            self.quietly(Done(start(self.place, reader)), MISUSED)
        finally:
            os.close(reader)
            os.close(writer)

    def test_octet_by_octet(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            process = start(self.place, theirs.fileno())
            for octet in fields(b"alice", b"secret"):
                ours.sendall(bytes([octet]))
            ours.shutdown(socket.SHUT_WR)
            self.quietly(Done(process), OK)

    def test_runs_a_program(self):
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        limit = (min(1000, hard) if hard != resource.RLIM_INFINITY else 1000, hard)
        prog = [sys.executable, "-c", WHAT_IT_RUNS_SEES, "one", "", "three"]
        done = check(self.place, fields(b"ALICE", b"secret"), *prog, limit=limit, USER="root",
                     ASAN_OPTIONS="detect_leaks=0:disable_coredump=0")
        self.assertEqual((done.code, done.errors), (42, b""))
        seen = json.loads(done.output)
        self.assertEqual((seen["user"], seen["argv"], seen["core"]), ("alice", ["one", "", "three"], list(limit)))
        self.assertIn(3, seen["closed"])
        self.assertNotIn("secret", done.output)

    def test_runs_nothing_for_others(self):
        for data, code in ((fields(b"alice", b"Secret"), NO), (b"alice", MISUSED)):
            self.quietly(check(self.place, data, "touch", "it-ran"), code)
        self.assertEqual(check(self.place, fields(b"alice", b"secret"), "touch", "it-ran", USERS="./none").code, TROUBLE)
        self.assertFalse((self.place.path / "it-ran").exists())
        self.quietly(check(self.place, fields(b"alice", b"secret"), "touch", "it-ran"), OK)
        self.assertTrue((self.place.path / "it-ran").exists())

    def test_program_that_is_not_there(self):
        self.trouble(check(self.place, fields(b"alice", b"secret"), "./none"), "./none", "No such file or directory")
        self.quietly(check(self.place, fields(b"alice", b"Secret"), "./none"), NO)

    def test_its_code_is_the_programs(self):
        for code in (0, 1, 7, 111):
            self.quietly(check(self.place, fields(b"alice", b"secret"), "sh", "-c", f"exit {code}"), code)


class Trouble(Checkpw):
    def test_asked_is_never_yes(self):
        """No argument makes it say yes to wrong credentials: every argument is the program to run."""
        self.users(("alice", hashed(b"secret")))
        for word in ("--version", "-h", "--help"):
            self.quietly(check(self.place, fields(b"alice", b"Secret"), word), NO)
            self.trouble(check(self.place, fields(b"alice", b"secret"), word), word, "No such file or directory")

    def test_table_of_another_kind(self):
        for kind, text in (("mailboxes", "alice@example.com ./x/\n"), ("domains", "example.com\n")):
            path = self.place.compile(kind, text, "users")
            for user in (b"alice@example.com", b"bob"):
                self.trouble(check(self.place, fields(user, b"secret"), USERS=path), path, "Not a table of users")

    def test_no_table(self):
        data = fields(b"alice", b"secret")
        self.trouble(check(self.place, data, USERS=None), "USERS", "Not set")
        self.trouble(check(self.place, data, USERS=""), "USERS", "Not set")
        self.trouble(check(self.place, data), "users.cdb", "No such file or directory")

    def test_broken_table(self):
        """Trouble for every name: one in the table, one not in it, and one that can be in none."""
        for name, spoil in BREAKS.items():
            with self.subTest(name):
                self.users(("alice", hashed(b"secret")), ("bob", hashed(b"builder")))
                spoil(self.place.path / "users.cdb")
                for user in (b"alice",) if name == "astray" else (b"alice", b"carol", b"", b"x" * 400):
                    done = check(self.place, fields(user, b"secret"))
                    self.assertEqual(done.code, TROUBLE)
                    self.assertEqual([sorted(e) for e in done.log], [["error", "event", "object"]])
                    self.assertNotIn(b"secret", done.errors)
                path = self.place.path / "users.cdb"
                if path.is_dir() and not path.is_symlink():
                    path.rmdir()

    def test_hash_that_is_none(self):
        value = hashed(b"secret").encode()
        other = hashed(b"builder").encode()
        for new, error, why in [(b"$9$" + value[3:], "Hash not known to crypt(3)", "a method of elsewhere"),
                                (b"*" + value[1:], "Hash not known to crypt(3)", "locked"),
                                (b"!" + value[1:], "Hash not known to crypt(3)", "locked"),
                                (b"$5$rounds=9x00$" + value[15:], "Hash not known to crypt(3)", "no number"),
                                (value[:40] + b"\0" + value[41:], NO_TABLE, "NUL in it"),
                                (b"\0" * len(value), NO_TABLE, "nothing else")]:
            with self.subTest(why):
                self.users(("alice", value.decode()), ("bob", other.decode()))
                self.spoil(value, new)
                self.trouble(check(self.place, fields(b"alice", b"secret")), "users.cdb", error)
                self.quietly(check(self.place, fields(b"bob", b"builder")), OK)
                self.trouble(check(self.place, fields(b"carol", b"builder")), "users.cdb", error)

    def cut_hash(self, length):
        """The only record claims this length of its value."""
        value = hashed(b"secret")
        self.users(("alice", value))
        data = bytearray(self.place.read("users.cdb"))
        self.assertEqual(int.from_bytes(data[2052:2056], "little"), len(value))
        data[2052:2056] = length.to_bytes(4, "little")
        self.place.write("users.cdb", bytes(data))

    def test_part_of_a_hash(self):
        """A true beginning of a hash is no hash."""
        for length in (74, 60, 33):
            self.cut_hash(length)
            self.quietly(check(self.place, fields(b"alice", b"secret")), NO)

    def test_empty_hash(self):
        """crypt(3) must not be asked: some versions take an empty setting as always right."""
        self.cut_hash(0)
        for user in (b"alice", b"carol"):
            for password in (b"", b"secret"):
                self.trouble(check(self.place, fields(user, password)), "users.cdb", NO_TABLE)


class Preloaded(Checkpw):
    """With tests/double/preload_crypt.c before libcrypt."""

    PASSWORD = b"correct-horse-battery"

    def setUp(self):
        super().setUp()
        preload = self.place.path / "crypt.so"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-fno-builtin", "-o", preload,
                        DOUBLE / "preload_crypt.c"], check=True, timeout=LIMIT)
        self.libraries = str(preload)
        if IS_ASAN:  # its own library must come first
            self.libraries = subprocess.run(["cc", "-print-file-name=libasan.so"], check=True, timeout=LIMIT,
                                            stdout=subprocess.PIPE).stdout.decode().strip() + ":" + self.libraries

    def notes(self, data, *prog, **env):
        """Each note as [event, how often the password was found, more]; and the exit code."""
        notes = self.place.path / "notes"
        notes.unlink(missing_ok=True)
        done = check(self.place, data, *prog, LD_PRELOAD=self.libraries, NOTES="notes", **env)
        lines = notes.read_text().splitlines() if notes.exists() else []
        return [line.split(" ", 2) for line in lines], done.code

    def test_one_computation_whoever_it_is(self):
        first, second = hashed(b"secret"), hashed(b"builder", "$2b$")
        self.users(("alice", first), ("bob", second))
        rows = [
            (b"alice", b"secret", first, OK, "right"),
            (b"alice", b"wrong", first, NO, "wrong"),
            (b"alice", b"", first, NO, "empty"),
            (b"bob", b"builder", second, OK, "right, another"),
            (b"bob", b"wrong", second, NO, "wrong, another"),
            (b"carol", b"secret", first, NO, "unknown"),
            (b"carol", b"wrong", first, NO, "unknown, wrong"),
            (b"carol", b"", first, NO, "unknown, empty"),
            (b"", b"secret", first, NO, "no name"),
            (b"x" * 400, b"secret", first, NO, "too long a name"),
        ]
        for user, password, setting, code, why in rows:
            with self.subTest(why):
                notes, done = self.notes(fields(user, password))
                self.assertEqual(([n[0] for n in notes], notes[0][2], done), (["crypt", "exit"], setting, code))

    def test_none_where_nothing_can_be_found_out(self):
        self.users(("alice", hashed(b"secret")))
        for data, env in ((b"alice\0secret", {}), (fields(b"alice", b"secret"), {"USERS": "./none"})):
            self.assertEqual([n[0] for n in self.notes(data, **env)[0]], ["exit"])
        self.users()
        self.assertEqual([n[0] for n in self.notes(fields(b"alice", b"secret"))[0]], ["exit"])

    @unittest.skipIf(IS_ASAN, "with AddressSanitizer the memory has other things in it: IT WAS NOT SEARCHED")
    def test_no_password_is_left(self):
        """At any outcome the memory is clean at the end. The password is found earlier, so the search works."""
        sought = bytes(c + 1 for c in self.PASSWORD[:8])
        for method in METHODS:
            self.users(("alice", hashed(self.PASSWORD, method)), ("bob", hashed(b"other", method)))
            for data, prog, env, want in [
                    (fields(b"alice", self.PASSWORD), (), {}, ["crypt", "exit"]),
                    (fields(b"alice", self.PASSWORD), ("true",), {}, ["crypt", "exec"]),
                    (fields(b"alice", self.PASSWORD), ("./none",), {}, ["crypt", "exec", "exit"]),
                    (fields(b"bob", self.PASSWORD), (), {}, ["crypt", "exit"]),
                    (fields(b"carol", self.PASSWORD), (), {}, ["crypt", "exit"]),
                    (fields(b"alice", self.PASSWORD), (), {"USERS": "./none"}, ["exit"]),
                    (b"alice\0" + self.PASSWORD, (), {}, ["exit"]),
                    (fields(b"alice", self.PASSWORD * 24), (), {}, ["exit"])]:
                with self.subTest(method, data=data, prog=prog):
                    notes, _ = self.notes(data, *prog, SOUGHT=sought, **env)
                    self.assertEqual([n[0] for n in notes], want)
                    for what, found, _ in notes:
                        if what == "crypt":
                            self.assertGreater(int(found), 0)
                        else:
                            self.assertEqual(int(found), 0)


class Hidden(Checkpw):
    def test_nobody_looks_in(self):
        """While it waits for a password: no core, and closed to its own user's other processes (proc(5))."""
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        if hard == 0:
            self.skipTest("no core may be left here anyway")
        program, identity = CHECKPW, {}
        if os.geteuid() == 0:  # everything is root's own: be another
            identity = {"user": 65534, "group": 65534, "extra_groups": []}
            program = str(self.place.path / "postern-checkpw")
            shutil.copy(CHECKPW, program)
            self.place.path.chmod(0o755)
        reader, writer = os.pipe()
        try:
            process = start(self.place, reader, limit=(1000 if hard < 0 else min(1000, hard), hard), checkpw=program,
                            identity=identity)
            limits = pathlib.Path(f"/proc/{process.pid}/limits")
            try:
                await_that(lambda: re.search(r"^Max core file size +0 ", limits.read_text(), re.M), "no core")
                await_that(lambda: pathlib.Path(f"/proc/{process.pid}/mem").stat().st_uid == 0, "its memory is root's")
            finally:
                os.close(writer)
                writer = None
                self.quietly(Done(process), MISUSED)
        finally:
            os.close(reader)
            if writer is not None:
                os.close(writer)


if not BUILD.exists():
    raise unittest.SkipTest("nothing is built")
