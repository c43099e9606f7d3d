"""The Makefile's rules, in a small house of their own: what is added is found, what is gone is missed."""
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

from harness import LIMIT, ROOT

HOUSE = {
    "base/one.h": "int one(void);\n",
    "base/one.c": '#include "base/one.h"\nint one(void)\n{\n    return 1;\n}\n',
    "tls/two.h": "int two(void);\n",
    "tls/two.c": '#include "base/one.h"\n#include "tls/two.h"\nint two(void)\n{\n    return 2 * one();\n}\n',
    "plain.c": '#include "base/one.h"\nint main(void)\n{\n    return one();\n}\n',
    "tls.c": "int main(void)\n{\n    return 4;\n}\n",  # a folder has this name, too
    "tlsio.c": '#include "tls/two.h"\nint main(void)\n{\n    return two();\n}\n',
}
LIBRARIES = ["LIBRARIES=", "CDB_CFLAGS=", "CDB_LIBS=", "OWFAT_LIBS=", "TLS_LIBS="]


class Rules(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="a house ")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for name in ("Makefile", "bench/bench.mk", "tests/fuzz/fuzz.mk"):
            self.write(name, (ROOT / name).read_text())
        for folder in re.split("[ +]", re.search(r"^FLOORS += (.*)$", (ROOT / "Makefile").read_text(), re.M)[1]):
            (self.root / folder).mkdir(exist_ok=True)
        for name, text in HOUSE.items():
            self.write(name, text)
        self.make()

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run_make(self, *words):
        """In an environment that says nothing of the make around us."""
        env = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "LC_ALL")}
        return subprocess.run(["make", *LIBRARIES, *words], cwd=self.root, env=env, capture_output=True, text=True,
                              timeout=LIMIT, check=False)

    def make(self, *words):
        done = self.run_make(*words)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def code(self, program):
        return subprocess.run([self.root / "build" / program], timeout=LIMIT, check=False).returncode

    def later(self, name):
        """A time after all that is built, whatever the clock's grain."""
        newest = max(path.stat().st_mtime_ns for path in (self.root / "build").rglob("*"))
        os.utime(self.root / name, ns=(newest + 10**9, newest + 10**9))

    def test_programs_are_the_sources_beside_it(self):
        self.assertEqual([self.code("postern-" + name) for name in ("plain", "tlsio", "tls")], [1, 2, 4])
        self.assertNotIn("build/", self.make(), "a second time there is nothing to do")
        self.later("tls.c")
        self.assertEqual(self.make(), "  cc build/obj/tls.o\n  ld build/postern-tls\n")
        self.write("third.c", "int main(void)\n{\n    return 3;\n}\n")
        self.make()
        self.assertEqual(self.code("postern-third"), 3)

    def test_a_header_is_followed(self):
        self.write("base/one.h", "int one(void);\n#define MORE 1\n")
        self.later("base/one.h")
        said = self.make()
        for name in ("base/one", "tls/two", "plain"):
            self.assertIn(f"cc build/obj/{name}.o\n", said)
        self.assertNotIn("cc build/obj/tlsio.o\n", said)

    def test_a_header_that_is_gone_is_missed(self):
        (self.root / "base/one.h").unlink()
        done = self.run_make()
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn("base/one.h", done.stderr)

    def test_a_room_that_is_added_is_found(self):
        self.write("log/more.c", "int more(void)\n{\n    return 7;\n}\n")
        self.write("plain.c", "int more(void);\nint main(void)\n{\n    return more();\n}\n")
        self.later("plain.c")
        self.make()
        self.assertEqual(self.code("postern-plain"), 7)

    def test_a_room_that_is_gone_is_missed(self):
        (self.root / "base/one.c").unlink()
        self.later("base")
        done = self.run_make()
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn("`one'", done.stderr)

    def test_openssl_and_libowfat_never_meet(self):
        """What only tls.a has, no other program can name."""
        self.write("plain.c", "int two(void);\nint main(void)\n{\n    return two();\n}\n")
        self.later("plain.c")
        done = self.run_make()
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn("`two'", done.stderr)

    def test_other_builds_are_apart(self):
        self.make("B=build/other", "CFLAGS=-O0")
        self.assertEqual(self.code("other/postern-tlsio"), 2)


if __name__ == "__main__":
    unittest.main()
