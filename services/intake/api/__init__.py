"""The HTTP edge: parse, call, answer. `contacts.py` connectors, `twilio.py` webhooks, `forms.py` forms, `status.py` status pages,
`admin.py` inboxes, raw payloads and forgetting.
"""
