"""The keys by which SeaweedFS's parts know each other, and strangers are told apart.

Made once for a data directory: a certificate and its key for every gRPC port (mutual TLS), and
a key each for the tokens that its HTTP ports ask for. The authority that signs the certificate is
thrown away at once, so no second one can ever be signed. Neither expires (RFC 5280, 4.1.2.5:
"no well-defined expiration date"): a machine that runs for years must not stop some day, nor one
whose clock is wrong. To have new ones: with nothing running, remove the folder, and start.
"""

from __future__ import annotations

import datetime
import json
import secrets
from importlib.util import find_spec
from pathlib import Path

from bagline.embedded.corner import write_private
from bagline.embedded.engine import INSTALL_REMEDY
from bagline.embedded.privacy import make_private
from bagline.errors import Misconfigured

NAME = "bagline-engines"
BEGIN = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
NO_END = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
TOKENS = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
PARTS = ("volume", "master", "filer", "s3", "msg_broker", "msg_agent", "admin", "worker", "mq")
"""The sections of SeaweedFS's security.toml that each open, or may open, a gRPC port."""
CLOSED = ("master", "filer", "admin")
"""HTTP ports that ask for the certificate."""


class Keys:
    """Files of one folder, 0600."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority = folder / "authority.crt"
        self.certificate = folder / "engines.crt"
        self.key = folder / "engines.key"
        self._tokens = folder / "tokens"

    def make(self) -> None:
        """Make what is not there, or cannot be used. Call under the startup lock.

        Raises Misconfigured where the library that makes certificates is not installed.
        """
        if find_spec("cryptography") is None:
            raise Misconfigured(f"`cryptography` is not installed. {INSTALL_REMEDY}")
        make_private(self._folder)
        if not self._are_usable():
            self._make_certificate()
        if len(self._token_keys()) != len(TOKENS):
            made = "".join(f"{secrets.token_hex(32)}\n" for _ in TOKENS)
            write_private(self._tokens, made)

    def security(self) -> str:
        """The text of security.toml; it holds the tokens' keys."""
        lines = [
            f'[{name}]\nkey = "{key}"\n'
            for name, key in zip(TOKENS, self._token_keys(), strict=True)
        ]
        lines.append(f"[grpc]\nca = {_quoted(self.authority)}\n")
        pair = f"cert = {_quoted(self.certificate)}\nkey = {_quoted(self.key)}\n"
        lines += [f'[grpc.{part}]\n{pair}allowed_commonNames = "{NAME}"\n' for part in PARTS]
        lines.append(f"[grpc.client]\n{pair}")
        # Nobody of ours asks these over HTTP. The volumes' port stays without TLS, for its speed:
        # it answers to tokens only.
        lines += [f"[https.{part}]\n{pair}ca = {_quoted(self.authority)}\n" for part in CLOSED]
        lines.append("[access]\nui = false\n[filer.expose_directory_metadata]\nenabled = false\n")
        return "\n".join(lines)

    def _token_keys(self) -> list[str]:
        try:
            found = self._tokens.read_text("ascii").split()
        except (OSError, UnicodeDecodeError):
            return []
        return found if all(len(key) == 64 for key in found) else []

    def _are_usable(self) -> bool:
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            authority = x509.load_pem_x509_certificate(self.authority.read_bytes())
            certificate = x509.load_pem_x509_certificate(self.certificate.read_bytes())
            certificate.verify_directly_issued_by(authority)
            key = load_pem_private_key(self.key.read_bytes(), None)
        except (OSError, ValueError, TypeError, InvalidSignature):
            return False
        return key.public_key() == certificate.public_key()

    def _make_certificate(self) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        def name(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        def certificate(
            subject: str, public: ec.EllipticCurvePublicKey, *, is_authority: bool
        ) -> x509.CertificateBuilder:
            return (
                x509.CertificateBuilder()
                .subject_name(name(subject))
                .issuer_name(name(f"{NAME}-authority"))
                .public_key(public)
                .serial_number(x509.random_serial_number())
                .not_valid_before(BEGIN)
                .not_valid_after(NO_END)
                .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            )

        theirs, ours = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        authority = certificate(f"{NAME}-authority", theirs.public_key(), is_authority=True).sign(
            theirs, hashes.SHA256()
        )
        signed = (
            certificate(NAME, ours.public_key(), is_authority=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .sign(theirs, hashes.SHA256())
        )
        write_private(self.authority, authority.public_bytes(Encoding.PEM).decode())
        write_private(self.certificate, signed.public_bytes(Encoding.PEM).decode())
        secret = ours.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(self.key, secret.decode())


def _quoted(path: Path) -> str:
    return json.dumps(str(path), ensure_ascii=False)  # the same escapes as in TOML
