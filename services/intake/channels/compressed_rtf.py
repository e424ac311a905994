"""RTF as Outlook packs it (MS-OXRTFCP): a header, then literals and references into the last 4096 bytes, in runs of eight.

https://learn.microsoft.com/en-us/openspecs/exchange_server_protocols/ms-oxrtfcp. The checksum in the header decides nothing: as
of the rest of a winmail.dat, what is whole is read, and what is not is left.
"""

from __future__ import annotations

import struct

RAW_CAP = 2 * 2**20  # bytes that come out; what comes after so many is not read: packed, they may be an eighth

_HEADER = struct.Struct("<IIII")  # bytes that follow this number, bytes unpacked, how it is packed, checksum
_PACKED, _PLAIN = 0x75465A4C, 0x414C454D  # `LZFu`, `MELA`
_WINDOW = 4096
_LEAST = 2  # a reference says how much longer than this it is
# What the window holds before anything was read (2.1.2.1).
PREFIX = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbolArial"
    rb"Times New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n" + rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)


def unpacked(data: bytes, cap: int = RAW_CAP) -> bytes:
    """The RTF, `cap` bytes of it at most; of damaged data what comes before the damage. Never raises."""
    if len(data) < _HEADER.size:
        return b""
    size, raw_size, kind, _checksum = _HEADER.unpack_from(data)
    packed, cap = data[_HEADER.size : size + 4], min(raw_size, cap)
    if kind == _PLAIN:
        return packed[:cap]
    return _unpacked(packed, cap) if kind == _PACKED else b""


def _unpacked(packed: bytes, cap: int) -> bytes:
    out, at, enough = bytearray(PREFIX), 0, len(PREFIX) + cap
    while at < len(packed) and len(out) < enough:
        runs = packed[at]
        at += 1
        if not runs:  # eight literals
            out += packed[at : at + 8]
            at += 8
            continue
        for bit in range(8):
            if not runs >> bit & 1:
                out += packed[at : at + 1]
                at += 1
            elif not _refer(out, packed[at : at + 2]):
                return bytes(out[len(PREFIX) : enough])
            else:
                at += 2
    return bytes(out[len(PREFIX) : enough])


def _refer(out: bytearray, reference: bytes) -> bool:
    """Add what a reference means; False where the data ends, or means what was never written. It may reach into what it adds."""
    if len(reference) < 2:
        return False
    place, length = int.from_bytes(reference, "big") >> 4, (reference[1] & 0xF) + _LEAST
    back = (len(out) - place) % _WINDOW
    if not 0 < back <= len(out):
        return False
    start = len(out) - back
    seen = out[start : start + length]
    out += (seen * (length // len(seen) + 1))[:length]
    return True
