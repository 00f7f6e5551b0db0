"""Drafts of decisions: what an agent collects until it decides, as plain values, and the calls that record it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar, Token
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, Self, TypedDict, cast
from uuid import uuid4

from attrs import define, field

from tradebook.domain.agents import ActionStatus, AgentAction, AgentDecision, DecisionStatus
from tradebook.domain.decision_inputs import InputTerms, input_digest
from tradebook.domain.errors import InvalidInput, InvalidTransition
from tradebook.domain.limits import MAX_TEXT
from tradebook.domain.numbers import Number
from tradebook.domain.plain_values import plain_text
from tradebook.domain.signals import SignalAction
from tradebook.domain.validation import (
    Json,
    argument,
    identifier,
    json_value,
    optional_id,
    optional_identifier,
    optional_json_object,
    record_ids,
    short_text,
    utc,
    utc_now,
)
from tradebook.service_layer.handlers._common import given
from tradebook.service_layer.handlers.decisions import ActionTerms

DECISION: Final = "decision"
"""The type of the action that says that a block ended without a decision, or failed."""
MODEL_CALL: Final = "model_call"
"""The type of the action that a model call is by default."""
_NOT_DECIDED: Final = {"outcome": "not decided"}


class DecidedTerms(TypedDict, total=False):
    """The arguments of `decide` besides the action; see `AgentDecision` for units.

    `decided_at` is the time of the call by default. `cost` is what the actions of the decision do not contain: 0
    where they contain all of it, None where it is not known.
    """

    quantity: Number | None
    price: Number | None
    confidence: Number | None
    reasoning: str | None
    inputs: dict[str, Json] | None
    decided_at: datetime | None
    cost: Number | None
    cost_currency: str | None


def error_text(error: BaseException) -> str:
    """Return the type and the message of an exception as text that every database stores."""
    try:
        message = f"{type(error).__name__}: {error}"
    except Exception:  # a hostile `__str__` may raise anything
        message = type(error).__name__
    return storable(message)


def storable(text: str, most: int = MAX_TEXT) -> str:
    """Return at most so many characters of a text, with those replaced that a database refuses."""
    return text[:most].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def seconds(nanoseconds: int) -> Decimal:
    """Return a duration in seconds, exactly."""
    return Decimal(nanoseconds).scaleb(-9)


@define(eq=False)
class ActionDraft:
    """One step of an agent while it runs: `with d.model_call("gpt-x", input=...) as call: call.output = ...`.

    Leaving the block ends the step. Where an exception leaves it, the step is FAILED, and the exception goes on.

    Attributes:
        output: of the step, as a JSON value.
        cost: of the step, in `cost_currency`, 0 or above; 0 is free, None is unpriced.
        cost_currency: of the cost; the account's base currency by default.
    """

    output: Json = None
    cost: Number | None = None
    cost_currency: str | None = None
    _terms: ActionTerms = field(kw_only=True, repr=False)
    _done: list[ActionTerms] = field(kw_only=True, repr=False)
    _began: int = field(init=False, default=0, repr=False)

    def tokens(self, *, input: int | None = None, output: int | None = None) -> None:
        """State the tokens that the model read and wrote; None for what is not known."""
        self._terms["input_tokens"], self._terms["output_tokens"] = input, output

    def __enter__(self) -> Self:
        """Begin the step now."""
        self._terms["started_at"], self._began = utc_now(), time.perf_counter_ns()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the step; a refused output, cost or count of tokens makes it a FAILED one, and is raised."""
        self._terms["duration"] = seconds(time.perf_counter_ns() - self._began)
        stated = {"output": self.output, "cost": self.cost, "cost_currency": self.cost_currency}
        complete: dict[str, Any] = {**self._terms, **stated}
        refused = _refusal(complete)
        if refused is not None:
            complete = {**self._terms, "input_tokens": None, "output_tokens": None}
        error = exc or refused
        if error is not None:
            complete |= {"status": ActionStatus.FAILED, "error": error_text(error)}
        self._done.append(cast("ActionTerms", complete))
        if refused is not None and exc is None:
            raise refused


def _refusal(terms: Mapping[str, Any]) -> InvalidInput | None:
    """Return the error of the first term of an action that is refused, or None."""
    try:
        AgentAction(**given(**terms))
    except InvalidInput as error:
        return error
    return None


