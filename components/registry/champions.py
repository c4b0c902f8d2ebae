"""The champion of a registered model, in MLflow's registry: registered, crowned, rolled back.

The alias `champion` is the one word on which version that is; `challenger` names the one that was registered last and
is not crowned. MLflow moves an alias without any condition, so it is read before and after, and runs beside each other
go through one gate at a time (see `gate`). Every method can be killed between any two of its requests and called again:
the end is the same.

What was champion before has the tag `nashflow.reign`, numbered in order, so that `rollback` knows the one before.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..core.errors import TryAgain, UserError
from ..core.redaction import redact
from ..core.settings import nearest
from ..models.named import place_of
from ..models.policies import not_kept
from ..storage import layout
from ..storage.store import Store
from ..storage.units import require_manifest
from ..tracking.mlflow_store import connect, environment, failure_line, failures, hurried, quiet, sqlite_file
from ..tracking.reaching import check_version
from ..tracking.tags import DIGEST, ITERATION, POLICY, RUN_ROOT, URI, WEIGHTS
from ..tracking.tracker import Made, Tracker
from .gate import Gate
from .version import CROWNED, REIGN, ROLLED_BACK, Version, read_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"

_NAME = re.compile(r"\w[\w. -]*")
_NAMED = re.compile(r"models:/([^/:@]+)(?:@([\w-]+)|/(\d+))")
_LONGEST_DESCRIPTION = 5000
_NOT_THERE = "RESOURCE_DOES_NOT_EXIST"
_FORBIDDEN = ("PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED")


class Registry:
    """A registered model of MLflow's, which need not exist yet.

    Every method raises a UserError where MLflow refuses, such as for lack of permission, and TryAgain where it does not
    answer.
    """

    def __init__(self, name: str, client: "MlflowClient") -> None:
        """See `open`."""
        self.name, self._client = name, client

    @classmethod
    def open(cls, name: str) -> "Registry":
        """The registered model of a name, at MLFLOW_TRACKING_URI.

        Raises:
            UserError: the variable is not set, MLflow is older than 3, or the name cannot be one.
            TryAgain: the server does not answer.
        """
        if not _NAME.fullmatch(name):
            raise UserError(f"{name!r} is no name of a registered model: use letters, digits, dashes, dots and blanks")
        uri, _ = environment()
        if not uri:
            raise UserError(
                f"the registered model {name} is in MLflow's registry: set MLFLOW_TRACKING_URI to the server that has "
                "it, or to the sqlite:///FILE of runs on this machine"
            )
        if (file := sqlite_file(uri)) and not os.path.exists(file):
            raise UserError(f"MLFLOW_TRACKING_URI: there is no {file}, so no registered model {name} in it")
        with _told(name, uri), quiet(), hurried():
            client = connect(uri)
            check_version(client)
        return cls(name, client)

    @classmethod
    def named(cls, uri: str) -> Version:
        """The version that `models:/NAME@ALIAS` or `models:/NAME/NUMBER` names.

        Raises:
            UserError: there is none.
        """
        if not (match := _NAMED.fullmatch(uri)):
            raise UserError(f"{uri}: write models:/NAME@champion, or models:/NAME/3 for version 3")
        registry, alias, number = cls.open(match[1]), match[2], match[3]
        found = registry.version(int(number)) if number else registry.aliased(alias)
        if found is None:
            there = ", ".join(str(version.number) for version in registry.versions())
            said = there or f"none{nearest(match[1], registry._models())}"
            raise UserError(f"{uri}: there is none; versions there are: {said}")
        return found

    def _models(self) -> list[str]:
        """The names of all registered models."""
        with self._asking():
            return [model.name for model in self._client.search_registered_models()]

    def versions(self) -> list[Version]:
        """All versions, in their order; none where there is no such registered model."""
        found, token = [], None
        with self._asking():
            while True:
                page = self._client.search_model_versions(f"name = '{self.name}'", page_token=token)
                found += [read_version(self._client, version) for version in page]
                if not (token := page.token):
                    return sorted(found, key=lambda version: version.number)

    def version(self, number: int) -> Version | None:
        """The version of a number, None if there is none."""
        from mlflow.exceptions import MlflowException

        with self._asking():
            try:
                return read_version(self._client, self._client.get_model_version(self.name, str(number)))
            except MlflowException as error:
                if error.error_code != _NOT_THERE:
                    raise
                return None

    def number(self, alias: str) -> int | None:
        """The number of the version that an alias names, whether or not that is still there; None if there is none."""
        from mlflow.exceptions import MlflowException

        with self._asking():
            try:
                number = self._client.get_registered_model(self.name).aliases.get(alias)
            except MlflowException as error:
                if error.error_code != _NOT_THERE:
                    raise
                return None
        return int(number) if number else None

    def champion(self) -> Version | None:
        """The champion; None if there has not been one.

        Raises:
            UserError: there was one, and it has been deleted, or the alias has.
        """
        number = self.number(CHAMPION)
        if number and (found := self.version(number)):
            return found
        crowned = [version for version in self.versions() if version.reign]
        if not number and not crowned:
            return None
        if last := _newest(crowned):
            mend = f"nashflow rollback {self.name} makes version {last.number}, the champion before it, champion again"
        else:
            mend = f"name a version by nashflow rollback {self.name} --to VERSION, or delete the alias to begin anew"
        gone = f"its champion, version {number}, has been deleted" if number else "it has lost its champion"
        raise UserError(f"registered model {self.name}: {gone}; {mend}")

    def aliased(self, alias: str) -> Version | None:
        """The version that an alias names; None if there is none.

        Raises:
            UserError: as `champion`, for that alias.
        """
        if alias == CHAMPION:
            return self.champion()
        number = self.number(alias)
        return self.version(number) if number else None

    def register(self, store: Store, policy: str, description: str) -> Version:
        """The version of a run's policy, made unless there is one of the same files and run; it is the challenger now.

        Args:
            store: the run root's.
            policy: the policy's reference there, as in `003/main`.
            description: Markdown, for people; replaces that of an earlier call.

        Raises:
            UserError: the policy's files are not kept.
        """
        manifest = require_manifest(store, f"{layout.POLICIES}/{policy}")
        if missing := not_kept(store, manifest):
            raise UserError(missing)
        place, run_root = place_of(store, policy), redact(store.uri)
        tags = {WEIGHTS: manifest.weights_digest, DIGEST: manifest.digest, URI: redact(place)}
        iteration, _, name = policy.partition("/")
        tags |= {RUN_ROOT: run_root, POLICY: name, ITERATION: str(int(iteration))}
        text = _cut(description)
        same = manifest.weights_digest, manifest.digest, run_root
        mine = [v for v in self.versions() if (v.weights, v.digest, v.run_root) == same]
        version = mine[0] if mine else self._create(store, place, tags, text)
        with self._asking():
            if version.description != text:
                self._client.update_model_version(self.name, str(version.number), text)
            if self.number(CHAMPION) != version.number:
                self._client.set_registered_model_alias(self.name, CHALLENGER, str(version.number))
        return self._again(version)

    def crown(self, version: Version, expected: Version | None, gate: Gate) -> Version:
        """Make a version the champion in the place of the one that it was compared with.

        Args:
            version: of `register`.
            expected: the champion that `champion` gave.
            gate: held since before that.

        Raises:
            UserError: the champion is another one by now.
            TryAgain: another run has taken the gate over.
        """
        before, number = self.number(CHAMPION), str(version.number)
        if before != version.number:
            if before != (expected.number if expected else None):
                raise self._moved(before, expected)
            if expected:
                self._number_reign(expected)
            gate.require()
            with self._asking():
                self._client.set_registered_model_alias(self.name, CHAMPION, number)
        self._require_champion(version)
        self._number_reign(version)
        if self.number(CHALLENGER) == version.number:
            with self._asking():
                self._client.delete_registered_model_alias(self.name, CHALLENGER)
        return self._again(version)

    def rollback(self, to: int | None = None, reason: str = "") -> tuple[Version | None, Version]:
        """Make an earlier version the champion again; those that were champion after it count as rolled back.

        Args:
            to: its number; the champion before the present one.
            reason: in a line, noted on the version that was the champion.

        Returns:
            The version that was the champion, None if that has been deleted, and the one that is.

        Raises:
            UserError: there is no such version, it is the champion, or its files are gone or changed.
        """
        number = self.number(CHAMPION)
        now = self.version(number) if number else None
        if now and not now.reign:
            self._number_reign(now)
            now = self._again(now)
        target = self._target(to, now)
        # First, so that a call that is killed leaves nothing but what the next one does again.
        self._note(now, target, reason)
        with self._asking():
            self._client.set_registered_model_alias(self.name, CHAMPION, str(target.number))
        self._require_champion(target)
        self._number_reign(target)
        return now, self._again(target)

    def _target(self, to: int | None, now: Version | None) -> Version:
        """The version to go back to."""
        versions = self.versions()
        if to is None:
            found = _newest([v for v in versions if now is None or 0 < v.reign < now.reign])
            if found is None:
                raise UserError(
                    f"registered model {self.name}: no version was champion before; name one by --to VERSION"
                )
        elif (found := next((version for version in versions if version.number == to), None)) is None:
            there = ", ".join(str(version.number) for version in versions)
            raise UserError(f"registered model {self.name}: no version {to}; there are {there or 'none'}")
        if now and found.number == now.number:
            raise UserError(f"registered model {self.name}: version {to} is the champion already")
        found.manifest()
        return found

    def _note(self, now: Version | None, target: Version, reason: str) -> None:
        """Write on the champion, and on those between it and the one before that it gives way to, that they are
        rolled back."""
        said = f"Rolled back to version {target.number}" + (f": {reason}" if reason else "")
        later = [v for v in self.versions() if v.reign > target.reign and not v.rolled_back]
        with self._asking():
            for version in later if target.reign and not target.rolled_back else ():
                self._client.set_model_version_tag(self.name, str(version.number), ROLLED_BACK, said)
            if now and said not in now.description:
                text = _cut(f"{said}.\n\n{now.description}")
                self._client.update_model_version(self.name, str(now.number), text)

    def _create(self, store: Store, place: str, tags: dict[str, str], description: str) -> Version:
        from mlflow.exceptions import MlflowException

        # A server takes a folder's path from nobody; a logged model's it has been told before.
        made = Made(int(tags[ITERATION]), tags[POLICY], tags[WEIGHTS], tags[DIGEST], place)
        model = Tracker.of(store).checkpoint(made)
        if not model and self._client.tracking_uri.startswith("http") and "://" not in place:
            raise UserError(
                f"{store.uri}: the MLflow at {redact(self._client.tracking_uri)} does not know this run, and registers "
                "no local folder of which it does not: set MLFLOW_TRACKING_URI to the server that the run is tracked in"
            )
        with self._asking():
            try:
                self._client.create_registered_model(self.name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            source = f"models:/{model}" if model else place
            found = self._client.create_model_version(
                self.name, source, tags=tags, description=description, model_id=model or None
            )
            return read_version(self._client, found)

    def _number_reign(self, champion: Version) -> None:
        """Note that a version is the champion, unless that is noted: it may have been made one by hand."""
        versions = self.versions()
        newest, number = _newest(versions), str(champion.number)
        if newest and newest.number == champion.number:
            return
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        reign = 1 + max((version.reign for version in versions), default=0)
        with self._asking():
            if champion.rolled_back:
                self._client.delete_model_version_tag(self.name, number, ROLLED_BACK)
            for tag, value in ((CROWNED, since), (REIGN, str(reign))):
                self._client.set_model_version_tag(self.name, number, tag, value)

    def _require_champion(self, version: Version) -> None:
        if (after := self.number(CHAMPION)) != version.number:
            raise self._moved(after, version)

    def _moved(self, now: int | None, expected: Version | None) -> UserError:
        there = f"version {now}" if now else "no version"
        thought = f"version {expected.number}" if expected else "none"
        return UserError(
            f"registered model {self.name}: {there} is the champion, and it was {thought} a moment ago: somebody else "
            "has changed it; run the same command again to compare with what is champion now"
        )

    def _again(self, version: Version) -> Version:
        """The version as it is now."""
        found = self.version(version.number)
        if found is None:
            raise UserError(f"{version.uri}: has been deleted meanwhile")
        return found

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        with _told(self.name, self._client.tracking_uri), quiet():
            yield


@contextlib.contextmanager
def _told(name: str, uri: str) -> Iterator[None]:
    """What goes wrong in MLflow, in one line."""
    try:
        yield
    except failures() as error:
        code = str(getattr(error, "error_code", ""))
        where = f"registered model {name} at {redact(uri)}"
        if code in _FORBIDDEN:
            raise UserError(
                f"{where}: not allowed: give this user MLflow's permission EDIT on it, or, if it is new, the right to "
                f"make one ({failure_line(error)})"
            ) from None
        if code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            raise UserError(f"{where}: refused: {failure_line(error)}") from None
        raise TryAgain(f"{where}: MLflow does not answer: {failure_line(error)}; try again when it does") from None


def _newest(versions: list[Version]) -> Version | None:
    """The last of them that was champion, and was not rolled back."""
    return max((v for v in versions if v.reign and not v.rolled_back), key=lambda v: v.reign, default=None)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_DESCRIPTION else f"{text[: _LONGEST_DESCRIPTION - 2]} …"
