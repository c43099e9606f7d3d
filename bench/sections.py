"""The measurements. Each section puts its figures into the table; a Failed ends only its own section."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from statistics import median

from figures import Goal
from load import Held, load, message, stored
from server import Failed, Server

BIN = "build/bench/bin"
PRODUCT = "build/static/postern-smtpd"
PRODUCT_GLIBC = "build/postern-smtpd"
COMPILER = "build/static/postern-cdb"
COMPILER_GLIBC = "build/postern-cdb"
NULL, SPOOL, COPY = f"{BIN}/smtpnull", f"{BIN}/smtpspool", f"{BIN}/sock2file"

MESSAGE = 4096
BODY = 100 << 20


def compare_with(program):
    """In sections session, idle, body and mail another build of the product stands where their limits do."""
    global NULL, SPOOL, COPY
    NULL = SPOOL = COPY = program


class Bench:
    """Shared by all sections: where to put things, how to measure, how long, and the table."""

    def __init__(self, folder, meter, table, quick):
        self.folder, self.meter, self.table, self.quick = folder, meter, table, quick
        self.rounds = 5 if quick else 7
        self.mail_rounds = 7 if quick else 11
        self.short_rounds = 7 if quick else 15  # where a run is short: many of them outvote a disturbance
        self.seconds = 0.3  # that a short run should take
        self.maildirs = self.rule_files = 0
        self.waits = 0

    def say(self, text):
        print(f"bench: {text}", file=sys.stderr, flush=True)

    def server(self, program, sessions=400, rules=None, ids=None, **env):
        name = os.path.basename(program[0])
        return Server(self.meter, program, f"{self.folder}/{name}.log", env, sessions, rules, ids)

    def rules(self, *lines):
        """These rules, compiled by tcprules."""
        self.rule_files += 1
        path = f"{self.folder}/rules.{self.rule_files}"
        done = subprocess.run(["tcprules", path, f"{path}.tmp"], input="\n".join(lines) + "\n", text=True,
                              capture_output=True)
        if done.returncode != 0:
            raise Failed(f"tcprules: {done.stderr.strip()}")
        return path

    def maildir(self):
        """A new and empty one; none is ever used for two runs, and nothing in it is deleted."""
        self.maildirs += 1
        path = os.path.abspath(f"{self.folder}/maildir.{self.maildirs}")
        for part in "tmp", "new", "cur":
            os.makedirs(f"{path}/{part}")
        return path

    def in_turn(self, programs, measure, rounds):
        """measure(program) for each, round by round, each round beginning with another: {program: [result, ...]}"""
        results = {program: [] for program in programs}
        for turn in range(rounds):
            first = turn % len(programs)
            for program in programs[first:] + programs[:first]:
                results[program].append(measure(program))
        return results


def need(*programs):
    for program in programs:
        if not (os.path.isfile(program) and os.access(program, os.X_OK)):
            raise Failed(f"{program} is not built")


def microseconds(seconds, n):
    return seconds / n * 1e6


# --- session: connect, EHLO, QUIT ---

SESSION_CLIENTS = 10


def session_cost(bench, program, sessions, options=(), **env):
    """Microseconds of CPU per session, tcpserver's share included."""
    with bench.server(program, **env) as server:
        load(server, sessions, SESSION_CLIENTS, 0, *options)
    return microseconds(server.cpu, sessions)


def sessions_for(bench, measure):
    """How many sessions take about as long as one run should: measure(n) makes n of them."""
    began = time.monotonic()
    measure(200)
    return int(200 * bench.seconds / (time.monotonic() - began)) + 100


