"""postfix: a private Postfix from dep/postfix, in a folder of its own: a queue, and smtp(8) to one relay.

It needs root, as master(8) does, but no user of its own: it borrows two that every Debian has."""
import grp
import os
import pwd
import subprocess

from harness import LIMIT, ROOT, await_that

ROOM = ROOT / "dep" / "postfix" / "usr"
DAEMONS, COMMANDS, LIBRARIES = ROOM / "lib/postfix/sbin", ROOM / "sbin", ROOM / "lib/postfix"
OWNER, GROUP, NOBODY = "mail", "irc", "nobody"

MAIN = """
compatibility_level = 3.6
config_directory = {here}/etc
meta_directory = {here}/etc
queue_directory = {here}/queue
data_directory = {here}/data
daemon_directory = {DAEMONS}
command_directory = {COMMANDS}
shlib_directory = {LIBRARIES}
import_environment = LD_LIBRARY_PATH MAIL_CONFIG
export_environment = LD_LIBRARY_PATH MAIL_CONFIG
mail_owner = {OWNER}
setgid_group = {GROUP}
default_privs = {NOBODY}
maillog_file = {here}/log
maillog_file_prefixes = {here}
myhostname = client.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
default_database_type = texthash
inet_protocols = ipv4
inet_interfaces = loopback-only
smtp_host_lookup = native
smtp_tls_loglevel = 1
minimal_backoff_time = 2s
queue_run_delay = 2s
{more}
"""

MASTER = """
pickup  unix       n - n 1   1 pickup
cleanup unix       n - n -   0 cleanup
qmgr    unix       n - n 300 1 qmgr
rewrite unix       - - n -   - trivial-rewrite
tlsmgr  unix       - - n -   1 tlsmgr
bounce  unix       - - n -   0 bounce
defer   unix       - - n -   0 bounce
trace   unix       - - n -   0 bounce
smtp    unix       - - n -   - smtp
error   unix       - - n -   - error
retry   unix       - - n -   - error
scache  unix       - - n -   1 scache
postlog unix-dgram n - n -   1 postlogd
"""

OWNED = "active bounce corrupt defer deferred flush hold incoming private saved trace".split()
SHARED = {"public": 0o710, "maildrop": 0o730}  # with GROUP


def reason_to_skip():
    if os.geteuid() != 0:
        return "Postfix's master(8) runs as root only: NO MAIL WAS SENT BY POSTFIX"
    for find, name in ((pwd.getpwnam, OWNER), (grp.getgrnam, GROUP), (pwd.getpwnam, NOBODY)):
        try:
            find(name)
        except KeyError:
            return f"there is no {name} for Postfix to borrow: NO MAIL WAS SENT BY POSTFIX"
    return None


class Postfix:
    """`with Postfix(place, main) as p`: p.send(...), p.log_line(...). `main`: lines of main.cf."""

    def __init__(self, place, main):
        self.path = place.path / "postfix"
        self.env = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(LIBRARIES),
                    "MAIL_CONFIG": str(self.path / "etc")}
        place.path.chmod(0o711)  # its daemons are not root
        self.make_folders()
        names = {"here": self.path, "more": main, **{n: globals()[n] for n in (
            "DAEMONS", "COMMANDS", "LIBRARIES", "OWNER", "GROUP", "NOBODY")}}
        (self.path / "etc/main.cf").write_text(MAIN.format(**names))
        (self.path / "etc/master.cf").write_text(MASTER)
        self.process = subprocess.Popen([DAEMONS / "master", "-c", self.path / "etc", "-d"], env=self.env,
                                        cwd=self.path, stdin=subprocess.DEVNULL, start_new_session=True)

    def make_folders(self):
        owner, group = pwd.getpwnam(OWNER).pw_uid, grp.getgrnam(GROUP).gr_gid
        for name in ("", "etc", "queue", "queue/pid"):
            (self.path / name).mkdir(mode=0o755)
        for name in ("data", *(f"queue/{name}" for name in OWNED)):
            (self.path / name).mkdir(mode=0o700)
            os.chown(self.path / name, owner, -1)
        for name, mode in SHARED.items():
            folder = self.path / "queue" / name
            folder.mkdir()
            os.chown(folder, owner, group)
            folder.chmod(mode)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """On SIGTERM master ends all its daemons."""
        self.process.terminate()
        try:
            self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(LIMIT)

    def send(self, data, sender, *recipients):
        """Puts a message into its queue, by its sendmail(1)."""
        self.log_line("daemon started")
        done = subprocess.run([COMMANDS / "sendmail", "-i", "-f", sender, *recipients], env=self.env, input=data,
                              cwd=self.path, timeout=LIMIT, check=False, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if done.returncode:
            raise AssertionError(f"sendmail: {done.returncode} {done.stdout.decode()}")

    def log(self):
        path = self.path / "log"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def log_line(self, *words):
        """The first line that has all the words; waits for it."""
        try:
            return await_that(lambda: [line for line in self.log() if all(w in line for w in words)], words)[0]
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *self.log()])) from None
