"""postern-smtpd's replies, reasons and verbs, from its own tables: tests/unit/dump.c prints them."""
import functools
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", ROOT / "build")).resolve()
NO_MAKE = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


@functools.cache
def rows():
    dump = BUILD / "tests/dump"
    if not dump.exists():  # no unit tests were built here: the static build has none
        dump = ROOT / "build/tests/dump"
        subprocess.run(["make", "-s", "-C", ROOT, "build/tests/dump"], check=True, timeout=600, env=NO_MAKE)
    done = subprocess.run([dump], capture_output=True, text=True, check=True, timeout=60)
    return [line.split("\t") for line in done.stdout.splitlines()]


def replies():
    """{name: (reason, text)}; the reason is empty where nothing is refused."""
    return {row[1]: (row[2], row[3]) for row in rows() if row[0] == "reply"}


def ends():
    """The reasons for a session's end that no reply tells."""
    return {row[2] for row in rows() if row[0] == "reason" and row[1].startswith("end_")}


def reasons():
    """The reasons of all replies, the operator's own replies included."""
    ours = {reason for reason, _ in replies().values() if reason}
    return ours | {row[2] for row in rows() if row[0] == "reason" and not row[1].startswith("end_")}


def verbs():
    return [row[1] for row in rows() if row[0] == "verb"]
