"""YAML 1.2 as a tree that knows where in the file everything stands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from gateway.settings.mistakes import Finding, Mistake, Place, Route, shown
from gateway.settings.syntax import explain_syntax, find_tabs

MAX_DEPTH = 32  # The deepest setting is five levels down.
MAX_VALUES = 100_000  # A site of 1,000 stations has about 15,000; aliases multiply.
MAX_NUMBER_LENGTH = 40

Value = str | int | float | bool | None
Plain = Value | tuple["Plain", ...] | dict[str, "Plain"]
"""A document as Python values: sequences are tuples, since strict models take no lists for them."""

# YAML 1.2.2, 10.3.2: how the core schema reads a value that is not quoted.
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
# The core schema makes 80 of a serial format; nobody writes a number so.
_SERIAL_FORMAT = re.compile(r"[78]E[12]")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MENTIONABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9*_=+|@.-]{0,47}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A single value."""

    place: Place
    value: Value
    size: int = 1
    height: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A list. `size` counts every value in it, `height` its levels; aliases are counted out."""

    place: Place
    items: tuple["Node", ...]
    size: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Keys and values; of a key that stands twice the first."""

    place: Place
    entries: dict[str, "Node"]
    key_places: dict[str, Place]
    size: int
    height: int


Node = Scalar | Sequence | Mapping


def read_nodes(text: str) -> tuple[Node | None, tuple[Finding, ...]]:
    """Return the tree of the one document in `text`, and what is wrong with it as YAML.

    Without findings there is a tree. With findings there may be one too: what is wrong in it
    stands as null, and the rest can still be looked at. None: it cannot be read further.
    """
    reader = _Reader(text)
    try:
        root = reader.read()
    except _UnreadableError as error:
        return None, (*reader.findings, *error.findings)
    return root, tuple(reader.findings)


def to_plain(node: Node) -> Plain:
    """Return the tree as Python values."""
    match node:
        case Scalar(value=value):
            return value
        case Sequence(items=items):
            return tuple(to_plain(item) for item in items)
        case Mapping(entries=entries):
            return {key: to_plain(value) for key, value in entries.items()}


def locate(root: Node | None, finding: Finding) -> Mistake:
    """Return the finding with its place in the file and its name for people.

    A missing key is at the beginning of what it is missing from; an empty value at its key.
    Without a tree the finding's own place is all there is.
    """
    return Mistake(
        place=finding.place if root is None else finding.place or _find_place(root, finding),
        path=name_route(root, finding.route),
        problem=finding.problem,
    )


def _find_place(root: Node, finding: Finding) -> Place:
    node, place = root, root.place
    for step in finding.route:
        match node:
            case Mapping(entries=entries, key_places=key_places) if step in entries:
                key = str(step)
                node = entries[key]
                is_empty = isinstance(node, Scalar) and node.value is None
                place = key_places[key] if is_empty or finding.at == "key" else node.place
            case Sequence(items=items) if isinstance(step, int) and step < len(items):
                node = items[step]
                place = node.place
            case _:
                break
    return place


def name_route(root: Node | None, route: Route) -> str:
    """Return a route as people read it: list entries go by their `id` where they have one."""
    name, node = "", root
    for step in route:
        if isinstance(step, str):
            word = step if _MENTIONABLE.fullmatch(step) else shown(step)
            name += f".{word}" if name else word
            node = node.entries.get(step) if isinstance(node, Mapping) else None
        else:
            is_there = isinstance(node, Sequence) and step < len(node.items)
            node = node.items[step] if isinstance(node, Sequence) and is_there else None
            entry_id = node.entries.get("id") if isinstance(node, Mapping) else None
            known = str(entry_id.value) if isinstance(entry_id, Scalar) else ""
            name += f".{known}" if _MENTIONABLE.fullmatch(known) else f"[{step}]"
    return name