def session(bench):
    need(PRODUCT, PRODUCT_GLIBC, NULL, f"{BIN}/empty", f"{BIN}/empty-dynamic")
    spool = bench.maildir()
    count = sessions_for(bench, lambda n: session_cost(bench, [NULL], n, SPOOL=spool))
    silent = {f"{BIN}/empty", f"{BIN}/empty-dynamic"}

    def measure(program):
        return session_cost(bench, [program], count, ["-e"] if program in silent else [], SPOOL=spool)

    cost = bench.in_turn([NULL, PRODUCT, PRODUCT_GLIBC, f"{BIN}/empty", f"{BIN}/empty-dynamic"], measure,
                         bench.short_rounds)
    add = bench.table.add
    add("CPU, static build", "us", cost[PRODUCT], cost[NULL], Goal("ratio", "<=", 1.05), "smtpnull")
    add("CPU, glibc build", "us", cost[PRODUCT_GLIBC], cost[NULL], None, "smtpnull")
    add("CPU, static build against an empty program", "us", cost[PRODUCT], cost[f"{BIN}/empty"], None, "static")
    add("CPU, glibc build against an empty program", "us", cost[PRODUCT_GLIBC], cost[f"{BIN}/empty-dynamic"], None,
        "dynamic")


# --- idle: memory of a session that waits ---


def idle_memory(bench, program, sessions, **options):
    """KiB of proportional set size per session, file pages shared with its like counted in parts."""
    with bench.server([program], **options) as server:
        with Held(server, sessions):
            pids = server.sessions()
            if len(pids) != sessions:
                raise Failed(f"{program}: {len(pids)} processes for {sessions} sessions")
            return sum(proportional_set(pid, program) for pid in pids) / sessions


def proportional_set(pid, program):
    if os.readlink(f"/proc/{pid}/exe") != os.path.abspath(program):
        raise Failed(f"{program}: a session runs another program")
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M)[1])


def idle(bench):
    need(PRODUCT, PRODUCT_GLIBC, NULL)
    spool = bench.maildir()
    held = 100
    memory = bench.in_turn([NULL, PRODUCT, PRODUCT_GLIBC], lambda p: idle_memory(bench, p, held, SPOOL=spool), 3)
    bench.table.add("memory, static build", "KiB", memory[PRODUCT], memory[NULL], Goal("value", "<=", 20, "KiB"),
                    "smtpnull")
    bench.table.add("memory, glibc build", "KiB", memory[PRODUCT_GLIBC], memory[NULL], None, "smtpnull")


# --- body: one large message ---


def check_file(path, block, times, ending=b""):
    """The file ends with `times` blocks and `ending`; before them stands at most a short header."""
    size = len(block) * times + len(ending)
    header = os.path.getsize(path) - size
    if not 0 <= header <= 2000:
        raise Failed(f"{path}: {size + header} bytes instead of {size} and a header")
    with open(path, "rb") as f:
        f.seek(header)
        if any(f.read(len(block)) != block for _ in range(times)) or f.read() != ending:
            raise Failed(f"{path}: not the message that was sent")


def body_run(bench, program, block, times):
    """(MB/s from MAIL to the reply to the final dot, seconds of CPU per GB)"""
    spool = bench.maildir()
    size = len(block) * times
    copy = f"{spool}/copy"
    is_limit = os.path.basename(program) == "sock2file"
    command = [program, copy, "sy"] if is_limit else [program]
    os.sync()
    with bench.server(command, SPOOL=spool, DATABYTES="0") as server:
        result = load(server, 1, 1, 1, "-d", "-s", str(size))
    if result["size"] != size:
        raise Failed("smtpload sent another size")
    if is_limit:
        check_file(copy, block, times, b".\r\n")
    else:
        copy = one_message(spool, 1)
        check_file(copy, stored(block), times)
    forget_pages(copy)
    return size / result["message_p50"] / 1e3, server.cpu / (size / 1e9)


def forget_pages(path):
    """Gives the page cache's memory back: each run finds the same amount, provided before by the host if this is a
    virtual machine."""
    with open(path, "rb") as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def one_message(spool, messages):
    """The path of one message in new/, which holds so many of them; tmp/ is empty."""
    names = os.listdir(f"{spool}/new")
    left = os.listdir(f"{spool}/tmp")
    if len(names) != messages or left:
        raise Failed(f"{spool}: {len(names)} messages instead of {messages}, {len(left)} left in tmp")
    return f"{spool}/new/{names[0]}"


