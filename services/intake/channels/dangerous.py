"""Files that do something when they are opened: marked, never refused, for a customer may have to send one.

By what the name ends in, by what it hides (right-to-left override, blanks before the true ending), by the media type that is
said, by how the content begins, and by macros and passwords inside documents and archives, which no scanner can look behind.
"""

from __future__ import annotations

import re

# What Windows, macOS and Linux run, script hosts and installers read, and what carries scripts into a browser.
_ENDINGS = frozenset(
    """
    ade adp apk app appimage appinstaller appx appxbundle application asp aspx bas bat bin chm cmd com command cpl
    crt csh deb dll dmg drv elf exe fxp gadget hlp hta htm html img inf ins iqy iso isp its jar jnlp js jse ksh
    lnk mad maf mag mam maq mar mas mat mau mav maw mda mdb mde mdt mdw mdz mht mhtml msc msh msh1 msh2 msi msix
    msp mst msu one ops osd pcd php pif pkg pl plg prf prg ps1 ps1xml ps2 psc1 psc2 pst py pyc pyw rb reg rpm run
    scf scpt scr sct settingcontent-ms sh shb shs shtml slk svg swf sys tmp udl url vb vbe vbp vbs vhd vhdx
    vsmacros vsw vxd wasm website ws wsc wsf wsh xbap xht xhtml xll xnk docm dotm xlsm xltm xlam xlsb pptm potm
    ppam ppsm sldm
    """.split()  # noqa: SIM905
)
_TYPES = re.compile(
    r"application/(?:x-(?:ms(?:download|dos-program|i)|executable|sharedlib|sh|csh|perl|python|php|javascript|java-archive|bat|elf"
    r"|mach-binary|dosexec|apple-diskimage|iso9660-image|shockwave-flash)|javascript|java-archive|hta|vnd\.microsoft\.portable-executable"
    r"|vnd\.android\.package-archive|vnd\.ms-[a-z.-]+\.macroenabled(?:\.12)?|xhtml\+xml)"
    r"|text/(?:html|javascript|vbscript|x-(?:sh|python|perl)(?:ellscript)?)|image/svg\+xml",
    re.IGNORECASE,
)
_BEGINNINGS = (
    b"MZ",  # Windows programs
    b"\x7fELF",
    b"\xfe\xed\xfa\xce",  # Mach-O, with either order of bytes
    b"\xfe\xed\xfa\xcf",
    b"\xce\xfa\xed\xfe",
    b"\xcf\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",  # Java classes, and Mach-O for several processors
    b"#!",
    b"L\x00\x00\x00\x01\x14\x02\x00",  # Windows shortcuts
    b"ITSF",  # compiled help
    b"\x00asm",
    b"CWS",
    b"FWS",
    b"xar!",
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MACROS = (b"_\0V\0B\0A\0_\0P\0R\0O\0J\0E\0C\0T\0", b"V\0B\0A\0", b"Attribut\x00e VB_")
_OVERRIDES = re.compile(r"[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")
_ZIP_ENTRY = re.compile(rb"PK\x03\x04..(.)", re.DOTALL)  # the low byte of the flags; bit 0: encrypted
_BLANKS = re.compile(r"[\s.]{3,}")
LOOKED_THROUGH = 30_000_000  # bytes


def is_dangerous(name: str, media_type: str, content: bytes) -> bool:
    """Whether a file of this name and type, with this content, does more than show itself."""
    return _by_name(name) or bool(_TYPES.fullmatch(media_type)) or _by_content(content[:LOOKED_THROUGH])


def _by_name(name: str) -> bool:
    if not name:
        return False
    plain = _OVERRIDES.sub("", name)
    if "\u202e" in name or "\u202d" in name:  # "cod\u202Efdp.exe" is shown as "codexe.pdf"
        return True
    last = plain.rstrip(" .\u00a0").rpartition(".")[2].strip().lower()  # Windows drops dots and blanks at the end
    hidden = "." in plain and _BLANKS.search(plain.rpartition(".")[0]) is not None and len(plain) > 40
    return ("." in plain and last in _ENDINGS) or hidden


def _by_content(content: bytes) -> bool:
    if content.startswith(_BEGINNINGS):
        return True
    if content.startswith(_OLE):
        return any(mark in content for mark in _MACROS) or b"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0" in content
    if content.startswith(b"PK\x03\x04"):
        return b"vbaProject.bin" in content or any(entry[1][0] & 1 for entry in _ZIP_ENTRY.finditer(content))
    if content.startswith(b"Rar!\x1a\x07"):
        return _encrypted_rar(content)
    if content.startswith(b"7z\xbc\xaf\x27\x1c"):
        return b"\x06\xf1\x07\x01" in content  # the coder AES-256; where names are hidden too, it stands in the header
    return False


def _encrypted_rar(content: bytes) -> bool:
    """RAR 4: the header's or the first file's flags. RAR 5: an encryption header, or an encryption record of the first file."""
    if content.startswith(b"Rar!\x1a\x07\x00"):
        return len(content) > 23 and (bool(content[10] & 0x80) or (content[22:23] == b"\x74" and bool(content[23] & 0x04)))
    return len(content) > 30 and content[13:14] == b"\x04"
