"""Who may call what: every operation of every service, written down once more by hand. A new route has to be added here."""

from __future__ import annotations

from collections.abc import Mapping

# Nobody is asked for a key: whoever calls brings a signature, a signed link, a code, or a password instead, or may be anybody.
OPEN: frozenset[str] = frozenset()

ADMIN = frozenset({"admin"})
SUPERVISOR = ADMIN | {"supervisor", "session of a supervisor"}
OPERATIONS = SUPERVISOR | {"operations"}
CHANNELS = ADMIN | {"channels", "identifying channels"}
AGENTS = SUPERVISOR | {"agent", "session of an agent"}
WORKERS = AGENTS | {"partner agent"}
PARTNER = frozenset({"partner", "session of a partner"})
READERS = WORKERS | PARTNER
EVERYBODY = READERS | OPERATIONS | CHANNELS | {"nothing"}

ROUTING: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("put_queue", "put_team", "put_skill", "put_agent", "put_rule", "put_config"), ADMIN),
    **dict.fromkeys(("put_person", "get_person", "list_people"), ADMIN),
    **dict.fromkeys(("get_config", "list_config_versions", "get_config_version"), OPERATIONS),
    **dict.fromkeys(("get_skill", "list_skills", "get_rule", "list_rules"), OPERATIONS),
    **dict.fromkeys(("get_queue", "get_team", "list_queues", "list_teams", "list_agents"), OPERATIONS | PARTNER),
    "get_queue_waits": OPERATIONS | PARTNER,
    "get_ticket_wait": OPERATIONS | READERS,
    **dict.fromkeys(("get_agent", "list_offers", "list_agent_tickets", "get_ticket"), READERS),
    "list_tickets": SUPERVISOR | PARTNER,
    "list_decisions": AGENTS,
    **dict.fromkeys(("open_ticket", "merge_ticket", "unmerge_ticket", "split_ticket", "link_ticket"), WORKERS),
    **dict.fromkeys(("take_ticket", "transfer_ticket", "accept_transfer", "decline_transfer", "withdraw_transfer"), WORKERS),
    **dict.fromkeys(("escalate_ticket", "call_back_later", "complete_wrap_up", "list_agent_tasks"), WORKERS),
    **dict.fromkeys(("consult_expert", "answer_consult", "end_consult"), WORKERS),
    "assign_ticket": SUPERVISOR,
    "bulk_tickets": WORKERS,
    **dict.fromkeys(("change_agent_state", "stream_agent", "accept_offer", "decline_offer"), WORKERS),
    **dict.fromkeys(("reply_to_ticket", "note_on_ticket", "resolve_ticket", "pend_ticket", "hold_ticket"), WORKERS),
    **dict.fromkeys(("reopen_ticket", "release_ticket", "close_ticket"), WORKERS),
    **dict.fromkeys(("edit_ticket", "attend_ticket", "list_attending", "leave_ticket"), WORKERS),
    **dict.fromkeys(("put_draft", "get_draft", "delete_draft", "list_drafts"), WORKERS),
    **dict.fromkeys(("put_canned_response", "delete_canned_response"), SUPERVISOR),
    **dict.fromkeys(("get_canned_response", "list_canned_responses", "fill_in_canned_response"), WORKERS),
    **dict.fromkeys(("mark_ticket_as_spam", "unmark_ticket_as_spam"), WORKERS),
    **dict.fromkeys(("who_am_i", "sign_out", "change_password"), EVERYBODY),
    **dict.fromkeys(("sign_in", "start_oidc", "finish_oidc"), OPEN),
}
INTAKE: Mapping[str, frozenset[str]] = {
    "post_contacts": CHANNELS,
    **dict.fromkeys(("put_inbox", "get_inbox", "get_raw_message", "erase_customer"), ADMIN),
    **dict.fromkeys(("put_survey", "delete_survey", "get_survey", "list_surveys"), ADMIN),
    **dict.fromkeys(("put_word_list", "delete_word_list", "get_word_list", "list_word_lists"), ADMIN),
    **dict.fromkeys(("put_spam_rule", "delete_spam_rule", "get_spam_rule", "list_spam_rules"), ADMIN),
    **dict.fromkeys(("get_attachment", "link_attachment", "get_message_html", "get_message_text"), READERS),
    "upload_file": WORKERS,
    **dict.fromkeys(("put_customer", "put_customers", "delete_handle", "list_customers"), CHANNELS | SUPERVISOR),
    **dict.fromkeys(("customer_joined", "customer_renewed", "customer_left", "put_order"), CHANNELS | SUPERVISOR),
    **dict.fromkeys(("get_customer", "list_orders", "get_order"), CHANNELS | READERS),
    **dict.fromkeys(("merge_customer", "unmerge_customer"), SUPERVISOR),
    "list_suggestions": CHANNELS | AGENTS,
    **dict.fromkeys(("answer_suggestion", "customer_by_hand"), AGENTS),
    **dict.fromkeys(("get_file", "ticket_status", "show_survey", "answer_survey"), OPEN),
    **dict.fromkeys(("form_token", "submit_form", "show_form"), OPEN),
    **dict.fromkeys(("twilio_sms_received", "twilio_sms_status", "twilio_call_received", "twilio_call_status"), OPEN),
    **dict.fromkeys(("mailgun_mail_received", "mailgun_event_received", "sendgrid_mail_received"), OPEN),
    **dict.fromkeys(("sendgrid_events_received", "postmark_mail_received", "postmark_event_received"), OPEN),
    **dict.fromkeys(("ses_mail_received", "ses_event_received"), OPEN),
}
SLA: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("put_calendar", "put_policy", "remove_calendar", "remove_policy"), ADMIN),
    **dict.fromkeys(("get_calendar", "get_policy", "list_calendars", "list_policies"), OPERATIONS),
    "get_ticket_sla": OPERATIONS | READERS,
    **dict.fromkeys(("list_breaches", "list_at_risk"), OPERATIONS | PARTNER),
}
METRICS: Mapping[str, frozenset[str]] = dict.fromkeys(("list_metrics", "get_metric", "watch_live"), OPERATIONS | PARTNER)
DESK: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("list_tickets", "count_views", "search_tickets", "get_ticket", "get_timeline", "get_customer"), READERS),
    **dict.fromkeys(("list_views", "create_view", "get_view", "put_view", "delete_view"), READERS),
}
DOORS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "intake": INTAKE,
    "routing": ROUTING,
    "sla": SLA,
    "metrics": METRICS,
    "desk": DESK,
}
