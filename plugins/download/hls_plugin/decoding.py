"""Decryption of pieces, as they come."""

from __future__ import annotations

from plugins.shared.hls_playlist import Key, Piece
from plugins.shared.web_failures import Broken

INIT_MAX_BYTES = 16 * 1024 * 1024


class Decoder:
    """Decrypts AES-128-CBC as it comes and takes the padding off."""

    def __init__(self, key: Key, secret: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.padding import PKCS7

        self._cipher = Cipher(algorithms.AES(secret), modes.CBC(key.iv)).decryptor()
        self._padding = PKCS7(128).unpadder()

    def take(self, data: bytes) -> bytes:
        return self._padding.update(self._cipher.update(data))

    def end(self) -> bytes:
        try:
            return self._padding.update(self._cipher.finalize()) + self._padding.finalize()
        except ValueError as error:
            raise Broken("it cannot be decrypted: its end is missing, or the key is another one") from error


class InitDecoder(Decoder):
    """An initialisation section below a key is often left clear by mistake; a box at its head tells."""

    def __init__(self, key: Key, secret: bytes) -> None:
        super().__init__(key, secret)
        self._raw = bytearray()

    def take(self, data: bytes) -> bytes:
        self._raw += data
        if len(self._raw) > INIT_MAX_BYTES:
            raise Broken(f"longer than the {INIT_MAX_BYTES} bytes that an initialisation section may have")
        return b""

    def end(self) -> bytes:
        if bytes(self._raw[4:8]) in (b"ftyp", b"styp", b"moov"):
            return bytes(self._raw)
        return super().take(bytes(self._raw)) + super().end()


def decoder_for(piece: Piece, secret: bytes | None) -> Decoder | None:
    """What decrypts a piece; None for one in clear."""
    if piece.key is None or secret is None:
        return None
    return InitDecoder(piece.key, secret) if piece.is_init else Decoder(piece.key, secret)
