"""Every line of docs/upgrading.md is run by a test: the table names it, by the words with which the line begins.

A new line needs a row. A line may have no test only if it tells what the release before does: its code is not here.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "upgrading.md"
BEFORE = "the release before"  # what its code does with the files of this one
UPGRADE = "unit/control/test_upgrade.py::"
LINES: dict[str, tuple[str, ...]] = {
    # Before the first start
    "Keep the state folder during upgrades": ("api/test_times_stay.py::test_times_survive_restarts_and_kills",),
    "The snapshot file there has a new format": (
        f"{UPGRADE}test_snapshot_file_of_the_release_before_is_refused_in_words_and_written_anew",
        "unit/process/test_snapshot_file.py::test_a_file_of_another_format",
    ),
    "snapshot.model there is new": (
        "unit/control/test_restart.py::test_restart_parses_nothing",
        "unit/control/test_restart.py::test_damaged_or_foreign_model_is_named_and_the_files_are_read",
        "unit/control/test_restart_files.py::test_files_with_the_same_status_are_not_read",
        "unit/control/test_restart_files.py::test_files_are_read_after_the_machine_has_started_anew",
        BEFORE,
    ),
    "snapshot.log there is new": ("unit/process/test_snapshot_log.py::test_log_of_another_file_is_ignored", BEFORE),
    "tokens.json has a new format": (
        "unit/manage/test_tokens.py::test_older_formats_are_read",
        "unit/control/test_state_files.py::test_tokens_of_a_later_version_stay",
    ),
    "Tokens without a list of permissions": ("unit/manage/test_token_changes.py::test_token_makes_a_token",),
    "Times that are not in the files": ("unit/model/test_sightings.py::test_times_follow_from_sightings",),
    "Run dnsd check, and write": (
        f"{UPGRADE}test_check_of_the_new_version_accepts_the_files",
        "unit/model/test_pool.py::test_missing_key_of_an_account_with_an_immutable_map_is_a_warning",
    ),
    # The state folder
    "A state folder that every user": (
        "unit/process/test_state_folder.py::test_folder_that_others_may_write_is_refused",
        "unit/process/test_state_folder.py::test_server_does_not_start_in_a_folder_of_everybody",
        "unit/process/test_state_folder.py::test_command_writes_no_token_into_a_folder_of_everybody",
    ),
    "A symbolic link on the path": ("unit/process/test_state_folder.py::test_links_on_the_way_count_as_the_last_one",),
    "Started as root with user": (
        "unit/process/test_state_folder.py::test_files_below_a_folder_of_others_stay_roots",
        "unit/serve/test_root.py::test_only_a_server_that_stays_root_warns",
    ),
    "A damaged file there is moved aside": (
        "unit/control/test_state_files.py::test_damaged_files_are_named_and_moved_aside",
        "api/test_damaged_start.py::test_start_with_all_state_files_damaged",
    ),
    "All files that the server makes": ("unit/control/test_state_files.py::test_all_files_are_for_their_owner_alone",),
    # Good texts and history in blocks
    "good/ and history/ in the state": (f"{UPGRADE}test_copies_are_read_and_replaced_when_the_account_changes",),
    "Nothing is converted at the first start": (
        f"{UPGRADE}test_nothing_is_converted_at_the_first_start",
        f"{UPGRADE}test_versions_are_read_until_they_go",
    ),
    "A start that is killed": (
        f"{UPGRADE}test_kill_during_the_first_start_leaves_old_copies_or_the_new_list",
        f"{UPGRADE}test_kill_during_the_first_start_of_all_leaves_no_account_without_its_zones",
    ),
    "A damaged or missing block": (
        "unit/store/test_blocks.py::test_damaged_block_is_moved_aside_and_written_again",
        "unit/manage/test_history.py::test_version_with_a_missing_or_damaged_block_is_lost_and_others_stay",
        "unit/control/test_wrong_copies.py::test_damaged_list_of_damaged_copies_is_harmless",
    ),
    "history_octets counts blocks": ("unit/manage/test_history.py::test_versions_of_other_objects_go_over_the_quota",),
    # Accounts in error
    "An error in one account's files": (
        "unit/store/test_hold.py::test_reload_holds_accounts_that_have_or_cause_an_error",
        "unit/store/test_hold.py::test_settings_may_refuse_all_on_an_error",
    ),
    "dnsd reload exits 1 in both cases": ("api/test_held.py::test_reload_names_held_accounts_and_exits_1",),
    "Folders without account.yaml": (
        "api/test_held.py::test_leftovers_do_not_count_and_strangers_count_after_a_while",
    ),
    "A reload with a lower limits": (
        "unit/model/test_rrset_limits.py::test_an_unchanged_zone_is_checked_against_the_new_limit",
    ),
    # Limits
    "limits.memory_mib is new": (
        "unit/store/test_room.py::test_zones_that_do_not_fit",
        "unit/store/test_room.py::test_new_zone_holds_its_account_and_no_other",
        "unit/process/test_memory_limit.py::test_usable_memory",
    ),
    "limits.file_mib is new": ("unit/store/test_room.py::test_files_over_the_limit", BEFORE),
    "limits.tcp.per_network is new": (
        "unit/net/test_places.py::test_limits_are_by_client_and_by_network",
        "unit/test_settings.py::test_network_has_room_for_each_client",
    ),
    "At a limit of limits.tcp": (
        "unit/net/test_tcp_server.py::test_new_connections_push_out_the_one_idle_longest",
        "unit/net/test_places.py::test_connection_idle_longest_loses_its_place",
    ),
    # Guard and brake
    "The guard also judges proxied names": (
        "api/test_guard.py::test_all_maps_taken_away_move_no_one",
        "unit/control/test_guarded.py::test_edits",
    ),
    "A large loss within one account": (
        "unit/control/test_guarded.py::test_only_the_account_with_the_finding_is_held",
        "unit/control/test_guarded.py::test_with_refuse_a_finding_within_one_account_refuses_all",
    ),
    "max_drop_percent: 100 turns all": ("unit/control/test_guarded.py::test_no_guard_with_100_percent_but_the_brake",),
    "The brake limits the accounts": (
        "unit/manage/test_brake.py::test_the_greater_of_both_limits_counts",
        "unit/manage/test_brake.py::test_a_release_lifts_the_limit_and_begins_a_new_window",
    ),
    "A start after a refused reload": (
        "api/test_guard.py::test_refused_files_are_refused_by_a_restart_of_control_and_by_a_start",
        "api/test_guard.py::test_other_files_end_the_refusal_at_a_start",
    ),
    "/readyz stays 200 when": (
        "api/test_guard.py::test_all_maps_taken_away_move_no_one",
        "soak/test_operations.py::test_start_without_source_serves_the_snapshot",
    ),
    # Lent address space
    "An address outside of its account's space": ("unit/model/test_dataset.py::test_address_space",),
    "Deleting a prefix or a delegation": (
        "api/test_withdrawn_space.py::test_owner_takes_back_what_only_disabled_maps_list",
        "api/test_withdrawn_space.py::test_operator_forces_it_and_the_maps_go_on_with_what_is_left",
        "api/test_withdrawn_space.py::test_operator_forces_a_prefix_back_to_pending",
    ),
    # Quotas
    "Accounts have quotas, also existing ones": (
        "api/test_quotas.py::test_account_over_its_quotas_edits_and_deletes",
        "api/test_quotas.py::test_quota_in_files_is_a_warning",
        "unit/model/test_quota_rules.py::test_files_over_a_quota_are_warned_of_once_each",
    ),
    "A token, together with the tokens": ("api/test_quotas.py::test_writes_over_the_rate_wait",),
    "An account's history may have 1 GiB": ("api/test_quotas.py::test_settings_have_quotas_for_all",),
    "record_quota of dns_records/usage": ("api/test_other_routes.py::test_usage_counts_the_records_that_clients_see",),
    # Audit log
    "audit.log gets operators' entries only": (
        "unit/manage/test_audit.py::test_entry_goes_into_the_file_of_its_owner",
        "unit/manage/test_audit.py::test_entries_of_an_earlier_version_are_read",
        "unit/manage/test_audit.py::test_files_go_with_the_days",
    ),
    "A change that removes something is refused": (
        "unit/control/test_evidence.py::test_change_whose_evidence_cannot_be_written",
    ),
    # The default pool
    "account.yaml has a new key, pool": ("api/test_pool.py::test_unknown_value_is_refused",),
    "Without the key, an account with": (
        "unit/model/test_pool.py::test_missing_key_of_an_account_with_an_immutable_map_is_a_warning",
    ),
    "Before a change takes away": (
        "unit/model/test_pool.py::test_no_change_ends_the_bar_by_a_slip",
        "api/test_pool.py::test_bar_ends_by_the_operators_word",
    ),
    # Prefixes
    "advertised of a prefix, and": (
        "api/test_addressing.py::test_status_of_a_prefix_without_routes_is_unknown_and_setting_it_makes_one",
    ),
    "advertised_modified_at of a prefix": (
        "api/test_addressing.py::test_bgp_prefix_starts_withdrawn_and_is_advertised_on_demand",
    ),
    # API
    "A request with a field that dnsd": (
        "api/test_fields.py::test_field_that_dnsd_lacks_is_refused_and_changes_nothing",
        "api/test_fields.py::test_field_that_dnsd_lacks_may_ask_for_nothing",
    ),
    "POST …/addressing/prefixes answers 201": (
        "api/test_addressing.py::test_new_prefix_is_created_with_201_and_its_validation_is_pending",
    ),
    "description of a map or prefix": (
        "api/test_address_maps.py::test_texts_are_cleared_by_null_and_by_an_empty_text",
    ),
    "ETags of address maps are new": ("api/test_address_maps.py::test_one_of_two_writers_with_the_same_tag_wins",),
    "Booleans must be true or false": ("api/test_strict_bodies.py::test_booleans_are_true_or_false",),
    "Names in content and data": ("api/test_targets.py::test_target_comes_back_in_lower_case",),
    "Import: cf-proxied:false in a file": (
        "api/test_master_files.py::test_tags_of_an_imported_file_take_precedence_over_the_request",
    ),
    # Names in URLs
    "The API, the dashboard and the monitoring": (
        "unit/web/test_host.py::test_only_addresses_localhost_and_listed_names_reach_the_application",
        "api/test_hosts.py::test_server_on_all_addresses_serves_tokens_under_any_name",
    ),
    # TLS
    "dnsd serve warns at the start": ("unit/test_services.py::test_secrets_in_clear_are_warned_of",),
    "The package cryptography is new": (
        "structure/test_lock.py::test_every_dependency_is_pinned_at_an_allowed_version",
    ),
    # Dashboard and commands
    "Imports on the dashboard show": ("browser/test_into_open.py::test_addresses_are_shown_before_they_become_public",),
    "On a terminal, the commands of": (
        "api/test_into_open.py::test_a_command_on_a_terminal_asks_first",
        "api/test_into_open.py::test_a_command_with_yes_does_not_ask",
        "api/test_into_open.py::test_a_command_in_a_pipe_works_as_before",
    ),
    # Messages
    "Texts of log lines, errors": ("unit/cli/test_cli.py::test_explain",),
    # Zones
    "Customers can no longer make zones": (
        "bugs/test_zones_of_other_accounts.py::test_only_the_operator_makes_zones_of_others_and_of_public_suffixes",
        "unit/model/test_changes.py::test_rule",
    ),
    "Zones that customers make": (
        "api/test_verification.py::test_zone_created_by_a_tenant_is_not_verified_and_the_message_says_so",
        "api/test_verification.py::test_other_accounts_aliases_are_followed_once_it_is_verified",
    ),
    # Times of objects
    "Clients that store times": ("api/test_times_stay.py::test_files_may_contain_times",),
    "The API writes the times": ("api/test_times_stay.py::test_only_changed_objects_get_a_new_time",),
    # Records
    "Limits. In YAML and over the API": (
        "unit/formats/test_comment_bounds.py::test_yaml",
        "unit/formats/test_comment_bounds.py::test_api",
        "unit/formats/test_comment_bounds.py::test_master_file",
    ),
    "Tags in the comments of master files": (
        "unit/formats/test_comments.py::test_comment",
        "unit/formats/test_comments.py::test_unreadable_tags_are_an_error_at_their_place",
        "unit/formats/test_comments.py::test_tags_in_parentheses_are_an_error",
    ),
    "Data that cannot be read again": ("bugs/test_odd_zone_files.py::test_zone_is_refused",),
    "The data of MB, MG, MR": ("unit/model/test_types_of_others.py::test_is_answered",),
    "The content of an SPF record": ("api/test_written_as_sent.py::test_restart_and_reload_keep_it",),
    # Control characters
    "Comments, descriptions and tags in YAML": (
        "unit/store/test_control_characters.py::test_control_characters_in_yaml_are_a_warning_with_their_place",
    ),
    # Going back to an earlier version
    "The earlier version refuses the new keys": (f"{UPGRADE}test_keys_to_remove_before_going_back_are_keys",),
    "It knows no pool: never": (BEFORE,),
    "It refuses a second zone of a name": (BEFORE,),
    "Its pages and API do not show": (BEFORE,),
    "It moves the lists of accounts": (
        f"{UPGRADE}test_release_before_moves_lists_aside_and_ignores_new_versions",
        f"{UPGRADE}test_next_upgrade_reads_what_both_releases_wrote",
    ),
    "It ignores pending/, brake.json, drains/": (BEFORE,),
    "It does not know dnsd-ipv4-only": ("unit/formats/test_comments.py::test_comment", BEFORE),
    "It ignores the tag dnsd-content": (BEFORE,),
}


def lines() -> list[str]:
    """The lines of the guide, without marks of their form."""
    found = re.findall(r"^- (.+(?:\n  .+)*)", GUIDE.read_text(), re.MULTILINE)
    return [re.sub(r"[`*]|\s+", lambda mark: " " if mark[0].isspace() else "", line) for line in found]


@cache
def defined_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("line", lines(), ids=lambda line: line[:40])
def test_line_of_the_upgrade_guide_is_run_by_a_test(line: str) -> None:
    rows = [tests for begin, tests in LINES.items() if line.startswith(begin)]
    assert len(rows) == 1, f"a row of LINES for: {line[:80]}"
    for test in rows[0]:
        path, _, name = test.partition("::")
        assert test == BEFORE or name in defined_in(path), test


def test_every_row_is_of_a_line() -> None:
    assert [begin for begin in LINES if not any(line.startswith(begin) for line in lines())] == []
