"""The measurements of TLS: a gate in front of sessions without TLS, sessions with TLS, a large message inside."""

import os
import pwd
import shutil
import socket
import subprocess

from figures import Goal
from load import Held, load, run_load
from sections import BIN, BODY, PRODUCT, PRODUCT_GLIBC, SESSION_CLIENTS, idle_memory, microseconds, need, \
    proportional_set, sessions_for
from server import Failed, Listener

GATE, GATE_GLIBC = "build/static/postern-tls", "build/postern-tls"
CIPHER_PROGRAM = "build/postern-tlsio"
TLS_NULL, TLS_LOAD = f"{BIN}/tlsnull", f"{BIN}/tlsload"
S_SERVER = "s_server -quiet"
USER, KEEPER = "nobody", "games"  # Debian has both


def options_of(bench):
    """A server's settings: a new certificate of a P-256 key, and a user, since started by root the gate would become
    two. None where there is no openssl."""
    if not shutil.which("openssl"):
        bench.table.note("not installed: openssl")
        return None
    cert, key = (os.path.abspath(f"{bench.folder}/{name}.pem") for name in ("cert", "key"))
    if not os.path.exists(key):
        done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                               "-nodes", "-subj", "/CN=bench.example", "-days", "30", "-out", cert, "-keyout", key],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"openssl: {done.stderr.strip()}")
        os.chmod(key, 0o644)  # it protects nothing
    user = pwd.getpwnam(USER)
    ids = (user.pw_uid, user.pw_gid) if os.geteuid() == 0 else None
    return {"CERTFILE": cert, "KEYFILE": key, "DISCARD": "1", "ids": ids}


# --- gate: a session that does not ask for TLS ---


def gate(bench):
    need(PRODUCT, PRODUCT_GLIBC, GATE, GATE_GLIBC, CIPHER_PROGRAM)
    options = options_of(bench)
    if not options:
        return
    goal = Goal("ratio", "<=", 1.6)
    gate_cost(bench, "EHLO, QUIT, static build", 0, (PRODUCT,), (GATE, PRODUCT), goal, options)
    gate_cost(bench, "one message of 1 KiB, DISCARD, static build", 1, (PRODUCT,), (GATE, PRODUCT), goal, options)
    gate_cost(bench, "EHLO, QUIT, glibc build", 0, (PRODUCT_GLIBC,), (GATE_GLIBC, PRODUCT_GLIBC), None, options)
    if options["ids"]:
        names = (GATE, "-u", USER, "-U", KEEPER, PRODUCT)
        digits = (GATE, "-u", ids(USER), "-U", ids(KEEPER), PRODUCT)
        for how, as_root in (("names", names), ("digits", digits)):
            gate_cost(bench, f"EHLO, QUIT, as root, -u and -U in {how}, static build", 0, (PRODUCT,), as_root, None,
                      {**options, "ids": None})
    gate_memory(bench, options)


def ids(name):
    user = pwd.getpwnam(name)
    return f"{user.pw_uid}:{user.pw_gid}"


def gate_cost(bench, label, messages, without, behind, goal, options):
    check_offered(bench, behind, options)

    def measure(program, sessions=None):
        sessions = sessions or count
        with bench.server(list(program), **options) as server:
            load(server, sessions, SESSION_CLIENTS, messages, "-s", "1024")
        return microseconds(server.cpu, sessions)

    count = sessions_for(bench, lambda n: measure(without, n))
    cost = bench.in_turn([without, behind], measure, bench.short_rounds)
    bench.table.add(f"CPU, {label}", "us", cost[behind], cost[without], goal, "without the gate")


def check_offered(bench, program, options):
    """Makes sure that the session is behind a gate that would do TLS, or it costs too little."""
    with bench.server(list(program), **options) as server, socket.create_connection(("127.0.0.1", server.port), 10) as client:
        lines = client.makefile("rwb")
        lines.readline()
        lines.write(b"EHLO load.example\r\n")
        lines.flush()
        answer = [lines.readline()]
        while answer[-1][3:4] == b"-":
            answer.append(lines.readline())
        lines.write(b"QUIT\r\n")
        lines.flush()
        lines.read()
    if not any(line[4:].strip() == b"STARTTLS" for line in answer):
        raise Failed(f"STARTTLS is not offered; can {USER} read {options['CERTFILE']}?")


