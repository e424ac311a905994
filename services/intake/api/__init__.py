"""The HTTP edge: parse, call, answer. `contacts.py` connectors, `twilio.py` webhooks, `forms.py` forms and status pages,
`admin.py` inboxes, raw payloads and forgetting.
"""