def body(bench):
    need(PRODUCT, COPY)
    block, times = message(BODY, dotted=True)
    runs = bench.in_turn([COPY, PRODUCT], lambda program: body_run(bench, program, block, times), bench.rounds)
    speed = {program: [s for s, _ in runs[program]] for program in runs}
    cpu = {program: [c for _, c in runs[program]] for program in runs}
    bench.table.add("speed", "MB/s", speed[PRODUCT], speed[COPY], Goal("ratio", ">=", 0.7), "sock2file sy")
    bench.table.add("CPU per GB", "s", cpu[PRODUCT], cpu[COPY], Goal("value", "<=", 1.2, "s"), "sock2file sy")


# --- calls: the system calls of one further message in a session ---


def calls_of(bench, program, messages, *options, **env):
    """Counts of system calls, by name, of one session."""
    spool = bench.maildir()
    trace = f"{spool}/trace"
    target = [program, spool] if is_limit else [program]
    with bench.server(["strace", "-f", "-o", trace, *target], SPOOL=spool, MAXMSGS="1000", **env) as server:
        load(server, 1, 1, messages, "-s", str(MESSAGE), *options)
    one_message(spool, messages)
    with open(trace, errors="replace") as f:
        return Counter(name for name in re.findall(r"^\d+ +(\w+)\(", f.read(), re.M))


def calls_per_message(bench, program, *options, **env):
    many, one = (calls_of(bench, program, n, *options, **env) for n in (101, 1))
    many.subtract(one)
    return {name: n / 100 for name, n in many.most_common() if n}


def calls(bench):
    need(PRODUCT, SPOOL)
    if not shutil.which("strace"):
        bench.table.note("not installed: strace")
        return
    tables = make_tables(bench, 10)
    limit = calls_per_message(bench, SPOOL)
    cases = [("SPOOL only", calls_per_message(bench, PRODUCT)),
             ("with DOMAINS and MAILBOXES", calls_per_message(bench, PRODUCT, "-t", "u1@example.com", **tables))]
    for case, further in cases:
        syncs = further.get("fsync", 0) + further.get("fdatasync", 0)
        costly = sum(n for name, n in further.items() if re.match("fork|vfork|clone|exec|unlink", name))
        bench.table.add(f"calls, {case}", "", [sum(further.values())], [sum(limit.values())],
                        Goal("value", "<=", 20), "smtpspool")
        bench.table.add("  of these fsync, fdatasync", "", [syncs], [limit.get("fsync", 0)], Goal("value", "<=", 2))
        bench.table.add("  of these fork, exec, unlink", "", [costly], [], Goal("value", "<=", 0))
    for case, further in [("smtpspool", limit), *cases]:
        bench.table.note(f"{case}: " + ", ".join(f"{name} {n:g}" for name, n in further.items()))


# --- tables: many mailboxes ---


def mailbox_list(bench, count):
    path = f"{bench.folder}/mailboxes.{count}"
    if not os.path.exists(path):
        with open(path, "w") as f:
            for first in range(0, count, 100000):
                f.write("".join(f"u{n}@example.com\n" for n in range(first, min(first + 100000, count))))
    return path


