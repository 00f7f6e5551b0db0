"""An RFC 3161 timestamp service as a witness of seals: signed tokens over their hashes, in a folder."""

from __future__ import annotations

import base64
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from typing_extensions import override

from tradebook.config.witnesses import WitnessUrl
from tradebook.domain.errors import ExtraNotInstalled, WitnessFailed
from tradebook.operations.witnesses.lines import failures, folder_of, require_folder
from tradebook.operations.witnesses.locks import flush_folder
from tradebook.service_layer.ports.witnesses import Witness, WitnessedSeal

if TYPE_CHECKING:
    from rfc3161_client import TimeStampRequest, TimeStampResponse

_TIMEOUT: Final = 20
"""Seconds."""
_LARGEST: Final = 1 << 20
"""Bytes of a token; those of public services have some 6,000."""
_TOKEN: Final = re.compile(r"([0-9]{10})-([0-9a-f]{64})\.tsr")


class TimestampWitness(Witness):
    """Tokens `FOLDER/BOOK/ACCOUNT/NUMBER-HASH.tsr`, each over the last seal of an append.

    Since each seal has the hash of the one before, a token proves that all seals up to it existed at its time.
    """

    def __init__(self, url: WitnessUrl) -> None:
        """Load the library; the authority's certificates are read for each call."""
        try:
            import cryptography.x509
            import rfc3161_client
        except ImportError:
            raise ExtraNotInstalled("rfc3161", "rfc3161-client") from None
        self._library, self._x509 = rfc3161_client, cryptography.x509
        self.name, self._book = url.shown, url.book
        self._url, self._headers = _without_password(str(url.place))
        self._folder, self._ca = Path(url.parameters["folder"]), Path(url.parameters["ca"])

    @override
    def last(self, account: str) -> WitnessedSeal | None:
        tokens = self._tokens(account)
        return self._verified(tokens[-1]) if tokens else None

    @override
    def read(self, account: str) -> dict[int, WitnessedSeal]:
        return {seal.number: seal for seal in map(self._verified, self._tokens(account))}

    @override
    def append(self, account: str, entries: Sequence[Mapping[str, Any]]) -> None:
        if not entries:
            return
        number, hash_ = entries[-1]["number"], entries[-1]["hash"]
        request = (
            self._library.TimestampRequestBuilder()
            .data(hash_.encode())
            .hash_algorithm(self._library.base.HashAlgorithm.SHA256)
            .build()
        )
        with failures(self.name, (OSError, ValueError, HTTPException)):
            answer = self._answer(request)
            try:
                self._verify(answer, hash_, request)
            except self._library.VerificationError as error:
                raise WitnessFailed(
                    f"{self.name} answered without a valid token: {_reason(error)}"
                ) from None
            folder = self._folder / folder_of(self._book, account)
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / f"{number:010}-{hash_}.tsr", answer.as_bytes())

    def _answer(self, request: TimeStampRequest) -> TimeStampResponse:
        headers = {"Content-Type": "application/timestamp-query", **self._headers}
        query = Request(self._url, request.as_bytes(), headers)  # noqa: S310  # http or https by its setting
        with urlopen(query, timeout=_TIMEOUT) as response:  # noqa: S310
            content = response.read(_LARGEST)
        return self._library.decode_timestamp_response(content)

    def _tokens(self, account: str) -> list[Path]:
        require_folder(self.name, self._folder)
        folder = self._folder / folder_of(self._book, account)
        with failures(self.name):
            return sorted(path for path in folder.glob("*.tsr") if _TOKEN.fullmatch(path.name))

    def _verified(self, token: Path) -> WitnessedSeal:
        """Verify a token's signature, certificate, time and imprint; return the seal that it proves."""
        found = _TOKEN.fullmatch(token.name)
        assert found is not None
        with failures(self.name):
            content = token.read_bytes()
        try:
            answer = self._library.decode_timestamp_response(content)
            self._verify(answer, found[2])
        except (ValueError, self._library.VerificationError) as error:
            what = f"the token {token} is not valid: {_reason(error)}"
            raise WitnessFailed(f"{self.name}: {what}", is_altered=True) from None
        return WitnessedSeal(int(found[1]), found[2], answer.tst_info.gen_time, is_certified=True)

    def _verify(
        self, answer: TimeStampResponse, hash_: str, request: TimeStampRequest | None = None
    ) -> None:
        builder = (
            self._library.VerifierBuilder()
            if request is None
            else self._library.VerifierBuilder.from_request(request)
        )
        with failures(self.name):
            authority = self._ca.read_bytes()
        try:
            certificates = self._x509.load_pem_x509_certificates(authority)
        except ValueError:
            raise WitnessFailed(f"{self.name}: {self._ca} holds no PEM certificates") from None
        for certificate in certificates:
            builder = builder.add_root_certificate(certificate)
        builder.build().verify_message(answer, hash_.encode())


def _without_password(url: str) -> tuple[str, dict[str, str]]:
    """Split a URL from its user and password, which become a header."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, {}
    userinfo = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    host = parts.netloc.rpartition("@")[2]
    encoded = base64.b64encode(userinfo.encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {encoded}"}


def _reason(error: Exception) -> str:
    """Return the reason without the stack of OpenSSL's errors."""
    text = str(error)
    found = re.search(r'Verify error: ([^"]+)', text)
    return found[1] if found else text.partition(": ErrorStack")[0]


def _write(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all."""
    descriptor, new = tempfile.mkstemp(dir=path.parent)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    flush_folder(path.parent)