@define(eq=False)
class DecisionDraft:
    """The parts of one decision while an agent collects them; it writes nothing, and returns what is to be written.

    Attributes:
        account: of the book that the decision is for.
        terms: those of `record_decision` that were known at the beginning.
        decision: the recorded decision, once there is one.
    """

    account: str
    terms: dict[str, Any]
    decision: AgentDecision | None = None
    _inputs: list[InputTerms] = field(init=False, factory=list)
    _noted_at: dict[str, datetime] = field(init=False, factory=dict)  # of each input, by name
    _actions: list[ActionTerms] = field(init=False, factory=list)
    _is_open: bool = field(init=False, default=False)
    _is_sent: bool = field(init=False, default=False)
    _started_at: datetime = field(init=False, factory=utc_now)
    _began: int = field(init=False, default=0)
    _token: Token[DecisionDraft | None] | None = field(init=False, default=None)

    @classmethod
    def from_terms(
        cls,
        account: str,
        agent: str,
        symbol: str,
        *,
        strategy: str | None,
        model: str | None,
        parameters: Mapping[str, Json] | None,
        parent_id: int | None,
        signals: Sequence[int],
        reference: str | None,
    ) -> DecisionDraft:
        """Check the terms of a decision before the agent works on it; the reference is made here if None."""
        named = argument("reference", optional_identifier, reference)
        terms = {
            "agent": argument("agent", identifier, agent),
            "symbol": argument("symbol", identifier, symbol),
            "strategy": None if strategy is None else argument("strategy", short_text, strategy),
            "model": None if model is None else argument("model", short_text, model),
            "parameters": argument("parameters", optional_json_object, parameters),
            "parent_id": argument("parent_id", optional_id, parent_id),
            "signals": argument("signals", record_ids, signals),
            "reference": uuid4().hex if named is None else named,
        }
        return cls(account, given(**terms))

    @property
    def agent(self) -> str:
        """The name of the agent."""
        return str(self.terms["agent"])

    @property
    def reference(self) -> str:
        """The reference of the decision, by which a span or a retry finds it."""
        return str(self.terms["reference"])

    def recorded(self) -> AgentDecision:
        """Return the decision; raise InvalidTransition where there is none yet."""
        if self.decision is None:
            raise InvalidTransition(f"{self._name()} is not decided yet: call decide() first")
        return self.decision

    def begin(self) -> None:
        """Open the block, and make this the decision that spans are stamped with."""
        if self._is_open or self._began:
            raise InvalidTransition(f"{self._name()} had its block: make another with decision()")
        self._is_open, self._started_at, self._began = True, utc_now(), time.perf_counter_ns()
        _OPEN[self.account, self.reference] = self
        self._token = current_decision.set(self)

    def input(
        self, name: str, value: Json, available_at: datetime | str | None, source: str
    ) -> None:
        """Note an input; its value is copied as JSON."""
        self._require_open()
        terms: InputTerms = {
            "name": argument("name", identifier, name),
            "value": argument("value", json_value, value),
        }
        if argument("source", short_text, source):
            terms["source"] = source
        if name in self._noted_at:
            raise InvalidInput("name", name, "a name that no other input of the decision has")
        noted_at = utc_now()
        if available_at is not None:
            noted_at = terms["available_at"] = argument("available_at", utc, available_at)
        self._noted_at[name] = noted_at
        self._inputs.append(terms)

    def prompt(self, text: str) -> None:
        """Keep the SHA-256 of a prompt, of the last one where there are several."""
        self._require_open()
        if self.decision is not None:
            raise InvalidTransition(
                f"{self._name()} is recorded, with its prompt_hash: call prompt() before decide()"
            )
        encoded = argument("text", _utf_8, text)
        self.terms["prompt_hash"] = hashlib.sha256(encoded).hexdigest()

    def action(self, action_type: str, model: str | None, input: Json) -> ActionDraft:
        """Make a step that is collected when its block ends."""
        self._require_open()
        terms: ActionTerms = {
            "agent": self.agent,
            "action_type": argument("action_type", identifier, action_type),
            "model": argument("model", optional_identifier, model),
            "input": argument("input", json_value, input),
            "reference": uuid4().hex,
        }
        return ActionDraft(terms=terms, done=self._actions)

    def to_decide(self, action: SignalAction | str, decided: DecidedTerms) -> dict[str, Any]:
        """Return the arguments of `record_decision_with_actions`, with all that was collected so far."""
        self._require_open()
        if self.decision is not None:
            raise InvalidTransition(
                f"{self._name()} is decided: it is {self.decision.action} as decision {self.decision.id}; "
                "approve(), reject() or expire() it, or open another block with decision()"
            )
        self._is_sent = True
        unknown = decided.keys() - DecidedTerms.__annotations__.keys()
        if unknown:
            expected = ", ".join(DecidedTerms.__annotations__)
            raise InvalidInput(min(unknown), "this name", f"one of {expected}")
        inputs, actions = list(self._inputs), list(self._actions)
        terms = {**self.terms, **decided, "action": action, "dated_inputs": inputs}
        return {"terms": terms, "actions": actions, "noted_at": dict(self._noted_at)}

    def decided(self, decision: AgentDecision, sent: Mapping[str, Any]) -> AgentDecision:
        """Keep the recorded decision, and what was collected while it was being recorded."""
        self.decision = decision
        del self._inputs[: len(sent["terms"]["dated_inputs"])]
        del self._actions[: len(sent["actions"])]
        return decision

    def verdict(self, status: DecisionStatus, reason: str) -> dict[str, Any]:
        """Return the arguments of `decide` for a verdict on the recorded decision."""
        return {"decision_id": self.recorded().id, "status": status, "reason": reason}

    def trade_terms(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """Return the terms of a trade of the decision; those that are stated go before the decision's own."""
        decision = self.recorded()
        own = {"symbol": decision.symbol, "strategy": decision.strategy, "decision_id": decision.id}
        if decision.action is not SignalAction.HOLD:
            own["action"] = decision.action.value
        return {**own, **given(quantity=decision.quantity), **stated}

    def end(self, error: BaseException | None) -> dict[str, Any] | None:
        """Close the block; return the arguments of `record_rest_of_decision`, or None where nothing is left."""
        self._is_open = False
        _OPEN.pop((self.account, self.reference), None)
        if self._token is not None:
            with suppress(ValueError):  # some frameworks leave a block in another context
                current_decision.reset(self._token)
        actions = list(self._actions)
        if error is not None or self.decision is None:
            actions.append(self._ending(error))
        if not actions and not self._inputs:
            return None
        decision_id = None if self.decision is None else self.decision.id
        reference = self.reference if self._is_sent and decision_id is None else None
        rest = {"inputs": list(self._inputs), "noted_at": dict(self._noted_at), "actions": actions}
        return {**rest, "decision_id": decision_id, "reference": reference}

    def _ending(self, error: BaseException | None) -> ActionTerms:
        """Make the action of a block that failed, or ended without a decision."""
        ending: ActionTerms = {
            "agent": self.agent,
            "action_type": DECISION,
            "input": self._to_be_decided(),
            "cost": 0,  # its model calls are actions of their own
            "started_at": self._started_at,
            "duration": seconds(time.perf_counter_ns() - self._began),
            "reference": uuid4().hex,
        }
        if error is None:
            ending["output"] = _NOT_DECIDED
        else:
            ending |= {"status": ActionStatus.FAILED, "error": error_text(error)}
        return ending

    def _to_be_decided(self) -> Json:
        """Return the terms and inputs as JSON; of inputs that exceed its limits together, the digests."""
        try:
            inputs = [{"available_at": self._noted_at[i["name"]], **i} for i in self._inputs]
            return json_value({**self.terms, "inputs": inputs})
        except InvalidInput:
            digests = {each["name"]: input_digest(each["value"]) for each in self._inputs}
            return {"reference": self.reference, "symbol": self.terms["symbol"], "digests": digests}

    def _require_open(self) -> None:
        if not self._is_open:
            raise InvalidTransition(
                f"the block of {self._name()} is not open: use `with book.decision(...) as d:`"
            )

    def _name(self) -> str:
        return f"the decision of {self.agent} on {self.terms['symbol']} ({self.reference!r})"


def _utf_8(text: str) -> bytes:
    try:
        return plain_text(text).encode()
    except UnicodeEncodeError:
        raise InvalidInput("", text, "text without lone surrogates") from None


current_decision: Final[ContextVar[DecisionDraft | None]] = ContextVar(
    "tradebook_decision", default=None
)
"""The decision whose block surrounds this code; None outside."""

_OPEN: Final[dict[tuple[str, str], DecisionDraft]] = {}


def open_decision(account: str, reference: str) -> DecisionDraft | None:
    """Return the draft whose block is open in this process under a reference; None where there is none."""
    return _OPEN.get((account, reference))