def compile_table(kind, source, target):
    done = subprocess.run([COMPILER, kind, source, target], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{COMPILER}: {done.stderr.strip()}")


def make_tables(bench, count):
    """DOMAINS and MAILBOXES for u0@example.com and so on."""
    need(COMPILER)
    domains = os.path.abspath(f"{bench.folder}/domains.cdb")
    mailboxes = os.path.abspath(f"{bench.folder}/mailboxes.{count}.cdb")
    with open(f"{bench.folder}/domains", "w") as f:
        f.write("example.com\n")
    compile_table("domains", f"{bench.folder}/domains", domains)
    compile_table("mailboxes", mailbox_list(bench, count), mailboxes)
    return {"DOMAINS": domains, "MAILBOXES": mailboxes}


def tables(bench):
    need(PRODUCT, COMPILER)
    lookup(bench)
    compilation(bench)


def lookup(bench):
    """EHLO, MAIL, RCPT, QUIT, each session with another recipient, all of them known."""
    few, many = 10, 1000000 if bench.quick else 10000000
    spool = bench.maildir()
    env = {count: {"SPOOL": spool, **make_tables(bench, count)} for count in (few, many)}
    check_unknown_is_refused(bench, env[few])

    def measure(count, sessions=None):
        sessions = sessions or enough
        with bench.server([PRODUCT], **env[count]) as server:
            load(server, sessions, SESSION_CLIENTS, 1, "-a", "-t", "u%@example.com", "-u", str(count))
        return microseconds(server.cpu, sessions)

    enough = sessions_for(bench, lambda n: measure(few, n))
    cost = bench.in_turn([few, many], measure, bench.short_rounds)
    bench.table.add(f"CPU of a session with one RCPT, {many:,} mailboxes", "us", cost[many], cost[few],
                    Goal("ratio", "<=", 1.05), f"{few} mailboxes")


def check_unknown_is_refused(bench, env):
    try:
        with bench.server([PRODUCT], **env) as server:
            load(server, 1, 1, 1, "-a", "-t", "nobody@example.com")
    except Failed:
        return
    raise Failed("a mailbox that is not in the table was accepted")


def timed(command):
    os.sync()
    began = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{command[0]}: {done.stderr.strip()}")
    return time.monotonic() - began


def records(cdb):
    """The number of records in a cdb, by `cdb -s`."""
    text = subprocess.run(["cdb", "-s", cdb], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"number of records:\s*(\d+)", text)[1])


def compilation(bench):
    """The limit gets the very records that the product has written."""
    if not shutil.which("cdb"):
        bench.table.note("not installed: cdb (Debian package tinycdb): no limit for the compiler")
        return
    need(COMPILER_GLIBC)
    count = 200000 if bench.quick else 1000000
    source = mailbox_list(bench, count)
    ours, theirs, dump = (f"{bench.folder}/compiled{end}" for end in (".cdb", ".limit.cdb", ".dump"))
    compile_table("mailboxes", source, ours)
    with open(dump, "wb") as f:
        subprocess.run(["cdb", "-d", ours], stdout=f, check=True)

    def measure(program):
        if program == "cdb":
            return timed([program, "-c", theirs, dump])
        return timed([program, "mailboxes", source, ours])

    seconds = bench.in_turn(["cdb", COMPILER, COMPILER_GLIBC], measure, bench.rounds)
    if not records(ours) == records(theirs) >= count:
        raise Failed(f"{records(ours)} and {records(theirs)} records of {count} mailboxes")
    for program, build in (COMPILER, "static"), (COMPILER_GLIBC, "glibc"):
        bench.table.add(f"compile {count:,} mailboxes, {build} build", "s", seconds[program], seconds["cdb"],
                        Goal("ratio", "<=", 1.2), "cdb -c")


# --- peers: other receivers, where they are installed ---

PEERS = {
    "qmail-smtpd": ["qmail-smtpd", "/var/qmail/bin/qmail-smtpd"],
    "smtpfront-echo (mailfront)": ["smtpfront-echo", "/usr/sbin/smtpfront-echo"],
}


def peers(bench):
    need(PRODUCT)
    found = {}
    for name, places in PEERS.items():
        path = next(filter(None, map(shutil.which, places)), None)
        if path:
            found[path] = name
        else:
            bench.table.note(f"not installed: {name}")
    spool = bench.maildir()
    for path in list(found):
        try:
            session_cost(bench, [path], 10)
        except Failed as trouble:
            bench.table.note(f"{found.pop(path)} did not run: {trouble}")
    if not found:
        return
    count = sessions_for(bench, lambda n: session_cost(bench, [PRODUCT], n, SPOOL=spool))
    cost = bench.in_turn([PRODUCT, *found], lambda program: session_cost(bench, [program], count, SPOOL=spool),
                         bench.rounds)
    for path, name in found.items():
        bench.table.add("CPU of a session, static build", "us", cost[PRODUCT], cost[path], None, name)


