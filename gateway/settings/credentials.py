"""Passwords of stations and secrets of webhooks, never in site.yaml: one file each, beside it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.domain.ids import StationId
from gateway.domain.webhooks import Webhook
from gateway.settings.site_settings import Settings

FOLDER_NAME = "credentials"
FOLDER_VARIABLE = "CREDENTIALS_DIRECTORY"  # systemd.exec(5), LoadCredential=
SERVICE_PREFIX = "station_"
"""What our unit's LoadCredential=station:FOLDER puts before the name of each file."""

MAX_PASSWORD_BYTES = 1_024
# OCPP 1.6 security white paper, A00.FR.205: 16 to 20 bytes; OCPP 2.0.1, A00.FR.205: 16 to 40.
MIN_PASSWORD_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The passwords found, and what is wrong with them.

    `keys` has every station that may log in: with its password, or with None where the site
    file says `auth: none`. A station whose password was not found is not in it, so that it
    waits outside instead of coming in unasked.
    """

    keys: Mapping[StationId, bytes | None]
    problems: Mapping[StationId, str]


def read_credentials(settings: Settings, *, environment: Mapping[str, str]) -> Credentials:
    """Return the password of each station, from $CREDENTIALS_DIRECTORY or else beside the file.

    In $CREDENTIALS_DIRECTORY it is called as in the site file, or so with `SERVICE_PREFIX`.

    A line break at the end of a password's file is no part of it.
    """
    places = _places(settings, environment)
    keys: dict[StationId, bytes | None] = {}
    problems: dict[StationId, str] = {}
    for station, name in settings.credentials.items():
        if name is None:
            keys[station] = None
            continue
        key, problem = _read_password(name, places)
        if key is not None:
            keys[station] = key
        if problem is not None:
            problems[station] = problem
    return Credentials(keys=keys, problems=problems)


def read_hooks(
    settings: Settings, *, environment: Mapping[str, str]
) -> tuple[tuple[Webhook, ...], Mapping[str, str]]:
    """Return the addresses to call, and by their ids what is wrong with their secrets.

    One whose secret was not found is left out: nothing is sent unsigned.
    """
    hooks: list[Webhook] = []
    problems: dict[str, str] = {}
    for hook in settings.webhooks:
        secret, problem = _read_password(hook.credential, _places(settings, environment))
        if problem is not None:
            problems[hook.id] = problem
        if secret is not None:
            hooks.append(
                Webhook(
                    id=hook.id, url=hook.url, secret=secret, kinds=hook.kinds, holder=hook.holder
                )
            )
    return tuple(hooks), problems


def _places(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    places = [f"{settings.path.parent / FOLDER_NAME}/"]
    if given := environment.get(FOLDER_VARIABLE):
        places = [f"{given}/", f"{given}/{SERVICE_PREFIX}", *places]
    return places


def _read_password(name: str, places: list[str]) -> tuple[bytes | None, str | None]:
    """Return the password called `name`, and what is wrong with it."""
    looked = []
    for place in places:
        path = Path(place + name)
        try:
            with path.open("rb") as file:
                is_open_to_all = bool(os.fstat(file.fileno()).st_mode & 0o004)
                key = file.read(MAX_PASSWORD_BYTES + 1).rstrip(b"\r\n")
        except FileNotFoundError:
            looked.append(str(path))
            continue
        except PermissionError:
            # As a service we are handed copies of root's own files when we start.
            looked.append(f"{path} (which this user may not read)")
            continue
        except OSError as error:
            return None, f"{path} cannot be read ({error.strerror})"
        if not key or len(key) > MAX_PASSWORD_BYTES:
            return None, f"{path} holds no password"
        if is_open_to_all:
            return key, f"{path} may be read by every user of this machine; take that right away"
        if len(key) < MIN_PASSWORD_BYTES:
            return key, f"{path} is shorter than the {MIN_PASSWORD_BYTES} characters it should have"
        return key, None
    return None, f"there is no password in {' or '.join(looked)}"
