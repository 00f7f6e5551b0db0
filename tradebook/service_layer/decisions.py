"""Blocks that record a decision with what it was made from: `with book.decision("momentum", "AAPL") as d:`.

`DecisionDraft` collects and decides what is to be written; the two kinds of block here write it, by a `Book` or an
`AsyncBook`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, Unpack

from tradebook.domain.agents import AgentDecision, DecisionStatus
from tradebook.domain.signals import SignalAction
from tradebook.domain.trades import Trade
from tradebook.domain.validation import Json
from tradebook.service_layer import handlers
from tradebook.service_layer.decision_draft import (
    MODEL_CALL,
    ActionDraft,
    DecidedTerms,
    DecisionDraft,
)
from tradebook.service_layer.handlers.decisions import (
    record_decision_with_actions,
    record_rest_of_decision,
)
from tradebook.service_layer.handlers.trade_terms import GivenTradeTerms

R = TypeVar("R")


class Calls(Protocol):
    """The part of a `Book` that a block calls."""

    @property
    def account(self) -> str:
        """The account of the book."""

    def run(self, handler: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call a handler in a unit of work, and commit."""


class AsyncCalls(Protocol):
    """The part of an `AsyncBook` that a block calls."""

    @property
    def account(self) -> str:
        """The account of the book."""

    async def run(self, handler: Callable[..., R], /, *args: Any, **kwargs: Any) -> R:
        """Call a handler in a unit of work, and commit."""


class _Collecting:
    """Collects the parts of one decision until a block writes them; both kinds of block are made of it."""

    def __init__(self, draft: DecisionDraft) -> None:
        self._draft = draft

    @property
    def reference(self) -> str:
        """The reference under which the decision is recorded."""
        return self._draft.reference

    @property
    def decision(self) -> AgentDecision:
        """The recorded decision; InvalidTransition is raised before `decide`."""
        return self._draft.recorded()

    @property
    def id(self) -> int:
        """The id of the recorded decision; InvalidTransition is raised before `decide`."""
        return self._draft.recorded().id

    def input(
        self,
        name: str,
        value: Json,
        available_at: datetime | str | None = None,
        source: str = "",
    ) -> None:
        """Note a piece of data that the decision is made from.

        `decide` records the inputs that were noted before it. Later ones are recorded when the block ends, after
        the decision: they prove nothing.

        Args:
            name: unique in the decision, such as `close` or `news`.
            value: any JSON value.
            available_at: the time from which the data could be had, UTC; the time of this call by default.
            source: the file, feed or service that it came from.
        """
        self._draft.input(name, value, available_at, source)

    def prompt(self, text: str) -> None:
        """Keep the SHA-256 of the prompt as the decision's `prompt_hash`; the text itself is not recorded."""
        self._draft.prompt(text)

    def model_call(
        self, model: str, *, input: Json = None, action_type: str = MODEL_CALL
    ) -> ActionDraft:
        """Record a call of a model as an action of the decision: `with d.model_call("gpt-x") as call: ...`."""
        return self._draft.action(action_type, model, input)

    def action(self, action_type: str, *, input: Json = None) -> ActionDraft:
        """Record a step as an action of the decision: `with d.action("tool_call", input=...) as step: ...`."""
        return self._draft.action(action_type, None, input)


