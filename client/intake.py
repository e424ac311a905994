"""Intake: contacts, customers with their orders, files, and what is set up for what comes in.

Methods are named as the operations of docs/generated/openapi-intake.json. All raise ProblemError and NoAnswer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from .exchange import Answer
from .intake_public import IntakePublic
from .intake_settings import (
    FileLink,
    InboxBody,
    InboxShown,
    SpamRuleBody,
    SpamRuleShown,
    SpamRulesShown,
    SurveyBody,
    Surveys,
    SurveyShown,
    Uploaded,
    WordListBody,
    WordLists,
    WordListShown,
)
from .intake_types import (
    Accepted,
    AnswerBody,
    ByHand,
    ByHandBody,
    ContactBody,
    ContactResults,
    CustomerBody,
    CustomerShown,
    CustomersShown,
    Erased,
    JoinedBody,
    LeftBody,
    Listed,
    MergeBody,
    Merged,
    MessageText,
    Noted,
    OrderBody,
    OrderShown,
    OrdersShown,
    RenewedBody,
    Results,
    SuggestionsShown,
)
from .service import at


class Intake(IntakePublic):
    """The customers' side. `if_match` is the version that is edited; left out, where there is none yet.

    A customer's `ref` is an id, or `external:…`, `email:…`, `phone:…`.
    """

    @overload
    async def post_contacts(self, body: ContactBody, idempotency_key: str | None = None) -> Accepted: ...

    @overload
    async def post_contacts(self, body: Sequence[ContactBody], idempotency_key: str | None = None) -> ContactResults: ...

    async def post_contacts(
        self, body: ContactBody | Sequence[ContactBody], idempotency_key: str | None = None
    ) -> Accepted | ContactResults:
        """Take one contact, or several with a result for each."""
        if isinstance(body, dict):
            return await self._post(Accepted, "/v1/contacts", body, idempotency_key)
        return await self._post(ContactResults, "/v1/contacts", body, idempotency_key)

    async def list_customers(self, cursor: str | None = None, limit: int | None = None) -> CustomersShown:
        """All customers by id, without those who were merged or erased."""
        return await self._get(CustomersShown, at("/v1/customers", cursor=cursor, limit=limit))

    async def put_customers(self, body: Sequence[Listed]) -> Results:
        """Write up to 500 records over what is there; each has a result of its own."""
        return await self._post_once(Results, "/v1/customers", body)

    async def get_customer(self, ref: str) -> CustomerShown:
        """A customer under the id that stays."""
        return await self._get(CustomerShown, at("/v1/customers/{}", ref))

    async def put_customer(self, ref: str, body: CustomerBody, if_match: int | None = None) -> CustomerShown:
        """Make or change a customer's record. Version 0, which nobody filled, needs no `if_match`."""
        return await self._put(CustomerShown, at("/v1/customers/{}", ref), body, if_match)

    async def customer_by_hand(self, body: ByHandBody, idempotency_key: str | None = None) -> ByHand:
        """Make a customer of somebody whom nobody knows, for a ticket by hand. What is typed in of them is claimed."""
        return await self._post(ByHand, "/v1/customers/by-hand", body, idempotency_key)

    async def erase_customer(self, customer_id: str) -> Erased:
        """Forget a person under all ids."""
        return await self._post_once(Erased, at("/v1/customers/{}/erase", customer_id))

    async def delete_handle(self, ref: str, handle_id: str) -> None:
        """Take a handle from a customer."""
        await self._delete(at("/v1/customers/{}/handles/{}", ref, handle_id))

    async def customer_joined(self, ref: str, body: JoinedBody, idempotency_key: str | None = None) -> Noted:
        """They became a paying customer."""
        return await self._post(Noted, at("/v1/customers/{}/joined", ref), body, idempotency_key)

    async def customer_left(self, ref: str, body: LeftBody, idempotency_key: str | None = None) -> Noted:
        """They are no longer a paying customer."""
        return await self._post(Noted, at("/v1/customers/{}/left", ref), body, idempotency_key)

    async def customer_renewed(self, ref: str, body: RenewedBody, idempotency_key: str | None = None) -> Noted:
        """They stayed for another term."""
        return await self._post(Noted, at("/v1/customers/{}/renewed", ref), body, idempotency_key)

    async def merge_customer(self, ref: str, body: MergeBody, idempotency_key: str | None = None) -> Merged:
        """Let this customer go on as another."""
        return await self._post(Merged, at("/v1/customers/{}/merge", ref), body, idempotency_key)

    async def unmerge_customer(self, ref: str, idempotency_key: str | None = None) -> Merged:
        """Undo the merge of this customer, named by its own id."""
        return await self._post(Merged, at("/v1/customers/{}/unmerge", ref), None, idempotency_key)

    async def list_suggestions(self, ref: str) -> SuggestionsShown:
        """Who may be the same person."""
        return await self._get(SuggestionsShown, at("/v1/customers/{}/suggestions", ref))

    async def answer_suggestion(self, ref: str, other_id: str, body: AnswerBody, idempotency_key: str | None = None) -> Merged:
        """Accept a suggestion, or dismiss it."""
        return await self._post(Merged, at("/v1/customers/{}/suggestions/{}", ref, other_id), body, idempotency_key)

    async def list_orders(self, ref: str, cursor: str | None = None, limit: int | None = None) -> OrdersShown:
        """A customer's orders by id."""
        return await self._get(OrdersShown, at("/v1/customers/{}/orders", ref, cursor=cursor, limit=limit))

    async def get_order(self, ref: str, order_id: str) -> OrderShown:
        """An order."""
        return await self._get(OrderShown, at("/v1/customers/{}/orders/{}", ref, order_id))

    async def put_order(self, ref: str, order_id: str, body: OrderBody, if_match: int | None = None) -> OrderShown:
        """An order as it stands now."""
        return await self._put(OrderShown, at("/v1/customers/{}/orders/{}", ref, order_id), body, if_match)

    async def get_inbox(self, inbox_id: str) -> InboxShown:
        """An inbox as it is now."""
        return await self._get(InboxShown, at("/v1/inboxes/{}", inbox_id))

    async def put_inbox(self, inbox_id: str, body: InboxBody, if_match: int | None = None) -> InboxShown:
        """Make or change an inbox."""
        return await self._put(InboxShown, at("/v1/inboxes/{}", inbox_id), body, if_match)

    async def list_spam_rules(self) -> SpamRulesShown:
        """All rules in force."""
        return await self._get(SpamRulesShown, "/v1/spam-rules")

    async def get_spam_rule(self, rule_id: str) -> SpamRuleShown:
        """A rule as it is now."""
        return await self._get(SpamRuleShown, at("/v1/spam-rules/{}", rule_id))

    async def put_spam_rule(self, rule_id: str, body: SpamRuleBody, if_match: int | None = None) -> SpamRuleShown:
        """Make or change a rule."""
        return await self._put(SpamRuleShown, at("/v1/spam-rules/{}", rule_id), body, if_match)

    async def delete_spam_rule(self, rule_id: str, if_match: int) -> None:
        """Take a rule out of force."""
        await self._delete(at("/v1/spam-rules/{}", rule_id), if_match)

    async def list_surveys(self) -> Surveys:
        """All questions in force."""
        return await self._get(Surveys, "/v1/surveys")

    async def get_survey(self, survey_id: str) -> SurveyShown:
        """A question as it is now."""
        return await self._get(SurveyShown, at("/v1/surveys/{}", survey_id))

    async def put_survey(self, survey_id: str, body: SurveyBody, if_match: int | None = None) -> SurveyShown:
        """Make or change a question."""
        return await self._put(SurveyShown, at("/v1/surveys/{}", survey_id), body, if_match)

    async def delete_survey(self, survey_id: str, if_match: int) -> None:
        """Ask this no more."""
        await self._delete(at("/v1/surveys/{}", survey_id), if_match)

    async def list_word_lists(self) -> WordLists:
        """All word lists in force."""
        return await self._get(WordLists, "/v1/word-lists")

    async def get_word_list(self, list_id: str) -> WordListShown:
        """A word list as it is now."""
        return await self._get(WordListShown, at("/v1/word-lists/{}", list_id))

    async def put_word_list(self, list_id: str, body: WordListBody, if_match: int | None = None) -> WordListShown:
        """Make or change a word list."""
        return await self._put(WordListShown, at("/v1/word-lists/{}", list_id), body, if_match)

    async def delete_word_list(self, list_id: str, if_match: int) -> None:
        """Take a word list out of force."""
        await self._delete(at("/v1/word-lists/{}", list_id), if_match)

    async def upload_file(
        self,
        content: bytes,
        name: str | None = None,
        content_type: str = "application/octet-stream",
        idempotency_key: str | None = None,
    ) -> Uploaded:
        """Keep a file, to be named in a reply within a day."""
        return await self._post_file(Uploaded, at("/v1/uploads", name=name), content, content_type, idempotency_key)

    async def get_attachment(self, attachment_id: str) -> Answer:
        """The content of a file that came with a message."""
        return await self._fetched(at("/v1/attachments/{}", attachment_id))

    async def link_attachment(self, attachment_id: str) -> FileLink:
        """A signed link to the file for a browser, which brings no key."""
        return await self._post_once(FileLink, at("/v1/attachments/{}/link", attachment_id))

    async def get_message_html(self, message_id: str) -> Answer:
        """The HTML of a mail, made safe."""
        return await self._fetched(at("/v1/messages/{}/html", message_id))

    async def get_message_text(self, message_id: str) -> MessageText:
        """All of the text of a message, and what stood around it."""
        return await self._get(MessageText, at("/v1/messages/{}/text", message_id))

    async def get_raw_message(self, message_id: str) -> Answer:
        """A message as it came, byte for byte."""
        return await self._fetched(at("/v1/messages/{}/raw", message_id))
