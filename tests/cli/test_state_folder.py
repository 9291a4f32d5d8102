"""A daemon and those who ask it agree on where it answers, as a service and at a desk."""

from pathlib import Path

from gateway.cli.state_folder import (
    SYSTEM_FOLDER,
    SYSTEM_SOCKET_FOLDER,
    choose_socket_folder,
    choose_state_folder,
    folders_to_ask,
)

SERVICE = {"STATE_DIRECTORY": str(SYSTEM_FOLDER), "RUNTIME_DIRECTORY": str(SYSTEM_SOCKET_FOLDER)}


def test_a_service_keeps_its_state_and_answers_where_systemd_says() -> None:
    assert choose_state_folder(None, environment=SERVICE) == SYSTEM_FOLDER
    assert choose_socket_folder(None, environment=SERVICE) == SYSTEM_SOCKET_FOLDER


def test_a_folder_that_is_given_is_for_both(tmp_path: Path) -> None:
    assert choose_state_folder(tmp_path, environment=SERVICE) == tmp_path
    assert choose_socket_folder(tmp_path, environment=SERVICE) == tmp_path
    assert folders_to_ask(tmp_path, environment={}) == [tmp_path]


def test_without_a_service_manager_a_daemon_answers_beside_its_state(tmp_path: Path) -> None:
    environment = {"HEADROOM_STATE": str(tmp_path)}

    assert choose_socket_folder(None, environment=environment) == tmp_path
    assert folders_to_ask(None, environment=environment)[0] == tmp_path


def test_a_service_is_found_by_whoever_asks(tmp_path: Path) -> None:
    assert SYSTEM_SOCKET_FOLDER in folders_to_ask(None, environment={"HOME": str(tmp_path)})
    assert SYSTEM_SOCKET_FOLDER in folders_to_ask(SYSTEM_FOLDER, environment={})
