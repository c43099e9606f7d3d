"""How the programs are linked, as readelf tells it: the Makefile's promises must reach the file."""
import re
import shutil
import subprocess
import unittest

from harness import BUILD, IS_ASAN, IS_STATIC, LIMIT, ROOT

PROGRAMS = sorted(BUILD.glob("postern-*[!.]"))
DYNAMIC = ("postern-checkpw", "postern-tlsio")  # in build/static, too


def readelf(path, *what):
    return subprocess.run(["readelf", "-W", *what, path], stdout=subprocess.PIPE, check=True, timeout=LIMIT).stdout.decode()


@unittest.skipIf(IS_ASAN, "the sanitizers have flags of their own")
@unittest.skipUnless(shutil.which("readelf"), "readelf is missing")
class Programs(unittest.TestCase):
    def test_no_code_on_the_stack_or_in_data(self):
        self.assertEqual([path.name for path in PROGRAMS], sorted(f"postern-{path.stem}" for path in ROOT.glob("*.c")))
        for path in PROGRAMS:
            with self.subTest(path.name):
                segments = re.findall(r"^ +(LOAD|GNU_STACK) .* ([R ][W ][E ]) 0x[0-9a-f]+$", readelf(path, "-l"), re.M)
                self.assertIn("GNU_STACK", dict(segments))
                self.assertFalse([s for s in segments if "W" in s[1] and "E" in s[1]], segments)

    def test_stack_is_guarded(self):
        for path in PROGRAMS:
            with self.subTest(path.name):
                self.assertRegex(readelf(path, "-s"), r" __stack_chk_fail\b")

    def test_dynamic(self):
        """Loaded at another place each time, bound at once, its tables then read-only, library calls checked."""
        for path in PROGRAMS:
            if IS_STATIC and path.name not in DYNAMIC:
                continue
            with self.subTest(path.name):
                self.assertRegex(readelf(path, "-h"), r"\n  Type: +DYN ")
                self.assertRegex(readelf(path, "-l"), r"\n +GNU_RELRO ")
                self.assertRegex(readelf(path, "-d"), r"\(FLAGS_1\) +Flags: NOW PIE\n")
                self.assertRegex(readelf(path, "--dyn-syms"), r" __[a-z_]+_chk@")

    def test_static(self):
        """Nothing is loaded beside it."""
        for path in PROGRAMS:
            if not IS_STATIC or path.name in DYNAMIC:
                continue
            with self.subTest(path.name):
                self.assertNotIn("INTERP", readelf(path, "-l"))
                self.assertIn("There is no dynamic section", readelf(path, "-d"))


if __name__ == "__main__":
    unittest.main()
