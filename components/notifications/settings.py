"""The recipe's section `notifications`: webhooks that are told how a run ends, each a settings class that acts."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ..core.settings import Settings, Variant
from ..core.variants import Variants
from .messages import EventName, Message


def _is_a_name(text: str) -> str:
    """The error does not repeat the text, which may be the secret itself."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError(
            "the name of an environment variable is wanted here, of letters, digits and underscores, never the address "
            "itself: set the variable to that, from a Secret on a cluster (cluster.secrets)"
        )
    return text


class Webhook(Variant, ABC):
    """Interface of the settings of every webhook; group of entry points: `nashflow.webhooks`."""

    url_variable: Annotated[str, AfterValidator(_is_a_name)]
    """The environment variable that holds the address, which is a secret: set it where `nashflow run` runs; on a
    cluster, name its Secret in cluster.secrets."""
    events: tuple[EventName, ...] = Field(
        ("finished", "failed", "skipped", "pending", "promoted", "refused"), min_length=1
    )
    """What it is told of: finished; failed; skipped, a scheduled run that found too few new prompts; pending, one that
    waits for people; promoted and refused, what was decided of the run's policy."""

    @abstractmethod
    def body(self, message: Message) -> Mapping[str, Any]:
        """What is sent, a JSON value."""


class JsonWebhook(Webhook):
    """A message as a JSON object, for programs."""

    kind: Literal["json"] = "json"

    def body(self, message: Message) -> Mapping[str, Any]:
        """All fields of the message."""
        return message.to_json()


class SlackWebhook(Webhook):
    """A message as Slack's incoming webhooks take it, and those of Mattermost and of Discord (`…/slack`)."""

    kind: Literal["slack"] = "slack"

    def body(self, message: Message) -> Mapping[str, Any]:
        """The message in words; what has a meaning in Slack's markup is escaped."""
        text = message.in_words()
        for sign, escaped in {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.items():
            text = text.replace(sign, escaped)
        return {"text": text}


AnyWebhook = Annotated[Webhook, Variants("nashflow.webhooks", Webhook, JsonWebhook, SlackWebhook)]


class NotificationSettings(Settings):
    """The recipe's `notifications` section: who is told how a run ends."""

    webhooks: tuple[AnyWebhook, ...] = ()
    """Addresses that are sent a message for each event. One that fails is reported, and fails no run."""