class DecisionBlock(_Collecting):
    """The block of one decision of an agent: `with book.decision("momentum", "AAPL") as d:`.

    `decide` writes the decision, its inputs and its actions so far in one transaction. What comes later is written
    when the block ends. A block that ends without `decide` leaves an action of type `decision`: SUCCEEDED, with the
    output `{"outcome": "not decided"}`. An exception that leaves the block leaves a FAILED one, with its text, and
    goes on; that it could not be recorded is added to it as a note. The `input` of this action is what was to be
    decided, with the inputs so far.
    """

    def __init__(self, book: Calls, draft: DecisionDraft) -> None:
        """Take the book that records the draft."""
        super().__init__(draft)
        self._book = book

    def __enter__(self) -> Self:
        """Begin; spans that begin inside are stamped with this decision."""
        self._draft.begin()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Record what is not recorded yet, and how the block ended."""
        rest = self._draft.end(exc)
        if rest is None:
            return
        try:
            self._book.run(record_rest_of_decision, **rest)
        except Exception as failure:
            if exc is None:
                raise
            exc.add_note(_unrecorded(failure))

    def decide(self, action: SignalAction | str, **decided: Unpack[DecidedTerms]) -> AgentDecision:
        """Record the decision, its inputs and its actions so far in one transaction.

        When this returns, they are durable: an order may go to the venue.

        Returns:
            The recorded decision: this one, or the one recorded before under the same `reference`.

        Raises:
            InvalidTransition: it was decided in this block before.
            DuplicateRecord: the reference is taken by a decision with other terms or other inputs.
            NotFound: a signal, or the parent, is not in this account.
            InvalidInput: a value is refused.
        """
        sent = self._draft.to_decide(action, decided)
        return self._draft.decided(self._book.run(record_decision_with_actions, **sent), sent)

    def approve(self, reason: str = "") -> AgentDecision:
        """Approve the recorded decision; see `handlers.decide`."""
        return self._verdict(DecisionStatus.APPROVED, reason)

    def reject(self, reason: str) -> AgentDecision:
        """Reject the recorded decision; see `handlers.decide`."""
        return self._verdict(DecisionStatus.REJECTED, reason)

    def expire(self, reason: str) -> AgentDecision:
        """Let the recorded decision expire; see `handlers.decide`."""
        return self._verdict(DecisionStatus.EXPIRED, reason)

    def _verdict(self, status: DecisionStatus, reason: str) -> AgentDecision:
        return self._book.run(handlers.decide, **self._draft.verdict(status, reason))

    def record_trade(self, **terms: Unpack[GivenTradeTerms]) -> Trade:
        """Record a trade or an order of the recorded decision; see `handlers.record_trade`.

        Symbol, action, quantity and strategy are those of the decision, unless they are given. A HOLD has no
        action, and a decision that left it open no quantity: then they are required.
        """
        return self._book.run(handlers.record_trade, **self._draft.trade_terms(terms))


class AsyncDecisionBlock(_Collecting):
    """The block of one decision in asyncio: `async with book.decision("momentum", "AAPL") as d:`.

    See `DecisionBlock`. What writes is awaited: `decide`, `approve`, `reject`, `expire`, `record_trade`. What
    collects is not: `input`, `prompt`, and `with d.model_call(...)`, inside which anything may be awaited.
    """

    def __init__(self, book: AsyncCalls, draft: DecisionDraft) -> None:
        """Take the book that records the draft."""
        super().__init__(draft)
        self._book = book

    async def __aenter__(self) -> Self:
        """Begin; spans that begin inside are stamped with this decision."""
        self._draft.begin()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Record what is not recorded yet, and how the block ended; nothing where its coroutine is closed."""
        rest = self._draft.end(exc)
        if rest is None or isinstance(exc, GeneratorExit):  # a closed coroutine cannot await
            return
        try:
            await self._book.run(record_rest_of_decision, **rest)
        except Exception as failure:
            if exc is None:
                raise
            exc.add_note(_unrecorded(failure))

    async def decide(
        self, action: SignalAction | str, **decided: Unpack[DecidedTerms]
    ) -> AgentDecision:
        """Record the decision, its inputs and its actions so far in one transaction; see `DecisionBlock.decide`."""
        sent = self._draft.to_decide(action, decided)
        return self._draft.decided(await self._book.run(record_decision_with_actions, **sent), sent)

    async def approve(self, reason: str = "") -> AgentDecision:
        """Approve the recorded decision; see `handlers.decide`."""
        return await self._verdict(DecisionStatus.APPROVED, reason)

    async def reject(self, reason: str) -> AgentDecision:
        """Reject the recorded decision; see `handlers.decide`."""
        return await self._verdict(DecisionStatus.REJECTED, reason)

    async def expire(self, reason: str) -> AgentDecision:
        """Let the recorded decision expire; see `handlers.decide`."""
        return await self._verdict(DecisionStatus.EXPIRED, reason)

    async def _verdict(self, status: DecisionStatus, reason: str) -> AgentDecision:
        return await self._book.run(handlers.decide, **self._draft.verdict(status, reason))

    async def record_trade(self, **terms: Unpack[GivenTradeTerms]) -> Trade:
        """Record a trade or an order of the recorded decision; see `DecisionBlock.record_trade`."""
        return await self._book.run(handlers.record_trade, **self._draft.trade_terms(terms))


def _unrecorded(failure: Exception) -> str:
    return (
        f"tradebook did not record this failure of a decision: {type(failure).__name__}: {failure}"
    )


def decision(
    book: Any,  # a Book: the signature is that of `async_decision`
    agent: str,
    symbol: str,
    *,
    strategy: str | None = None,
    model: str | None = None,
    parameters: Mapping[str, Json] | None = None,
    parent_id: int | None = None,
    signals: Sequence[int] = (),
    reference: str | None = None,
) -> DecisionBlock:
    """Open a block in which an agent decides on a symbol; see `DecisionBlock`.

    Args:
        book: the book that records it.
        agent: the name of the agent.
        symbol: the instrument.
        strategy: the strategy that it decides for.
        model: the model and version that decides.
        parameters: of the model, such as its temperature and seed, as JSON.
        parent_id: the decision that this one is made upon.
        signals: the ids of the signals behind it.
        reference: unique in the account; the same decision again returns the first. Generated by default.

    Raises:
        InvalidInput: a value is refused; nothing was done yet.
    """
    return DecisionBlock(book, _draft(**locals()))


def async_decision(
    book: Any,
    agent: str,
    symbol: str,
    *,
    strategy: str | None = None,
    model: str | None = None,
    parameters: Mapping[str, Json] | None = None,
    parent_id: int | None = None,
    signals: Sequence[int] = (),
    reference: str | None = None,
) -> AsyncDecisionBlock:
    """Open a block in which an agent decides on a symbol; see `decision` and `AsyncDecisionBlock`."""
    return AsyncDecisionBlock(book, _draft(**locals()))


def _draft(book: Calls | AsyncCalls, **terms: Any) -> DecisionDraft:
    return DecisionDraft.from_terms(book.account, **terms)
