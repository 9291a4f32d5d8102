"""From the path of a site file to its settings, or to everything that is wrong with it."""

from dataclasses import replace
from pathlib import Path

from gateway.settings.advice import find_doubts
from gateway.settings.checks import find_misfits
from gateway.settings.mistakes import Finding, MistakesError, in_file_order
from gateway.settings.nodes import locate, read_nodes, to_plain
from gateway.settings.shape import read_shape
from gateway.settings.site_settings import ProofRefusedError, Settings
from gateway.settings.source import read_text
from gateway.settings.translation import translate


def load_site(path: Path) -> Settings:
    """Return the settings of a site file that has no mistakes and whose proof holds.

    Raises:
        MistakesError: the file cannot be read or has mistakes: all of them are in the error.
        ProofRefusedError: in silence some circuit would be over its set-point.
    """
    return _proven(read_site(path))


def load_text(text: str, *, path: Path) -> Settings:
    """Return the settings of the text of a site file, as `load_site` does; mistakes name `path`.

    Raises:
        MistakesError: the text has mistakes: all of them are in the error.
        ProofRefusedError: in silence some circuit would be over its set-point.
    """
    return _proven(_read(text, path))


def _proven(settings: Settings) -> Settings:
    if not settings.proof.holds:
        raise ProofRefusedError(settings)
    return settings


def read_site(path: Path) -> Settings:
    """Return the settings of a site file that has no mistakes, whether or not its proof holds.

    Raises:
        MistakesError: the file cannot be read or has mistakes: all of them are in the error.
    """
    text, unreadable = read_text(path)
    if text is None:
        raise MistakesError(path, (locate(None, finding) for finding in unreadable))
    return _read(text, path)


def _read(text: str, path: Path) -> Settings:
    root, findings = read_nodes(text)
    if root is None:
        raise MistakesError(path, (locate(None, finding) for finding in findings), text)
    plain = to_plain(root)
    file, misshapen = read_shape(plain)
    findings += _not_said_of(findings, misshapen)
    findings += _not_said_of(findings, find_misfits(plain))
    if findings or file is None:
        raise MistakesError(path, (locate(root, finding) for finding in findings), text)
    settings = translate(file, path=path)
    doubts = (locate(root, finding) for finding in find_doubts(file, settings))
    return replace(settings, text=text, warnings=tuple(sorted(doubts, key=in_file_order)))


def _not_said_of(said: tuple[Finding, ...], more: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return what is not about something already found wrong: one mistake is told once."""
    routes = {finding.route for finding in said if finding.at == "value"}
    # A number in a list is wrong: that the list is then wrong as well is no news.
    routes |= {route[:-1] for route in routes if route and isinstance(route[-1], int)}
    return tuple(finding for finding in more if finding.route not in routes)
