"""The load generator, run, and believed only when every session went as it should."""

import subprocess

from server import Failed

SMTPLOAD = "build/bench/bin/smtpload"


def _parse(line):
    return {key: float(value) for key, value in (pair.split("=") for pair in line.split())}


def load(server, sessions=1, clients=1, messages=0, *options):
    """One run of smtpload; its figures. Raises Failed unless all sessions and messages succeeded."""
    result = run_load(server, [SMTPLOAD, "-v", "-n", str(sessions), "-c", str(clients), "-m", str(messages), *options])
    expected = 0 if "-a" in options else sessions * messages
    if (result["errors"], result["sessions"], result["messages"]) != (0, sessions, expected):
        raise Failed(f"smtpload: {result}")
    return result


def run_load(server, command):
    """The figures that a load generator prints."""
    command = [*command, str(server.port)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        reason = done.stderr.splitlines()[-1:] or ["no reason given"]
        raise Failed(f"{reason[0]} ({server.program[0]}: {server.last_words()})")
    return _parse(done.stdout)


class Held:
    """With Held, so many sessions stand open behind the answer to EHLO."""

    def __init__(self, server, sessions):
        self.server, self.sessions = server, sessions

    def __enter__(self):
        command = [SMTPLOAD, "-H", "-n", str(self.sessions), "-c", "10", str(self.server.port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        result = _parse(self.process.stdout.readline())
        if (result.get("held"), result.get("errors")) != (self.sessions, 0):
            self.__exit__()
            raise Failed(f"{self.server.program[0]}: sessions were not held open: {result}")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(60)


def message(size, dotted=False):
    """The bytes of one message on the wire, without the final dot, as a block and how often it comes."""
    command = [SMTPLOAD, "-p", "-s", str(size), *(["-d"] if dotted else [])]
    block = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
    return block, -(-size // len(block))


def stored(block):
    """The text as a receiver stores it: dots undoubled, lines ended by LF."""
    return block.replace(b"\r\n..", b"\r\n.").replace(b"\r\n", b"\n")