def gate_memory(bench, options):
    held = 100

    def behind():
        with bench.server([GATE, PRODUCT], **options) as server, Held(server, held):
            gates = server.sessions()
            programs = [child for pid in gates for child in server.children(pid)]
            if (len(gates), len(programs)) != (held, held):
                raise Failed(f"{len(gates)} gates and {len(programs)} programs for {held} sessions")
            return sum(sum(proportional_set(pid, program) for pid in pids)
                       for pids, program in ((gates, GATE), (programs, PRODUCT))) / held

    def measure(program):
        return behind() if program == GATE else idle_memory(bench, PRODUCT, held, **options)

    memory = bench.in_turn([PRODUCT, GATE], measure, 3)
    bench.table.add("memory, gate and program", "KiB", memory[GATE], memory[PRODUCT], None, "without the gate")
    bench.table.add("  of that the gate's", "KiB", [a - b for a, b in zip(memory[GATE], memory[PRODUCT])], [],
                    Goal("value", "<=", 20, "KiB"))


# --- tls: sessions that ask for it ---


def tls_session(bench, program, sessions, options):
    """Microseconds of CPU of the server, the client's not included."""
    with bench.server(list(program), **options) as server:
        result = run_load(server, [TLS_LOAD, "-n", str(sessions), "-c", str(SESSION_CLIENTS)])
    if (result["sessions"], result["errors"]) != (sessions, 0):
        raise Failed(f"tlsload: {result}")
    return microseconds(server.cpu, sessions)


def tls(bench):
    need(PRODUCT, PRODUCT_GLIBC, GATE, GATE_GLIBC, CIPHER_PROGRAM, TLS_NULL, TLS_LOAD)
    options = options_of(bench)
    if not options:
        return
    static, glibc, limit = (GATE, PRODUCT), (GATE_GLIBC, PRODUCT_GLIBC), (TLS_NULL,)
    count = sessions_for(bench, lambda n: tls_session(bench, limit, n, options))
    cost = bench.in_turn([limit, static, glibc], lambda program: tls_session(bench, program, count, options),
                         bench.short_rounds)
    bench.table.add("CPU, STARTTLS, EHLO, QUIT, static build", "us", cost[static], cost[limit],
                    Goal("ratio", "<=", 1.3), "tlsnull")
    bench.table.add("CPU, the same, glibc build", "us", cost[glibc], cost[limit], None, "tlsnull")


# --- tlsbody: one large message inside TLS ---


def tls_body_run(bench, program, options):
    """(MB/s, seconds of CPU per GB)"""
    command = [TLS_LOAD, "-s", str(BODY)]
    if program == S_SERVER:
        command.append("-r")
        listen = ["openssl", "s_server", "-quiet", "-tls1_3", "-num_tickets", "0", "-naccept", "1",
                  "-accept", "127.0.0.1:0", "-cert", options["CERTFILE"], "-key", options["KEYFILE"]]
        server = Listener(bench.meter, listen, f"{bench.folder}/s_server.log")
    else:
        server = bench.server(program, DATABYTES="0", **options)
    with server:
        result = run_load(server, command)
    if (result["messages"], result["errors"]) != (1, 0):
        raise Failed(f"tlsload: {result}")
    if program != S_SERVER:
        check_logged(server.log, int(result["size"]))
    return result["size"] / result["message"] / 1e6, server.cpu / (result["size"] / 1e9)


def check_logged(log, size):
    """The last message had this size, and came inside TLS."""
    with open(log, encoding="utf-8", errors="replace") as f:
        message = [line.split() for line in f if line.startswith("event=message ")][-1:]
    if not message or not {f"size={size}", "tls=TLSv1.3", "verdict=accept"} <= set(message[0]):
        raise Failed(f"not logged as a message of {size} octets inside TLS: {message}")


def tls_body(bench):
    need(PRODUCT, GATE, CIPHER_PROGRAM, TLS_LOAD)
    options = options_of(bench)
    if not options:
        return
    product = GATE, PRODUCT
    runs = bench.in_turn([S_SERVER, product], lambda program: tls_body_run(bench, program, options), bench.rounds)
    speed, cpu = ({program: [run[i] for run in runs[program]] for program in runs} for i in (0, 1))
    bench.table.add("speed", "MB/s", speed[product], speed[S_SERVER], Goal("ratio", ">=", 0.5), S_SERVER)
    bench.table.add("CPU per GB", "s", cpu[product], cpu[S_SERVER], None, S_SERVER)


SECTIONS = {
    "gate": (gate, "Gate: sessions that do not ask for TLS"),
    "tls": (tls, "TLS 1.3 sessions, P-256 key"),
    "tlsbody": (tls_body, "One message of 100 MiB inside TLS 1.3, DISCARD"),
}
