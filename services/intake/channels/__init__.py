"""One file a channel: verify, parse (pure: request → contact), send. `mime.py`, `html_text.py`, `language.py` serve several."""
