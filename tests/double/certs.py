"""certs: certificates for tests, made by openssl(1): EC or RSA, self-signed or issued, of any time.

    pair = certs.make(folder, "mx", names=("mx.example.net",))
    pair.cert, pair.key     paths below the folder; pair.cert holds the chain, too
    ca = certs.make(folder, "ca", ca=True)
    certs.make(folder, "leaf", kind="rsa", issuer=ca)
    certs.make(folder, "old", begins=-30, ends=-1)                 days from now
    certs.client_context()                                         for a client
"""
import collections
import datetime
import pathlib
import re
import ssl
import subprocess
import tempfile

LIMIT = 60
OP_IGNORE_UNEXPECTED_EOF = 1 << 7  # ssl has this name from Python 3.10 on, where OpenSSL has
# The error of a connection that ends without close_notify, and a part of its text, for assertRaisesRegex.
CUT_OFF = ((ssl.SSLError, ConnectionResetError), "UNEXPECTED_EOF|in violation of protocol|reset")
Pair = collections.namedtuple("Pair", "cert key")

KEYS = {"ec": ("EC", "ec_paramgen_curve:P-256"), "rsa": ("RSA", "rsa_keygen_bits:2048"),
        "small": ("RSA", "rsa_keygen_bits:1024")}

CONFIG = """
[req]
distinguished_name = none
[none]
[ca]
default_ca = own
[own]
database = index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = policy
string_mask = utf8only
x509_extensions = extensions
[policy]
organizationName = optional
commonName = supplied
[extensions]
basicConstraints = critical, CA:{ca}
{names}
"""


def openssl(*arguments, **more):
    done = subprocess.run(["openssl", *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=LIMIT, check=False, **more)
    if done.returncode:
        raise AssertionError(f"openssl {arguments}: {done.stdout.decode(errors='replace')}")
    return done.stdout


def new_key(path, kind):
    algorithm, option = KEYS[kind]
    openssl("genpkey", "-algorithm", algorithm, "-pkeyopt", option, "-out", path)


def day(days):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return at.strftime("%Y%m%d%H%M%SZ")


def general_name(host):
    return ("IP:" if re.fullmatch(r"[\d.]+", host) else "DNS:") + host


def make(folder, name, kind="ec", names=(), subject=None, issuer=None, ca=False, begins=-1, ends=30, password=None):
    """Writes FOLDER/NAME.pem, with the issuer's file behind it, and FOLDER/NAME.key."""
    pair = Pair(pathlib.Path(folder, f"{name}.pem").resolve(), pathlib.Path(folder, f"{name}.key").resolve())
    new_key(pair.key, kind)
    with tempfile.TemporaryDirectory() as work:
        san = "subjectAltName = " + ", ".join(map(general_name, names)) if names else ""
        pathlib.Path(work, "config").write_text(CONFIG.format(ca="TRUE" if ca else "FALSE", names=san))
        pathlib.Path(work, "index").touch()
        openssl("req", "-new", "-utf8", "-config", "config", "-key", pair.key, "-out", "request",
                "-subj", subject or f"/CN={names[0] if names else name}", cwd=work)
        signer = ("-cert", issuer.cert, "-keyfile", issuer.key) if issuer else ("-selfsign", "-keyfile", pair.key)
        openssl("ca", "-batch", "-config", "config", "-in", "request", "-out", "made", "-notext", *signer,
                "-startdate", day(begins), "-enddate", day(ends), cwd=work)
        pair.cert.write_bytes(pathlib.Path(work, "made").read_bytes() + (issuer.cert.read_bytes() if issuer else b""))
    if password:
        encrypted = openssl("pkey", "-in", pair.key, "-aes128", "-passout", f"pass:{password}")
        pair.key.write_bytes(encrypted)
    return pair


def client_context():
    """A client's, the same with every Python: by Debian's default a cut connection seems to have ended well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options &= ~OP_IGNORE_UNEXPECTED_EOF
    return context


def put(certdir, host, pair):
    """The pair where certbot's live/ would have it."""
    folder = pathlib.Path(certdir, host)
    folder.mkdir(parents=True)
    (folder / "fullchain.pem").write_bytes(pair.cert.read_bytes())
    (folder / "privkey.pem").write_bytes(pair.key.read_bytes())
    return folder
