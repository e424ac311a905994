"""Hosts that give addresses to anybody: two people there have nothing in common. Pure.

Known by their own label under whichever country (`hotmail.fr`, `yahoo.co.jp`), or as a whole. One that is missing here must
still have shown that a mail is its own before it counts; one too many only costs a ticket more.
"""

from __future__ import annotations

_OWN_LABELS = """
    126 163 aim alice aliyun aol arcor att bellsouth bezeqint bigmir bigpond bk blueyonder bluewin bol btinternet charter
    comcast cox daum earthlink email fastmail foxmail freemail freenet gmail gmx googlemail hanmail hetnet home hotmail hush
    hushmail icloud inbox interia internode juno kpnmail laposte libero live mac mail mailbox mailfence maktoob me meta mindspring
    msn mynet nana nate naver netcourrier netvision netzero ntlworld o2 onet online op optonline optusnet orange outlook planet pm
    posteo post proton protonmail qq rambler rediffmail riseup rocketmail rogers sapo sbcglobal seznam sfr shaw sina skynet sky
    sohu spray sympatico t-online talktalk telefonica telenet telia terra tin tiscali tuta tutamail tutanota uol verizon
    videotron virgilio virginmedia voila walla wanadoo windstream wp xs4all yahoo yandex yeah ymail zahav ziggo zoho
    """
_WHOLE = """
    012.net.il 013.net 013net.net 015.net.il actcom.co.il bredband.net centrum.cz chello.at chello.nl clix.pt comhem.se email.cz
    free.fr globo.com googlegroups.com i.ua ig.com.br iol.it iol.pt k.ro list.ru neuf.fr numericable.fr poczta.fm rcs-rds.ro
    groups.io romtelecom.ro smile.net.il tlen.pl ukr.net volny.cz web.de yopmail.com zonnet.nl
    """
_LABELS, _HOSTS = frozenset(_OWN_LABELS.split()), frozenset(_WHOLE.split())
_KINDS = frozenset({"ac", "co", "com", "edu", "gov", "ne", "net", "or", "org"})  # `co.uk`, `com.br`: a country's own


def is_shared(host: str) -> bool:
    """Whether strangers have addresses at this host (lower-case, IDNA)."""
    labels = host.split(".")[:-1]
    if len(labels) > 1 and labels[-1] in _KINDS:
        labels.pop()
    return host in _HOSTS or (bool(labels) and labels[-1] in _LABELS)