class _UnreadableError(Exception):
    """Reading cannot go on."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__()
        self.findings = findings


@dataclass(slots=True)
class _Reader:
    """Takes the parser's events one by one, so that nothing is built that is too deep or large."""

    text: str
    findings: list[Finding] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    open_anchors: set[str] = field(default_factory=set)
    repeated_count: int = 0

    def read(self) -> Node:
        parser = YAML(typ="safe", pure=True)
        # Read as text alone: a file cannot ask for another version of YAML, nor for Python objects.
        events = iter(parser.parse(self.text))
        try:
            root = self._read_document(events)
        except MarkedYAMLError as error:
            stumbled = explain_syntax(error, self.text)
            tabs = find_tabs(self.text)
            # A tab is what the parser stumbled over; it would say so less plainly.
            lines = {tab.place.line for tab in tabs if tab.place is not None}
            is_said = stumbled.place is not None and stumbled.place.line in lines
            raise _UnreadableError(*tabs, *(() if is_said else (stumbled,))) from error
        except YAMLError as error:
            raise _UnreadableError(_at_top(f"this is not YAML: {error}")) from error
        return root

    def _read_document(self, events: Iterator[Event]) -> Node:
        root: Node | None = None
        for event in events:
            match event:
                case DocumentStartEvent() if root is not None:
                    self._stop(event, "a second document begins here; a site is one document")
                case DocumentStartEvent(version=version) if version not in {None, (1, 2)}:
                    self._stop(event, "this file is read as YAML 1.2: take the %YAML line out")
                case NodeEvent():
                    root = self._read_node(event, events, ())
                case _:
                    pass  # The stream's and the document's own ends.
        if root is None:
            raise _UnreadableError(_at_top("the file is empty; begin with site.example.yaml"))
        return root

    def _read_node(self, event: Event, events: Iterator[Event], route: Route) -> Node:
        if len(route) >= MAX_DEPTH:
            self._stop(event, f"nested more than {MAX_DEPTH} deep")
        anchor = getattr(event, "anchor", None)
        name = None if anchor is None else str(anchor)
        if isinstance(event, AliasEvent):
            return self._repeat(str(name), event, route)
        if getattr(event, "tag", None) is not None:
            self._find(route, event, "tags (!) mean nothing here; quote a value to make it text")
        if name is not None:
            self.open_anchors.add(name)
        match event:
            case SequenceStartEvent():
                node = self._read_sequence(event, events, route)
            case MappingStartEvent():
                node = self._read_mapping(event, events, route)
            case ScalarEvent():
                node = self._read_scalar(event, route)
            case _:
                self._stop(event, "something is missing here")
        if name is not None:
            self.open_anchors.discard(name)
            self.anchors[name] = node
        return node

    def _read_sequence(self, start: Event, events: Iterator[Event], route: Route) -> Node:
        items: list[Node] = []
        for event in events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self._read_node(event, events, (*route, len(items))))
        return Sequence(
            place=_place(start),
            items=tuple(items),
            size=1 + sum(item.size for item in items),
            height=1 + max((item.height for item in items), default=0),
        )

    def _read_mapping(self, start: Event, events: Iterator[Event], route: Route) -> Node:
        entries: dict[str, Node] = {}
        key_places: dict[str, Place] = {}
        for event in events:
            if isinstance(event, MappingEndEvent):
                break
            key = self._read_key(event, events, route)
            node = self._read_node(next(events), events, (*route, key or "?"))
            if key is None:
                continue
            if key in entries:
                first = key_places[key].line
                problem = f"this key stands twice, first on line {first}"
                place = _place(event)
                self.findings.append(
                    Finding(route=(*route, key), problem=problem, at="key", place=place)
                )
            else:
                entries[key], key_places[key] = node, _place(event)
        return Mapping(
            place=next(iter(key_places.values()), _place(start)),
            entries=entries,
            key_places=key_places,
            size=1 + sum(node.size for node in entries.values()),
            height=1 + max((node.height for node in entries.values()), default=0),
        )

    def _read_key(self, event: Event, events: Iterator[Event], route: Route) -> str | None:
        """Return the key's text; None, and a finding, where no text can be meant."""
        if isinstance(event, ScalarEvent):
            if event.value == "<<" and event.style is None:
                self._find(route, event, "YAML 1.2 has no merge key (<<): write the keys out")
                return None
            if getattr(event, "tag", None) is not None or event.anchor is not None:
                self._find(route, event, "a key takes neither tag nor anchor")
            return str(event.value)
        self._read_node(event, events, (*route, "?"))
        self._find(
            route, event, "a key must be a word; put a text that begins with {, [ or * in quotes"
        )
        return None

    def _read_scalar(self, event: ScalarEvent, route: Route) -> Scalar:
        text = str(event.value)
        value: Value = text
        if not text.isprintable():
            self._find(route, event, "a text here has no line breaks and no invisible characters")
            value = None
        elif event.style is None:  # Not quoted, no block.
            try:
                value = _resolve(text)
            except ValueError as error:
                self._find(route, event, str(error))
                value = None
        return Scalar(place=_place(event), value=value)

    def _repeat(self, name: str, event: Event, route: Route) -> Node:
        empty = Scalar(place=_place(event), value=None)
        node = self.anchors.get(name)
        told = name if name.isprintable() else ascii(name)
        if name in self.open_anchors:
            self._find(route, event, f"*{told} stands inside the very thing it repeats")
        elif node is None:
            self._find(route, event, f"*{told} repeats what nothing above calls &{told}")
        elif node.size > MAX_VALUES or len(route) + node.height > MAX_DEPTH:
            self._find(route, event, f"*{told} repeats too much: write out what is meant")
        else:
            self.repeated_count += node.size
            if self.repeated_count > MAX_VALUES:
                self._stop(event, f"aliases (*) repeat more than {MAX_VALUES:,} values")
            return node
        return empty

    def _find(self, route: Route, event: Event, problem: str) -> None:
        self.findings.append(Finding(route=route, problem=problem, place=_place(event)))

    def _stop(self, event: Event, problem: str) -> NoReturn:
        raise _UnreadableError(Finding(problem=problem, place=_place(event)))


def _resolve(text: str) -> Value:
    """Return what the core schema makes of an unquoted value.

    Raises:
        ValueError: it is a number, but none that can be used.
    """
    if text in _NULLS:
        return None
    if _SERIAL_FORMAT.fullmatch(text):
        return text
    if text in _TRUTHS:
        return _TRUTHS[text]
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is no number that can be used")
    is_number = any(p.fullmatch(text) for p in (_DECIMAL, _OCTAL, _HEXADECIMAL, _FLOAT))
    if not is_number:
        return text
    if len(text) > MAX_NUMBER_LENGTH:
        raise ValueError(f"a number of {len(text):,} characters is no number that can be used")
    if _FLOAT.fullmatch(text) and not _DECIMAL.fullmatch(text):
        number = float(text)
        if number in {float("inf"), float("-inf")}:
            raise ValueError(f"{text} is no number that can be used")
        return number
    return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)


def _place(event: Event) -> Place:
    mark = event.start_mark
    return Place(line=mark.line + 1, column=mark.column + 1)


def _at_top(problem: str) -> Finding:
    return Finding(problem=problem, place=Place(line=1, column=1))
