"""The body of a task message: what the task is called with, and what is to follow it (WIRE.md section 1)."""

from __future__ import annotations

import bz2
import json
import lzma
import zlib
from binascii import a2b_base64
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from qtool.engine.codec import MAX_PAYLOAD
from qtool.engine.job import NOTHING
from qtool.engine.value import Value
from qtool.errors import ContentRefused, Undecodable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EMPTY_EMBED = '{"callbacks":null,"errbacks":null,"chain":null,"chord":null}'
"""What follows a job of ours: nothing."""

_EMPTY = (EMPTY_EMBED.encode(), EMPTY_EMBED.replace(":", ": ").replace(",", ", ").encode(), b"{}", b"null")

MAX_UNPACKED = 4 * MAX_PAYLOAD
"""Bytes that a compressed body may unpack to."""


class Body(Value):
    """Its text parts; each is JSON in ASCII or UTF-8."""

    text: str
    """``[args, kwargs]``"""
    embed_text: str = EMPTY_EMBED
    """What is to follow: ``{"callbacks": …, "errbacks": …, "chain": …, "chord": …}``."""

    @property
    def whole(self) -> str:
        """All three parts, as they are in a message; two where nothing is to follow."""
        return self.text if self.embed_text is EMPTY_EMBED else f"{self.text[:-1]},{self.embed_text}]"

    @property
    def embed(self) -> Mapping[str, Any]:
        """What is to follow, decoded; empty when nothing is."""
        return NOTHING if self.embed_text is EMPTY_EMBED else json.loads(self.embed_text)


def read_body(
    envelope: Mapping[str, Any], properties: Mapping[str, Any], headers: dict[str, Any]
) -> tuple[Body, dict[str, Any]]:
    """The body of an envelope, and the headers, which a message of version 1 has in its body.

    Raises Undecodable; ContentRefused for other content than JSON.
    """
    kind = envelope.get("content-type")
    if kind is not None and (not isinstance(kind, str) or kind.partition(";")[0].strip().lower() != "application/json"):
        raise ContentRefused(what="message", why=f"its content is {kind!r}, and only JSON is decoded")
    body = plain(envelope, properties, headers)
    if body[:1] == b"{" or body.lstrip()[:1] == b"{":
        return _first_version(body, headers)
    return _second_version(body), headers


def plain(envelope: Mapping[str, Any], properties: Mapping[str, Any], headers: Mapping[str, Any]) -> bytes:
    """The body as UTF-8, out of its wrapping."""
    body = envelope.get("body")
    if not isinstance(body, str) or not body:
        raise Undecodable(what="body", why="there is none")
    encoding = properties.get("body_encoding")
    if encoding == "base64":
        try:
            data = a2b_base64(body)
        except ValueError as error:
            raise Undecodable(what="body", why=str(error)) from None
    elif encoding is None or str(encoding).lower() == "utf-8":
        data = body.encode("utf-8", "surrogatepass")
    else:
        raise Undecodable(what="body", why=f"it is wrapped as {encoding!r}")
    if (packed := headers.get("compression")) is not None:
        data = unpacked(data, packed)
    charset = envelope.get("content-encoding") or "utf-8"
    if charset not in ("utf-8", "us-ascii", "ascii"):
        try:
            data = data.decode(charset).encode()
        except (LookupError, TypeError, UnicodeError) as error:
            raise Undecodable(what="body", why=str(error)) from None
    return data


def unpacked(data: bytes, packing: object, what: str = "body") -> bytes:
    """The content in a packing that kombu names: its ``application/x-gzip`` is zlib's own format; gzip's is read, too.

    Raises Undecodable.
    """
    makers: dict[object, Callable[[], Any]] = {
        "application/x-gzip": lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 32),
        "application/x-bz2": bz2.BZ2Decompressor,
        "application/x-lzma": lzma.LZMADecompressor,
    }
    try:
        unpacker = makers[packing]()
    except (KeyError, TypeError):
        raise Undecodable(what=what, why=f"it is packed as {packing!r}") from None
    try:
        plain: bytes = unpacker.decompress(data, MAX_UNPACKED)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise Undecodable(what=what, why=f"it does not unpack: {error}") from None
    if not unpacker.eof:
        why = "the end is missing" if len(plain) < MAX_UNPACKED else f"it has more than {MAX_UNPACKED} bytes"
        raise Undecodable(what=what, why=f"it does not unpack: {why}")
    return plain


def _second_version(body: bytes) -> Body:
    """``[args, kwargs, embed]``, taken apart without looking into its parts."""
    try:
        args, kwargs, embed = (bytes(part) for part in _parts()(body))
        text = f"[{args.decode()},{kwargs.decode()}]"
    except (ValueError, RecursionError):
        return _in_full(body)
    if args[:1] != b"[" or kwargs[:1] != b"{":
        raise Undecodable(what="body", why="it is not [args, kwargs, embed]")
    if embed in _EMPTY:
        return Body(text)
    if embed[:1] != b"{":
        raise Undecodable(what="body", why="its third part is not an object")
    return Body(text, embed.decode())


def _in_full(body: bytes) -> Body:
    """What the quick reader does not take: lone surrogates and NaN; or what is no body at all."""
    try:
        whole = json.loads(body)
        if type(whole) is not list or len(whole) != 3:
            raise ValueError("it is not [args, kwargs, embed]")
        return _body(*whole)
    except (ValueError, RecursionError) as error:
        raise Undecodable(what="body", why=str(error) or type(error).__name__) from None


def _body(args: object, kwargs: object, embed: object) -> Body:
    if type(args) is not list or type(kwargs) is not dict:
        raise ValueError("it is not [args, kwargs, embed]")
    if embed is not None and type(embed) is not dict:
        raise ValueError("its third part is not an object")
    text = json.dumps([args, kwargs], separators=(",", ":"))
    if not embed or not any(embed.values()):
        return Body(text)
    return Body(text, json.dumps(embed, separators=(",", ":")))


@lru_cache(maxsize=1)
def _parts() -> Callable[[bytes], tuple[Any, Any, Any]]:
    import msgspec

    return msgspec.json.Decoder(tuple[msgspec.Raw, msgspec.Raw, msgspec.Raw]).decode


_HEADERS = ("task", "id", "eta", "expires", "retries", "timelimit", "group_index")


def _first_version(body: bytes, headers: dict[str, Any]) -> tuple[Body, dict[str, Any]]:
    """Version 1: an object with everything in it; also under the headers of version 2, which are right then."""
    try:
        whole = json.loads(body)
        said = {name: whole[name] for name in _HEADERS if name in whole}
        said["group"] = whole.get("group") or whole.get("taskset")
        said["root_id"] = whole.get("root_id") or whole.get("id")
        embed = {name: whole.get(name) for name in ("callbacks", "errbacks", "chord")} | {"chain": None}
        return _body(whole.get("args") or [], whole.get("kwargs") or {}, embed), said | headers
    except (ValueError, RecursionError) as error:
        raise Undecodable(what="body", why=str(error) or type(error).__name__) from None