# --- mail: small messages, each on the disk before it is acknowledged ---


def mail(bench):
    need(PRODUCT, SPOOL)
    block, _ = message(MESSAGE)
    cells = [(messages, clients) for messages in (1, 100) for clients in ((10,) if bench.quick else (1, 10, 50))]
    for messages, clients in cells:
        mail_cell(bench, block, messages, clients)


def mail_run(bench, program, block, sessions, clients, messages):
    """(messages per second, microseconds of CPU per message)"""
    total = sessions * messages
    is_limit = os.path.basename(program) == "smtpspool"
    while True:
        spool = bench.maildir()
        os.sync()
        with bench.server([program, spool] if is_limit else [program], SPOOL=spool) as server:
            result = load(server, sessions, clients, messages, "-s", str(MESSAGE))
        check_maildir(spool, total, block if is_limit else stored(block))
        if not files_are_slow(spool) or not wait_for_files(bench):
            return total / result["wall"], microseconds(server.cpu, total)


def check_maildir(spool, messages, content):
    check_file(one_message(spool, messages), content, 1)
    with os.scandir(f"{spool}/new") as entries:
        for entry in entries:
            if not 0 <= entry.stat().st_size - len(content) <= 2000:
                raise Failed(f"{entry.path}: its size is not that of the message")


def mail_cell(bench, block, messages, clients):
    trial = min(messages, 20)
    rate, _ = mail_run(bench, SPOOL, block, max(clients, 100 // trial), clients, trial)
    sessions = max(clients, int(min(rate * bench.seconds, 2000) / messages))
    sessions = -(-sessions // clients) * clients  # so that all clients have the same to do
    runs = bench.in_turn([SPOOL, PRODUCT], lambda p: mail_run(bench, p, block, sessions, clients, messages),
                         bench.mail_rounds)
    case = f"{messages} a session, {clients} client" + ("s" if clients > 1 else "")
    rates, cpu = ({program: [run[i] for run in runs[program]] for program in runs} for i in (0, 1))
    bench.table.add(f"rate, {case}", "/s", rates[PRODUCT], rates[SPOOL], Goal("ratio", ">=", 0.95), "smtpspool")
    bench.table.add(f"CPU per message, {case}", "us", cpu[PRODUCT], cpu[SPOOL], Goal("ratio", "<=", 1.10), "smtpspool")


def files_are_slow(spool):
    """When ext4 makes an inode it looks at all in the neighbourhood that were freed in the last minutes. Making a
    file then takes a hundred times as long as opening one, instead of about seven times."""
    making, opening = [], []
    for n in range(51):
        for times, flags in (making, os.O_CREAT | os.O_EXCL), (opening, 0):
            began = time.monotonic()
            os.close(os.open(f"{spool}/cur/{n}", os.O_WRONLY | flags, 0o600))
            times.append(time.monotonic() - began)
    return median(making) > 30 * median(opening)


def wait_for_files(bench):
    """Whether it was worth waiting: False when this has taken six minutes in all."""
    bench.waits += 1
    if bench.waits == 1:
        bench.say("repeating runs, for 6 minutes at most, until ext4 has forgotten the files removed lately")
    if bench.waits == 36:
        bench.table.note("making files was slow, as it is on ext4 after mass unlinks: rates are not to be relied on")
    if bench.waits >= 36:
        return False
    time.sleep(10)
    return True


SECTIONS = {
    "session": (session, "Session: connect, EHLO, QUIT"),
    "idle": (idle, "Idle session after EHLO, 100 held"),
    "body": (body, "Body: one message of 100 MiB, dotted lines"),
    "calls": (calls, "System calls per further message of a session"),
    "tables": (tables, "Tables"),
    "peers": (peers, "Peers (for orientation)"),
    "mail": (mail, "Durable mail: 4 KiB messages"),
}
