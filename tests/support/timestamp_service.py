"""An RFC 3161 timestamp service on this machine, which signs real tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from asn1crypto import algos, cms, core, tsp, x509
from cryptography import x509 as certificates
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

NOW = datetime.now(UTC)
POLICY = "1.2.3.4.1"


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey
) -> certificates.Certificate:
    is_authority = name == issuer
    common = certificates.NameOID.COMMON_NAME
    builder = (
        certificates.CertificateBuilder()
        .subject_name(certificates.Name([certificates.NameAttribute(common, name)]))
        .issuer_name(certificates.Name([certificates.NameAttribute(common, issuer)]))
        .public_key(key.public_key())
        .serial_number(certificates.random_serial_number())
        .not_valid_before(NOW - timedelta(days=3650))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(certificates.BasicConstraints(ca=is_authority, path_length=None), True)
    )
    if not is_authority:
        usage = certificates.ExtendedKeyUsage([certificates.ExtendedKeyUsageOID.TIME_STAMPING])
        builder = builder.add_extension(usage, True)
    return builder.sign(signer, SHA256())


class TimestampService:
    """An authority, and a service that it certified.

    Attributes:
        url: of the service, once it runs.
        behind: how far its clock is behind.
        answer: bytes that it answers instead of a token.
    """

    def __init__(self, name: str = "authority") -> None:
        authority_key, self._key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self._authority = _certificate(name, authority_key, name, authority_key)
        self._certificate = _certificate("service", self._key, name, authority_key)
        self.url = ""
        self.behind = timedelta()
        self.answer: bytes | None = None
        self.requests: list[dict[str, str]] = []

    def write_authority(self, path: Path) -> Path:
        """Write the authority's certificate, in PEM."""
        path.write_bytes(self._authority.public_bytes(Encoding.PEM))
        return path

    def respond(self, request: bytes) -> bytes:
        """Answer a request with a signed token."""
        if self.answer is not None:
            return self.answer
        asked = tsp.TimeStampReq.load(request)
        info = tsp.TSTInfo(
            {
                "version": "v1",
                "policy": POLICY,
                "message_imprint": asked["message_imprint"],
                "serial_number": 1,
                "gen_time": (datetime.now(UTC) - self.behind).replace(microsecond=0),
                "nonce": asked["nonce"],
            }
        )
        content = info.dump()
        token = cms.ContentInfo({"content_type": "signed_data", "content": self._signed(content)})
        response = {"status": {"status": "granted"}, "time_stamp_token": token}
        return bytes(tsp.TimeStampResp(response).dump())

    def _signed(self, content: bytes) -> cms.SignedData:
        der = self._certificate.public_bytes(Encoding.DER)
        certificate = x509.Certificate.load(der)
        essential = tsp.SigningCertificateV2({"certs": [{"cert_hash": sha256(der).digest()}]})
        attributes = cms.CMSAttributes(
            [
                _attribute("content_type", cms.ContentType("tst_info")),
                _attribute("message_digest", core.OctetString(sha256(content).digest())),
                _attribute("signing_certificate_v2", essential),
            ]
        )
        digest = algos.DigestAlgorithm({"algorithm": "sha256"})
        issuer = {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
        signer = cms.SignerInfo(
            {
                "version": "v1",
                "sid": cms.SignerIdentifier({"issuer_and_serial_number": issuer}),
                "digest_algorithm": digest,
                "signed_attrs": attributes,
                "signature_algorithm": {"algorithm": "sha256_ecdsa"},
                "signature": self._key.sign(attributes.dump(), ec.ECDSA(SHA256())),
            }
        )
        return cms.SignedData(
            {
                "version": "v3",
                "digest_algorithms": [digest],
                "encap_content_info": {
                    "content_type": "tst_info",
                    "content": core.ParsableOctetString(content),
                },
                "certificates": [certificate],
                "signer_infos": [signer],
            }
        )

    @contextmanager
    def running(self) -> Iterator[TimestampService]:
        """Serve requests in a thread."""
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # as the library calls it
                service.requests.append(dict(self.headers))
                answer = service.respond(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}/tsr"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _attribute(kind: str, value: Any) -> cms.CMSAttribute:
    return cms.CMSAttribute({"type": kind, "values": [value]})
